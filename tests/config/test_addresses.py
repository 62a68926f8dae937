"""What becomes of a `base_url`: completed by the kind's own path, by what of it was written."""

from __future__ import annotations

import pytest

from penstock.config.addresses import complete
from penstock.providers.catalogue import load_catalogue

AZURE = "https://x.openai.azure.com"
DEPLOYMENTS = AZURE + "/openai/deployments/{model}"


@pytest.mark.parametrize(
    ("kind", "written", "url"),
    [
        ("azure", AZURE, AZURE + "/openai/v1"),
        ("azure", AZURE + "/openai", AZURE + "/openai/v1"),
        ("azure", AZURE + "/openai/v1", AZURE + "/openai/v1"),
        ("azure", "https://proxy/llm", "https://proxy/llm/openai/v1"),
        ("azure", "https://proxy/myopenai", "https://proxy/myopenai/openai/v1"),
        ("azure-inference", "https://x.services.ai.azure.com", "https://x.services.ai.azure.com/models"),
        ("azure-inference", "https://x.services.ai.azure.com/models", "https://x.services.ai.azure.com/models"),
        ("snowflake", "https://a.snowflakecomputing.com", "https://a.snowflakecomputing.com/api/v2/cortex/v1"),
        ("bedrock", "https://b.us-east-1.amazonaws.com", "https://b.us-east-1.amazonaws.com/openai/v1"),
        ("bedrock-mantle", "https://b.us-east-1.api.aws", "https://b.us-east-1.api.aws/v1"),
        ("bedrock-mantle", "https://b.us-east-1.api.aws/openai/v1", "https://b.us-east-1.api.aws/openai/v1"),
        ("gpustack", "http://10.0.0.7", "http://10.0.0.7/v1"),
        ("gpustack", "http://10.0.0.7/v1-openai", "http://10.0.0.7/v1-openai"),
        ("cloudflare", "https://api.cloudflare.com/client/v4/accounts/1/ai/v1",
         "https://api.cloudflare.com/client/v4/accounts/1/ai/v1"),
        ("anthropic", "https://api.deepseek.com/anthropic", "https://api.deepseek.com/anthropic/v1"),
        ("openai", "https://h/x", "https://h/x"),
        ("vllm", "http://10.0.0.7:8000/v1", "http://10.0.0.7:8000/v1"),
    ],
)  # fmt: skip
def test_without_a_version(kind: str, written: str, url: str) -> None:
    row = load_catalogue()[kind]
    version = row.versioned.default if row.versioned else ""
    assert complete(written, row, version) == url


@pytest.mark.parametrize(
    ("written", "url"),
    [
        (AZURE, DEPLOYMENTS),
        (AZURE + "/openai", DEPLOYMENTS),
        (AZURE + "/openai/deployments", DEPLOYMENTS),
        (DEPLOYMENTS, DEPLOYMENTS),
        ("https://proxy/llm", "https://proxy/llm/openai/deployments/{model}"),
    ],
)
def test_azure_with_a_version(written: str, url: str) -> None:
    assert complete(written, load_catalogue()["azure"], "2024-10-21") == url


@pytest.mark.parametrize(
    ("written", "version", "message"),
    [
        ("https://NAME.openai.azure.com", "", "base_url still is the example"),
        (AZURE + "/openai/v1", "2024-10-21", "base_url ends with /openai/v1, which takes no api_version"),
        (AZURE + "/openai/deployments/a", "2024-10-21", "base_url names a deployment"),
    ],
)
def test_what_cannot_be_completed(written: str, version: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        complete(written, load_catalogue()["azure"], version)
