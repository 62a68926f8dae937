"""A first look: start the gateway on free ports, make four calls, stream an answer, say what it took, stop.

Needs no key and no network: the answers come from the simulated provider. Run it with `make demo`.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


class Gateway:
    """`penstock serve` as a process of its own, as anybody would run it."""

    def __init__(self, folder: str) -> None:
        self.log = Path(folder, "requests.log")
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "serve", "--port", "0", "--admin-port", "0"],
            cwd=folder,
            stdout=self.log.open("wb"),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = self._read_port()
        self.took = time.perf_counter() - started

    def _read_port(self) -> int:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found = re.search(r"gateway\s+http://[^:]+:(\d+)/v1", line)
            if found:
                return int(found[1])
        raise SystemExit("the gateway did not start")

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = json.dumps(body) if body is not None else None
        connection.request(method, path, data, {"content-type": "application/json"})
        return connection.getresponse()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def title(text: str) -> None:
    print(f"\n{BOLD}{text}{PLAIN}")


def took(response: http.client.HTTPResponse) -> str:
    overhead = response.headers["x-penstock-overhead-us"]
    return f"{DIM}HTTP {response.status} from {response.headers['x-penstock-target']}, {overhead} us in Penstock{PLAIN}"


def ask(text: str, model: str = "sim/small", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def pieces(response: http.client.HTTPResponse) -> Iterator[str]:
    for line in response:
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                yield choice["delta"].get("content") or ""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(folder)
        print(f"{BOLD}penstock serve{PLAIN} is up on 127.0.0.1:{gateway.port} after {gateway.took:.2f} s")
        try:
            show(gateway)
        finally:
            code = gateway.stop()
        title("5. What it took: one log line per request")
        for line in gateway.log.read_text().splitlines():
            print(f"  {summary(json.loads(line))}")
        print(f"\nThe gateway drained and ended with exit code {code}. Your turn: {BOLD}penstock serve{PLAIN}")


def show(gateway: Gateway) -> None:
    title("1. A chat completion, as any OpenAI client would ask for it")
    response = gateway.call("POST", "/v1/chat/completions", ask("Why is the sky blue?"))
    answer = json.load(response)
    print(f"  {answer['choices'][0]['message']['content']}")
    print(f"  {took(response)}, {answer['usage']['total_tokens']} tokens")

    title("2. The same, streamed, with a token every 30 ms")
    slowly = ask("Tell me a story", "sim/large:between=30ms", stream=True)
    response = gateway.call("POST", "/v1/chat/completions", slowly)
    print("  ", end="")
    for piece in pieces(response):
        print(piece, end="", flush=True)
    print(f"\n  {took(response)}")

    title("3. Embeddings")
    response = gateway.call("POST", "/v1/embeddings", {"model": "sim/embed", "input": ["a river", "a stream"]})
    vectors = [item["embedding"] for item in json.load(response)["data"]]
    alike = sum(a * b for a, b in zip(*vectors, strict=True))
    print(f"  {len(vectors)} vectors of {len(vectors[0])} numbers, cosine {alike:.3f}")
    print(f"  {took(response)}")

    title("4. A typo, and an error that says what to do")
    response = gateway.call("POST", "/v1/chat/completions", ask("Hello", "smal"))
    error = json.load(response)["error"]
    print(f"  HTTP {response.status} {error['code']}: {error['message']}")


def summary(line: dict[str, Any]) -> str:
    tokens = line.get("tokens", {})
    used = f"{tokens['input']} + {tokens['output']} tokens" if tokens else "no tokens"
    first = f", first output after {line['first_output_ms']} ms" if line["stream"] else ""
    return f"{line['status']} {line['operation']:<10} {line['model']:<24} {used:<18} {line['ms']} ms{first}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        # The gateway has been stopped on the way here.
        print("\nstopped")
        raise SystemExit(130) from None
