"""Which of these texts is nearest to a question? Vectors from the library, compared by their angle."""

from __future__ import annotations

import asyncio
import math

from penstock import Penstock

TEXTS = [
    "The sluice is opened at six in the morning.",
    "Invoices are paid within thirty days.",
    "The spare pump stands behind the boiler house.",
]


def likeness(one: list[float], other: list[float]) -> float:
    """The cosine of the angle between two vectors: 1 for the same direction."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


async def main() -> None:
    async with Penstock() as llm:
        vectors = await llm.embed(TEXTS, model="sim/embed")
        (question,) = (await llm.embed("When is the sluice opened?", model="sim/embed")).vectors
    ranked = sorted(zip(TEXTS, vectors.vectors, strict=True), key=lambda pair: -likeness(question, pair[1]))
    for text, vector in ranked:
        print(f"{likeness(question, vector):.3f}  {text}")
    print(f"{len(question)} numbers each, {vectors.usage.input_tokens} tokens for {len(vectors)} texts")


if __name__ == "__main__":
    asyncio.run(main())
