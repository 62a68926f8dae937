"""The yardstick: a relay with nothing in it, on the stack that Penstock stands on (uvloop, httptools, msgspec).

It parses the request, looks up the key, changes the model, forwards over kept-alive connections, reads the usage and
replies. Streams are passed on as they come, one write per read, scanned for usage and the end, not parsed. No limits,
no log, no metrics, no ids, no timeouts, no pipelining: what is left is Python's own price. It is meant to be as fast
as this can be written plainly.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import ssl
from typing import Any

import httptools
import msgspec
import uvloop


class Usage(msgspec.Struct):
    """The two counts that matter."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Answer(msgspec.Struct):
    """As much of an answer, or of a stream's usage event, as is read."""

    usage: Usage | None = None


READ_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
READ_ANSWER = msgspec.json.Decoder(Answer).decode
WRITE_FIELDS = msgspec.json.Encoder().encode
JSON_HEAD = b"HTTP/1.1 %d Answer\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Relay:
    """What both sides share: keys, models, where the provider is, its idle connections, and the tokens counted."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.keys = {b"Bearer " + options.key.encode(): "bench"}
        names = (pair.split("=", 1) for pair in options.model)
        self.models = {b'"%s"' % name.encode(): msgspec.Raw(b'"%s"' % vendor.encode()) for name, vendor in names}
        self.address = ("127.0.0.1", options.upstream_port)
        self.tls = ssl.create_default_context(cafile=options.ca_file) if options.ca_file else None
        self.idle: list[Upstream] = []
        self.tokens = 0
        self.head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer upstream\r\n"
            b"content-type: application/json\r\naccept-encoding: identity\r\ncontent-length: %%d\r\n\r\n"
        ) % options.upstream_port

    def count(self, answer: bytes) -> None:
        try:
            usage = READ_ANSWER(answer).usage
        except msgspec.DecodeError:
            return
        if usage is not None:
            self.tokens += usage.prompt_tokens + usage.completion_tokens

    def send(self, caller: Caller, request: bytes) -> None:
        if self.idle:
            self.idle.pop().begin(caller, request)
        else:
            caller.opening = asyncio.get_running_loop().create_task(self.open(caller, request))

    async def open(self, caller: Caller, request: bytes) -> None:
        try:
            _, upstream = await asyncio.get_running_loop().create_connection(
                lambda: Upstream(self), *self.address, ssl=self.tls
            )
        except OSError as error:
            caller.reply(502, b'{"error":{"message":"%s"}}' % type(error).__name__.encode())
            return
        if caller.gone:
            upstream.transport.close()
        else:
            upstream.begin(caller, request)


class Caller(asyncio.Protocol):
    """One caller's connection: a request comes in whole, its answer is written by the upstream connection."""

    transport: asyncio.Transport

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.key = b""
        self.gone = False
        self.upstream: Upstream | None = None
        self.opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self.upstream is not None:
            self.upstream.transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def pause_writing(self) -> None:
        if self.upstream is not None:
            self.upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.upstream is not None:
            self.upstream.transport.resume_reading()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"authorization":
            self.key = value

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        body = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        self.body.clear()
        if self.key not in self.relay.keys:
            self.reply(401, b'{"error":{"message":"unknown key"}}')
            return
        try:
            fields = READ_FIELDS(body)
            fields["model"] = self.relay.models[bytes(fields["model"])]
        except (msgspec.DecodeError, KeyError):
            self.reply(400, b'{"error":{"message":"no JSON object with a known model"}}')
            return
        out = WRITE_FIELDS(fields)
        self.relay.send(self, self.relay.head % len(out) + out)

    def reply(self, status: int, body: bytes) -> None:
        if not self.gone:
            self.transport.write(JSON_HEAD % (status, len(body)) + body)


class Upstream(asyncio.Protocol):
    """One connection to the provider: idle in the pool, or busy with one caller's answer."""

    transport: asyncio.Transport

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.parser = httptools.HttpResponseParser(self)
        self.body: list[bytes] = []
        self.caller: Caller | None = None
        self.streamed = self.whole = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def begin(self, caller: Caller, request: bytes) -> None:
        self.streamed = self.whole = False
        self.caller, caller.upstream = caller, self
        self.transport.write(request)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.caller is not None:
            self.caller.transport.close()
        elif self in self.relay.idle:
            self.relay.idle.remove(self)

    def data_received(self, data: bytes) -> None:
        caller = self.caller
        if caller is None:
            self.transport.close()
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()
            return
        if self.streamed:
            self.pass_on(caller)
        elif self.whole:
            body = self.taken()
            self.relay.count(body)
            self.free(caller)
            caller.reply(self.parser.get_status_code(), body)

    def taken(self) -> bytes:
        body = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        self.body.clear()
        return body

    def pass_on(self, caller: Caller) -> None:
        """What one read brought goes out as one chunk."""
        data = self.taken()
        at = data.find(b'"usage":{')
        if at >= 0:  # the JSON of the event around it
            self.relay.count(data[data.rfind(b"data: ", 0, at) + 6 : data.index(b"\n", at)])
        out = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        if self.whole:
            out += b"0\r\n\r\n"
            self.free(caller)
        caller.transport.write(out)

    def free(self, caller: Caller) -> None:
        self.caller = caller.upstream = None
        if not self.transport.is_reading():
            self.transport.resume_reading()
        self.relay.idle.append(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if value.startswith(b"text/event-stream") and name.lower() == b"content-type":
            self.streamed = True

    def on_headers_complete(self) -> None:
        if self.streamed and self.caller is not None:
            self.caller.transport.write(STREAM_HEAD)

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.whole = True


async def serve(options: argparse.Namespace) -> None:
    """Serve until the process is ended; prints `ready PORT`."""
    relay = Relay(options)
    tls = None
    if options.cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.cert, options.cert_key)
    server = await asyncio.get_running_loop().create_server(
        lambda: Caller(relay), "127.0.0.1", options.port, backlog=2048, ssl=tls
    )
    gc.collect()
    gc.freeze()  # as Penstock does: what lives now lives as long as the process
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--upstream-port", type=int, required=True)
    parser.add_argument("--ca-file", help="speak TLS to the upstream and trust this CA")
    parser.add_argument("--cert", help="speak TLS to callers, with this certificate")
    parser.add_argument("--cert-key", help="its key")
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", action="append", default=[], metavar="PUBLIC=VENDOR")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
