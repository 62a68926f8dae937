"""The tour itself: what Penstock is, and each thing it does shown with one call to a running gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from penstock.cli.tour.outage import STEADY, show_outage, sum_up
from penstock.cli.tour.screen import INDENT, Screen
from penstock.cli.tour.stage import BUDGET, Answer, Stage
from penstock.records import Record
from penstock.usage import usd
from penstock.version import VERSION

__all__ = ["show_end", "show_request", "take_tour"]

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
COST = "x-penstock-cost-usd"
QUESTION = "Why is the sky blue?"
BAD_DAY = "sim/small:status=429,retry_after=500ms"
CAPPED, CROWD = "capped", 20
# Of a terminal, for what is drawn side by side.
WIDE = 79
_WIDE = """\
your application                Penstock                 models
OpenAI's SDK, Anthropic's,  ->  names, keys, prices,  -> OpenAI, Anthropic,
curl, Penstock's library        translation, records     your own servers"""
_NARROW = """\
your application: OpenAI's SDK, Anthropic's, curl
   -> Penstock: names, keys, prices, translation
   -> models: OpenAI, Anthropic, your own servers"""
SLOWLY = "first_token=300ms,between=18ms"


async def take_tour(stage: Stage, screen: Screen, records: Sequence[Record]) -> None:
    """Every step in its order, with time to read between them."""
    _introduce(stage, screen)
    for step in (_openai, _anthropic, _stream, _price, _mistake, _bad_day, _budget):
        await screen.pause()
        await step(stage, screen)
    await screen.pause()
    await show_outage(stage, screen, records)
    await screen.pause()
    _account(screen, records)


def _introduce(stage: Stage, screen: Screen) -> None:
    screen.line(f"{screen.bold('Penstock')} {VERSION}")
    screen.say(
        "The layer between an application and the LLMs it calls. One Python package: a library, a gateway and a"
        " command line, with one engine."
    )
    screen.line()
    screen.code(_WIDE if screen.width >= WIDE else _NARROW)
    screen.line()
    screen.say(
        f"A gateway runs now on {stage.url}. Everything below is a real call to it over HTTP. The models behind it are"
        " simulated: no key, no network, no bill.",
        strong=stage.url,
    )


async def _openai(stage: Stage, screen: Screen) -> None:
    screen.title("1. One call, as any OpenAI client makes it")
    screen.code(f"""\
client = OpenAI(base_url="{stage.url}/v1", api_key="unused")
client.chat.completions.create(
    model="fast",
    messages=[{{"role": "user", "content": "{QUESTION}"}}],
)""")
    answer = await stage.ask(CHAT, _asking("fast"))
    choice = answer.body["choices"][0]
    screen.answer(choice["message"]["content"])
    screen.facts([*_took(answer), _field("finish_reason", choice), _field("usage", answer.body, "completion_tokens")])


async def _anthropic(stage: Stage, screen: Screen) -> None:
    screen.title("2. The same model, as any Anthropic client asks for it")
    screen.code(f"""\
client = Anthropic(base_url="{stage.url}", api_key="unused")
client.messages.create(
    model="fast", max_tokens=500,
    messages=[{{"role": "user", "content": "{QUESTION}"}}],
)""")
    answer = await stage.ask(MESSAGES, _asking("fast", max_tokens=500), {"anthropic-version": "2023-06-01"})
    screen.answer("".join(block.get("text", "") for block in answer.body["content"]))
    screen.facts([*_took(answer), _field("stop_reason", answer.body), _field("usage", answer.body, "output_tokens")])
    screen.note(
        "Either kind of client may ask for either kind of model: whole, streamed, with tools, with images. What does"
        " not survive translation is named in a header, or refused by name."
    )


async def _stream(stage: Stage, screen: Screen) -> None:
    screen.title("3. A stream, from a larger and slower model")
    screen.code('client.chat.completions.create(model="smart", stream=True, messages=...)')
    screen.line()
    first = last = 0.0
    async for seconds, event in stage.stream(CHAT, _asking("smart", stream=True), {"x-penstock-sim": SLOWLY}):
        for choice in event["choices"]:
            text = choice["delta"].get("content")
            if text:
                first, last = first or seconds, seconds
                screen.piece(text)
    screen.end_pieces()
    screen.facts([f"first word after {first * 1e3:.0f} ms", f"the last after {last:.1f} s"])


async def _price(stage: Stage, screen: Screen) -> None:
    screen.title("4. What it costs, in every answer and every record")
    screen.code("""\
answer = client.chat.completions.with_raw_response.create(model="fast", ...)
answer.headers["x-penstock-cost-usd"]""")
    screen.line()
    for model in ("fast", "smart"):
        answer = await stage.ask(CHAT, _asking(model))
        usage = answer.body["usage"]
        tokens = f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens"
        screen.line(f"{INDENT}{model:<6} {tokens:<16}  {COST}: {answer.headers[COST]}")
    screen.note(
        "What vendors charge is known: `penstock models gpt-5` shows it. Here it is what models of this size cost. An"
        " unknown price is null, never 0."
    )


async def _mistake(stage: Stage, screen: Screen) -> None:
    screen.title("5. A wrong request, and an error that says what to do")
    screen.code('client.chat.completions.create(model="fsat", messages=...)')
    _show_error(screen, await stage.ask(CHAT, _asking("fsat")))


