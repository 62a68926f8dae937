"""Raw bytes that an attacker sends to a server, each with the one way in which it may end.

The rule is 400 (or 413, 417, 431) and the connection closed. What is read although a stricter reader would not, says
why it cannot be used to hide a request: every reader that takes it too sees the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CANARY", "VECTORS", "Vector"]

CANARY = b"GET /canary HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""Sent behind each vector: what hides a request hides this one, and what ends too early answers it."""

HEAD = b"POST /x HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /x HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n\r\n"
END = b"0\r\n\r\n"
ABC = b"3\r\nabc\r\n"


@dataclass(frozen=True)
class Vector:
    """One attack.

    Attributes:
        data: what is sent; the canary follows.
        status: the refusal, 0 where it is served.
        body: of the one request it is served as, `POST /x` or `GET /x`.
        closes: no request may follow on the connection.
        waits: neither: the head announced more than has come, and the canary is part of it.
        why: why a served one is no danger.
    """

    name: str
    data: bytes
    status: int = 400
    body: bytes = b""
    closes: bool = False
    waits: bool = False
    why: str = ""


VECTORS: dict[str, Vector] = {}


def _add(vector: Vector) -> None:
    assert vector.name not in VECTORS, vector.name
    VECTORS[vector.name] = vector


def refused(name: str, data: bytes, status: int = 400) -> None:
    _add(Vector(name, data, status))


def served(name: str, data: bytes, why: str, body: bytes = b"", *, closes: bool = False) -> None:
    _add(Vector(name, data, 0, body, closes, why=why))


def waits(name: str, data: bytes, why: str) -> None:
    _add(Vector(name, data, 0, waits=True, why=why))


def _lengths() -> None:
    written = {
        "empty": b"",
        "blank": b"  ",
        "plus": b"+3",
        "minus": b"-3",
        "minus zero": b"-0",
        "hex": b"0x3",
        "hex digits": b"a",
        "octal": b"0o3",
        "exponent": b"3e0",
        "point": b"3.0",
        "underscore": b"1_0",
        "quoted": b'"3"',
        "list": b"3, 3",
        "list without space": b"3,3",
        "list of two": b"3, 4",
        "comma behind": b"3,",
        "comma before": b",3",
        "semicolon": b"3;a=b",
        "two words": b"3 3",
        "tab within": b"3\t3",
        "NUL behind": b"3\x00",
        "NUL before": b"\x003",
        "vertical tab": b"\x0b3",
        "form feed": b"3\x0c",
        "no-break space": b"\xa03",
        "fullwidth digit": "３".encode(),
        "letters": b"three",
        "chunked": b"chunked",
        "two to the 64th": b"18446744073709551616",
        "two to the 64th and 3": b"18446744073709551619",
        "thirty digits": b"9" * 30,
        "bare CR behind": b"3\r",
        "bare LF behind": b"3\nX: y",
        "bare CR within": b"3\rX: y",
    }
    for name, value in written.items():
        refused(f"length {name}", HEAD + b"Content-Length: " + value + b"\r\n\r\nabc")
    refused("length above the cap", HEAD + b"Content-Length: 99999999999\r\n\r\n", 413)
    refused("length a little below two to the 64th", HEAD + b"Content-Length: 18446744073709551615\r\n\r\n", 413)
    twice = {
        "equal": b"Content-Length: 3\r\nContent-Length: 3\r\n",
        "different": b"Content-Length: 3\r\nContent-Length: 4\r\n",
        "zero first": b"Content-Length: 0\r\nContent-Length: 3\r\n",
        "other case": b"Content-Length: 3\r\nCONTENT-LENGTH: 3\r\n",
        "folded": b"Content-Length:\r\n 3\r\n",
        "space before the colon": b"Content-Length : 3\r\n",
        "tab before the colon": b"Content-Length\t: 3\r\n",
        "underscore twin": b"Content_Length: 3\r\n",
        "underscore twin beside it": b"Content-Length: 3\r\nContent_Length: 0\r\n",
        "NUL in the name": b"Content-Length\x00: 3\r\n",
        "space before the name": b"X: y\r\n Content-Length: 3\r\n",
    }
    for name, lines in twice.items():
        refused(f"length twice, {name}" if lines.count(b"ength") > 1 else f"length {name}", HEAD + lines + b"\r\nabc")
    digits = "RFC 9110, section 8.6: 1*DIGIT, so zeros in front are digits like any"
    served("length with zeros in front", HEAD + b"Content-Length: 003\r\n\r\nabc", digits, b"abc")
    around = "optional white space around a value is no part of it (RFC 9112, section 5.1)"
    served("length with spaces around", HEAD + b"Content-Length:   3 \r\n\r\nabc", around, b"abc")
    served("length with tabs around", HEAD + b"Content-Length:\t3\t\r\n\r\nabc", around, b"abc")
    served("length without a space", HEAD + b"Content-Length:3\r\n\r\nabc", around, b"abc")
    framed = "content in a GET has no meaning but is framed as any (RFC 9110, section 9.3.1)"
    served("length in a GET", GET + b"Content-Length: 3\r\n" + HOST + b"abc", framed, b"abc")
    served("length zero in a GET", GET + b"Content-Length: 0\r\n" + HOST, framed)
    none = "no length and no coding is no body (RFC 9112, section 6.3)"
    served("no length in a POST", HEAD + b"\r\n", none)
    waits("length above what came", HEAD + b"Content-Length: 1000\r\n\r\nabc", "the rest is awaited")


