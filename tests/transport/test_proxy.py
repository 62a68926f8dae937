"""Forward proxies: which one the environment names, what it is told, and tunnels over real sockets."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from penstock.clock import SystemClock
from penstock.config.schema import Provider
from penstock.errors import Unavailable
from penstock.gateway import endpoint_of
from penstock.providers.catalogue import load_catalogue
from penstock.redact import Secret
from penstock.testing import ScriptedUpstream, SimLoop, run
from penstock.transport.http import Origin, Pool
from penstock.transport.proxy import Proxy, proxy_for, read_proxy
from penstock.transport.tls import client_context
from tests.end_to_end.certificates import Authority

REQUEST = b"POST /v1/chat HTTP/1.1\r\nhost: provider\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
P, Q = "http://p:3128", "http://q:3128"


@pytest.mark.parametrize(
    ("url", "env", "found"),
    [
        ("https://a.example/v1", {}, None),
        ("https://a.example/v1", {"HTTPS_PROXY": P}, P),
        ("https://a.example/v1", {"https_proxy": P, "HTTPS_PROXY": Q}, P),
        ("https://a.example/v1", {"https_proxy": "", "HTTPS_PROXY": Q}, None),
        ("https://a.example/v1", {"HTTP_PROXY": P, "http_proxy": P}, None),
        ("http://a.example/v1", {"HTTPS_PROXY": P, "http_proxy": Q}, Q),
        ("http://a.example/v1", {"HTTP_PROXY": P}, P),
        ("http://a.example/v1", {"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, None),
        ("http://a.example/v1", {"http_proxy": P, "REQUEST_METHOD": "GET"}, P),
        ("https://a.example/v1", {"HTTPS_PROXY": P, "REQUEST_METHOD": "GET"}, P),
        ("https://a.example/v1", {"ALL_PROXY": P}, P),
        ("https://a.example/v1", {"all_proxy": Q, "HTTPS_PROXY": P}, P),
        ("https://localhost/v1", {"HTTPS_PROXY": P}, None),
        ("https://x.localhost/v1", {"HTTPS_PROXY": P}, None),
        ("http://127.3.2.1:8000/v1", {"http_proxy": P}, None),
        ("http://[::1]:8000/v1", {"http_proxy": P}, None),
        ("http://[::ffff:127.0.0.1]:8000/v1", {"http_proxy": P}, None),
        ("http://localhost.:8000/v1", {"http_proxy": P}, None),
    ],
)
def test_the_environment_names_it(url: str, env: dict[str, str], found: str | None) -> None:
    assert proxy_for(url, env) == found


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("*", True),
        ("a.example", True),
        ("A.EXAMPLE", True),
        (".a.example", True),
        ("*.a.example", True),
        ("example", True),
        (".example", True),
        ("b.example, a.example", True),
        ("b.example a.example", True),
        ("xa.example", False),
        ("a.example.com", False),
        ("ample", False),
        (".", False),
        ("a.example:443", True),
        ("a.example:8443", False),
        ("example:443", True),
        ("10.0.0.0/8", False),
    ],
)
def test_names_that_are_excepted(no_proxy: str, direct: bool) -> None:
    env = {"HTTPS_PROXY": P, "NO_PROXY": no_proxy}
    assert (proxy_for("https://a.example/v1", env) is None) is direct
    assert (proxy_for("https://a.example./v1", {**env, "no_proxy": no_proxy, "NO_PROXY": ""}) is None) is direct


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:80", False),
        ("10.1.2.3", "2.3", False),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.0/33", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]", "[fd00::1]:443", True),
        ("[fd00::1]", "[fd00::1]:80", False),
        ("[fd00::1]", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::]/8", True),
        ("[fe00::1]", "[fd00::]/8", False),
        ("[fd00::1]", "10.0.0.0/8", False),
        ("[::ffff:10.1.2.3]", "10.0.0.0/8", True),
    ],
)
def test_addresses_that_are_excepted(host: str, no_proxy: str, direct: bool) -> None:
    env = {"HTTPS_PROXY": P, "NO_PROXY": no_proxy}
    assert (proxy_for(f"https://{host}/v1", env) is None) is direct


def test_a_proxys_url() -> None:
    proxy = read_proxy("http://us%40er:s%3Aecret@proxy:3128/")
    assert (proxy.host, proxy.port, proxy.url) == ("proxy", 3128, "http://proxy:3128")
    assert "ecret" not in repr(proxy) + proxy.url
    credential = base64.b64encode(b"us@er:s:ecret")
    assert (
        proxy.connect_request("a.example", 443)
        == (b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\nproxy-authorization: Basic " + credential)
        + b"\r\n\r\n"
    )
    assert read_proxy("proxy:3128").url == "http://proxy:3128"
    assert (read_proxy("proxy").port, read_proxy("https://proxy").port) == (80, 443)
    assert read_proxy("http://[fd00::1]:8080").connect_request("fd00::2", 443).startswith(b"CONNECT [fd00::2]:443 ")


@pytest.mark.parametrize(
    "url",
    ["socks5://u:secret@p:1", "http://", "http://p:0", "http://p:99999", "http://p/secret", "http://p?secret",
     "http://u:secret@p q", "http://p\r\nX: secret", "ftp://secret", "http://[secret"],
)  # fmt: skip
def test_what_is_no_proxy_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_proxy(url)
    assert "secret" not in str(refused.value)


async def call(pool: Pool, origin: Origin, request: bytes = REQUEST) -> bytes:
    connection = pool.take(origin) or await pool.connect(origin, 10.0)
    try:
        await connection.exchange(request, stream=False, timeout=10.0)
        return connection.parser.take()
    finally:
        connection.release()


def test_plain_http_goes_through_the_proxy_in_absolute_form() -> None:
    async def main(loop: SimLoop) -> None:
        async with ScriptedUpstream(
            OK, OK, b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n", clock=loop.clock
        ) as server:
            proxy = Proxy("127.0.0.1", server.port, None, b"user:secret")
            pool = Pool(loop.clock)
            assert await call(pool, Origin("provider", 80, proxy=proxy)) == b"ok"
            other = REQUEST.replace(b"provider", b"[fd00::1]:8000")
            assert await call(pool, Origin("fd00::1", 8000, proxy=proxy), other) == b"ok"
            with pytest.raises(Unavailable, match="wants other credentials") as refused:
                await call(pool, Origin("provider", 80, proxy=proxy))
            assert "secret" not in str(refused.value)
            credential = b"proxy-authorization: Basic " + base64.b64encode(b"user:secret")
            first, second, _ = (bytes(received) for received in server.received)
            assert first == REQUEST.replace(b" /", b" http://provider/", 1).replace(
                b"\r\n", b"\r\n" + credential + b"\r\n", 1
            )
            assert second.startswith(b"POST http://[fd00::1]:8000/v1/chat HTTP/1.1\r\n")
            await pool.aclose()

    run(main, leak_free=True)


class Tunnels(asyncio.Protocol):
    """A proxy's connection that answers CONNECT with `says` and, where that is a 200, passes bytes both ways."""

    def __init__(self, port: int, says: bytes, asked: list[bytes]) -> None:
        self.port, self.says, self.asked = port, says, asked
        self.near: asyncio.Transport | None = None
        self.far: asyncio.Transport | None = None
        self.joining: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.near = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.far is not None:
            self.far.write(data)
        else:
            self.asked.append(data)
            self.joining = asyncio.ensure_future(self.join())

    async def join(self) -> None:
        assert self.near is not None
        if self.says.startswith(b"HTTP/1.1 200"):
            self.far, _ = await asyncio.get_running_loop().create_connection(
                lambda: Back(self.near), "127.0.0.1", self.port
            )
        self.near.write(self.says)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.far is not None:
            self.far.abort()


