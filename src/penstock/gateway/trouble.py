"""Deployments that only an operator can mend, and callers that ask the same over and over: what else is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from penstock.clock import Clock
from penstock.standing import State
from penstock.stores.alerts import Alert

__all__ = ["EPISODE_SECONDS", "Trouble"]

# What comes again within so long is the same trouble, and has been told.
EPISODE_SECONDS = 3600.0
_DO: Mapping[State, str] = {
    "exhausted": "its credential has no quota left: pay the provider's bill or raise the account's limit",
    "suspended": "its credential was refused: the key is revoked, expired or another vendor's",
    "misconfigured": "the provider does not have that model for this account",
}

_LEDGER: Mapping[str, str] = {
    "ledger.refused": "calls are refused (503) since they cannot be written down: see to the disk of the state",
    "ledger.failing": "the ledger's store cannot be written: see to its disk. Journals beside it keep what is used, "
    "up to 256 MiB for each worker; then calls are refused",
}


class Trouble:
    """Remembers what was told of late.

    Args:
        tell: takes what somebody should know.
    """

    def __init__(self, clock: Clock, tell: Callable[[Sequence[Alert]], object]) -> None:
        self._clock = clock
        self._tell = tell
        self._seen: dict[tuple[str, str], float] = {}
        self._counts: dict[tuple[str, str], float] = {}

    def look(self, states: Iterable[tuple[str, State]], counts: Mapping[tuple[str, str], float]) -> None:
        """How deployments stand; and how often so far a key's calls were found to repeat themselves (`loop`, its name),
        calls were refused by budgets of a scope (`budget.refused`, the scope), and the ledger could not be written."""
        now = self._clock.wall()
        found = [(f"deployment.{state}", id) for id, state in states if state in _DO]
        found += [which for which, times in counts.items() if times > self._counts.get(which, 0.0)]
        self._counts = dict(counts)
        self._seen = {which: at for which, at in self._seen.items() if now - at < EPISODE_SECONDS}
        alerts = [_alert(kind, name, now) for kind, name in found if (kind, name) not in self._seen]
        self._seen |= dict.fromkeys(found, now)
        self._tell(alerts)


def _alert(kind: str, name: str, now: float) -> Alert:
    state = kind.removeprefix("deployment.")
    if state in _DO:
        text, data = f"deployment {name} is {state}: {_DO[state]}", {"deployment": name}  # type: ignore[index]
    elif kind == "budget.refused":
        why = f"calls are refused since budgets of scope {name} have too little left"
        text = f"{why}: `penstock budgets list` says which, `penstock usage` who"
        data = {"scope": name}
    elif kind in _LEDGER:
        text, data = _LEDGER[kind], {}
    else:
        text, data = f"key {name} asks the same over and over, and is slowed down: look for a loop", {"key": name}
    return Alert(kind, name, str(int(now // EPISODE_SECONDS)), text, data=data)
