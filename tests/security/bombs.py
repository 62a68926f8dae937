"""Attack 20: bodies that cost far more than their bytes, or would, in the dialects that callers speak."""

from __future__ import annotations

from collections.abc import Callable, Iterator

__all__ = ["BOMBS", "bomb"]

Filling = Callable[[int], bytes]
# A body's text before and after what it is filled with; the n-th piece of that; what stands between pieces.
Recipe = tuple[bytes, bytes, Filling, bytes]


def _field(filling: Filling) -> Recipe:
    return b'"messages":[{"role":"user","content":"x"}],', b"", filling, b","


def _inside(before: bytes, after: bytes, filling: Filling, between: bytes = b",") -> Recipe:
    return before, after, filling, between


def _same(piece: bytes) -> Filling:
    return lambda _: piece


def _numbered(piece: bytes) -> Filling:
    return lambda number: piece.replace(b"#", b"%x" % number)


_SAID = b'"messages":[{"role":"user","content":"'
_X = b'"messages":[{"role":"user","content":"x"}],"x":'
_CALL = b'{"id":"a#","type":"function","function":{"name":"f","arguments":"{}"}}'

BOMBS: dict[str, Recipe] = {
    "text": _inside(_SAID, b'"}]', _same(b"word "), b""),
    "escapes": _inside(_SAID, b'."}]', _same(b"\\n"), b""),
    "escaped quotes": _inside(_SAID, b'"}]', _same(b'\\"'), b""),
    "escaped letters": _inside(_SAID, b'"}]', _same(b"\\u00e9"), b""),
    "letters": _inside(_SAID, b'"}]', _same("é".encode()), b""),
    "half a surrogate pair": _inside(_SAID, b'\\ud800x"}]', _same(b"\\ud83d\\ude00"), b""),
    "bad UTF-8 at the end": _inside(_SAID, b'\xff"}]', _same("é".encode()), b""),
    "braces in text": _inside(_SAID, b'"}]', _same(b"{[,"), b""),
    "fields": _field(_numbered(b'"#":1')),
    "one field": _field(_same(b'"a":1')),
    "fields of a field": _inside(_X + b"{", b"}", _numbered(b'"#":1')),
    "messages": _inside(b'"messages":[', b"]", _same(b'{"role":"user","content":"x"}')),
    "turns": _inside(
        b'"messages":[', b"]", _same(b'{"role":"user","content":"x"},{"role":"assistant","content":"x"}')
    ),
    "empty messages": _inside(b'"messages":[', b"]", _same(b"{}")),
    "numbers for messages": _inside(b'"messages":[', b"]", _same(b"1")),
    "fields of a message": _inside(b'"messages":[{"role":"user","content":"x",', b"}]", _numbered(b'"#":1')),
    "parts": _inside(b'"messages":[{"role":"user","content":[', b"]}]", _same(b'{"type":"text","text":"x"}')),
    "pictures": _inside(
        b'"messages":[{"role":"user","content":[',
        b"]}]",
        _same(b'{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}'),
    ),
    "calls": _inside(b'"messages":[{"role":"assistant","tool_calls":[', b"]}]", _numbered(_CALL)),
    "one call": _inside(b'"messages":[{"role":"assistant","tool_calls":[', b"]}]", _same(_CALL)),
    "calls and results": _inside(
        b'"messages":[',
        b"]",
        _same(b'{"role":"assistant","tool_calls":[%b]},{"role":"tool","tool_call_id":"a#","content":"x"}' % _CALL),
    ),
    "results": _inside(
        b'"messages":[{"role":"assistant","tool_calls":[%b]},' % b",".join(_numbered(_CALL)(n) for n in range(2000)),
        b"]",
        _same(b'{"role":"function","name":"g","content":"x"}'),
    ),
    "tools": _inside(
        b'"messages":[{"role":"user","content":"x"}],"tools":[',
        b"]",
        _numbered(b'{"type":"function","function":{"name":"n#","parameters":{}}}'),
    ),
    "a schema": _inside(
        b'"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"x",'
        b'"schema":{"type":"object","properties":{',
        b"}}}}",
        _numbered(b'"p#":{"type":"string"}'),
    ),
    "biases": _inside(b'"messages":[{"role":"user","content":"x"}],"logit_bias":{', b"}", _numbered(b'"#":1')),
    "stops": _inside(b'"messages":[{"role":"user","content":"x"}],"stop":[', b"]", _same(b'"x"')),
    "arrays": _inside(_X + b"[", b"]", _same(b"[]")),
    "objects": _inside(_X + b"[", b"]", _same(b"{}")),
    "nested arrays": _inside(_X + b"[", b"]", _same(b"[" * 900 + b"]" * 900)),
    "nested objects": _inside(_X + b"[", b"]", _same(b'{"":' * 900 + b"0" + b"}" * 900)),
    "a deep array": _inside(_X, b"0", _same(b"["), b""),
    "digits": _inside(_X, b"1", _same(b"1"), b""),
    "a fraction": _inside(_X + b"1.", b"1", _same(b"1"), b""),
    "floats": _inside(_X + b"[", b"]", _same(b"1e5")),
    "spaces": _inside(b'"messages":[{"role":"user","content":"x"}]', b"", _same(b" "), b""),
    "lines and a fault": _inside(b'"messages":[{"role":"user","content":"x"}]', b"x", _same(b"\n"), b""),
    "NaN": _inside(_X + b"[", b",NaN]", _same(b"1")),
    "no end": _inside(_X + b"[", b"", _same(b"1")),
}  # fmt: skip


def bomb(name: str, size: int, model: bytes) -> bytes:
    """The body of that name, of about `size` bytes, that asks for `model`; a valid request in the form of OpenAI's
    chat, or one that lacks little of it."""
    before, after, filling, between = BOMBS[name]
    head = b'{"model":"%b","max_tokens":9,%b' % (model, before)
    return head + between.join(_pieces(filling, size - len(head) - len(after), len(between))) + after + b"}"


def _pieces(filling: Filling, room: int, between: int) -> Iterator[bytes]:
    number = 0
    while True:
        piece = filling(number)
        room -= len(piece) + between
        if room < 0:
            return
        yield piece
        number += 1
