"""A stream read event by event, one that is left early, and one that breaks."""

from __future__ import annotations

import asyncio

from penstock import Penstock, StreamInterrupted


async def main() -> None:
    async with Penstock() as llm:
        async with llm.stream("Tell me about the mill.", model="sim/large") as stream:
            async for event in stream:
                if event.kind == "text":
                    print(event.text, end="", flush=True)
        print(f"\n{stream.reply.usage.output_tokens} tokens, ended by {stream.reply.finish_reason}")

        # Leaving the block stops the call at the provider: what nobody reads is not paid for.
        async with llm.stream("Count the stars.", model="sim/large:between=1s") as stream:
            async for text in stream.text():
                print(f"left after {text!r}")
                break

        # What came before the break has been shown, so nothing is asked again behind your back.
        came = ""
        try:
            async for text in llm.stream("Tell me more.", model="sim/large:cut=6").text():
                came += text
        except StreamInterrupted as error:
            print(f"{len(came)} letters, then {error.code}")


if __name__ == "__main__":
    asyncio.run(main())