def _codings() -> None:
    written = {
        "empty": b"",
        "identity": b"identity",
        "gzip": b"gzip",
        "gzip then chunked": b"gzip, chunked",
        "chunked then gzip": b"chunked, gzip",
        "chunked then identity": b"chunked, identity",
        "identity then chunked": b"identity, chunked",
        "chunked twice": b"chunked, chunked",
        "x-chunked": b"x-chunked",
        "xchunked": b"xchunked",
        "chunkedx": b"chunkedx",
        "chunked with a parameter": b"chunked;q=1",
        "comma behind": b"chunked,",
        "comma before": b",chunked",
        "quoted": b'"chunked"',
        "single quotes": b"'chunked'",
        "space behind": b"chunked ",
        "tab behind": b"chunked\t",
        "vertical tab before": b"\x0bchunked",
        "form feed behind": b"chunked\x0c",
        "NUL before": b"\x00chunked",
        "NUL behind": b"chunked\x00",
        "no-break space": b"\xa0chunked",
        "two words": b"chunked chunked",
        "hyphen": b"chun-ked",
        "long s": "chunked".replace("k", "\u212a").encode(),
        "bare CR behind": b"chunked\r",
        "bare LF before": b"\nchunked",
        "bare CR before": b"\rchunked",
        "folded": b"\r\n chunked",
        "slash": b"chunked/1.0",
        "cow": b"cow",
    }
    for name, value in written.items():
        refused(f"coding {name}", HEAD + b"Transfer-Encoding: " + value + b"\r\n\r\n" + ABC + END)
    lines = {
        "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "twice, identity first": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "twice, identity last": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "twice, other case": b"Transfer-Encoding: chunked\r\ntransfer-encoding: x\r\n",
        "space before the colon": b"Transfer-Encoding : chunked\r\n",
        "space before the name": b"X: y\r\n Transfer-Encoding: chunked\r\n",
        "tab before the colon": b"Transfer-Encoding\t: chunked\r\n",
        "underscore twin": b"Transfer_Encoding: chunked\r\n",
        "NUL in the name": b"Transfer-\x00Encoding: chunked\r\n",
        "high byte in the name": b"Transfer-Encoding\xa0: chunked\r\n",
        "after a bare LF": b"X: y\nTransfer-Encoding: chunked\r\n",
        "after a bare CR": b"X: y\rTransfer-Encoding: chunked\r\n",
        "after CR CR LF": b"X: y\r\r\nTransfer-Encoding: chunked\r\n",
        "before the length": b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "after the length": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "with a length of zero": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "identity with a length": b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n",
        "x with a length": b"Transfer-Encoding: x\r\nContent-Length: 3\r\n",
        "with the length's twin": b"Transfer-Encoding: chunked\r\nContent_Length: 3\r\n",
    }
    for name, text in lines.items():
        refused(f"coding {name}", HEAD + text + b"\r\n" + ABC + END)
    old = b"POST /x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    refused("coding in 1.0", old + b"\r\n" + ABC + END)
    refused("coding in 1.0 that stays open", old + b"Connection: keep-alive\r\n\r\n" + ABC + END)
    case = "names of codings have no case (RFC 9112, section 7)"
    served("coding in capitals", HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n" + ABC + END, case, b"abc")
    before = "white space in front of a value is no part of it"
    served("coding after spaces", HEAD + b"Transfer-Encoding:   chunked\r\n\r\n" + ABC + END, before, b"abc")
    served("coding after a tab", HEAD + b"Transfer-Encoding:\tchunked\r\n\r\n" + ABC + END, before, b"abc")
    served("coding without a space", HEAD + b"Transfer-Encoding:chunked\r\n\r\n" + ABC + END, before, b"abc")
    get = GET + b"Transfer-Encoding: chunked\r\n" + HOST + ABC + END
    served("coding in a GET", get, "a body is framed alike for every method", b"abc")
    other = HEAD + b"TE: gzip, chunked\r\nContent-Length: 3\r\n\r\nabc"
    served("TE is another header", other, "it names what the answer may use, and frames nothing", b"abc")


def _chunks() -> None:
    bodies = {
        "bare LF after the size": b"3\nabc\r\n" + END,
        "bare CR after the size": b"3\rabc\r\n" + END,
        "bare LF after the data": b"3\r\nabc\n" + END,
        "bare CR after the data": b"3\r\nabc\r" + END,
        "nothing after the data": b"3\r\nabc" + END,
        "CR CR LF after the size": b"3\r\r\nabc\r\n" + END,
        "LF CR after the data": b"3\r\nabc\n\r" + END,
        "space after the size": b"3 \r\nabc\r\n" + END,
        "tab after the size": b"3\t\r\nabc\r\n" + END,
        "space before the size": b" 3\r\nabc\r\n" + END,
        "plus": b"+3\r\nabc\r\n" + END,
        "minus": b"-3\r\nabc\r\n" + END,
        "minus zero": ABC + b"-0\r\n\r\n",
        "0x": b"0x3\r\nabc\r\n" + END,
        "0x zero": ABC + b"0x0\r\n\r\n",
        "h behind": b"3h\r\nabc\r\n" + END,
        "underscore": b"0_3\r\nabc\r\n" + END,
        "no size": b"\r\nabc\r\n" + END,
        "letter above f": b"g\r\nabc\r\n" + END,
        "NUL before the size": b"\x003\r\nabc\r\n" + END,
        "NUL after the size": b"3\x00\r\nabc\r\n" + END,
        "quoted": b'"3"\r\nabc\r\n' + END,
        "comma": b"3,3\r\nabc\r\n" + END,
        "two to the 64th and 3": b"10000000000000003\r\nabc\r\n" + END,
        "thirty digits": b"0" + b"f" * 30 + b"\r\nabc\r\n" + END,
        "too much data": b"3\r\nabcd\r\n" + END,
        "too little data": b"3\r\nab\r\n" + END,
        "fullwidth digit": "３".encode() + b"\r\nabc\r\n" + END,
        "end by bare LF": ABC + b"0\n\n",
        "end by CRLF and bare LF": ABC + b"0\r\n\n",
        "end with a space": ABC + b"0 \r\n\r\n",
        "end without a blank line": ABC + b"0\r\n",
        "end is no size": ABC + b"\r\n\r\n",
    }
    for name, body in bodies.items():
        refused(f"chunk {name}", CHUNKED + body)


def _extensions() -> None:
    extensions = {
        "empty": b";",
        "three": b";;;",
        "after a space": b" ;a=b",
        "before a space": b"; a=b",
        "spaces around =": b";a = b",
        "ended by bare LF": b";a=b\nX",
        "bare LF, then a size": b";\n3",
        "bare CR within": b";a=b\rc",
        "NUL": b";a=\x00",
        "high byte": b";a=\xff",
        "open quotes": b';a="b',
        "CRLF in quotes": b';a="\r\n"',
        "bare LF in quotes": b';a="\n"',
        "bare CR in quotes": b';a="\r"',
        "NUL in quotes": b';a="\x00"',
        "text behind quotes": b';a="b"c',
    }
    for name, text in extensions.items():
        refused(f"extension {name}", CHUNKED + b"3" + text + b"\r\nabc\r\n" + END)
    refused("extension without an end", CHUNKED + b"3;a=" + b"b" * 700_000, 431)
    refused("extension on the last chunk without an end", CHUNKED + ABC + b"0;a=" + b"b" * 700_000, 431)
    ignored = (
        "extensions are to be ignored (RFC 9112, section 7.1.1), and this one ends where every reader sees its end"
    )
    for name, text in {
        "name": b";a",
        "value": b";a=b",
        "quoted": b';a="b c"',
        "escaped quotes": b';a="\\"0"',
        "two": b";a=b;c",
        "no name": b";=b",
    }.items():
        served(f"extension {name}", CHUNKED + b"3" + text + b"\r\nabc\r\n" + END, ignored, b"abc")
    served("extension on the last chunk", CHUNKED + ABC + b"0;a=b\r\n\r\n", ignored, b"abc")
    zeros = "1*HEXDIG (RFC 9112, section 7.1): zeros in front are digits like any"
    served("chunk with zeros in front", CHUNKED + b"0003\r\nabc\r\n000\r\n\r\n", zeros, b"abc")
    served(
        "chunk in hexadecimal of both cases",
        CHUNKED + b"a\r\n0123456789\r\nB\r\n0123456789a\r\n" + END,
        "HEXDIG has no case",
        b"01234567890123456789a",
    )
    waits(
        "chunk a little below two to the 64th", CHUNKED + b"ffffffffffffffff\r\nabc", "413 once more than the cap came"
    )
    waits("chunk larger than what came", CHUNKED + b"1000\r\nabc", "the rest is awaited")


def _trailers() -> None:
    texts = {
        "length": b"Content-Length: 3\r\n",
        "coding": b"Transfer-Encoding: chunked\r\n",
        "space before the colon": b"A : b\r\n",
        "folded": b"A: b\r\n c\r\n",
        "bare LF": b"A: b\n",
        "bare CR": b"A: b\rc\r\n",
        "NUL": b"A: \x00\r\n",
        "no colon": b"A\r\n",
        "a request line": b"GET /canary HTTP/1.1\r\n",
        "space in front": b" A: b\r\n",
        "empty name": b": b\r\n",
        "connection": b"Connection: close\r\n",
        "upgrade": b"Upgrade: h2c\r\n",
        "proxy's connection": b"Proxy-Connection: close\r\n",
    }
    for name, text in texts.items():
        refused(f"trailer {name}", CHUNKED + ABC + b"0\r\n" + text + b"\r\n")
    refused("trailers without an end", CHUNKED + ABC + b"0\r\n" + b"A: b\r\n" * 120_000, 431)
    refused("trailer without an end", CHUNKED + ABC + b"0\r\nA: " + b"b" * 700_000, 431)
    dropped = "trailers are dropped, and override no header (RFC 9110, section 6.5.1)"
    for name, text in {
        "host": b"Host: evil.example\r\n",
        "credential": b"Authorization: Bearer x\r\n",
        "user": b"X-Penstock-User: root\r\n",
        "type": b"Content-Type: text/plain\r\n",
        "twin": b"Content_Length: 3\r\n",
        "obs-text": b"A: \xe9\r\n",
    }.items():
        served(f"trailer {name}", CHUNKED + ABC + b"0\r\n" + text + b"\r\n", dropped, b"abc")


FIELDS = {
    "folded": b"A: b\r\n c\r\n",
    "folded by a tab": b"A: b\r\n\tc\r\n",
    "folded at once": b"A:\r\n b\r\n",
    "first line folded": b" A: b\r\n",
    "bare LF": b"A: b\nC: d\r\n",
    "bare CR": b"A: b\rC: d\r\n",
    "CR CR LF": b"A: b\r\r\n",
    "LF CR": b"A: b\n\r",
    "NUL in a value": b"A: \x00\r\n",
    "NUL in a name": b"A\x00: b\r\n",
    "control in a value": b"A: \x01\r\n",
    "delete in a value": b"A: \x7f\r\n",
    "escape in a value": b"A: \x1b[0m\r\n",
    "vertical tab in a value": b"A: \x0b\r\n",
    "obs-text": b"A: caf\xe9\r\n",
    "UTF-8": "A: café\r\n".encode(),
    "high byte in a name": b"\xe9: b\r\n",
    "space before the colon": b"A : b\r\n",
    "tab before the colon": b"A\t: b\r\n",
    "space in a name": b"A B: c\r\n",
    "empty name": b": b\r\n",
    "no colon": b"A\r\n",
    "no colon, a value": b"A b\r\n",
    "name with brackets": b"A(b): c\r\n",
    "name with an at": b"A@b: c\r\n",
    "name with a slash": b"A/b: c\r\n",
    "name with quotes": b'"A": b\r\n',
    "name with a comma": b"A,B: c\r\n",
    "name with a semicolon": b"A;B: c\r\n",
    "name with =": b"A=b: c\r\n",
    "name with [": b"A[0]: c\r\n",
    "name with {": b"{A}: c\r\n",
    "name with a backslash": b"A\\: c\r\n",
    "key's twin": b"X_Api_Key: k\r\n",
    "other key's twin": b"api_key: k\r\n",
    "type's twin": b"Content_Type: application/json\r\n",
    "user's twin": b"X_Penstock_User: root\r\n",
    "half a twin": b"X-Penstock_User: root\r\n",
    "site's twin": b"Sec_Fetch_Site: none\r\n",
    "forwarded twin": b"X_Forwarded_For: 10.0.0.1\r\n",
    "two credentials": b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "two keys": b"X-Api-Key: a\r\nX-Api-Key: b\r\n",
    "two types": b"Content-Type: text/plain\r\nContent-Type: application/json\r\n",
    "two origins": b"Origin: http://a\r\nOrigin: http://b\r\n",
    "end by CR": b"A: b\r\n\rC: d\r\n",
}


def _fields() -> None:
    for name, text in FIELDS.items():
        refused(f"field {name}", HEAD + text + b"\r\n")
    refused("field end by bare LF", b"POST /x HTTP/1.1\r\nHost: localhost\r\n\n")
    refused("fields by bare LF", b"GET /x HTTP/1.1\nHost: localhost\n\n")
    refused("fields by bare CR", b"GET /x HTTP/1.1\rHost: localhost\r\r")
    refused("field unknown expectation", HEAD + b"Expect: 200-ok\r\n\r\n", 417)
    refused("fields, a hundred and one", HEAD + b"".join(b"A%d: b\r\n" % at for at in range(100)) + b"\r\n", 431)
    refused("fields, the same a hundred times", HEAD + b"A: b\r\n" * 100 + b"\r\n", 431)
    refused("field without an end", HEAD + b"A: " + b"b" * 70_000, 431)
    refused("name without an end", HEAD + b"A" * 70_000, 431)
    served("field empty value", HEAD + b"A:\r\n\r\n", "a value may be empty (RFC 9110, section 5.5)")
    served("field tabs within", HEAD + b"A: b\tc\r\n\r\n", "a tab within a value is a space (RFC 9110, section 5.5)")
    served("field with an underscore", HEAD + b"my_header: b\r\n\r\n", "a token, and the twin of nothing that decides")
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    offer = "an offer that may be ignored (RFC 9110, section 7.8): what follows is HTTP/1.1 for everybody"
    served("field upgrade to h2c", GET + upgrade + HOST, offer)
    with_body = "an offer that may be ignored, with a body as any other: Java's own client sends that"
    served("field upgrade with a body", HEAD + upgrade + b"Content-Length: 3\r\n\r\nabc", with_body, b"abc")
    served("field upgrade with no body", HEAD + upgrade + b"Content-Length: 0\r\n\r\n", with_body)
    length = b"Content-Length: %d\r\n\r\n" % len(CANARY)
    served("field upgrade with a request for a body", HEAD + upgrade + length + CANARY, with_body, CANARY)
    chunked = HEAD + upgrade + b"Transfer-Encoding: chunked\r\n\r\n"
    served("field upgrade with chunks", chunked + ABC + END, with_body, b"abc")
    served("field upgrade with a trailer", chunked + ABC + b"0\r\nA: b\r\n\r\n", with_body, b"abc")
    refused("field upgrade with chunks and no size", chunked + CANARY)
    both = b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    refused("field upgrade with two framings", HEAD + upgrade + both + ABC + END)
    waits("field upgrade with more to come", HEAD + upgrade + b"Content-Length: 4000\r\n\r\nabc", with_body)
    last_word = "`close` counts more than a keep-alive beside it (RFC 9112, section 9.3)"
    for name, told in {"first": b"close, keep-alive", "last": b"keep-alive, Close"}.items():
        served(f"field close {name}", GET + b"Connection: %b\r\n" % told + HOST, last_word, closes=True)
        older = b"GET /x HTTP/1.0\r\nConnection: %b\r\n"
        served(f"field close {name}, in 1.0", older % told + HOST, last_word, closes=True)
        twice = told.replace(b", ", b"\r\nConnection: ")
        served(f"field close {name}, twice, in 1.0", older % twice + HOST, last_word, closes=True)
    served("field close", GET + b"Connection: close\r\n" + HOST, "what follows is not read", closes=True)


def _hosts() -> None:
    hosts = {
        "empty": b"",
        "userinfo": b"a@localhost",
        "password": b"a:b@localhost",
        "path": b"localhost/x",
        "query": b"localhost?x",
        "fragment": b"localhost#x",
        "comma": b"localhost, evil.example",
        "comma without space": b"localhost,evil.example",
        "two words": b"localhost evil",
        "tab": b"localhost\tevil",
        "backslash": b"localhost\\x",
        "port letters": b"localhost:http",
        "port empty": b"localhost:",
        "port negative": b"localhost:-1",
        "port six digits": b"localhost:123456",
        "two ports": b"localhost:80:80",
        "port and text": b"localhost:80x",
        "only a port": b":80",
        "open bracket": b"[::1",
        "closed bracket": b"::1]",
        "bare IPv6": b"::1",
        "zone": b"[fe80::1%25eth0]",
        "brackets and text": b"[::1]x",
        "bracketed name": b"[localhost]",
        "percent": b"local%68ost",
        "quotes": b'"localhost"',
        "angle brackets": b"<localhost>",
        "scheme": b"http://localhost",
        "NUL": b"localhost\x00",
        "obs-text": b"caf\xe9",
        "semicolon": b"localhost;x",
        "asterisk": b"*",
        "300 characters": b"a" * 300,
    }
    for name, value in hosts.items():
        refused(f"host {name}", GET + b"Host: " + value + b"\r\n\r\n")
    lines = {
        "missing": b"",
        "twice": b"Host: localhost\r\nHost: localhost\r\n",
        "twice, different": b"Host: localhost\r\nHost: evil.example\r\n",
        "twice, other case": b"Host: localhost\r\nHOST: evil.example\r\n",
        "space before the colon": b"Host : localhost\r\n",
        "folded": b"Host:\r\n localhost\r\n",
        "first line folded": b" Host: localhost\r\n",
    }
    for name, text in lines.items():
        refused(f"host {name}", GET + text + b"\r\n")
    refused("host twice in 1.0", b"GET /x HTTP/1.0\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    refused("host bad in 1.0", b"GET /x HTTP/1.0\r\nHost: a@b\r\n\r\n")
    plain = "a valid Host (RFC 9110, section 7.2); which ones are answered is for the allow-list"
    for name, value in {"with a port": b"localhost:8484", "in capitals": b"LOCALHOST", "IPv6": b"[::1]:80"}.items():
        served(f"host {name}", GET + b"Host: " + value + b"\r\n\r\n", plain)
    served("host in 1.0 missing", b"GET /x HTTP/1.0\r\n\r\n", "1.0 has no Host; the guards refuse it", closes=True)


LINES = {
    "two spaces after the method": b"GET  /x HTTP/1.1",
    "two spaces after the target": b"GET /x  HTTP/1.1",
    "tab after the method": b"GET\t/x HTTP/1.1",
    "tab after the target": b"GET /x\tHTTP/1.1",
    "space in front": b" GET /x HTTP/1.1",
    "tab in front": b"\tGET /x HTTP/1.1",
    "space behind": b"GET /x HTTP/1.1 ",
    "tab behind": b"GET /x HTTP/1.1\t",
    "text behind": b"GET /x HTTP/1.1 x",
    "space in the target": b"GET /x y HTTP/1.1",
    "two versions": b"GET /x HTTP/1.1 HTTP/1.1",
    "bare CR in the target": b"GET /x\ry HTTP/1.1",
    "bare LF in the target": b"GET /x\ny HTTP/1.1",
    "NUL in the target": b"GET /x\x00 HTTP/1.1",
    "tab in the target": b"GET /x\ty HTTP/1.1",
    "form feed in the target": b"GET /x\x0cy HTTP/1.1",
    "high byte in the target": b"GET /x\xe9 HTTP/1.1",
    "delete in the target": b"GET /x\x7f HTTP/1.1",
    "fragment": b"GET /x#y HTTP/1.1",
    "fragment in the query": b"GET /x?y#z HTTP/1.1",
    "backslash": b"GET /x\\y HTTP/1.1",
    "backslash in front": b"GET \\x HTTP/1.1",
    "braces": b"GET /{x} HTTP/1.1",
    "pipe": b"GET /x|y HTTP/1.1",
    "quotes": b'GET /"x" HTTP/1.1',
    "angle brackets": b"GET /<x> HTTP/1.1",
    "bare CR behind": b"GET /x HTTP/1.1\rX: y",
    "no target": b"GET HTTP/1.1",
    "no target but spaces": b"GET  HTTP/1.1",
    "only a method": b"GET",
    "lower-case method": b"get /x HTTP/1.1",
    "method of no name": b"FOO /x HTTP/1.1",
    "method with a NUL": b"G\x00ET /x HTTP/1.1",
    "method with a space": b"G ET /x HTTP/1.1",
    "method in quotes": b'"GET" /x HTTP/1.1',
    "no method": b"/x HTTP/1.1",
    "relative target": b"GET x HTTP/1.1",
    "query as the target": b"GET ?x HTTP/1.1",
    "asterisk": b"GET * HTTP/1.1",
    "asterisk and a path": b"OPTIONS */x HTTP/1.1",
    "authority": b"GET localhost:80 HTTP/1.1",
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1",
    "CONNECT with a path": b"CONNECT /x HTTP/1.1",
    "absolute elsewhere": b"GET http://evil.example/x HTTP/1.1",
    "absolute with userinfo": b"GET http://a@localhost/x HTTP/1.1",
    "absolute with another port": b"GET http://localhost:99/x HTTP/1.1",
    "absolute without a host": b"GET http:///x HTTP/1.1",
    "absolute of another scheme": b"GET ftp://localhost/x HTTP/1.1",
    "absolute with one slash": b"GET http:/localhost/x HTTP/1.1",
    "absolute with a query for a path": b"GET http://localhost?x HTTP/1.1",
    "absolute with a backslash": b"GET http://localhost\\x HTTP/1.1",
    "absolute with a fragment": b"GET http://localhost#/x HTTP/1.1",
    "0.9": b"GET /x",
    "0.9 said": b"GET /x HTTP/0.9",
    "1.2": b"GET /x HTTP/1.2",
    "1.01": b"GET /x HTTP/1.01",
    "01.1": b"GET /x HTTP/01.1",
    "1": b"GET /x HTTP/1",
    "11": b"GET /x HTTP/11",
    "1.": b"GET /x HTTP/1.",
    "1,1": b"GET /x HTTP/1,1",
    "2.0": b"GET /x HTTP/2.0",
    "3.0": b"GET /x HTTP/3.0",
    "9.9": b"GET /x HTTP/9.9",
    "-1.1": b"GET /x HTTP/-1.1",
    "lower-case http": b"GET /x http/1.1",
    "Http": b"GET /x Http/1.1",
    "HTTPS": b"GET /x HTTPS/1.1",
    "space in the version": b"GET /x HTTP/ 1.1",
    "RTSP": b"GET /x RTSP/1.0",
    "ICE": b"SOURCE /x ICE/1.0",
    "no slash": b"GET /x HTTP1.1",
}


def _lines() -> None:
    for name, line in LINES.items():
        refused(f"line {name}", line + b"\r\n" + HOST)
    good = b"POST /x HTTP/1.1\r\n"
    for name, line in {"two spaces": b"POST /x  HTTP/1.1\r\n", "a tab": b"POST\t/x HTTP/1.1\r\n"}.items():
        body = b"Host: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(good), good)
        refused(f"line {name}, and a good one in the body", line + body)
    refused("line two spaces, and a good one in a field", b"GET /x  HTTP/1.1\r\nA: GET /x HTTP/1.1\r\n" + HOST)
    refused("line HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    refused("line target without an end", b"GET /" + b"x" * 70_000, 414)
    refused("line nothing but line ends", b"\r\n" * 40_000, 431)
    refused("line TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200)
    refused("line an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    empty = "empty lines before a request are to be ignored (RFC 9112, section 2.2); no byte of them can begin one"
    for name, text in {"CRLF": b"\r\n", "three": b"\r\n\r\n\r\n", "bare LF": b"\n", "bare CR": b"\r"}.items():
        served(f"line after {name}", text + GET + HOST, empty)
    absolute = "the absolute form of the host that is asked anyway (RFC 9112, section 3.2.2)"
    served("line absolute", b"GET http://localhost/x HTTP/1.1\r\n" + HOST, absolute)
    served("line absolute in capitals", b"GET HTTP://LOCALHOST/x HTTP/1.1\r\n" + HOST, absolute)
    served(
        "line 1.0",
        b"POST /x HTTP/1.0\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
        "closes after it",
        b"abc",
        closes=True,
    )


def _pipelines() -> None:
    swallowed = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(CANARY) + CANARY
    served("pipeline a request in a body", swallowed, "a body is a body", CANARY)
    hidden = CHUNKED + b"%x\r\n" % len(CANARY) + CANARY + b"\r\n" + END
    served("pipeline a request in a chunk", hidden, "a chunk is a chunk", CANARY)
    refused("pipeline after an error", b"GET /x HTTP/1.1\r\n\r\n" + CANARY * 3)
    refused("pipeline after a bad chunk", CHUNKED + b"zz\r\n" + CANARY * 3)
    refused("pipeline CL.TE", HEAD + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n" + END + b"G")
    refused(
        "pipeline TE.CL",
        HEAD + b"Content-length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5c\r\n" + CANARY + b"\r\n" + END,
    )
    refused(
        "pipeline TE.TE", HEAD + b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n5c\r\n" + CANARY + END
    )
    refused(
        "pipeline TE.0", b"OPTIONS /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked \r\n\r\n" + CANARY + END
    )
    refused("pipeline 0.CL by a fold", GET + b"Content-Length:\r\n %d\r\n" % len(CANARY) + HOST + CANARY)


for _table in (_lengths, _codings, _chunks, _extensions, _trailers, _fields, _hosts, _lines, _pipelines):
    _table()
