"""Some hundred made-up inputs for what reads a stranger's bytes. `make soak` goes on to millions."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.fuzzed import CORPUS, TARGETS, torn, within_reason

PIECE = st.binary(max_size=8) | st.sampled_from(
    [b"\r\n", b"\n\n", b"\r", b"\0", b'"', b"\\ud800", b"[[", b"0\r\n\r\n", b":"]
)
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 12), PIECE)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """One of the corpus with a few bytes taken out, put in or doubled."""
    data = draw(st.sampled_from(CORPUS[name]))
    for place, removed, put in draw(st.lists(EDIT, max_size=4)):
        at = int(place * len(data))
        data = data[:at] + put + data[at + removed :]
    return data


@given(st.data(), st.sampled_from(sorted(TARGETS)))
@settings(max_examples=600, deadline=None)
def test_any_bytes(data: st.DataObject, name: str) -> None:
    within_reason(TARGETS[name], data.draw(damaged(name) | st.binary(max_size=200)))


@given(st.binary(max_size=500))
def test_torn_is_all_of_it(data: bytes) -> None:
    assert b"".join(torn(data)) == data
