"""What a simulated vendor says to a request of any model, in the dialects of OpenAI and Anthropic. Pure.

The words do not matter, their number does. The same request has the same words wherever it is asked, which lets an
answer that broke off be gone on with; a request that ends in the assistant's own words is continued behind them.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock.providers.simulated.answer import Answer, Choice, Spent
from penstock.providers.simulated.anthropic_answer import MESSAGES, encode_message, message_events
from penstock.providers.simulated.chat import CHUNKS, Stamp, completion_events, encode_completion
from penstock.providers.simulated.staging import Event, Form
from penstock.providers.simulated.words import NOUNS

__all__ = ["Asked", "Saying", "prompt_text", "read_asked", "say"]

_WORDS = [f" {noun.rsplit(' ', 1)[-1]}" for noun in NOUNS]
_MARK, _END = b"[sim ", b"]"
_FILLER = "".join(_WORDS * 50)
BYTES_A_TOKEN = 4


class Asked(msgspec.Struct, frozen=True):
    """What a request asks for.

    Attributes:
        number: which of the scenario's requests it is.
        prompt, output: tokens.
        said: tokens of the answer that the request itself ends with.
    """

    number: int
    prompt: int
    output: int
    said: int = 0

    @property
    def left(self) -> int:
        """Tokens that are still to be said."""
        return max(1, self.output - self.said)


class _Body(msgspec.Struct):
    model: str = ""
    stream: bool = False
    messages: msgspec.Raw = msgspec.Raw(b"[]")


class _Turn(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b'""')


_body = msgspec.json.Decoder(_Body)
_turns = msgspec.json.Decoder(list[_Turn])


def prompt_text(number: int, prompt: int, output: int) -> str:
    """The text of a prompt of so many tokens that asks for an answer of so many."""
    mark = f"[sim {number} {prompt} {output}]"
    size = max(0, prompt * BYTES_A_TOKEN - len(mark))
    filler = _FILLER
    if size > len(filler):
        filler *= -(-size // len(filler))
    return mark + filler[:size]


def read_asked(body: bytes) -> tuple[str, bool, Asked]:
    """The model, whether the answer is to be streamed, and what is asked for.

    Raises:
        msgspec.DecodeError: it is not the body of a request.
    """
    read = _body.decode(body)
    messages = bytes(read.messages)
    at = messages.find(_MARK)
    number, prompt, output = 0, len(body) // BYTES_A_TOKEN, 1
    if at >= 0:
        number, prompt, output = map(int, messages[at + len(_MARK) : messages.index(_END, at)].split())
    said = 0
    if b'"assistant"' in messages:
        last = _turns.decode(messages)[-1]
        if last.role == "assistant":
            said = bytes(last.content).count(b" ")
    return read.model, read.stream, Asked(number, prompt, output, said)


def _answer(asked: Asked, most: int) -> tuple[Answer, int]:
    """The answer, and in how many pieces it is said."""
    left = asked.left
    first = (asked.number * 7 + asked.said) % len(_WORDS)
    words = (_WORDS * (1 + (first + left) // len(_WORDS)))[first : first + left]
    size = -(-left // most)
    pieces = ["".join(words[at : at + size]) for at in range(0, left, size)]
    spent = Spent(asked.prompt, left, asked.prompt + left)
    return Answer([Choice([], pieces, [], "stop")], spent, asked.number), len(pieces)


class Saying(msgspec.Struct):
    """An answer to be given.

    Attributes:
        now: Unix time.
        pieces: events of its stream that hold output.
    """

    answer: Answer
    model: str
    anthropic: bool
    now: float
    pieces: int

    @property
    def form(self) -> Form:
        """How its events stand in a stream."""
        return MESSAGES if self.anthropic else CHUNKS

    def body(self) -> bytes:
        """The whole of it."""
        if self.anthropic:
            return encode_message(self.answer, self._id("msg_"), self.model)
        return encode_completion(self.answer, self._stamp(), None)

    def events(self, *, finish: bool = True) -> Iterator[Event]:
        """The events of its stream."""
        if self.anthropic:
            return message_events(self.answer, self._id("msg_"), self.model, finish=finish)
        return completion_events(self.answer, self._stamp(), include_usage=True, top_logprobs=None, finish=finish)

    def _stamp(self) -> Stamp:
        return Stamp(self._id("chatcmpl-"), int(self.now), self.model, "fp_simulated")

    def _id(self, prefix: str) -> str:
        return f"{prefix}{self.answer.seed:024d}"


def say(asked: Asked, model: str, now: float, *, anthropic: bool, pieces: int) -> Saying:
    """The answer to a request.

    Args:
        pieces: in how many at most its stream is said.
    """
    answer, count = _answer(asked, pieces)
    return Saying(answer, model, anthropic, now, count)
