"""What only an operator can mend is told once an episode, and so are callers in a loop."""

from __future__ import annotations

from penstock.gateway.trouble import EPISODE_SECONDS, Trouble
from penstock.standing import State
from penstock.stores.alerts import Alert
from penstock.testing import FakeClock


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.alerts: list[Alert] = []
        self.trouble = Trouble(self.clock, self.alerts.extend)

    def look(self, *states: tuple[str, State], seconds: float = 15.0, **repeats: float) -> list[tuple[str, str]]:
        """What is told now."""
        before = len(self.alerts)
        self.trouble.look(states, {("loop", key): times for key, times in repeats.items()})
        self.clock.advance(seconds)
        return [(alert.kind, alert.subject) for alert in self.alerts[before:]]


def test_a_credential_without_quota_is_told_once_while_it_lasts() -> None:
    world = World()
    assert world.look(("openai/gpt-5", "exhausted"), ("sim/small", "ready")) == [
        ("deployment.exhausted", "openai/gpt-5")
    ]
    for _ in range(int(3 * EPISODE_SECONDS / 15)):
        assert world.look(("openai/gpt-5", "exhausted")) == []
    # It comes and goes within the hour: that is the same trouble.
    for _ in range(20):
        assert world.look(("openai/gpt-5", "ready"), seconds=60.0) == []
        assert world.look(("openai/gpt-5", "exhausted"), seconds=60.0) == []
    assert world.look(seconds=EPISODE_SECONDS) == []
    assert world.look(("openai/gpt-5", "exhausted")) == [("deployment.exhausted", "openai/gpt-5")]
    assert "no quota left" in world.alerts[0].text


def test_what_mends_itself_is_not_told() -> None:
    world = World()
    states: tuple[State, ...] = ("ready", "trial", "paused", "open", "unreachable", "drained", "isolated")
    assert world.look(*((f"a/{state}", state) for state in states)) == []
    told = world.look(("a/1", "suspended"), ("a/2", "misconfigured"))
    assert told == [("deployment.suspended", "a/1"), ("deployment.misconfigured", "a/2")]


def test_a_loop_is_told_once_an_episode() -> None:
    world = World()
    assert world.look(app=3.0) == [("loop", "app")]
    for times in range(4, 200):
        assert world.look(app=float(times)) == []
    assert world.look(app=199.0, seconds=EPISODE_SECONDS) == []
    assert world.look(app=199.0, other=1.0) == [("loop", "other")]
    assert world.look(app=200.0, other=1.0) == [("loop", "app")]
    assert "key app asks the same over and over" in world.alerts[0].text


def test_refusals_by_a_budget_are_told_by_scope_once_an_episode() -> None:
    world = World()
    for refused in range(1, 10):
        world.trouble.look((), {("budget.refused", "tenant"): float(refused)})
        world.clock.advance(15.0)
    assert [(alert.kind, alert.subject) for alert in world.alerts] == [("budget.refused", "tenant")]
    assert world.alerts[0].text.endswith("`penstock budgets list` says which, `penstock usage` who")
    assert "too little left" in world.alerts[0].text
