"""An application that uses OpenAI's client: only its base URL changes. Needs `pip install openai`."""

from __future__ import annotations

import openai

from served import served


def main() -> None:
    with served() as url, openai.OpenAI(base_url=f"{url}/v1", api_key="unused") as client:
        answer = client.chat.completions.create(
            model="sim/small",  # or openai/gpt-5-mini, anthropic/claude-haiku-4-5, any name under `models:`
            messages=[{"role": "user", "content": "Say hello to the river."}],
        )
        print(answer.choices[0].message.content)
        print(f"{answer.usage.total_tokens if answer.usage else '?'} tokens")

        # What Penstock knows of the call stands in the headers.
        raw = client.chat.completions.with_raw_response.create(
            model="sim/small", messages=[{"role": "user", "content": "And again."}]
        )
        for name in ("x-request-id", "x-penstock-target", "x-penstock-cost-usd", "x-penstock-overhead-us"):
            print(f"{name}: {raw.headers[name]}")

        # Errors are the client's own classes, and say what to do.
        try:
            client.chat.completions.create(model="sim/smal", messages=[{"role": "user", "content": "Hello"}])
        except openai.NotFoundError as error:
            print(f"{error.status_code} {error.code}")


if __name__ == "__main__":
    main()
