"""What each quirk does to a request, and that the rest of it stays as it was written."""

from __future__ import annotations

import json

import pytest

from penstock.errors import InvalidRequest
from penstock.providers.catalogue import load_catalogue
from penstock.providers.quirks import QUIRKS, Bend, bend_for
from penstock.wire.splice import decode_object, encode_object

EXACT = '"x":[1.0E+2, -0, "\\u00e9\\/"]'


def bent(name: str, body: str) -> tuple[str, list[str]]:
    """Bend `body`, and check that it still is what was given where it was not bent."""
    fields = decode_object(body.encode())
    before = dict(fields)
    changed, lost = Bend([name]).fields(fields)
    assert fields == before
    whole, lost_of_body = Bend([name]).body(body.encode())
    assert (whole, lost_of_body) == (encode_object(changed), lost)
    return whole.decode(), lost


CASES = [
    # the name, the request, what is sent, what was lost
    ("no_stream_options", '{"stream":true,"stream_options":{"include_usage":true}}', '{"stream":true}', []),
    ("no_stream_options", '{"stream_options":{"include_obfuscation":false}}', "{}", ["stream_options"]),
    ("no_stream_options", '{"stream_options":null}', "{}", []),
    ("no_stream_options", '{"stream_options":3}', "{}", []),
    ("max_tokens", '{"a":1,"max_completion_tokens":7,"b":2}', '{"a":1,"max_tokens":7,"b":2}', []),
    ("max_tokens", '{"max_tokens":9,"max_completion_tokens":7}', '{"max_tokens":7}', []),
    ("max_tokens", '{"max_completion_tokens":7,"max_tokens":9}', '{"max_tokens":7}', []),
    ("max_tokens", '{"max_tokens":9}', '{"max_tokens":9}', []),
    (
        "system_role",
        '{"messages":[{"role":"developer","content":"\\u00e9"},{"role":"user","content":"developer"}]}',
        '{"messages":[{"role":"system","content":"\\u00e9"},{"role":"user","content":"developer"}]}',
        [],
    ),
    (
        "system_role",
        '{"messages":[{"content":"a","role":"developer"},{"role":"user","name":"developer"}, 3]}',
        '{"messages":[{"content":"a","role":"developer"},{"role":"user","name":"developer"}, 3]}',
        [],
    ),
    ("system_role", '{"messages":["developer"]}', '{"messages":["developer"]}', []),
    ("system_role", '{"messages":"developer"}', '{"messages":"developer"}', []),
    ("system_role", '{"messages": [ {"role" : "user"} ]}', '{"messages":[ {"role" : "user"} ]}', []),
    (
        "thought_with_calls",
        '{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]},{"role":"tool","content":"x"}]}',
        '{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}],"reasoning_content":" "},'
        '{"role":"tool","content":"x"}]}',
        [],
    ),
    (
        "thought_with_calls",
        '{"messages":[{"reasoning_content":"","tool_calls":[{}]},{"reasoning_content":null,"tool_calls":[{}]}]}',
        '{"messages":[{"reasoning_content":" ","tool_calls":[{}]},{"reasoning_content":" ","tool_calls":[{}]}]}',
        [],
    ),
    (
        "thought_with_calls",
        '{"messages":[{"reasoning_content":"So.","tool_calls":[{}]},{"tool_calls":[]},{"tool_calls":null}]}',
        '{"messages":[{"reasoning_content":"So.","tool_calls":[{}]},{"tool_calls":[]},{"tool_calls":null}]}',
        [],
    ),
    (
        "signed_calls",
        '{"messages":[{"role":"user", "content":"x"},{"role":"assistant","tool_calls":[{"id" : "1"}, {"id":"2"}]}]}',
        '{"messages":[{"role":"user", "content":"x"},{"role":"assistant","tool_calls":[{"id":"1","extra_content":'
        '{"google":{"thought_signature":"skip_thought_signature_validator"}}},{"id":"2"}]}]}',
        [],
    ),
    (  # a signature of the model's own, wherever it stands, and what is no call
        "signed_calls",
        '{"messages":[{"tool_calls":[{"id":"1","extra_content":{"google":{"thought_signature":"c2ln"}}},{"id":"2"}]},'
        '{"tool_calls":[]},{"tool_calls":null},{"tool_calls":[{"extra_content":{"acme":1}}]},{"tool_calls":3}]}',
        '{"messages":[{"tool_calls":[{"id":"1","extra_content":{"google":{"thought_signature":"c2ln"}}},{"id":"2"}]},'
        '{"tool_calls":[]},{"tool_calls":null},{"tool_calls":[{"extra_content":{"acme":1}}]},{"tool_calls":3}]}',
        [],
    ),
    ("no_store", '{"store":false}', "{}", ["store"]),
    ("no_store", '{"store":null}', "{}", ["store"]),
    ("no_store", '{"store":true}', '{"store":true}', []),
    ("no_service_tier", '{"service_tier":"auto"}', "{}", ["service_tier"]),
    ("no_service_tier", '{"service_tier":"default"}', "{}", ["service_tier"]),
    ("no_service_tier", '{"service_tier":"flex"}', '{"service_tier":"flex"}', []),
    ("no_parallel_tool_calls", '{"parallel_tool_calls":true}', "{}", ["parallel_tool_calls"]),
    ("no_parallel_tool_calls", '{"parallel_tool_calls":false}', '{"parallel_tool_calls":false}', []),
    ("no_penalties", '{"presence_penalty":0,"frequency_penalty":0.0}', "{}", ["frequency_penalty", "presence_penalty"]),
    ("no_penalties", '{"presence_penalty":0.1}', '{"presence_penalty":0.1}', []),
    ("no_logprobs", '{"logprobs":false,"logit_bias":{},"top_logprobs":null}', "{}",
     ["logprobs", "top_logprobs", "logit_bias"]),
    ("no_logprobs", '{"logprobs":true,"logit_bias":{"1":2}}', '{"logprobs":true,"logit_bias":{"1":2}}', []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "sent", "lost"), CASES)
