"""Hostile inputs by the thousand, out of a seed: what an attacker sends down one connection, and may get for it.

Each is one request (or what is left of one) unless it says otherwise: more answers than that is a smuggled request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from tests.security.bombs import BOMBS, bomb
from tests.security.smuggling import CANARY, VECTORS

__all__ = ["KEY", "Input", "hostile_inputs"]

KEY = "psk_app_0123456789abcdef"
"""What the gateway under attack knows as a caller's key."""

PATHS = [
    "/v1/chat/completions", "/v1/messages", "/v1/generate", "/v1/embeddings", "/v1/messages/count_tokens",
    "/openai/v1/chat/completions", "/anthropic/v1/messages", "/v1/models", "/healthz", "/readyz", "/",
]  # fmt: skip
ODD_PATHS = [
    "//admin", "/%61dmin", "/v1/../admin", "/v1/chat/completions;x", "/V1/CHAT/COMPLETIONS", "/v1/chat/completions.",
    "/v1/models/%00", "/v1/models/..%2f..%2fetc%2fpasswd", "/v1//models", "/.git/config", "/v1/models/" + "a" * 4000,
    "/api/v1/keys", "/metrics", "/v1/models?key=' OR 1=1--", "/%2e%2e/%2e%2e", "/v1/chat/completions%0d%0aX: y",
    "http://169.254.169.254/latest/meta-data", "http://localhost/v1/models", "*", "/v1/models?" + "&" * 2000,
]  # fmt: skip
METHODS = ["POST", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PRI", "post", "X" * 200]
NASTY = [
    "' OR '1'='1", "1; DROP TABLE keys;--", "\" UNION SELECT * FROM keys--", "admin'/*", "' || sleep(9)",
    "{{7*7}}", "{{config.items()}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{0.__class__.__mro__}", "%(x)s%n%s", "{self}",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:alert(1)", "\"><svg/onload=alert(1)>",
    "../../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd\0.png", "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:8485/api/v1/config", "http://[::1]:22/", "gopher://x",
    "x\r\nSet-Cookie: a=b", "x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "\u0000", "\u2028\u2029", "\ud83d\ude00" * 50, "\u202e",
    "\x1b[2J\x1b[1;1H", "=cmd|' /C calc'!A0", "() { :; }; echo x", "`id`", "$(id)", "|id", "; id", "&& id",
    "A" * 9000, "a" * 300, "\u00e9" * 500, "-1", "NaN", "Infinity", "null", "undefined", "true", "0x41", "1e999", "[]",
    "__proto__", "constructor", "sim/small:status=200", "openai/../anthropic", "up//small", "/small", "up/", "*", "?",
    "O:8:\"stdClass\":0:{}", "!!python/object/apply:os.system ['id']", "gASVIAAAAAAAAACMBXBvc2l4lIwGc3lzdGVt", "\ufeff",
]  # fmt: skip
FIELDS = [
    "base_url", "api_base", "api_key", "extra_headers", "proxy", "organization", "user", "metadata", "tools", "stop",
    "n", "tool_choice", "response_format", "logit_bias", "max_tokens", "temperature", "top_p", "system", "thinking",
    "stream_options", "output_config", "modalities", "audio", "prediction", "reasoning", "functions", "__class__",
    "budget", "output_schema", "task", "prompt", "messages", "model", "seed", "logprobs", "web_search_options",
]  # fmt: skip


class Input(NamedTuple):
    """What is sent.

    Attributes:
        pieces: in so many writes.
        most: the answers it may have.
    """

    name: str
    pieces: list[bytes]
    most: int


def hostile_inputs(seed: int, count: int) -> Iterator[Input]:
    """So many of them; the same for the same seed."""
    for number in range(count):
        random = Random(f"hostile {seed} {number}")
        kind = random.choice(list(_KINDS))
        data, most = _KINDS[kind](random)
        yield Input(f"{kind} {number}", list(_torn(random, data)), most)


def _torn(random: Random, data: bytes) -> Iterator[bytes]:
    if random.random() < 0.6:
        yield data
        return
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randint(1, 4)))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if end > start:
            yield data[start:end]


def _request(
    path: str, body: bytes, headers: list[tuple[str, str]] | None = None, method: str = "POST", *, close: bool = True
) -> bytes:
    fields = [("host", "localhost"), ("content-type", "application/json"), ("authorization", f"Bearer {KEY}")]
    fields += [("connection", "close")] if close else []
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*fields, *(headers or [])])
    head = f"{method} {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
    return head.encode("utf-8", "surrogatepass") + body


