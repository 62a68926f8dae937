"""A configuration as bytes, for a worker of the same version: secrets in clear, so it goes over no socket but an
inherited one, and never into a file, an argument or the environment.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.config.schema import Config
from penstock.redact import Secret

__all__ = ["decode_config", "encode_config"]


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return [value.reveal(), value.source]
    raise NotImplementedError(f"a configuration holds a {type(value).__name__}, which cannot be sent")


def _made(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(*value)
    raise NotImplementedError(f"a configuration holds a {kind.__name__}, which cannot be received")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoder = msgspec.msgpack.Decoder(Config, dec_hook=_made)


def encode_config(config: Config) -> bytes:
    """The whole of it, secrets revealed, but for the encryption key, which is the supervisor's alone."""
    return _encoder.encode(msgspec.structs.replace(config, encryption_key=None))


def decode_config(data: bytes) -> Config:
    """What `encode_config` was given; equal to it but for the encryption key.

    Raises:
        msgspec.DecodeError: it is nothing of the kind.
    """
    return _decoder.decode(data)
