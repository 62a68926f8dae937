"""The way past what decides for a caller as it did before: from authenticate to route, which then only hand on; and
past meter, where nothing is reserved.

A connection's requests share their caller, and most ask for the same model. What those layers made of one is known from
then on, as long as nothing has changed by which they decided, and the next request has nothing that one of them must
look at. Whatever is not known goes the long way. There is none where own layers, limits or budgets look at each.
"""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from penstock.call import Call, Reply
from penstock.layers.authenticate import Key, Keyring
from penstock.messages import Request
from penstock.routing.plan import Plan
from penstock.stores.strain import Strain

__all__ = ["Learning", "Shortcut"]

NEVER = float("inf")


class _Known(msgspec.Struct, eq=False):
    """What was decided of a request.

    Attributes:
        model: what was asked for.
        edition: of the keyring then, and so of the configuration: each has its own.
        whole, streamed: how long all of a unary request may take, and of a streamed one, in seconds.
        onward: what follows.
    """

    model: str
    edition: object
    key: Key
    deployment: str
    plan: Plan
    whole: float
    streamed: float
    onward: Call


class Shortcut:
    """Takes a request past those layers where it is known what they would decide.

    Args:
        call: the long way, through them.
        strain: None: nobody looks.
    """

    def __init__(self, call: Call, keyring: Keyring, strain: Strain | None) -> None:
        self._call = call
        self._keyring = keyring
        self._strain = strain

    def __call__(self, request: Request) -> Awaitable[Reply]:
        known: _Known | None = request.caller.known
        strain = self._strain
        if (
            known is None
            or known.edition is not self._keyring.edition
            or known.model != request.model
            or "metadata" in request.fields
            or (strain is not None and (strain.level or not strain.seen))
        ):
            call = self._call
            return call(request)
        key, record = known.key, request.record
        record.key, record.tenant, record.project = key.name, key.tenant, key.project
        key.used = record.wall
        record.deployment, request.plan = known.deployment, known.plan
        request.deadline = record.started + (known.streamed if request.stream else known.whole)
        call = known.onward
        return call(request)


class Learning:
    """The long way's end: what was decided is known from here on, where the same would be of the next request.

    Args:
        plain: the same as `call`, for requests of which nothing is reserved.
    """

    def __init__(self, call: Call, plain: Call, keyring: Keyring) -> None:
        self._call = call
        self._plain = plain
        self._keyring = keyring

    def __call__(self, request: Request) -> Awaitable[Reply]:
        caller, plan, keyring = request.caller, request.plan, self._keyring
        key = keyring.keys.get(caller.digest)
        if key is not None and not caller.trusted and caller.wishes is None and plan.lasting and _is_plain(key):
            whole, streamed = (plan.timeouts.whole(stream=stream) for stream in (False, True))
            caller.known = _Known(
                request.model,
                keyring.edition,
                key,
                request.record.deployment,
                plan,
                NEVER if whole is None else whole,
                NEVER if streamed is None else streamed,
                self._plain if caller.max_output is None else self._call,
            )
        return self._call(request)


def _is_plain(key: Key) -> bool:
    """Whether what its calls may do depends on nothing but who calls, and which model is asked for."""
    return not (key.guarded or key.trusts_user) and key.priority is None
