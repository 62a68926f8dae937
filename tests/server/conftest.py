"""Every scene is played twice: on our own HTTP server, and as an ASGI application under uvicorn.

Uvicorn is the second opinion on everything but raw HTTP; what is about the socket itself is named here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.behind_uvicorn import BehindUvicorn
from tests.stage import PLANE

# What uvicorn does in its own way, and why that is not ours to test.
OURS = {
    "test_what_is_not_http_is_refused_and_closed": "its own 400, in plain text",
    "test_a_connection_that_says_too_little_is_closed": "it has no deadline for a head; a body has the absolute one",
    "test_a_caller_that_never_takes_the_last_word_has_not_had_its_answer": "what it took counts as sent",
    "test_drain_refuses_the_new_and_finishes_the_open": "it stops listening first",
    "test_drain_lets_what_was_written_leave": "its own buffers",
    "test_who_reads_slowly_holds_the_rest_back": "its own buffers",
    "test_drain_ends_what_takes_too_long_and_says_so": "its own timeout_graceful_shutdown",
    "test_a_drain_without_patience_cuts": "likewise",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in (
        "test_edge",
        "test_last_word",
        "test_translation",
        "test_waiting",
        "test_resume",
    ):
        ways = ["ours"] if metafunc.function.__name__ in OURS else ["ours", "uvicorn"]
        metafunc.parametrize("http", ways, indirect=True)


@pytest.fixture(autouse=True)
def http(request: pytest.FixtureRequest) -> Iterator[str]:
    way: str = getattr(request, "param", "ours")
    before = PLANE.set(BehindUvicorn) if way == "uvicorn" else None
    yield way
    if before is not None:
        PLANE.reset(before)
