"""The version, in one place; `pyproject.toml` names the same and a house test holds them together."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
