"""URLs that others name lead to the public network alone (reference: attacks 16 and 17)."""

from __future__ import annotations

import pytest

from penstock.errors import Unavailable
from penstock.testing import ScriptedUpstream, SimLoop, run
from penstock.transport.http import Origin, Pool
from penstock.transport.public import is_public, url_problem

INNER = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "198.18.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "2001:0:7f00:1::1",
    "2001:db8::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "100::1",
]
OUTER = [
    "8.8.8.8",
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]

REFUSED = [
    "http://example.com/hook",
    "ftp://example.com",
    "file:///etc/passwd",
    "gopher://example.com",
    "//example.com",
    "example.com",
    "",
    "https://",
    "https:///x",
    "https://user@hooks.dev",
    "https://user:pw@hooks.dev",
    "https://hooks.dev@127.0.0.1",
    "https://hooks.dev:22/",
    "https://hooks.dev:0/",
    "https://hooks.dev:/",
    "https://hooks.dev:99999/",
    "https://hooks.dev:x/",
    "https://hooks.dev/#@127.0.0.1",
    "https://hooks.dev\\@127.0.0.1/",
    "https://hooks.dev\r\nx: y/",
    "https://hooks.dev/a b",
    "https://hooks\u3002dev/",
    "https://\u24d7ooks.dev/",
    "https://hooks.dev./",
    "https://-hooks.dev/",
    "https://hooks..dev/",
    "https://ho_oks.dev/",
    f"https://{'a' * 64}.dev/",
    f"https://hooks.dev/{'a' * 2048}",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://a.localhost/",
    "https://metadata.google.internal/",
    "https://printer.local/",
    "https://intranet/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://1.2.3.0x4/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://[::1",
    *(f"https://{address}/" for address in INNER if ":" not in address),
]


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTER)
def test_an_outer_address(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "hooks.dev", "0x7f.1", "127.1", "1.2.3", "08.8.8.8"])
def test_what_is_no_address(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_is_refused(url: str) -> None:
    assert url_problem(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.dev",
        "https://hooks.dev/a/b?c=d",
        "https://hooks.dev:8443/",
        "https://xn--bcher-kva.de/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://hooks.dev/a@b",
    ],
)
def test_a_url_that_may_be_called(url: str) -> None:
    assert url_problem(url) == ""


def test_a_name_that_leads_inside_is_not_connected_to() -> None:
    async def main(loop: SimLoop) -> None:
        pool = Pool(loop.clock, admits=is_public)
        loop.network.names["both.dev"] = ["8.8.8.8", "127.0.0.1"]
        loop.network.names["inner.dev"] = ["127.0.0.1"]
        for name in ("both.dev", "inner.dev", "127.0.0.1", "::1"):
            with pytest.raises(Unavailable, match="not one of the public network"):
                await pool.connect(Origin(name, 443), 5.0)
        assert pool.opened == 0
        await pool.aclose()

    run(main, leak_free=True)


def test_a_name_that_is_answered_otherwise_each_time() -> None:
    """DNS rebinding: a thousand tries, and what was judged is what is connected to."""

    async def main(loop: SimLoop) -> None:
        inner = ScriptedUpstream(b"")
        outer = ScriptedUpstream(b"")
        await loop.create_server(inner.connection, "127.0.0.1", 443)
        await loop.create_server(outer.connection, "8.8.8.8", 443)
        pool, origin, refused = Pool(loop.clock, admits=is_public), Origin("rebound.dev", 443), 0
        for turn in range(1000):
            loop.network.names["rebound.dev"] = [("8.8.8.8", "127.0.0.1")[turn % 2]]
            try:
                (await pool.connect(origin, 5.0)).discard()
            except Unavailable:
                refused += 1
            await loop.clock.sleep(31.0)
        assert (pool.opened, refused) == (500, 500)
        assert (len(outer.received), len(inner.received)) == (500, 0)
        await pool.aclose()

    run(main)
