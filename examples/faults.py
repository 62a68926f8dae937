"""Does your application survive its provider's bad days? Test it against a provider that has them on demand.

`SimulatedServer` is a provider on a port of this machine, for OpenAI's and Anthropic's clients; a fault script says
what goes wrong. Needs `pip install openai`.
"""

from __future__ import annotations

import asyncio

import openai

from penstock.testing import SimulatedServer

BAD_DAYS = ("status=429", "status=503", "cut=5", "malformed=2", "error_event=3", "reset=before_headers", "stall=3")


async def summarise(client: openai.AsyncOpenAI, text: str) -> str:
    """The application's code that is to be tested: it must never raise, and never show half an answer."""
    try:
        stream = await client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": f"Summarise: {text}"}], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    except openai.RateLimitError:
        return "(busy, try again)"
    except openai.APIError:  # a stream that broke, an error inside it, no connection
        return "(no summary today)"
    except ValueError:  # rubbish inside a stream, which the client does not catch; this script found it out
        return "(no summary today either)"


async def main() -> None:
    async with SimulatedServer() as provider:
        client = openai.AsyncOpenAI(base_url=provider.base_url, api_key="unused", max_retries=0, timeout=1)
        async with client:
            for script in ("", *BAD_DAYS):
                provider.provider.script = script
                print(f"{script or 'a good day':<22} {await summarise(client, 'the log of the mill')}")
        print(f"{provider.provider.journal.requests} requests seen: with `max_retries` there would be more")


if __name__ == "__main__":
    asyncio.run(main())
