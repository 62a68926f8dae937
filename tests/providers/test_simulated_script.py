"""The language of fault scripts: what it reads, what it refuses, and which script wins."""

from __future__ import annotations

import pytest

from penstock.providers.simulated.script import KEYS, Script, ScriptError, parse_script, split_model
from tests.providers.sim import ask, ask_all, body_of, request


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {}),
        (" ; , ", {}),
        ("status=503,retry_after=2", {"status": 503, "retry_after": "2"}),
        ("status = 503 ; retry_after = 250ms", {"status": 503, "retry_after": "250ms"}),
        ("silence", {"silence": True}),
        ("silence=0", {"silence": False}),
        ("first_token=250ms,between=2m,head=1.5s", {"first_token": 0.25, "between": 120.0, "head": 1.5}),
        ("between=3", {"between": 3.0}),
        ("split=random", {"split": -1}),
        ("split=7", {"split": 7}),
        ("cut=0", {"cut": 0}),
        ("p=0.25,times=3", {"p": 0.25, "times": 3}),
        ("stall=3,stall_for=30s,during=1m", {"stall": 3, "stall_for": 30.0, "during": 60.0}),
        ("content_type=text/plain", {"content_type": "text/plain"}),
    ],
)
def test_what_is_read(text: str, settings: dict[str, object]) -> None:
    assert parse_script(text) == settings
    Script(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bogus=1", "Unknown key 'bogus'"),
        ("status=503,status=504", "twice"),
        ("status=99", "from 300 to 599"),
        ("status=200", "from 300 to 599"),
        ("status=abc", "'status'"),
        ("first_token=fast", "a duration"),
        ("first_token=-1s", "a duration"),
        ("tail=2", "from 0 to 1"),
        ("p=nan", "from 0 to 1"),
        ("split=0", "random or"),
        ("usage=some", "none, wrong"),
        ("reset=later", "before_headers, after_headers"),
        ("silence=yes", "1 or 0"),
        ("content_type=a\r\nb", "a media type"),
        ("code=A B", "a word"),
        ("tokens=0", "from 1 to 100000"),
        ("cut=¹", "'cut'"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(ScriptError, match=told):
        parse_script(text)


def test_every_field_of_a_script_has_a_key() -> None:
    assert set(KEYS) == set(Script.__struct_fields__)


def test_a_model_name_and_its_script() -> None:
    assert split_model("small:status=503") == ("small", "status=503")
    assert split_model("small") == ("small", "")


def test_a_wrong_script_is_a_400_that_names_the_known_keys() -> None:
    for answer in (ask(body_of("small:bogus=1")), ask(body_of(), "bogus=1")):
        assert answer.status == 400
        assert answer.error["code"] == "invalid_fault_script"
        assert all(key in answer.error["message"] for key in KEYS)


def test_the_model_name_scripts_and_the_header_wins() -> None:
    by_model = ask(body_of("small:status=503,retry_after=2"))
    assert (by_model.status, by_model.headers[b"retry-after"]) == (503, b"2")
    both = ask(body_of("small:status=503,retry_after=2"), "status=429")
    assert (both.status, both.headers[b"retry-after"]) == (429, b"2")
    assert ask(body_of(), script="status=500").status == 500


def test_the_providers_own_script_lies_below_both() -> None:
    plain, scripted = request(body_of()), request(body_of("small:status=404"))
    first, second = ask_all(plain, scripted, script="status=503")
    assert (first.status, second.status) == (503, 404)


def test_times_counts_the_requests_with_that_script() -> None:
    faulty, other = request(body_of("small:status=503,times=2")), request(body_of("small:status=500,times=1"))
    answers = ask_all(faulty, faulty, other, faulty, other)
    assert [answer.status for answer in answers] == [503, 503, 500, 200, 200]


def test_during_counts_from_the_first_request_with_that_script() -> None:
    down = request(body_of("small:status=503,during=10s"))
    answers = ask_all(down, down, down, down, down, patience=4.0)
    assert [answer.status for answer in answers] == [503, 503, 503, 200, 200]


def test_chance_is_drawn_for_each_request_and_comes_from_the_seed() -> None:
    each = [request(body_of(), x_penstock_sim="status=503,p=0.5")] * 40
    statuses = [answer.status for answer in ask_all(*each, seed=1)]
    assert 8 <= statuses.count(503) <= 32
    assert statuses == [answer.status for answer in ask_all(*each, seed=1)]
    assert statuses != [answer.status for answer in ask_all(*each, seed=2)]
    never = [request(body_of(), x_penstock_sim="status=503,p=0")] * 5
    assert {answer.status for answer in ask_all(*never)} == {200}
