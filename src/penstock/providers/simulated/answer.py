"""What the simulated model says: choices in tokens, and what they took. Pure; no dialect's JSON here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.providers.simulated.chance import Dice, mixed
from penstock.providers.simulated.failures import ApiError, TooLong
from penstock.providers.simulated.models import Model
from penstock.providers.simulated.request import ChatRequest, text_of
from penstock.providers.simulated.schema import Example, SchemaError
from penstock.providers.simulated.script import Script
from penstock.providers.simulated.speech import count_tokens, prose, thoughts, tokenize
from penstock.providers.simulated.tools import Call, choose_calls, places_in, results_quoted

__all__ = ["Answer", "Choice", "Spent", "compose", "prompt_tokens"]

_REASONING = {"": 24, "minimal": 4, "low": 16, "medium": 40, "high": 80, "xhigh": 160, "max": 240}
_IMAGE = 85  # tokens of an image in low detail, as OpenAI counts them; here of a file too


class Choice(msgspec.Struct):
    """One answer; the tokens of each list joined are the text. `content` is None where only tools are called.

    Attributes:
        finish: stop, length or tool_calls.
        stopped: the stop sequence that ended it, if one did.
    """

    reasoning: list[str]
    content: list[str] | None
    calls: list[Call]
    finish: str
    stopped: str = ""

    @property
    def tokens(self) -> int:
        """All the tokens the choice took."""
        called = sum(len(call.arguments) + count_tokens(call.name) for call in self.calls)
        return len(self.reasoning) + len(self.content or ()) + called


class Spent(msgspec.Struct, frozen=True):
    """Tokens used, as the provider reports them."""

    prompt: int
    completion: int
    total: int
    reasoning: int = 0


class Answer(msgspec.Struct):
    """A whole answer: `used` is what it takes, `spent` what is told of that, None where the script says nothing is."""

    choices: list[Choice]
    spent: Spent | None
    seed: int
    used: Spent = Spent(0, 0, 0)


def compose(request: ChatRequest, model: Model, script: Script, seed: int) -> Answer:
    """The answer to a request.

    Raises:
        ApiError: 400, the prompt is too long or a schema cannot be answered under.
    """
    prompt = prompt_tokens(request)
    if prompt > model.window:
        raise TooLong(prompt, model.window)
    writer = _Writer(request, model, script)
    choices = [writer.choice(Dice(mixed(seed, index))) for index in range(request.n)]
    completion = sum(choice.tokens for choice in choices)
    reasoning = sum(len(choice.reasoning) for choice in choices)
    spent = Spent(prompt, completion, prompt + completion, reasoning)
    return Answer(choices, told(spent, script.usage), seed, spent)


def prompt_tokens(request: ChatRequest) -> int:
    """Tokens of the messages and tools, with OpenAI's three or four for each message's frame."""
    count = 3
    for message in request.messages:
        content = message.get("content")
        count += 4 + count_tokens(text_of(content))
        if isinstance(content, list):
            count += _IMAGE * sum(1 for part in content if part.get("type") in ("image_url", "file"))
        if message.get("tool_calls"):
            count += count_tokens(msgspec.json.encode(message["tool_calls"]).decode())
    if request.tools:
        count += count_tokens(msgspec.json.encode(request.raw_tools).decode())
    return count


def told(spent: Spent, usage: str) -> Spent | None:
    """The tokens as a script wants them told."""
    if usage == "none":
        return None
    if usage == "wrong":
        return Spent(spent.prompt * 3 + 7, spent.completion // 2, spent.prompt + 1, spent.reasoning)
    if usage == "zero":
        return Spent(0, 0, 0)
    if usage == "huge":  # above 2^53, where a float loses count, and a bill is absurd
        return Spent(2**53 + 1, 2**53 + 3, 2**54 + 4)
    if usage == "negative":
        return Spent(-spent.prompt, -spent.completion, -spent.total)
    return spent


class _Writer:
    """Writes the choices of one request."""

    def __init__(self, request: ChatRequest, model: Model, script: Script) -> None:
        self._request = request
        self._model = model
        self._script = script
        last = request.messages[-1]
        self._quoted = results_quoted(request.messages)
        users = (text_of(each.get("content")) for each in reversed(request.messages) if each.get("role") == "user")
        self._prompt = next(users, "") or text_of(last.get("content"))
        self._asked = self._prompt if last.get("role") == "user" else ""

    def choice(self, dice: Dice) -> Choice:
        reasoning = self._reasoning(dice)
        calls = choose_calls(self._request, self._asked, dice) if self._request.tools else []
        if calls:
            named = self._request.tool_choice.startswith("=")
            # "stop" when the call was forced by name: https://platform.openai.com/docs/guides/function-calling
            choice = Choice(reasoning, None, calls, "stop" if named else "tool_calls")
        else:
            choice = Choice(reasoning, self._content(dice), [], "stop")
        if self._request.max_tokens is not None:
            _cut(choice, self._request.max_tokens)
        if self._request.stop and choice.content:
            _stop(choice, choice.content, self._request.stop)
        return choice

    def _reasoning(self, dice: Dice) -> list[str]:
        effort = self._request.effort
        if effort == "none" or not (effort or self._model.reasons):
            return []
        return thoughts(dice, _REASONING[effort])

    def _content(self, dice: Dice) -> list[str]:
        if self._request.schema is not None:
            return tokenize(self._structured(dice))
        wanted = self._script.tokens
        if self._request.begun:
            return self._rest(dice)
        quoted = tokenize(self._quoted + " ") if self._quoted else []
        length = wanted or dice.between(*self._model.length)
        tokens = quoted + prose(dice, self._prompt, max(1, length - len(quoted)), exact=wanted > 0)
        return tokens[:wanted] if wanted else tokens

    def _rest(self, dice: Dice) -> list[str]:
        """What of the answer is left behind its beginning; where it would have begun otherwise, as much as is left."""
        begun, wanted = self._request.begun, self._script.tokens
        length = wanted or dice.between(*self._model.length)
        tokens = prose(dice, self._prompt, length, exact=wanted > 0)
        whole = "".join(tokens)
        if whole.startswith(begun):
            return tokenize(whole[len(begun) :])
        return tokens[len(tokenize(begun)) :]

    def _structured(self, dice: Dice) -> str:
        places = places_in(self._prompt)
        try:
            value = Example(self._request.schema, dice, strict=True, places=places).value()
        except SchemaError as error:
            message = f"Invalid schema for response_format: {error}."
            raise ApiError(400, message, param="response_format", code="invalid_json_schema") from None
        return msgspec.json.encode(value).decode()


def _cut(choice: Choice, most: int) -> None:
    """Keep the first `most` tokens, in the order a model makes them."""
    if choice.tokens <= most:
        return
    choice.finish = "length"
    choice.reasoning = choice.reasoning[:most]
    left = most - len(choice.reasoning)
    if choice.content is not None:
        choice.content = choice.content[:left]
        return
    kept: list[Call] = []
    for call in choice.calls:
        left -= count_tokens(call.name)
        if left < 0:
            break
        kept.append(Call(call.id, call.name, call.arguments[:left]))
        left -= len(kept[-1].arguments)
    choice.calls = kept
    if not kept:
        choice.content = []


def _stop(choice: Choice, content: Sequence[str], stops: Sequence[str]) -> None:
    text = "".join(content)
    found = [(at, stop) for stop in stops if (at := text.find(stop)) >= 0]
    if found:
        at, choice.stopped = min(found)
        choice.content = tokenize(text[:at])
        choice.finish = "stop"
