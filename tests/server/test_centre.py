"""The centre and its protocol: how messages cross a socket, what is published, what is summed, and who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from penstock.config.load import load_config
from penstock.config.parcel import decode_config, encode_config
from penstock.config.schema import Config
from penstock.metrics import MAX_LABEL, Deltas, Metrics
from penstock.server.protocol import PATIENT_SECONDS
from penstock.server.worker import REPORT_SECONDS, Worker
from penstock.stores.centre import (
    CONFIG,
    MAX_MESSAGE,
    Centre,
    Counted,
    Drain,
    Draining,
    Finished,
    Frames,
    FromCentre,
    Keep,
    Leaving,
    Look,
    Member,
    Message,
    Publish,
    Refused,
    Report,
    Seen,
    Subscribe,
    Taken,
    ToCentre,
    encode_message,
    memory_pair,
)
from penstock.testing import FakeClock, SeededRandom, SimLoop, SimulatedProvider, SimulatedServer
from penstock.testing.simloop import run
from penstock.transport.origin import MAX_CONNECTIONS
from tests.stage import GATEWAY, Caller, chat

TO_CENTRE = [
    Subscribe(CONFIG),
    Taken(CONFIG, 7),
    Refused(CONFIG, 8, "ca.pem holds no certificate", "Mend it."),
    Counted({"penstock_requests_total": [(("chat", "sim/small", "200"), [3.0])]}, {"penstock_connections": 2.0}, 5),
    Finished([("id", b"{}")], []),
    Seen(3, [("id", b"{}")]),
    Draining(),
    Leaving(),
]
FROM_CENTRE = [
    Publish(CONFIG, 1, b"\x00\xff"),
    Report(5),
    Look(3, "", "id", 10),
    Drain(60.0),
    Drain(0.5, accepting=False),
]
ENV = {"UP_KEY": "sk-provider-0123456789", "APP_KEY": "psk_app_0123456789abcdef"}
SIM: dict[str, Any] = {"auth": "open", "providers": {"sim": {}}, "models": {"fast": {"targets": ["sim/small"]}}}


# --- messages as bytes


@pytest.mark.parametrize(("messages", "kinds"), [(TO_CENTRE, ToCentre), (FROM_CENTRE, FromCentre)])
@pytest.mark.parametrize("size", [1, 3, 4096])
def test_messages_survive_however_they_are_cut(messages: list[Message], kinds: Any, size: int) -> None:
    data = b"".join(map(encode_message, messages))
    frames = Frames(kinds)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert [message for piece in pieces for message in frames.feed(piece)] == messages


@pytest.mark.parametrize(
    "data",
    [
        (MAX_MESSAGE + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x00",
        encode_message(Publish(CONFIG, 1, b"")),  # what only the centre may say
        b"\x00\x00\x00\x10" + b"\x91" * 16,
    ],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        Frames(ToCentre).feed(data)


def test_a_message_nobody_would_accept_is_not_sent() -> None:
    with pytest.raises(ValueError, match="at most"):
        encode_message(Publish(CONFIG, 1, bytes(MAX_MESSAGE)))


def test_a_configuration_survives_with_its_secrets() -> None:
    config = load_config(
        {
            "server": {"workers": 4, "drain": "5s"},
            "providers": {
                "openai": {"api_key": "env:UP_KEY"},
                "gone": {"kind": "anthropic", "api_key": "env:GONE?"},
                "sim": {},
            },
            "models": {
                "fast": {"targets": ["openai/gpt-5-mini"], "timeouts": {"total": "9s"}, "untranslatable": "drop"}
            },
            "default_model": "fast",
            "keys": [{"name": "app", "key": "env:APP_KEY", "models": ["fast", "openai/*"], "user": "trusted"}],
            "log": {"to": "none"},
        },
        ENV,
    )
    sent = encode_config(config)
    assert decode_config(sent) == config
    assert decode_config(sent).keys[0].key.reveal() == ENV["APP_KEY"]
    assert decode_config(sent).keys[0].key.source == "env:APP_KEY"
    with pytest.raises(msgspec.DecodeError):
        decode_config(sent[:-1])


# --- what is counted


def test_deltas_add_up_to_the_whole() -> None:
    one, other, whole = Metrics(), Metrics(), Metrics()
    deltas = [Deltas(one), Deltas(other)]
    for turn in range(3):
        for metrics in (one, other):
            metrics.requests.inc(("chat", "sim/small", "200"), turn + 1)
            metrics.seconds.observe(("chat", "sim/small"), 0.3)
            metrics.in_flight.set(turn)
        for each in deltas:
            whole.add(each.take())
    assert whole.requests.series == {("chat", "sim/small", "200"): 12.0}
    (buckets,) = whole.seconds.series.values()
    assert sum(buckets[:-1]) == 6
    assert buckets[-1] == pytest.approx(1.8)
    assert whole.in_flight.series == {(): 0.0}, "gauges are shown, not added"
    assert [each.take() for each in deltas] == [{}, {}]


def test_a_name_that_callers_made_up_can_be_reported() -> None:
    """Half a character is no UTF-8, and a long name must not burst a message."""
    metrics, whole = Metrics(), Metrics()
    metrics.dropped_events.inc(("\ud800",))
    metrics.dropped_events.inc(("x" * MAX_MESSAGE,))
    counts = Deltas(metrics).take()
    (message,) = Frames(ToCentre).feed(encode_message(Counted(counts, {})))
    assert isinstance(message, Counted)
    whole.add(message.counts)
    assert whole.dropped_events.series == {("\\ud800",): 1.0, ("x" * MAX_LABEL,): 1.0}


# --- the centre and workers, in memory


def config(**more: Any) -> Config:
    return load_config({**SIM, **more}, {})


class Company:
    """A centre with one worker on a SimLoop's network, connected in memory."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.metrics = Metrics()
        self.centre = Centre(self.metrics.add, loop.clock)
        self.log: list[bytes] = []
        here, there = memory_pair(loop.call_soon)
        self.member: Member = self.centre.join("0", here)
        self.worker = Worker(there, loop.clock, SeededRandom(1), (), lambda to: (self.log.append, lambda: None))
        self.running = loop.create_task(self.worker.run())

    async def serving(self, **more: Any) -> None:
        """Have it work with one more configuration."""
        generation = self.centre.publish(CONFIG, encode_config(config(**more)))
        await self.centre.until(lambda: self.member.generations.get(CONFIG) == generation or self.member.refused)

    async def end(self) -> None:
        self.member.channel.send(Drain(0.0))
        await self.running


