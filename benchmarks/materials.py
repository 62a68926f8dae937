"""What the benchmark is made of: the two C programs, a certificate of our own, request bodies."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import msgspec

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
KEY = "sk-bench-0123456789abcdef0123456789abcdef"

_SENTENCE = 'The gate opens; "slowly", says the keeper,\nand the water\u2019s weight turns the wheel below. '


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a caller speaks: where it asks, and what the last event of a good stream holds."""

    name: str
    path: str
    end: str


OPENAI = Dialect("openai", "/v1/chat/completions", "data: [DONE]\n\n")
ANTHROPIC = Dialect("anthropic", "/v1/messages", 'event: message_stop\ndata: {"type":"message_stop"}\n\n')


class CannotBuild(Exception):
    """A tool that the benchmark needs is missing or has failed; the text says which."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: the upstream's certificate and key, and the authority that signed it."""

    authority: Path
    certificate: Path
    key: Path


def compile_programs() -> bool:
    """Compile what is older than its source into `build/`; False when one could only be built without TLS.

    Raises CannotBuild without a C compiler, or when one fails.
    """
    BUILD.mkdir(exist_ok=True)
    with_tls = True
    for name in ("load", "upstream"):
        try:
            _compile(name, ["-DWITH_TLS", "-lssl", "-lcrypto"])
        except CannotBuild:
            _compile(name, [])
            with_tls = False
    return with_tls


def _compile(name: str, options: list[str]) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise CannotBuild("the benchmark needs a C compiler (Debian: apt-get install gcc libc6-dev libssl-dev)")
    source, target, made_with = HERE / f"{name}.c", BUILD / name, BUILD / f"{name}.options"
    wanted = f"{source.stat().st_mtime_ns} {options}"
    if target.exists() and made_with.exists() and made_with.read_text() == wanted:
        return
    command = [compiler, "-O2", "-Wall", "-Wextra", str(source), "-o", str(target), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise CannotBuild(f"{' '.join(command)}\n{done.stderr}")
    made_with.write_text(wanted)


def make_certificate(folder: Path) -> Certificate | None:
    """An authority and a certificate for 127.0.0.1 and localhost, good for two days; None without `openssl`."""
    if shutil.which("openssl") is None:
        return None
    authority, certificate = folder / "authority.pem", folder / "certificate.pem"
    authority_key, key = folder / "authority.key", folder / "certificate.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    _openssl("req", "-x509", *curve, "-subj", "/CN=Penstock benchmark authority", "-keyout", authority_key,
             "-out", authority, "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    _openssl("req", "-x509", *curve, "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate,
             "-CA", authority, "-CAkey", authority_key, "-addext", "basicConstraints=critical,CA:FALSE",
             "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")  # fmt: skip
    return Certificate(authority, certificate, key)


def _openssl(*arguments: str | Path) -> None:
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise CannotBuild(f"{' '.join(command)}\n{done.stderr}")


def write_body(folder: Path, model: str, *, size: int, stream: bool, dialect: Dialect = OPENAI) -> Path:
    """A request of about `size` bytes for `model`, its fields in the order of the vendor's SDK."""
    text = (_SENTENCE * (size // len(_SENTENCE) + 1))[: max(1, size - 330)]
    fields = _anthropic(model, text, stream=stream) if dialect is ANTHROPIC else _openai(model, text, stream=stream)
    path = folder / f"{dialect.name}-{model}-{size}.json"
    path.write_bytes(msgspec.json.encode(fields))
    return path


_SYSTEM = "You keep the gate. Answer in one paragraph and in plain words."


def _openai(model: str, text: str, *, stream: bool) -> dict[str, object]:
    fields: dict[str, object] = {
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": text}],
        "model": model,
        "max_completion_tokens": 400,
        "temperature": 0.2,
    }
    return fields | {"stream": True, "stream_options": {"include_usage": True}} if stream else fields


def _anthropic(model: str, text: str, *, stream: bool) -> dict[str, object]:
    fields: dict[str, object] = {
        "max_tokens": 400,
        "messages": [{"role": "user", "content": text}],
        "model": model,
        "system": _SYSTEM,
        "temperature": 0.2,
    }
    return fields | {"stream": True} if stream else fields
