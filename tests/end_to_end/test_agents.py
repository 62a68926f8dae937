"""Coding agents on the other vendor's model: requests in the shapes that Claude Code and Codex send, written by hand.

Both loops must work from the first call on, without a setting: the agents know nothing of Penstock but its address.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.end_to_end.process import SECONDS, Served
from tests.end_to_end.providers import Provider
from tests.end_to_end.ways import APP_KEY, Way

DRAFT = "https://json-schema.org/draft/2020-12/schema"

CLAUDE_CODE_HEADERS = {
    "accept": "application/json",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "prompt-caching-scope-2026-01-05,effort-2025-11-24",
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-version": "2023-06-01",
    "authorization": f"Bearer {APP_KEY}",
    "user-agent": "claude-cli/2.1.50 (external, cli)",
    "x-app": "cli",
    "x-stainless-helper-method": "stream",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
    "x-stainless-timeout": "600",
}
CLAUDE_CODE_TOOLS = [
    {
        "name": "Read",
        "description": "Reads a file from the local filesystem.",
        "input_schema": {
            "$schema": DRAFT,
            "type": "object",
            "properties": {
                "file_path": {"description": "The absolute path to the file to read", "type": "string"},
                "offset": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
                "limit": {"type": "integer", "exclusiveMinimum": 0, "maximum": 9007199254740991},
            },
            "required": ["file_path"],
            "additionalProperties": False,
        },
    },
    {
        "name": "Grep",
        "description": "A powerful search tool built on ripgrep",
        "input_schema": {
            "$schema": DRAFT,
            "type": "object",
            "properties": {
                "pattern": {"type": "string"},
                "output_mode": {"type": "string", "enum": ["content", "files_with_matches", "count"]},
                "-n": {"type": "boolean"},
            },
            "required": ["pattern"],
            "additionalProperties": False,
        },
        "cache_control": {"type": "ephemeral"},
    },
]
CLAUDE_CODE: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.50; cc_entrypoint=cli;"},
        {
            "type": "text",
            "text": "You are Claude Code, Anthropic's official CLI for Claude.",
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        },
        {"type": "text", "text": "You are an interactive agent.", "cache_control": {"type": "ephemeral"}},
    ],
    "tools": CLAUDE_CODE_TOOLS,
    "metadata": {"user_id": f"user_{'ab' * 32}_account__session_01234567-89ab-4cde-8f01-23456789abcd"},
    "max_tokens": 32000,
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "stream": True,
}

CODEX_HEADERS = {
    "accept": "text/event-stream",
    "authorization": f"Bearer {APP_KEY}",
    "originator": "codex_cli_rs",
    "session_id": "01234567-89ab-4cde-8f01-23456789abcd",
    "user-agent": "codex_cli_rs/0.98.0 (Linux 6.8; x86_64) xterm-256color",
}
CODEX: dict[str, Any] = {
    "model": "gpt-5-codex",
    "stream": True,
    "stream_options": {"include_usage": True},
    "store": False,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "reasoning_effort": "medium",
    "prompt_cache_key": "01234567-89ab-4cde-8f01-23456789abcd",
    "tools": [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"The {name} tool.",
                "strict": strict,
                "parameters": {"type": "object", "properties": fields, "required": list(fields), **closed},
            },
        }
        for name, strict, closed, fields in (
            ("shell", False, {}, {"command": {"type": "array", "items": {"type": "string"}}}),
            ("update_plan", True, {"additionalProperties": False}, {"explanation": {"type": "string"}}),
        )
    ],
}


def post(
    way: Way, target: str, body: dict[str, Any], headers: Mapping[str, str]
) -> tuple[Mapping[str, str], list[tuple[str, Any]]]:
    """The answer's headers, and the events of its stream: names and data, `[DONE]` as it is."""
    data = json.dumps(body).encode()
    asked = urllib.request.Request(
        way.gateway.url + target, data, {"content-type": "application/json", **headers}, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = answer.read().decode()
        told = {name.lower(): value for name, value in answer.headers.items()}
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        said = fields["data"]
        events.append((fields.get("event", ""), said if said == "[DONE]" else json.loads(said)))
    return told, events


# --- Claude Code


def folded(events: list[tuple[str, Any]]) -> dict[str, Any]:
    """The message that a stream amounts to; the order of its events must be the documented one."""
    names = [name for name, _ in events if name != "ping"]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    message: dict[str, Any] = {}
    at = -1
    for name, event in events:
        assert event["type"] == name
        if name == "message_start":
            message = event["message"]
            assert message["content"] == []
        elif name == "content_block_start":
            at += 1
            assert event["index"] == at == len(message["content"])
            message["content"].append(event["content_block"] | {"json": ""})
        elif name == "content_block_delta":
            assert event["index"] == at
            delta, block = dict(event["delta"]), message["content"][at]
            kind = delta.pop("type")
            assert kind.startswith({"tool_use": "input_json", "text": "text"}.get(block["type"], ""))
            for field, piece in delta.items():
                field = "json" if field == "partial_json" else field
                block[field] = block.get(field, "") + piece
        elif name == "content_block_stop":
            assert event["index"] == at
            text = message["content"][at].pop("json")
            if message["content"][at]["type"] == "tool_use":
                message["content"][at]["input"] = json.loads(text or "{}")
        elif name == "message_delta":
            message |= event["delta"]
            message["usage"] |= event["usage"]
    return message


def claude_code(way: Way, thinking: dict[str, Any]) -> list[dict[str, Any]]:
    """Three turns: a tool, another one that the user's reminder asks for, the answer."""
    said = [
        {"type": "text", "text": "<system-reminder>\nAnswer briefly.\n</system-reminder>"},
        {"type": "text", "text": "Please Read the file /README.md", "cache_control": {"type": "ephemeral"}},
    ]
    messages: list[dict[str, Any]] = [{"role": "user", "content": said}]
    answers = []
    reminders: list[list[dict[str, Any]]] = [[{"type": "text", "text": "Now Grep for the word sluice."}], []]
    for turn in range(3):
        headers, events = post(
            way, "/v1/messages?beta=true", {**CLAUDE_CODE, **thinking, "messages": messages}, CLAUDE_CODE_HEADERS
        )
        answer = folded(events)
        line = way.gateway.line(id=headers["request-id"])
        assert (line["status"], "stream_error" in line, line["tokens"]["estimated"]) == (200, False, False)
        assert answer["usage"]["output_tokens"] == line["tokens"]["output"] > 0
        answers.append(answer)
        if turn == 2:
            break
        uses = [block for block in answer["content"] if block["type"] == "tool_use"]
        results: list[dict[str, Any]] = [
            {"type": "tool_result", "tool_use_id": use["id"], "content": f"     1\tthe result of {use['name']}"}
            for use in uses
        ]
        results[-1]["cache_control"] = {"type": "ephemeral"}
        messages.append({"role": "assistant", "content": answer["content"]})
        messages.append({"role": "user", "content": results + reminders[turn]})
    return answers


def check_loop(answers: list[dict[str, Any]]) -> None:
    kinds = [[block["type"] for block in answer["content"]] for answer in answers]
    assert kinds == [["thinking", "tool_use"], ["thinking", "tool_use"], ["thinking", "text"]]
    assert [answer["stop_reason"] for answer in answers] == ["tool_use", "tool_use", "end_turn"]
    assert [answer["content"][1].get("name") for answer in answers] == ["Read", "Grep", None]
    assert set(answers[0]["content"][1]["input"]) >= {"file_path"}
    assert all("signature" in answer["content"][0] for answer in answers)
    assert "the result of Grep" in answers[2]["content"][1]["text"]


def test_claude_code_on_openais_model(gateway: Served, provider: Provider) -> None:
    way = Way(gateway, "up/", APP_KEY, provider)
    adaptive = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}
    check_loop(claude_code(way, adaptive))
    seen = way.seen("up/reasoner")
    assert seen is not None
    assert (seen.path, seen.query) == ("/v1/chat/completions", "")
    assert not [name for name in seen.headers if name.startswith((b"anthropic-", b"x-"))]
    body = json.loads(seen.body)
    assert [message["role"] for message in body["messages"]] == [
        "system", "user", "assistant", "tool", "user", "assistant", "tool",
    ]  # fmt: skip
    assert body["messages"][0]["content"].splitlines()[1].startswith("You are Claude Code")
    assert [tool["function"]["name"] for tool in body["tools"]] == ["Read", "Grep"]
    assert body["tools"][0]["function"]["parameters"] == CLAUDE_CODE_TOOLS[0]["input_schema"]
    assert body["reasoning_effort"] == "medium"
    assert len(body["user"]) <= 64
    assert not {"system", "metadata", "thinking", "context_management", "output_config"} & body.keys()