class Back(asyncio.Protocol):
    def __init__(self, near: asyncio.Transport | None) -> None:
        self.near = near

    def data_received(self, data: bytes) -> None:
        if self.near is not None:
            self.near.write(data)


LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


async def through(
    authority: Authority, says: bytes, outer: ssl.SSLContext | None = None, *, calls: int = 2
) -> tuple[list[bytes], list[bytes]]:
    """What the proxy was asked, and what came of the calls through it."""
    asked: list[bytes] = []
    trusting = client_context(str(authority.file))
    loop = asyncio.get_running_loop()
    pool = Pool(SystemClock())
    async with ScriptedUpstream(OK, tls=authority.server_context()) as server:
        listening = await loop.create_server(lambda: Tunnels(server.port, says, asked), "127.0.0.1", 0, ssl=outer)
        proxy = Proxy("127.0.0.1", listening.sockets[0].getsockname()[1], trusting if outer else None, b"user:secret")
        origin = Origin("127.0.0.1", server.port, trusting, proxy=proxy)
        try:
            return asked, [await call(pool, origin) for _ in range(calls)]
        finally:
            assert all(b"secret" not in bytes(received) for received in server.received)
            await pool.aclose()
            assert pool.open == 0
            listening.close()


@pytest.mark.parametrize("secured", [False, True], ids=["a plain proxy", "a proxy behind TLS"])
@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_https_goes_through_a_tunnel(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], secured: bool
) -> None:
    authority = Authority(tmp_path, "ca")
    outer = authority.server_context() if secured else None
    with asyncio.Runner(loop_factory=loop) as runner:
        asked, answers = runner.run(through(authority, b"HTTP/1.1 200 Connected\r\n\r\n", outer))
    assert answers == [b"ok", b"ok"]
    (request,) = asked
    assert request.startswith(b"CONNECT 127.0.0.1:")
    assert base64.b64encode(b"user:secret") in request


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (b"HTTP/1.1 407 Who\r\ncontent-length: 6\r\n\r\nsecret", "wants other credentials"),
        (b"HTTP/1.1 503 Full\r\n\r\n", r"status 503"),
        (b"HTTP/1.1 302 There\r\nlocation: http://thief/\r\n\r\n", r"status 302"),
        (b"HTTP/1.1 200 Connected\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "bytes of its own"),
        (b"SSH-2.0-thief\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 Connected\r\n" + b"X: a\r\n" * 9000, "not valid HTTP"),
    ],
)
@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_proxy_that_opens_no_tunnel(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], says: bytes, told: str
) -> None:
    authority = Authority(tmp_path, "ca")
    with asyncio.Runner(loop_factory=loop) as runner, pytest.raises(Unavailable, match=told) as refused:
        runner.run(through(authority, says))
    assert "secret" not in str(refused.value)


