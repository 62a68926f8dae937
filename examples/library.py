"""The same engine without a gateway: names, providers and limits of time in a dict, calls in this process."""

from __future__ import annotations

import asyncio

from penstock import Penstock, UnknownModel, UpstreamError

CONFIG = {
    "providers": {"sim": {}},  # openai: {"api_key": "env:OPENAI_API_KEY"}
    "models": {
        "fast": {"targets": ["sim/small"], "timeouts": {"total": "20s"}},
        "broken": {"targets": ["sim/small:status=503"]},
    },
    "default_model": "fast",
}


async def main() -> None:
    async with Penstock(CONFIG) as llm:
        reply = await llm.generate("Say hello to the river.", system="You are brief.", max_tokens=50)
        print(reply.text)
        print(f"{reply.model}: {reply.usage.input_tokens} + {reply.usage.output_tokens} tokens, {reply.finish_reason}")
        print(f"{reply.cost_usd} USD")  # a Decimal; None where nobody knows the price

        # A conversation: the reply's message is ready to be sent back.
        question = {"role": "user", "content": "Say hello to the river."}
        reply = await llm.generate(messages=[question, reply.message, {"role": "user", "content": "And goodbye."}])
        print(reply.text)

        # Every error says whose fault it was, and whether the same call may succeed later.
        try:
            await llm.generate("Hello", model="fsat")
        except UnknownModel as error:
            print(f"{error.code}: {error.message}")
        try:
            await llm.generate("Hello", model="broken")
        except UpstreamError as error:
            print(f"{error.code}, worth another try: {error.retryable}")


if __name__ == "__main__":
    asyncio.run(main())