def test_what_claude_code_loses_on_openais_model_is_named(gateway: Served, provider: Provider) -> None:
    way = Way(gateway, "up/", APP_KEY, provider)
    body = {**CLAUDE_CODE, "messages": [{"role": "user", "content": "Hi"}], "thinking": {"type": "adaptive"}}
    headers, _ = post(way, "/v1/messages?beta=true", body, CLAUDE_CODE_HEADERS)
    assert set(headers["x-penstock-dropped"].split(", ")) == {"system.1.cache_control", "context_management"}
    assert headers["x-penstock-clamped"] == "metadata.user_id"
    assert headers["request-id"] == headers["x-request-id"]
    assert headers["x-penstock-target"] == "up/reasoner"


def test_older_claude_code_with_a_budget(gateway: Served, provider: Provider) -> None:
    way = Way(gateway, "up/", APP_KEY, provider)
    check_loop(claude_code(way, {"thinking": {"type": "enabled", "budget_tokens": 31999}}))


def test_claude_code_on_anthropics_model(gateway: Served, provider: Provider) -> None:
    """The same loop where nothing is translated; the provider checks the seals of the thoughts that come back."""
    way = Way(gateway, "claude/", APP_KEY, provider)
    thinking = {"model": "claude/reasoner", "thinking": {"type": "enabled", "budget_tokens": 31999}}
    check_loop(claude_code(way, thinking))
    seen = way.seen("claude/reasoner")
    assert seen is not None
    assert seen.query == "beta=true"
    assert seen.headers[b"anthropic-beta"].decode() == CLAUDE_CODE_HEADERS["anthropic-beta"]