async def refusal(pool: Pool, origin: Origin) -> Unavailable:
    with pytest.raises(Unavailable) as refused:
        await pool.connect(origin, 10.0)
    await pool.aclose()
    return refused.value


@pytest.mark.parametrize("tls", [None, client_context()], ids=["http", "https"])
def test_a_proxy_out_of_reach_is_not_taken_for_the_provider(tls: ssl.SSLContext | None) -> None:
    async def main() -> None:
        held = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = held.sockets[0].getsockname()[1]
        held.close()
        await held.wait_closed()
        proxy = Proxy("127.0.0.1", port, None, b"user:secret")
        error = await refusal(Pool(SystemClock()), Origin("provider", 443, tls, proxy=proxy))
        assert "the proxy cannot be reached (Connect" in error.message
        assert "HTTPS_PROXY" in error.do
        unknown = Proxy("proxy.invalid", port)
        pool = Pool(SystemClock())
        error = await refusal(pool, Origin("provider", 443, tls, proxy=unknown))
        assert "the proxy cannot be reached (" in error.message

    asyncio.run(main())


def test_whose_certificate_is_not_known_is_told_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path, "ca"), Authority(tmp_path / "other", "other")
    trusting = client_context(str(authority.file))

    async def main() -> None:
        async with ScriptedUpstream(OK, tls=other.server_context()) as server:
            proxy = Proxy("127.0.0.1", server.port, trusting, b"user:secret")
            error = await refusal(Pool(SystemClock()), Origin("provider", 443, trusting, proxy=proxy))
            assert "the proxy's certificate is not valid: " in error.message
            assert "HTTPS_PROXY" in error.do
            error = await refusal(Pool(SystemClock()), Origin("127.0.0.1", server.port, trusting))
            assert ": its certificate is not valid: " in error.message
            assert "ca_file" in error.do

    asyncio.run(main())


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_provider_that_closes_in_the_handshake(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    class Closes(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.abort()  # type: ignore[attr-defined]

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Closes, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        error = await refusal(Pool(SystemClock()), Origin("127.0.0.1", port, client_context()))
        assert "Error" not in error.message
        server.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_proxy_of_ones_own_authority_is_trusted_by_ca_file(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    authority = Authority(tmp_path, "ca")

    async def main() -> None:
        asked: list[bytes] = []
        running = asyncio.get_running_loop()
        async with ScriptedUpstream(OK, tls=authority.server_context()) as server:
            listening = await running.create_server(
                lambda: Tunnels(server.port, b"HTTP/1.1 200 Connected\r\n\r\n", asked),
                "127.0.0.1",
                0,
                ssl=authority.server_context(),
            )
            url = f"https://user:secret@127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            provider = Provider(
                name="own", kind="openai", base_url=f"https://10.66.0.1:{server.port}/v1", api_key=Secret("key"),
                ca_file=str(authority.file), proxy=Secret(url),
            )  # fmt: skip
            origin = endpoint_of(provider, load_catalogue()["openai"]).origin
            pool = Pool(SystemClock())
            assert origin.proxy is not None
            with pytest.raises(Unavailable, match="its certificate is not valid: IP address mismatch"):
                await pool.connect(origin, 10.0)  # so far as the provider itself, whose certificate is for 127.0.0.1
            assert len(asked) == 1
            # The usual roots hold for it as well; the provider has its own alone.
            assert len(origin.proxy.tls.get_ca_certs()) > 10  # type: ignore[union-attr]
            assert len(origin.tls.get_ca_certs()) == 1  # type: ignore[union-attr]
            await pool.aclose()
            listening.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
