"""An application that uses Anthropic's client, on any model the gateway has. Needs `pip install anthropic`."""

from __future__ import annotations

import anthropic

from served import served


def main() -> None:
    # Without `/v1`: Anthropic's client adds it itself.
    with served() as url, anthropic.Anthropic(base_url=url, api_key="unused") as client:
        message = client.messages.create(
            model="sim/small",
            max_tokens=200,
            system="You keep a mill.",
            messages=[{"role": "user", "content": "How is the water today?"}],
        )
        print("".join(block.text for block in message.content if block.type == "text"))
        print(f"{message.stop_reason}, {message.usage.input_tokens} + {message.usage.output_tokens} tokens")

        with client.messages.stream(
            model="sim/large",
            max_tokens=200,
            messages=[{"role": "user", "content": "And tomorrow?"}],
        ) as stream:
            for text in stream.text_stream:
                print(text, end="", flush=True)
        print()

        count = client.messages.count_tokens(model="sim/small", messages=[{"role": "user", "content": "How long?"}])
        print(f"{count.input_tokens} tokens, counted before they are paid for")


if __name__ == "__main__":
    main()