def on_stage(main: Callable[[Company], Any]) -> None:
    async def whole(loop: SimLoop) -> None:
        company = Company(loop)
        await main(company)
        await company.end()
        assert company.member.lost
        assert not company.centre.members

    run(whole, leak_free=True)


def test_a_worker_takes_its_configuration_and_reports() -> None:
    async def main(company: Company) -> None:
        await company.serving()
        caller = await Caller.connect()
        ready = await caller.get("/readyz")
        assert (ready.status, ready.headers["x-penstock-generation"]) == (200, "1")
        assert (await caller.post(chat())).status == 200
        await company.centre.report()
        assert company.metrics.requests.series == {("chat", "sim/small", "200"): 1.0}
        assert company.centre.gauges()["penstock_connections"] == 1
        assert company.centre.gauges()["penstock_requests_in_flight"] == 0
        assert (await caller.post(chat())).status == 200
        caller.close()
        await company.loop.clock.sleep(2 * REPORT_SECONDS)
        assert company.metrics.requests.series == {("chat", "sim/small", "200"): 2.0}, "without being asked"
        assert company.centre.gauges()["penstock_connections"] == 0

    on_stage(main)


def test_its_connections_to_a_provider_are_leased_over_reloads_and_settled_at_its_end() -> None:
    async def whole(loop: SimLoop) -> None:
        company = Company(loop)
        async with SimulatedServer(SimulatedProvider(loop.clock)) as server:
            up = {"kind": "openai", "base_url": server.base_url, "api_key": "none"}
            guard = server.base_url.removesuffix("/v1")
            await company.serving(providers={"sim": {}, "up": up})
            caller, slow = await Caller.connect(), await Caller.connect()
            assert company.centre.leases.held(guard) == {}
            assert (await caller.post(chat(model="up/small"))).status == 200
            held = company.centre.leases.held(guard)
            assert list(held) == [company.member]
            assert 1 <= held[company.member] <= MAX_CONNECTIONS // 10
            await slow.send("POST", "/v1/chat/completions", *_body(chat(model="up/small:first_token=5s")))
            await loop.clock.sleep(1.0)
            await company.serving(providers={"sim": {}, "up": up}, default_model="up/small")
            assert (await caller.post(chat(model="up/small"))).status == 200
            assert company.centre.leases.held(guard) == held, "old and new gateway share them"
            assert (await slow.receive()).status == 200
            await company.end()
            assert repr(company.centre.leases) == "<Leases nothing>"
            caller.close()
            slow.close()

    run(whole, leak_free=True)


