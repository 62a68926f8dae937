"""Twenty calls at once with OpenAI's asynchronous client, and a stream. Needs `pip install openai`."""

from __future__ import annotations

import asyncio
import time

from openai import AsyncOpenAI

from served import served


async def main() -> None:
    with served() as url:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="unused") as client:

            async def ask(number: int) -> str:
                answer = await client.chat.completions.create(
                    # The simulated provider waits 200 ms: after each other, twenty would take 4 s.
                    model="sim/small:first_token=200ms",
                    messages=[{"role": "user", "content": f"What is {number} for?"}],
                )
                return answer.choices[0].message.content or ""

            started = time.monotonic()
            answers = await asyncio.gather(*(ask(number) for number in range(20)))
            print(f"{len(answers)} answers in {time.monotonic() - started:.1f} s")

            stream = await client.chat.completions.create(
                model="sim/large:between=5ms",
                messages=[{"role": "user", "content": "Tell me about the mill."}],
                stream=True,
            )
            async for chunk in stream:
                print(chunk.choices[0].delta.content or "", end="", flush=True)
            print()


if __name__ == "__main__":
    asyncio.run(main())
