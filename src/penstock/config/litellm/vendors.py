"""LiteLLM's names of providers, and what each is here.

The names and variables are those of LiteLLM's documentation: https://docs.litellm.ai/docs/providers
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["ABSENT", "VENDORS", "Vendor", "vendor_of"]


class Vendor(NamedTuple):
    """One of LiteLLM's providers.

    Attributes:
        kind: ours.
        key: the variable that LiteLLM reads its key from where none is written; "" for a server that needs none.
        base: the variable that LiteLLM reads its address from where none is written.
        url: its address, where our kind is `openai` and it is somewhere else.
        suffix: what our base URL ends with and LiteLLM's does not.
    """

    kind: str
    key: str = ""
    base: str = ""
    url: str = ""
    suffix: str = ""


VENDORS: dict[str, Vendor] = {
    "openai": Vendor("openai", "OPENAI_API_KEY", "OPENAI_API_BASE"),
    "custom_openai": Vendor("openai", "OPENAI_API_KEY"),
    "openai_like": Vendor("openai", "OPENAI_LIKE_API_KEY", "OPENAI_LIKE_API_BASE"),
    "litellm_proxy": Vendor("openai", "LITELLM_PROXY_API_KEY", "LITELLM_PROXY_API_BASE"),
    "anthropic": Vendor("anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_API_BASE"),
    "azure": Vendor("azure", "AZURE_API_KEY", "AZURE_API_BASE"),
    "azure_ai": Vendor("azure-inference", "AZURE_AI_API_KEY", "AZURE_AI_API_BASE"),
    "gemini": Vendor("gemini", "GEMINI_API_KEY"),
    "cohere": Vendor("cohere", "COHERE_API_KEY"),
    "cohere_chat": Vendor("cohere", "COHERE_API_KEY"),
    "mistral": Vendor("mistral", "MISTRAL_API_KEY", "MISTRAL_API_BASE"),
    "groq": Vendor("groq", "GROQ_API_KEY"),
    "deepseek": Vendor("deepseek", "DEEPSEEK_API_KEY"),
    "xai": Vendor("xai", "XAI_API_KEY"),
    "openrouter": Vendor("openrouter", "OPENROUTER_API_KEY", "OPENROUTER_API_BASE"),
    "together_ai": Vendor("together", "TOGETHERAI_API_KEY"),
    "fireworks_ai": Vendor("fireworks", "FIREWORKS_API_KEY"),
    "cerebras": Vendor("cerebras", "CEREBRAS_API_KEY"),
    "perplexity": Vendor("perplexity", "PERPLEXITYAI_API_KEY"),
    "nvidia_nim": Vendor("nvidia", "NVIDIA_NIM_API_KEY", "NVIDIA_NIM_API_BASE"),
    "huggingface": Vendor("huggingface", "HF_TOKEN"),
    "moonshot": Vendor("moonshot", "MOONSHOT_API_KEY", "MOONSHOT_API_BASE"),
    "zai": Vendor("zai", "ZAI_API_KEY"),
    "dashscope": Vendor("alibaba", "DASHSCOPE_API_KEY", "DASHSCOPE_API_BASE"),
    "snowflake": Vendor("snowflake", "SNOWFLAKE_JWT", "SNOWFLAKE_API_BASE"),
    "sambanova": Vendor("sambanova", "SAMBANOVA_API_KEY"),
    "voyage": Vendor("voyage", "VOYAGE_API_KEY"),
    "deepinfra": Vendor("openai", "DEEPINFRA_API_KEY", url="https://api.deepinfra.com/v1/openai"),
    "ollama": Vendor("ollama", base="OLLAMA_API_BASE", suffix="/v1"),
    "ollama_chat": Vendor("ollama", base="OLLAMA_API_BASE", suffix="/v1"),
    "hosted_vllm": Vendor("vllm", base="HOSTED_VLLM_API_BASE"),
    "lm_studio": Vendor("lmstudio", base="LM_STUDIO_API_BASE"),
    "llamafile": Vendor("llama.cpp", base="LLAMAFILE_API_BASE"),
}

# What LiteLLM reaches and this version does not, with what there is instead.
ABSENT: dict[str, str] = {
    "bedrock": "Bedrock with AWS credentials is not in this version; what has an OpenAI-compatible endpoint there can"
    " be asked with a Bedrock API key: {kind: bedrock, base_url: https://bedrock-runtime.REGION.amazonaws.com}",
    "bedrock_converse": "Bedrock with AWS credentials is not in this version",
    "sagemaker": "SageMaker is not in this version",
    "vertex_ai": "Vertex AI with Google credentials is not in this version; Gemini's models can be asked with an API"
    " key: {kind: gemini, api_key: env:GEMINI_API_KEY}",
    "vertex_ai_beta": "Vertex AI with Google credentials is not in this version",
    "text-completion-openai": "legacy completions are not in this version",
    "azure_text": "legacy completions are not in this version",
    "watsonx": "watsonx is not in this version",
    "replicate": "Replicate is not in this version",
    "github": "GitHub Models was switched off on 2026-07-30",
}

# A model without a provider before it, by its beginning; as LiteLLM takes it.
_BARE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"gpt-|o[1-9]|chatgpt-|text-embedding-|ft:gpt|davinci|babbage|omni-|codex"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-|gemma-"), "vertex_ai"),
    (re.compile(r"command"), "cohere"),
    (re.compile(r"((us|eu|apac|global)\.)?(anthropic|amazon|meta|mistral|ai21|cohere)\."), "bedrock"),
)


def vendor_of(model: str, custom: str = "") -> tuple[str, str]:
    """LiteLLM's name of the provider, "" where nobody can tell, and the model's name there.

    Args:
        custom: `custom_llm_provider`, which settles it.
    """
    prefix, slash, rest = model.partition("/")
    if custom:
        return custom, rest if slash and prefix == custom else model
    if slash and (prefix in VENDORS or prefix in ABSENT):
        return prefix, rest
    if model == "*":
        return "*", "*"
    bare = next((name for pattern, name in _BARE if pattern.match(model)), "")
    if bare or not slash:
        return bare, model
    return prefix, rest