def test_what_was_counted_last_is_reported_at_the_end() -> None:
    async def whole(loop: SimLoop) -> None:
        company = Company(loop)
        await company.serving()
        caller = await Caller.connect()
        assert (await caller.post(chat())).status == 200
        await company.end()
        assert company.metrics.requests.series == {("chat", "sim/small", "200"): 1.0}
        assert len(b"".join(company.log).splitlines()) == 1
        caller.close()

    run(whole, leak_free=True)


def test_a_reload_changes_the_names_and_keeps_connections_and_counts() -> None:
    async def main(company: Company) -> None:
        await company.serving()
        caller = await Caller.connect()
        slow = await Caller.connect()
        await slow.send("POST", "/v1/chat/completions", *_body(chat(model="sim/small:first_token=5s")))
        assert (await caller.post(chat())).status == 200
        await company.serving(models={"other": {"targets": ["sim/large"]}})
        assert (await caller.post(chat())).status == 404
        assert (await caller.post(chat(model="other"))).status == 200
        assert (await caller.get("/readyz")).headers["x-penstock-generation"] == "2"
        await company.centre.report()
        assert company.centre.gauges()["penstock_requests_in_flight"] == 1, "the old gateway still answers"
        assert (await slow.receive()).status == 200
        caller.close()
        slow.close()
        await company.loop.clock.sleep(60)
        await company.centre.report()
        assert company.metrics.requests.series[("chat", "sim/small:first_token=5s", "200")] == 1
        assert company.centre.gauges()["penstock_requests_in_flight"] == 0

    on_stage(main)


def _body(value: Any) -> tuple[bytes, dict[str, str]]:
    return msgspec.json.encode(value), {"content-type": "application/json"}


def test_a_configuration_it_cannot_work_with_is_refused_and_the_old_one_stays() -> None:
    async def main(company: Company) -> None:
        await company.serving()
        up = {"kind": "openai", "base_url": "https://up.test", "api_key": "none", "ca_file": "/nowhere/ca.pem"}
        bad = load_config({**SIM, "providers": {"sim": {}, "up": up}}, {}, check_files=False)
        company.centre.publish(CONFIG, encode_config(bad))
        await company.centre.until(lambda: company.member.refused)
        assert company.member.refused is not None
        assert company.member.refused.generation == 2
        assert company.member.generations == {CONFIG: 1}
        caller = await Caller.connect()
        assert (await caller.post(chat())).status == 200
        caller.close()

    on_stage(main)


def test_it_drains_and_says_so() -> None:
    async def whole(loop: SimLoop) -> None:
        company = Company(loop)
        await company.serving()
        stream, probe = await Caller.connect(), await Caller.connect()
        began = loop.time()
        slow = chat(model="sim/small:tokens=20,between=100ms", stream=True)
        await stream.send("POST", "/v1/chat/completions", *_body(slow))
        assert await stream.reader.readuntil(b"data: ")
        company.member.channel.send(Drain(60.0))
        await company.centre.until(lambda: company.member.draining)
        late = await Caller.connect()
        assert (await late.get("/readyz")).status == 503
        assert b"[DONE]" in await stream.reader.read()
        await company.running
        assert loop.time() - began < 10
        for caller in (stream, probe, late):
            caller.close()

    run(whole, leak_free=True)


