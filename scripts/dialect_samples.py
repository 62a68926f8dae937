"""One small request for everything a caller can ask for, in each dialect: what docs/dialects.md is measured with.

`FEATURES` names them as `penstock.wire.translation` does; `OTHERS` are fields without a name there, each with what it
is. Tests send every one of them through every other dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BASES", "FEATURES", "OTHERS"]

Fields = dict[str, Any]

_PDF = "JVBERi0xLjQK"
_PNG = "iVBORw0KGgo="
_SCHEMA: Fields = {
    "type": "object",
    "properties": {"height": {"type": "number"}},
    "required": ["height"],
    "additionalProperties": False,
}
_HI: Fields = {"role": "user", "content": "How high is the water?"}


def _user(*parts: Fields) -> Fields:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def _text(text: str = "Look:", **more: Any) -> Fields:
    return {"type": "text", "text": text, **more}


# --- OpenAI's chat completions

_TOOL: Fields = {"type": "function", "function": {"name": "gauge", "parameters": _SCHEMA}}
_CALL: Fields = {"id": "c1", "type": "function", "function": {"name": "gauge", "arguments": "{}"}}


def _called(content: Any) -> Fields:
    result = {"role": "tool", "tool_call_id": "c1", "content": content}
    return {"tools": [_TOOL], "messages": [_HI, {"role": "assistant", "content": None, "tool_calls": [_CALL]}, result]}


def _earlier(**fields: Any) -> Fields:
    return {"messages": [_HI, {"role": "assistant", "content": "3 m.", **fields}, _HI]}


def _file(**file: Any) -> Fields:
    return _user(_text(), {"type": "file", "file": file})


_ALLOWED = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "gauge"}}]}
_IMAGE: Fields = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}}

_OPENAI: Mapping[str, Fields] = {
    "system": {"messages": [{"role": "developer", "content": "Be brief."}, _HI]},
    "text": {},
    "tools": {"tools": [_TOOL]},
    "tool_choice": {"tools": [_TOOL], "tool_choice": "required"},
    "parallel_tool_calls": {"tools": [_TOOL], "parallel_tool_calls": False},
    "tool_results": _called("3 m"),
    "tool_result_images": _called([_text(), _IMAGE]),
    "max_output_tokens": {"max_completion_tokens": 300},
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.9},
    "top_k": {"top_k": 40},
    "stop": {"stop": ["END"]},
    "stream": {"stream": True},
    "json_schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "level", "schema": _SCHEMA, "strict": True}}
    },
    "json_object": {"response_format": {"type": "json_object"}},
    "format_description": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "description": "y", "schema": _SCHEMA}}
    },
    "images": _user(_text(), _IMAGE),
    "image_detail": _user(_text(), {**_IMAGE, "image_url": {**_IMAGE["image_url"], "detail": "low"}}),
    "documents": _file(file_data=f"data:application/pdf;base64,{_PDF}"),
    "document_titles": _file(filename="report.pdf", file_data=f"data:application/pdf;base64,{_PDF}"),
    "document_urls": _user(_text(), {"type": "document_url", "document_url": "https://example.com/report.pdf"}),
    "files": _file(file_id="file-1"),
    "audio_in": _user(_text(), {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    "thinking": {"reasoning_effort": "medium"},
    "thinking_display": {"reasoning": {"effort": "medium", "exclude": True}},
    "thinking_history": _earlier(reasoning_content="Hm"),
    "user": {"user": "u1"},
    "custom_tools": {"tools": [{"type": "custom", "custom": {"name": "shell"}}]},
    "server_tools": {"tools": [{"type": "web_search_preview"}]},
    "allowed_tools": {"tools": [_TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": _ALLOWED}},
    "tool_strict": {"tools": [{**_TOOL, "function": {**_TOOL["function"], "strict": True}}]},
    "foreign_parts": _earlier(audio={"id": "audio_1"}),
    "cache_markers": _user(_text(cache_control={"type": "ephemeral"})),
    "citation_history": _earlier(annotations=[{"type": "url_citation", "url_citation": {"url": "https://a.example"}}]),
    "names": {"messages": [{**_HI, "name": "Ada"}]},
    "verbosity": {"verbosity": "low"},
}

_OPENAI_OTHERS: Mapping[str, Fields] = {
    "several answers": {"n": 2},
    "log probabilities": {"logprobs": True, "top_logprobs": 3},
    "likelier or unlikelier tokens": {"logit_bias": {"50256": -100}},
    "penalties": {"frequency_penalty": 0.5},
    "penalties of zero": {"presence_penalty": 0},
    "spoken answers": {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
    "the vendor's web search": {"web_search_options": {}},
    "the seed": {"seed": 7},
    "metadata": {"metadata": {"feature": "search"}},
    "keeping the answer at the vendor": {"store": False},
    "the service tier": {"service_tier": "flex"},
    "a predicted answer": {"prediction": {"type": "content", "content": "3 m"}},
    "the cache's key": {"prompt_cache_key": "k1"},
    "fields nobody knows": {"frobnicate": 1},
}

# --- Anthropic's messages

_A_TOOL: Fields = {"name": "gauge", "input_schema": _SCHEMA}


def _a_called(content: Any, **more: Any) -> Fields:
    use = {"type": "tool_use", "id": "c1", "name": "gauge", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": content, **more}
    messages = [_HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    return {"tools": [_A_TOOL], "messages": messages}


def _a_earlier(*parts: Fields) -> Fields:
    return {"messages": [_HI, {"role": "assistant", "content": [*parts]}, _HI]}


def _a_document(source: Fields, **more: Any) -> Fields:
    return _user(_text(), {"type": "document", "source": source, **more})


_A_PDF: Fields = {"type": "base64", "media_type": "application/pdf", "data": _PDF}
_A_IMAGE: Fields = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}
_CITED: Fields = {
    "type": "web_search_result_location",
    "url": "https://a.example",
    "title": "A",
    "encrypted_index": "x",
    "cited_text": "3 m",
}

_ANTHROPIC: Mapping[str, Fields] = {
    "system": {"system": "Be brief."},
    "text": {},
    "tools": {"tools": [_A_TOOL]},
    "tool_choice": {"tools": [_A_TOOL], "tool_choice": {"type": "any"}},
    "parallel_tool_calls": {"tools": [_A_TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "tool_results": _a_called("3 m"),
    "tool_errors": _a_called("broken", is_error=True),
    "tool_result_images": _a_called([_A_IMAGE]),
    "max_output_tokens": {"max_tokens": 300},
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.9},
    "top_k": {"top_k": 40},
    "stop": {"stop_sequences": ["END"]},
    "stream": {"stream": True},
    "json_schema": {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
    "images": _user(_text(), _A_IMAGE),
    "documents": _a_document(_A_PDF),
    "document_titles": _a_document(_A_PDF, title="Report"),
    "document_urls": _a_document({"type": "url", "url": "https://example.com/report.pdf"}),
    "files": _a_document({"type": "file", "file_id": "file-1"}),
    "citations": _a_document(_A_PDF, citations={"enabled": True}),
    "thinking": {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 4096}},
    "thinking_display": {"thinking": {"type": "adaptive", "display": "summarized"}},
    "thinking_history": _a_earlier({"type": "thinking", "thinking": "Hm", "signature": "c2VhbA=="}, _text("3 m.")),
    "user": {"metadata": {"user_id": "u1"}},
    "server_tools": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "tool_strict": {"tools": [{**_A_TOOL, "strict": True}]},
    "foreign_parts": _user(_text(), {"type": "container_upload", "file_id": "file-1"}),
    "cache_markers": _user(_text(cache_control={"type": "ephemeral"})),
    "citation_history": _a_earlier(_text("3 m.", citations=[_CITED])),
}

_ANTHROPIC_OTHERS: Mapping[str, Fields] = {
    "remote MCP servers": {"mcp_servers": [{"type": "url", "name": "m", "url": "https://m.example"}]},
    "a container with skills": {"container": {"skills": [{"type": "anthropic", "skill_id": "xlsx"}]}},
    "warming the cache without an answer": {"max_tokens": 0},
    "the service tier": {"service_tier": "auto"},
    "editing of the context": {"context_management": {"edits": []}},
    "fields nobody knows": {"frobnicate": 1},
}

# --- Penstock's own: messages and tools in OpenAI's form

_GENERATE: Mapping[str, Fields] = {
    **{
        feature: {"prompt": None, **fields} if "messages" in fields else fields
        for feature, fields in _OPENAI.items()
        if fields and fields.keys() <= {"messages", "tools", "tool_choice"}
    },
    "system": {"system": "Be brief."},
    "text": {},
    "max_output_tokens": {"budget": {"max_output_tokens": 300}},
    "temperature": {"temperature": 0.5},
    "stop": {"stop": ["END"]},
    "stream": {"stream": True},
    "json_schema": {"output_schema": _SCHEMA},
    "user": {"user": "u1"},
}

BASES: Mapping[str, Fields] = {
    "openai_chat": {"model": "m", "messages": [_HI]},
    "anthropic_messages": {"model": "m", "max_tokens": 2000, "messages": [_HI]},
    "generate": {"model": "m", "prompt": "How high is the water?"},
}
FEATURES: Mapping[str, Mapping[str, Fields]] = {
    "openai_chat": _OPENAI,
    "anthropic_messages": _ANTHROPIC,
    "generate": _GENERATE,
}
OTHERS: Mapping[str, Mapping[str, Fields]] = {
    "openai_chat": _OPENAI_OTHERS,
    "anthropic_messages": _ANTHROPIC_OTHERS,
    "generate": {},
}