def test_what_it_does(name: str, body: str, sent: str, lost: list[str]) -> None:
    assert bent(name, body) == (sent, lost)


def test_every_quirk_has_a_case() -> None:
    assert {name for name, *_ in CASES} == set(QUIRKS)


@pytest.mark.parametrize("name", QUIRKS)
def test_all_else_stays_byte_for_byte(name: str) -> None:
    body = f'{{"model":"m",{EXACT},"temperature":1.50}}'
    assert bent(name, body) == (body, [])


def test_the_list_with_a_developer_keeps_its_other_messages_byte_for_byte() -> None:
    kept = '{"role":"user","content":[{"type":"text","text":"\\u00e9\\/"}], "n" : 1.0E+2}'
    sent, _ = bent("system_role", f'{{"messages":[{kept},{{"role":"developer","content":""}}]}}')
    assert kept in sent


def test_several_at_once() -> None:
    body = {"store": False, "max_completion_tokens": 5, "messages": [{"role": "developer", "content": "x"}]}
    sent, lost = Bend(["system_role", "max_tokens", "no_store"]).body(json.dumps(body).encode())
    assert json.loads(sent) == {"max_tokens": 5, "messages": [{"role": "system", "content": "x"}]}
    assert lost == ["store"]


def test_only_chat_is_bent() -> None:
    assert list(bend_for(["no_store"])) == ["openai_chat"]
    assert bend_for([]) == {}
    assert Bend(["no_store"]).asks_usage
    assert not Bend(["no_stream_options"]).asks_usage


def test_a_quirk_of_some_models() -> None:
    bend = Bend(["no_store", "max_tokens"], {"no_store": ["*gemini-3*"]})
    fields = decode_object(b'{"store":false,"max_completion_tokens":5}')
    assert bend.fields(fields, "gemini-3-pro")[1] == bend.fields(fields, "models/gemini-3.5-flash")[1] == ["store"]
    for other in ("gemini-2.5-pro", ""):
        assert bend.body(encode_object(fields), other) == (b'{"store":false,"max_tokens":5}', [])


def test_calls_of_others_are_signed_for_the_models_that_want_it() -> None:
    quirk = next(quirk for quirk in load_catalogue()["gemini"].quirks if quirk.name == "signed_calls")
    bend = Bend([quirk.name], {quirk.name: quirk.models})
    body = b'{"messages":[{"tool_calls":[{"id":"1"}]}]}'
    for model in ("gemini-3-pro-preview", "gemini-3.1-flash", "google/gemini-3-flash", "gemini-flash-latest"):
        assert b"skip_thought_signature_validator" in bend.body(body, model)[0], model
    for model in ("gemini-2.5-flash", "gemini-2.0-flash", "gemma-3-27b-it"):
        assert bend.body(body, model)[0] == body


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Bend(["no_store"]).body(b"[]")
