"""One `SyncPenstock` for all threads of a program that knows no asyncio: their calls run side by side."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from penstock import SyncPenstock

PLACES = ["the weir", "the mill", "the upper lake", "the boiler house", "the control room", "the spillway"]


def main() -> None:
    with SyncPenstock() as llm, ThreadPoolExecutor(max_workers=len(PLACES)) as threads:

        def describe(place: str) -> int:
            reply = llm.generate(f"Describe {place}.", model="sim/small:first_token=300ms")
            return reply.usage.output_tokens

        started = time.monotonic()
        tokens = list(threads.map(describe, PLACES))
        print(f"{len(tokens)} answers, {sum(tokens)} tokens, {time.monotonic() - started:.1f} s")

        with llm.stream("And the road there?", model="sim/small") as stream:
            for text in stream.text():
                print(text, end="")
        print()


if __name__ == "__main__":
    main()