async def _bad_day(stage: Stage, screen: Screen) -> None:
    screen.title("6. A bad day at the provider, on demand")
    screen.code(f"""\
client.chat.completions.create(
    model="{BAD_DAY}", messages=...
)""")
    answer = await stage.ask(CHAT, _asking(BAD_DAY))
    _show_error(screen, answer)
    screen.note(
        "Simulated models can be slow, cut streams, send rubbish or run out of quota: what your application does then"
        " is something you can test today."
    )


async def _budget(stage: Stage, screen: Screen) -> None:
    screen.title("7. A budget, and more callers at once than it can pay for")
    screen.code(f"""\
budgets:
  - {{scope: model, match: {CAPPED}, limit: {BUDGET}}}""")
    asking = _asking(CAPPED, max_tokens=100)
    answers = await asyncio.gather(*(stage.ask(CHAT, asking) for _ in range(CROWD)))
    paid = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status != 200]
    spent = sum((Decimal(answer.headers[COST]) for answer in paid), Decimal(0))
    screen.line()
    shorter = sum("x-penstock-clamped" in answer.headers for answer in paid)
    screen.say(f"{CROWD} calls at once: {len(paid)} answered, {shorter} of them with a shorter answer;", INDENT)
    screen.line(f"{INDENT}{len(refused)} refused before they were sent")
    screen.line(f"{INDENT}spent: {spent} USD of {BUDGET.partition('/')[0]}")
    if refused:
        _show_error(screen, refused[-1])
    screen.note(
        "What a call may cost is reserved before it is sent, of every budget that holds for it, and what it did cost is"
        " booked afterwards. With `state: sqlite:///penstock.db`, as `penstock serve` has it, that outlives any crash."
    )


def _show_error(screen: Screen, answer: Answer) -> None:
    error = answer.body["error"]
    wait = answer.headers.get("retry-after")
    screen.line()
    screen.say(f"HTTP {answer.status}, {error['code']}: {error['message']}", INDENT)
    tries = int(answer.headers.get("x-penstock-attempts", "0"))
    screen.facts(
        [
            f"asked {tries} times in {answer.seconds:.1f} s" if tries > 1 else "",
            f"retry-after: {wait}" if wait else "",
        ]
    )
    screen.facts([f"request id {answer.headers['x-request-id']}"])


def _asking(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": QUESTION}], **more}


def _took(answer: Answer) -> list[str]:
    """What the headers of an answer say; the price where it is known."""
    headers = answer.headers
    cost = headers.get(COST)
    return [
        f"HTTP {answer.status} in {answer.seconds * 1e3:.1f} ms",
        f"{headers['x-penstock-overhead-us']} us of it in Penstock",
        f"answered by {headers['x-penstock-target']}",
        f"{cost} USD" if cost and cost != "null" else "",
    ]


def _field(name: str, body: Mapping[str, Any], inner: str = "") -> str:
    value = body[name]
    return f"{name}.{inner} {json.dumps(value[inner])}" if inner else f"{name} {json.dumps(value)}"


# --- what it took


def _account(screen: Screen, records: Sequence[Record]) -> None:
    screen.title("9. What it took: a record of every request, with no word of what was said")
    many = [record for record in records if record.model == STEADY]
    for record in records:
        if record.model not in (STEADY, CAPPED):
            show_request(screen, record)
    crowd = sum(record.model == CAPPED for record in records)
    screen.say(f"{crowd} of the budget, and {len(many)} of the outage: {sum_up(many)}", INDENT)


def show_request(screen: Screen, record: Record) -> None:
    """One line about a request that is over."""
    usage = record.usage
    tokens = f"{usage.input_tokens} + {usage.output_tokens} tokens" if usage else record.error or ""
    took = f"{(record.ended - record.started) * 1e3:.1f} ms"
    model = record.model if len(record.model) <= 20 else f"{record.model[:17]}..."
    cost = f"  ${usd(record.cost)}" if record.cost is not None else ""
    row = f"{record.status} {record.operation} {model:<20} {tokens:<21} {took:>9}{cost}"
    if screen.width < WIDE:
        row = f"{record.status} {model:<20} {tokens}{cost}"
    screen.line(INDENT + (screen.red(row) if record.status >= 400 else row))


def show_end(screen: Screen, url: str, control: str) -> None:
    """What to do next; `control` is the control plane's address where this gateway goes on running."""
    screen.title("Your turn")
    if control:
        screen.say("The gateway goes on until Ctrl-C; what you ask it shows up below.")
        screen.line()
        screen.code(f"""\
curl {url}/v1/chat/completions \\
  -H 'content-type: application/json' \\
  -d '{{"model": "fast", "messages": [{{"role": "user", "content": "Hello"}}]}}'

export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=unused
export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=unused
curl {control}/metrics""")
        screen.line()
        return
    for command, told in (
        ("penstock serve", "the gateway; real models, where a provider's key is set"),
        ("penstock chat Hello", "one call from the shell"),
        ("penstock demo", "this tour on a terminal, and the gateway left open"),
    ):
        screen.line(f"{INDENT}{screen.bold(f'{command:<19}')}  {told}")
