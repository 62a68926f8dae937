"""Where a provider is asked: what a user wrote as `base_url`, completed by what its catalogue row says. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from penstock.providers.catalogue import Row

__all__ = ["MODEL", "complete"]

MODEL = "{model}"
"""In a base URL: the model asked for."""

# A path that names a version of the API is whole: `/v1`, `/v1-openai`.
_VERSION = re.compile(r"/v[0-9][^/]*\Z")


def complete(written: str, row: Row, api_version: str = "") -> str:
    """The base URL with the row's own end; `written` has no slash at its end.

    Raises:
        ValueError: with a sentence that says what to write instead.
    """
    if not row.url_form:
        return written if written.endswith(row.version_path) else written + row.version_path
    if written == row.url_form:
        raise ValueError(f"base_url still is the example: write your own in place of {row.url_form}")
    versioned = row.versioned if api_version else None
    path, end = urlsplit(written).path, versioned.path if versioned is not None else row.version_path
    if versioned is not None and MODEL in end:
        if _VERSION.search(path):
            raise ValueError(f"base_url ends with {path}, which takes no api_version: leave one of them out")
    elif _VERSION.search(path):
        return written
    if row.versioned is not None and MODEL in row.versioned.path and "/deployments/" in path and MODEL not in path:
        raise ValueError("base_url names a deployment: leave its path out; the model asked for is the deployment")
    return written + end.removeprefix(_overlap(path, end))


def _overlap(path: str, end: str) -> str:
    """The longest beginning of `end`, in whole segments, that `path` ends with."""
    segments = end.split("/")
    beginnings = ("/".join(segments[:count]) for count in range(len(segments), 1, -1))
    return next((beginning for beginning in beginnings if path.endswith(beginning)), "")
