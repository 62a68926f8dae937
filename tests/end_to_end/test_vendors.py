"""Every recording is served by its vendor's own row, and the rows' hosts are those that were asked."""

from __future__ import annotations

import os
import re
from collections import Counter
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.vendors import OWN_ADDRESS, vendor_of
from tests.wire.corpus import UNSET, Recording, anthropic_shaped, openai_shaped

if not os.environ.get("PENSTOCK_CORPUS"):
    pytest.skip(UNSET, allow_module_level=True)

# What an account puts into its address.
_PLACE = re.compile(r"\b(NAME|ACCOUNT|REGION)\b")
# Hosts that a row does not name: older ones, other editions, and what recorders put in place of their own.
_OTHERS = {
    "together": {"api.together.xyz"},
    "azure": {"example-resource.services.ai.azure.com"},
    "ollama": {"localhost", "localhost:11434", "ollama.com"},
    "gpustack": {"localhost"},
}


def recordings() -> list[Recording]:
    return [*openai_shaped(), *anthropic_shaped()]


def test_rows_live_where_their_vendors_were_asked() -> None:
    for recording in recordings():
        vendor = vendor_of(recording)
        if vendor.kind != recording.provider and vendor.kind == "openai":
            continue
        host = urlsplit(vendor.row.url or vendor.row.url_form).netloc
        pattern = r"[^.]+".join(map(re.escape, _PLACE.split(host)[::2]))
        known = re.fullmatch(pattern, recording.host) or recording.host in _OTHERS.get(vendor.kind, ())
        assert known, f"{recording.id}: {recording.host}, not {host}"


def test_another_path_than_the_rows_has_its_reason_and_is_rare() -> None:
    own = Counter((vendor.kind, vendor.path) for vendor in map(vendor_of, recordings()) if "." in vendor.name)
    azure = sum(count for (kind, _), count in own.items() if kind == "azure")  # by the version in the name
    assert {key for key in own if key[0] != "azure"} <= set(OWN_ADDRESS)
    assert own.total() - azure <= 0.03 * len(recordings())


def test_each_vendor_of_the_corpus_has_a_row() -> None:
    kinds = {vendor_of(recording).kind for recording in recordings()}
    assert len(kinds) >= (20 if "PENSTOCK_CORPUS_MIN" in os.environ else 1)
