"""How hard the accounts of soft budgets press, as the centre publishes it: what workers slow calls down by."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["PRESSURE", "Pressure", "encode_pressures"]

# The topic.
PRESSURE = "pressure"
_decode = msgspec.msgpack.Decoder(dict[str, float]).decode
_encode = msgspec.msgpack.Encoder().encode


def encode_pressures(pressures: Mapping[str, float]) -> bytes:
    """A generation of the topic: of each account that has any."""
    return _encode(dict(pressures))


class Pressure:
    """A worker's view: by which part what draws on an account should slow down, 0.0 where nothing presses."""

    def __init__(self) -> None:
        self._pressures: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Pressure on {len(self._pressures)} accounts>"

    def __call__(self, account: str) -> float:
        return self._pressures.get(account, 0.0)

    def adopt(self, value: bytes) -> None:
        """The topic's next generation; raises msgspec.DecodeError."""
        self._pressures = _decode(value)
