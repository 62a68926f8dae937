"""A layer of your own: every call passes it, and so does every answer. It may look, refuse, change or answer itself.

Here a program hands two of them over. A gateway finds the same ones in its configuration, where this file lies beside
it: `layers: ["own_layer:Measured", "own_layer:without_card_numbers"]`.
"""

from __future__ import annotations

import asyncio
import re

from penstock import Call, InvalidRequest, Penstock, Reply, Request

# Thirteen to nineteen digits, as payment cards have them.
CARD_NUMBER = re.compile(rb"\b(?:\d[ -]?){12,18}\d\b")


def without_card_numbers(call: Call) -> Call:
    """Refuses what should not leave the house. What it raises reaches the caller in the words of their own API."""

    async def checked(request: Request) -> Reply:
        # Each value of the body as the JSON it came in, whichever API the caller speaks.
        if any(CARD_NUMBER.search(bytes(value)) for value in request.fields.values()):
            raise InvalidRequest("the prompt holds what looks like a card's number", do="Take it out.")
        return await call(request)

    return checked


class Measured:
    """Tags every call, and tells when it is over what became of it."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def __call__(self, request: Request) -> Reply:
        request.record.task = request.record.task or "untagged"  # stands in the log line
        reply = await self._call(request)  # returns once the first output is here
        if reply.streaming:
            pieces: list[str] = []
            reply.tap(lambda frame: pieces.extend(event.text for event in frame.events if event.kind == "text"))
            reply.on_end(lambda request: self._tell(request, f"{len(pieces)} pieces, "), request)
        else:
            reply.on_end(self._tell, request)
        return reply

    def _tell(self, request: Request, pieces: str = "") -> None:
        record = request.record
        waited = record.first_output - record.started
        tokens = record.usage.output_tokens if record.usage is not None else 0
        print(f"{record.task}, {record.deployment}: {pieces}{tokens} tokens, the first after {waited * 1000:.1f} ms")


async def main() -> None:
    async with Penstock({"providers": {"sim": {}}}, layers=[Measured, without_card_numbers]) as llm:
        await llm.generate("How high is the water?", model="sim/small")
        async with llm.stream("And tomorrow?", model="sim/small", task="forecast") as stream:
            async for _ in stream.text():
                pass
        try:
            await llm.generate("Pay with 4111 1111 1111 1111.", model="sim/small")
        except InvalidRequest as error:
            print(f"{error.code}: {error.message}")


if __name__ == "__main__":
    asyncio.run(main())