def test_claude_codes_other_requests(gateway: Served, provider: Provider) -> None:
    """It asks for a title with a schema and a prefilled turn, probes its quota, and counts tokens."""
    way = Way(gateway, "up/", APP_KEY, provider)
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    title = {
        **CLAUDE_CODE, "tools": [], "temperature": 1, "max_tokens": 32000, "thinking": {"type": "disabled"},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Mend the sluice"}]}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }  # fmt: skip
    _, events = post(way, "/v1/messages?beta=true", title, CLAUDE_CODE_HEADERS)
    answer = folded(events)
    assert [block["type"] for block in answer["content"]][-1] == "text"
    assert set(json.loads(answer["content"][-1]["text"])) == {"title"}
    with way.claude() as client:
        quota = client.messages.create(
            model="claude-opus-4-8", max_tokens=1, messages=[{"role": "user", "content": "quota"}]
        )
        assert quota.stop_reason == "max_tokens"
        counted = client.beta.messages.count_tokens(
            model="claude-opus-4-8", messages=[{"role": "user", "content": "Hello"}], system=CLAUDE_CODE["system"],
            tools=CLAUDE_CODE["tools"], thinking={"type": "adaptive"},
        )  # fmt: skip
        assert counted.input_tokens > 100


# --- Codex


def assembled(events: list[tuple[str, Any]]) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The message that a stream amounts to, why it ended, and its usage."""
    assert events[-1][1] == "[DONE]"
    message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning": "", "tool_calls": {}}
    reason = ""
    usage: dict[str, Any] = {}
    for _, chunk in events[:-1]:
        assert chunk["object"] == "chat.completion.chunk"
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning"] += delta.get("reasoning_content") or ""
            for piece in delta.get("tool_calls") or []:
                new = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
                call = message["tool_calls"].setdefault(piece["index"], new)
                call["id"] = call["id"] or piece.get("id", "")
                call["function"]["name"] += piece["function"].get("name") or ""
                call["function"]["arguments"] += piece["function"].get("arguments") or ""
            reason = choice["finish_reason"] or reason
    message["tool_calls"] = list(message["tool_calls"].values())
    return message, reason, usage


def test_codex_on_anthropics_model(gateway: Served, provider: Provider) -> None:
    way = Way(gateway, "claude/", APP_KEY, provider)
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "You are Codex, a coding agent."},
        {"role": "user", "content": [{"type": "text", "text": "<environment_context>\n  <cwd>/src</cwd>"}]},
        {"role": "user", "content": "Use the shell and update_plan, please."},
    ]
    headers, events = post(way, "/v1/chat/completions", {**CODEX, "messages": messages}, CODEX_HEADERS)
    first, reason, usage = assembled(events)
    assert reason == "tool_calls"
    assert [call["function"]["name"] for call in first["tool_calls"]] == ["shell", "update_plan"]
    assert isinstance(json.loads(first["tool_calls"][0]["function"]["arguments"])["command"], list)
    assert first["reasoning"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 0
    assert set(headers["x-penstock-dropped"].split(", ")) == {"store", "prompt_cache_key"}
    seen = way.seen("claude/reasoner")
    assert seen is not None
    assert seen.path == "/v1/messages"
    body = json.loads(seen.body)
    assert body["system"] == [{"type": "text", "text": "You are Codex, a coding agent."}]
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 8192}
    assert body["max_tokens"] > 8192
    assert [tool["name"] for tool in body["tools"]] == ["shell", "update_plan"]

    # Codex sends the thoughts back as plain text, so the provider gets none of them.
    turn = {"role": "assistant", "content": None, "tool_calls": first["tool_calls"], "reasoning": first["reasoning"]}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": json.dumps({"output": call["function"]["name"]})}
        for call in first["tool_calls"]
    ]
    headers, events = post(
        way, "/v1/chat/completions", {**CODEX, "messages": [*messages, turn, *results]}, CODEX_HEADERS
    )
    last, reason, _ = assembled(events)
    assert reason == "stop"
    assert "shell" in last["content"]
    assert "messages[3].reasoning" in headers["x-penstock-dropped"]
    seen = way.seen("claude/reasoner")
    assert seen is not None
    body = json.loads(seen.body)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    # A turn that called tools without (sealed) thoughts is no turn in which Anthropic's model may think.
    assert body.get("thinking", {}).get("type") != "enabled"


def test_codex_on_openais_model(gateway: Served, provider: Provider) -> None:
    """Nothing is translated: what it wrote is what the provider reads."""
    way = Way(gateway, "up/", APP_KEY, provider)
    body = {**CODEX, "model": "up/reasoner", "messages": [{"role": "user", "content": "Hello"}]}
    headers, events = post(way, "/v1/chat/completions", body, CODEX_HEADERS)
    assert assembled(events)[1] == "stop"
    assert "x-penstock-dropped" not in headers
    seen = way.seen("up/reasoner")
    assert seen is not None
    assert json.loads(seen.body) == {**body, "model": "reasoner"}
