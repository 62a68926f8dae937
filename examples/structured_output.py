"""An answer that follows a JSON schema, by Penstock's own contract `/v1/generate`, which is the same for every model.

Plain HTTP: no SDK is needed. `validation` says whether the answer was checked and found to follow the schema.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from served import served

SCHEMA = {
    "type": "object",
    "properties": {
        "place": {"type": "string"},
        "danger": {"enum": ["none", "low", "high"]},
        "metres": {"type": "number"},
    },
    "required": ["place", "danger", "metres"],
    "additionalProperties": False,
}
# A proxy in the environment is not for an address on this machine.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def generate(url: str, body: dict[str, Any]) -> Any:
    """One call; `/v1/generate` answers errors in the same shape, with their own HTTP status."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/v1/generate", data, {"content-type": "application/json"})
    with DIRECT.open(request, timeout=30) as response:
        return json.load(response)


def main() -> None:
    with served() as url:
        answer = generate(
            url,
            {
                "prompt": "How high does the water stand at the weir, and is that dangerous?",
                "model": "sim/large",
                "output_schema": SCHEMA,
                "budget": {"max_output_tokens": 300},
            },
        )
        print(f"{answer['status']}, validation: {answer['validation']}")
        print(json.dumps(answer["data"], ensure_ascii=False))
        print(f"{answer['usage']['output_tokens']} tokens in {answer['latency_ms']} ms")


if __name__ == "__main__":
    main()