def test_one_that_is_relieved_refuses_nobody_it_has_let_in() -> None:
    async def whole(loop: SimLoop) -> None:
        company = Company(loop)
        await company.serving()
        fresh, probe = await Caller.connect(), await Caller.connect()
        company.member.channel.send(Drain(60.0, accepting=False))
        await company.centre.until(lambda: company.member.draining)
        with pytest.raises(ConnectionRefusedError):  # a successor has the port
            await loop.create_connection(asyncio.Protocol, *GATEWAY)
        assert (await fresh.post(chat())).status == 200
        assert (await probe.get("/readyz")).status == 200
        await company.running
        fresh.close()
        probe.close()

    run(whole, leak_free=True)


def test_one_that_is_relieved_keeps_its_promise_to_go_on() -> None:
    """What was answered with keep-alive may be asked on; whoever has been silent for long is let go."""

    async def whole(loop: SimLoop) -> None:
        company = Company(loop)
        await company.serving()
        slow, eager, silent = [await Caller.connect() for _ in range(3)]
        assert (await silent.get("/healthz")).status == 200
        await slow.send("POST", "/v1/chat/completions", *_body(chat(model="sim/small:first_token=10s")))
        await eager.send("POST", "/v1/chat/completions", *_body(chat(model="sim/small:first_token=1s")))
        await loop.clock.sleep(0.1)
        began = loop.time()
        company.member.channel.send(Drain(60.0, accepting=False))
        await company.centre.until(lambda: company.member.draining)
        assert "connection" not in (await eager.receive()).headers, "so it goes on (RFC 9112, 9.3)"
        last = await eager.post(chat())
        assert (last.status, last.headers["connection"]) == (200, "close")
        await loop.clock.sleep(PATIENT_SECONDS - 2.0)
        assert not silent.reader.at_eof()
        await loop.clock.sleep(4.0)
        assert silent.reader.at_eof()
        assert (await slow.receive()).status == 200
        last = await slow.post(chat())
        assert (last.status, last.headers["connection"]) == (200, "close")
        await company.running
        assert loop.time() - began < 20
        for caller in (slow, eager, silent):
            caller.close()

    run(whole, leak_free=True)


def test_a_second_word_cuts_the_drain_short() -> None:
    async def whole(loop: SimLoop) -> None:
        company = Company(loop)
        await company.serving()
        stream = await Caller.connect()
        await stream.send("POST", "/v1/chat/completions", *_body(chat(model="sim/small:stall=3", stream=True)))
        assert await stream.reader.readuntil(b"data: ")
        began = loop.time()
        company.member.channel.send(Drain(60.0))
        await company.centre.until(lambda: company.member.draining)
        await company.end()
        assert loop.time() - began < 2
        assert company.metrics.requests.series == {("chat", "sim/small:stall=3", "499"): 1.0}
        stream.close()

    run(whole, leak_free=True)


@pytest.mark.parametrize("when", ["serving", "draining", "before it served"])
def test_a_worker_without_its_supervisor_ends_within_two_seconds(when: str) -> None:
    async def whole(loop: SimLoop) -> None:
        company = Company(loop)
        stream: Caller | None = None
        if when != "before it served":
            await company.serving()
            stream = await Caller.connect()
            await stream.send("POST", "/v1/chat/completions", *_body(chat(model="sim/small:stall=3", stream=True)))
            assert await stream.reader.readuntil(b"data: ")
        if when == "draining":
            company.member.channel.send(Drain(600.0))
            await company.centre.until(lambda: company.member.draining)
        began = loop.time()
        company.member.channel.close()
        if stream is not None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):  # it has left its port at once
                await loop.create_connection(asyncio.Protocol, *GATEWAY)
        await company.running
        assert loop.time() - began < 2
        if stream is not None:
            stream.close()

    run(whole, leak_free=True)


def test_whoever_asks_for_a_report_does_not_wait_for_the_dead() -> None:
    async def whole(loop: SimLoop) -> None:
        centre = Centre(Metrics().add, loop.clock)
        ends = [memory_pair(loop.call_soon) for _ in range(2)]
        for here, _ in ends:
            centre.join("0", here)
        ends[0][1].open(lambda message: ends[0][1].send(Counted({}, {}, 1)), lambda: None)
        asked = loop.create_task(centre.report())
        await loop.settle()
        assert not asked.done()
        ends[1][1].close()
        await asked
        assert len(centre.members) == 1
        ends[0][1].close()

    run(whole, leak_free=True)