def _fields(random: Random, path: str) -> dict[str, Any]:
    model = random.choice(("up/small", "ant/small", "up/small", "fast"))
    fields: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
    if "embeddings" in path:
        return {"model": "up/embed", "input": "x"}
    if "generate" in path:
        del fields["max_tokens"]
    return fields


def _valid(random: Random) -> tuple[str, bytes]:
    path = random.choice(PATHS[:7])
    return path, json.dumps(_fields(random, path)).encode()


def _value(random: Random, depth: int = 0) -> Any:
    choice = random.randrange(9 if depth < 4 else 6)
    if choice < 2:
        return random.choice(NASTY)
    if choice == 2:
        return random.choice((0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**30), 10**25))
    if choice == 3:
        return random.choice((0.5, -0.0, 1e308, -1e-320, 3.0, 1e22))
    if choice < 6:
        return random.choice((None, True, False, "", [], {}, "text", "user", "auto"))
    if choice < 8:
        names = (random.choice([*FIELDS, "type", "role", "content", "text", "name", "function"]) for _ in range(3))
        return {name: _value(random, depth + 1) for name in names}
    return [_value(random, depth + 1) for _ in range(random.randrange(5))]


def _write(value: Any) -> bytes:
    return json.dumps(value).encode()


# --- the kinds: each gives the bytes and how many answers they may have


def _vector(random: Random) -> tuple[bytes, int]:
    vector = random.choice([one for one in VECTORS.values() if one.status])
    return vector.data + CANARY, 1


def _odd_fields(random: Random) -> tuple[bytes, int]:
    path = random.choice(PATHS[:7])
    fields = _fields(random, path)
    for _ in range(random.randint(1, 4)):
        fields[random.choice(FIELDS)] = _value(random)
    return _request(path, _write(fields)), 1


