"""The simulated provider's models. Plain data."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["BORN", "MODELS", "Model"]

BORN = 1_735_689_600  # when the models were "created": 2025-01-01


class Model(msgspec.Struct, frozen=True):
    """What a model can do.

    Attributes:
        window: tokens of prompt it takes.
        length: tokens of an answer in prose, shortest and longest (a sentence more or less).
        reasons: thinks aloud unasked.
        dimensions: of its vectors; 0 for a chat model.
        most_dimensions: the longest vector it can be asked for.
    """

    name: str
    window: int
    length: tuple[int, int] = (0, 0)
    reasons: bool = False
    dimensions: int = 0
    most_dimensions: int = 0


MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model("small", window=128_000, length=(16, 40)),
        Model("large", window=1_000_000, length=(48, 120)),
        Model("reasoner", window=200_000, length=(32, 80), reasons=True),
        Model("embed", window=8_192, dimensions=256, most_dimensions=3_072),
    )
}