# --- requests


def told_of(found: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for _, line in found]


def test_requests_are_told_as_they_stand_and_once_they_are_over() -> None:
    async def main(company: Company) -> None:
        await company.serving()
        centre, caller, slow = company.centre, await Caller.connect(), await Caller.connect()
        await slow.send("POST", "/v1/chat/completions", *_body(chat(model="sim/small:first_token=5s")))
        ended = (await caller.post(chat())).headers["x-request-id"]
        (line,) = told_of(await centre.look(1.0, most=10))
        assert (line["open"], line["model"], line["status"]) == (True, "sim/small:first_token=5s", 0)
        assert (line["attempts"][0]["outcome"], line["decisions"][0]["what"]) == ("open", "chosen")
        assert centre.recent.find(ended) is not None, "at once: whoever has the answer may ask"
        await company.loop.clock.sleep(2.0)
        (later,) = told_of(await centre.look(1.0, line["id"]))
        assert later["ms"] - line["ms"] == pytest.approx(2000, abs=10)
        assert await centre.look(1.0, "another") == []
        assert await centre.look(1.0, before=line["id"]) == []
        assert (await slow.receive()).status == 200
        assert await centre.look(1.0, most=10) == []
        whole = msgspec.json.decode(centre.recent.find(line["id"]) or b"")
        assert (whole["status"], whole.get("open")) == (200, None)
        logged = [msgspec.json.decode(line) for line in b"".join(company.log).splitlines()]
        assert whole in logged
        caller.close()
        slow.close()

    on_stage(main)


def test_those_of_a_gateway_from_before_a_reload_are_among_them() -> None:
    async def main(company: Company) -> None:
        await company.serving()
        slow = await Caller.connect()
        await slow.send("POST", "/v1/chat/completions", *_body(chat(model="sim/small:first_token=5s")))
        await company.loop.clock.sleep(0.1)
        await company.serving(default_model="fast")
        assert len(await company.centre.look(1.0, most=10)) == 1
        slow.close()
        await company.loop.clock.sleep(1.0)
        assert await company.centre.look(1.0, most=10) == []
        ((_, line),) = company.centre.recent.before("", 10)
        assert msgspec.json.decode(line)["status"] == 499

    on_stage(main)


def test_the_last_are_told_at_the_end_also_where_there_is_no_log() -> None:
    async def whole(loop: SimLoop) -> None:
        company = Company(loop)
        await company.serving(log={"to": "none"})
        caller = await Caller.connect()
        answer = await caller.post(chat())
        await company.end()
        assert company.centre.recent.find(answer.headers["x-request-id"]) is not None
        caller.close()

    run(whole, leak_free=True)


def test_nothing_that_was_said_is_in_it() -> None:
    async def main(company: Company) -> None:
        await company.serving()
        caller = await Caller.connect()
        answer = await caller.post(chat("a word nobody else says"), authorization="Bearer psk_secret_0123456789")
        await company.centre.look(1.0)
        line = company.centre.recent.find(answer.headers["x-request-id"]) or b""
        assert line
        assert b"nobody" not in line
        assert b"psk_secret" not in line
        caller.close()

    on_stage(main)


class Early:
    """The channel to a worker that has asked for its configuration before anybody listened."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.full = False

    def open(self, received: Callable[[Message], object], lost: Callable[[], object]) -> None:
        received(Subscribe(CONFIG))

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def close(self) -> None: ...


def test_who_has_waited_in_reserve_hears_of_its_journal_before_its_configuration() -> None:
    # A worker that has its configuration first would serve without a journal.
    centre = Centre(Metrics().add, FakeClock())
    centre.publish(CONFIG, b"{}")
    channel = Early()
    centre.join("0", channel, lambda member: member.channel.send(Keep("journals", "w0", power=False)))
    assert [type(message) for message in channel.sent] == [Keep, Publish]