def _odd_inside(random: Random) -> tuple[bytes, int]:
    """One value somewhere inside a rich request, replaced or taken out."""
    path = random.choice(PATHS[:7])
    fields = _fields(random, path) | {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
            {"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        ],
        "stop": ["x"], "stream": random.random() < 0.3, "temperature": 1, "metadata": {"user_id": "u"},
    }  # fmt: skip
    places: list[tuple[Any, Any]] = []
    _walk(fields, places)
    for _ in range(random.randint(1, 2)):
        holder, key = random.choice(places)
        holder[key] = _value(random)
    return _request(path, _write(fields)), 1


def _walk(value: Any, places: list[tuple[Any, Any]]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        places.append((value, key))
        _walk(inner, places)


def _damaged_body(random: Random) -> tuple[bytes, int]:
    path, body = _valid(random)
    damaged = bytearray(body)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(damaged))
        action = random.randrange(3)
        if action == 0:
            damaged[at] = random.randrange(256)
        elif action == 1:
            del damaged[at : at + random.randint(1, 9)]
            damaged = damaged or bytearray(b"{")
        else:
            damaged[at:at] = random.choice((b"\0", b"\xff", b'"', b"\\", b"{", b"[" * 50, b"\xed\xa0\x80", b"\\ud800"))
    return _request(path, bytes(damaged)), 1


def _bomb(random: Random) -> tuple[bytes, int]:
    path = random.choice(PATHS[:7])
    model = random.choice((b"up/small", b"ant/small"))
    return _request(path, bomb(random.choice(list(BOMBS)), random.choice((500, 20_000, 150_000)), model)), 1


def _nasty_header(random: Random) -> tuple[bytes, int]:
    path, body = _valid(random)
    name = random.choice((
        "authorization", "x-api-key", "x-penstock-task", "x-penstock-user", "x-request-id", "origin", "cookie", "host",
        "x-forwarded-for", "x-original-url", "content-type", "accept", "user-agent", "expect", "content-encoding",
        "idempotency-key", "openai-organization", "anthropic-version", "anthropic-beta", "sec-fetch-site", "referer",
        "transfer-encoding", "x_api_key", "te", "upgrade", "traceparent", "forwarded", "range", "if-match",
    ))  # fmt: skip
    value = random.choice(NASTY)
    return _request(path, body, [(name, value)]), 1


def _odd_target(random: Random) -> tuple[bytes, int]:
    target = random.choice([*ODD_PATHS, "/v1/models/" + random.choice(NASTY), "/" + random.choice(NASTY)])
    return _request(target, b"", method=random.choice(METHODS)), 1


def _odd_method(random: Random) -> tuple[bytes, int]:
    path, body = _valid(random)
    return _request(path, body, method=random.choice(METHODS)), 1


def _credential(random: Random) -> tuple[bytes, int]:
    path, body = _valid(random)
    scheme = random.choice(("Bearer ", "bearer ", "Basic ", "", "Bearer", "Bearer  ", "Digest "))
    secret = random.choice([*NASTY, KEY[:-1], KEY + "x", KEY.upper(), " " + KEY, ""])
    data = _request(path, body).replace(f"Bearer {KEY}".encode(), f"{scheme}{secret}".encode("utf-8", "surrogatepass"))
    return data, 2 if "\r\n\r\n" in secret else 1  # which ends the request's head, in plain sight of everybody


def _flood(random: Random) -> tuple[bytes, int]:
    path, body = _valid(random)
    many = random.choice((99, 101, 1000))
    size = random.choice((10, 700))
    return _request(path, body, [(f"x-{number}", "y" * size) for number in range(many)]), 1


def _damaged_head(random: Random) -> tuple[bytes, int]:
    """Bytes of the head changed: but neither its length nor where it ends, so that it stays one request at most."""
    path, body = _valid(random)
    data = bytearray(_request(path, body))
    end = data.index(b"content-length")
    for _ in range(random.randint(1, 3)):
        data[random.randrange(end)] = random.choice(b"\0\x01\t \x0b\x7f\x80\xff:;,=\"'()<>@[]\\{}?/_AZaz09")
    return bytes(data), 1


def _garbage(random: Random) -> tuple[bytes, int]:
    first = random.choice(
        (b"", b"GET ", b"\x16\x03\x01", b"\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n")
    )
    return first + random.randbytes(random.choice((1, 20, 300, 5000))), 1


def _torn_off(random: Random) -> tuple[bytes, int]:
    path, body = _valid(random)
    data = _request(path, body)
    return data[: random.randrange(1, len(data))], 1


def _pipelined(random: Random) -> tuple[bytes, int]:
    """Good requests and then a bad one: those before it are answered, nothing after."""
    good = random.randrange(4)
    path, body = _valid(random)
    data = b"".join(_request("/v1/models", b"", method="GET", close=False) for _ in range(good))
    bad = random.choice(
        (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0", b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: +1\r\n\r\n")
    )
    return data + bad + _request(path, body), good + 1


def _chunked(random: Random) -> tuple[bytes, int]:
    path, body = _valid(random)
    head = _request(path, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    size = random.choice((
        b"%x" % len(body), b"0x%x" % len(body), b"-%x" % len(body), b"%x;a=\"\n\"" % len(body), b"%x " % len(body),
        b"f" * 16, b"f" * 17, b"", b"%x;%b" % (len(body), b"e" * 5000),
    ))  # fmt: skip
    end = random.choice(
        (b"\r\n0\r\n\r\n", b"\r\n0\r\nx: y\r\n\r\n", b"\n0\n\n", b"0\r\n\r\n", b"\r\n0\r\nhost: x\r\n\r\n", b"")
    )
    return head + size + random.choice((b"\r\n", b"\r\n", b"\n", b"\r")) + body + end, 1


def _schema(random: Random) -> tuple[bytes, int]:
    schema: Any = _value(random) if random.random() < 0.5 else {
        "$ref": random.choice(("#", "#/a", "http://169.254.169.254/", "file:///etc/passwd", "#/$defs/a")),
        "$defs": {"a": {"$ref": "#/$defs/a"}}, "pattern": random.choice(("(a+)+$", "(?=x)", "[", "a{9999999}")),
    }  # fmt: skip
    fields = {"model": random.choice(("up/small", "ant/small")), "prompt": "x", "output_schema": schema}
    return _request("/v1/generate", _write(fields)), 1


_KINDS: dict[str, Callable[[Random], tuple[bytes, int]]] = {
    kind.__name__[1:]: kind
    for kind in (
        _vector, _odd_fields, _odd_inside, _damaged_body, _bomb, _nasty_header, _odd_target, _odd_method, _credential,
        _flood, _damaged_head, _garbage, _torn_off, _pipelined, _chunked, _schema,
    )
}  # fmt: skip
