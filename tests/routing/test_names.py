"""From names to targets, and who may ask for which."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UnknownModel
from penstock.routing.names import AllowList, Found, Names, Target
from penstock.routing.nearest import did_you_mean, nearest, quoted

ROUTES = {
    "fast": [Target("openai", "gpt-5-mini")],
    "deep": [Target("local", "meta/llama-3")],
    "twin-a": [Target("openai", "shared")],
    "twin-b": [Target("local", "shared")],
    "dead": [Target("gone", "claude")],
    "openai/gpt-4": [Target("local", "instead")],
}
PROVIDERS = {"openai": (), "local": (), "sim": ("small", "large", "embed")}
NAMES = Names(ROUTES, PROVIDERS, "fast", {"gone": "GONE_KEY is not set"})


@pytest.mark.parametrize(
    ("name", "route", "deployment"),
    [
        ("fast", "fast", "openai/gpt-5-mini"),
        ("deep", "deep", "local/meta/llama-3"),
        # A name under `models:` comes first, even one that looks like provider/model.
        ("openai/gpt-4", "openai/gpt-4", "local/instead"),
        # provider/model splits at the first slash; a model nobody declared is the provider's to judge.
        ("openai/gpt-5-mini", "", "openai/gpt-5-mini"),
        ("openai/never/heard", "", "openai/never/heard"),
        ("local/meta/llama-3", "", "local/meta/llama-3"),
        ("sim/small", "", "sim/small"),
        ("sim/status-500", "", "sim/status-500"),
        # Bare vendor names that one provider has.
        ("gpt-5-mini", "", "openai/gpt-5-mini"),
        ("meta/llama-3", "", "local/meta/llama-3"),
        ("embed", "", "sim/embed"),
    ],
)
def test_found(name: str, route: str, deployment: str) -> None:
    found = NAMES.find(name)
    assert (found.name, found.route, found.deployment) == (name, route, deployment)
    assert f"{found.provider}/{found.model}" == deployment


def test_no_name_is_the_default_model() -> None:
    assert NAMES.find("") == NAMES.find("fast")
    assert Names({}, {"openai": ()}, "openai/gpt-5").find("").deployment == "openai/gpt-5"


def test_bare_name_does_not_hide_a_provider() -> None:
    names = Names({"a": [Target("local", "openai/x")]}, {"local": (), "openai": ()})
    assert names.find("openai/x").provider == "openai"


LISTED = (
    "ask for one of: fast, deep, twin-a, twin-b, openai/gpt-4, openai/gpt-5-mini, local/meta/llama-3, openai/shared,"
    " local/shared, local/instead, sim/small, sim/large, sim/embed; or provider/model, provider being one of: local,"
    " openai, sim"
)


@pytest.mark.parametrize(
    ("name", "message", "do"),
    [
        ("fsat", 'unknown model "fsat" (did you mean "fast"?)', LISTED),
        ("FAST", 'unknown model "FAST" (did you mean "fast"?)', LISTED),
        ("qqqqqq", 'unknown model "qqqqqq"', LISTED),
        ("opnai/xyzzy-9", 'unknown model "opnai/xyzzy-9"', LISTED),
        ("\x1b[2J\n", 'unknown model "?[2J?"', LISTED),
        ("/", 'unknown model "/"', LISTED),
        ("dead", 'model "dead" is switched off: GONE_KEY is not set', LISTED),
        ("gone/claude", 'model "gone/claude" is switched off: GONE_KEY is not set', LISTED),
        ("claude", 'unknown model "claude"', LISTED),
        (
            "shared",
            'model "shared" is ambiguous: more than one provider has it',
            "ask for openai/shared or local/shared",
        ),
    ],
)
def test_unknown(name: str, message: str, do: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        NAMES.find(name)
    assert (str(caught.value), caught.value.do) == (message, do)


def test_a_provider_without_a_model_is_unknown() -> None:
    with pytest.raises(UnknownModel, match=r'^unknown model "sim/"'):
        NAMES.find("sim/")


def test_no_name_and_no_default() -> None:
    with pytest.raises(UnknownModel) as caught:
        Names({}, {"openai": ()}).find("")
    assert str(caught.value) == "no model was named, and there is no default_model"
    assert caught.value.do == "ask for provider/model, provider being one of: openai"


def test_a_default_model_that_is_switched_off() -> None:
    with pytest.raises(UnknownModel, match=r'^model "dead" is switched off: GONE_KEY is not set$'):
        Names(ROUTES, PROVIDERS, "dead", {"gone": "GONE_KEY is not set"}).find("")


def test_an_error_names_only_what_the_caller_may_ask_for() -> None:
    with pytest.raises(UnknownModel) as caught:
        NAMES.find("fsat", AllowList(["deep", "sim/*"]).admits)
    assert str(caught.value) == 'unknown model "fsat"'
    assert caught.value.do == (
        "ask for one of: deep, sim/small, sim/large, sim/embed; or provider/model, provider being one of: sim"
    )
    with pytest.raises(UnknownModel) as caught:
        NAMES.find("shared", AllowList(["openai/*"]).admits)
    assert "local" not in str(caught.value) + caught.value.do


def test_listed() -> None:
    assert [found.name for found in NAMES.listed(AllowList(None).admits)] == [
        "fast",
        "deep",
        "twin-a",
        "twin-b",
        "openai/gpt-4",
    ]
    assert [found.name for found in Names({}, {"sim": ("a", "b")}).listed()] == ["sim/a", "sim/b"]
    assert "dead" in NAMES.routes


def test_names_without_end_are_refused_and_nothing_is_kept() -> None:
    before = sys.getsizeof(NAMES._known)
    for length in (257, 100_000):
        with pytest.raises(UnknownModel) as caught:
            NAMES.find("openai/" + "x" * length)
        assert len(str(caught.value)) < 400
    for number in range(1000):
        NAMES.find(f"openai/m{number}")
    assert sys.getsizeof(NAMES._known) == before


def test_a_long_list_is_cut() -> None:
    names = Names({f"m{number}": [Target("p", "m")] for number in range(1000)}, {})
    with pytest.raises(UnknownModel) as caught:
        names.find("other")
    assert caught.value.do.startswith("ask for one of: m0, m1, m2,")
    assert caught.value.do.endswith(", m19 and 981 more")


@pytest.mark.parametrize(
    ("patterns", "admitted", "refused"),
    [
        # Without patterns: every name under `models:` and no other.
        (None, ["fast", "deep", "openai/gpt-4", ""], ["openai/gpt-5-mini", "gpt-5-mini", "sim/small"]),
        (["fast"], ["fast", ""], ["deep", "openai/gpt-5-mini", "gpt-5-mini"]),
        # A pattern matches the name asked for, or where it leads.
        (["openai/*"], ["openai/x", "fast", "gpt-5-mini", "openai/gpt-4"], ["deep", "sim/small"]),
        (["openai/gpt-5-mini"], ["fast", "gpt-5-mini", "openai/gpt-5-mini"], ["openai/gpt-5", "deep"]),
        (["*"], ["fast", "sim/small", "openai/anything/at.all"], []),
        (["deep", "sim/*l*"], ["deep", "sim/small", "large"], ["embed", "fast"]),
        # Nothing but the star is special.
        (["openai/gpt-5.mini", "s?m/*", "[a-z]*"], [], ["fast", "sim/small"]),
        (["*5*mi*i", "*/s*l*l"], ["fast", "sim/small"], ["deep", "embed", "local/mini"]),
        (["*mini"], ["fast", "openai/my-mini"], ["openai/mini-my"]),
    ],
)
def test_allow_lists(patterns: list[str] | None, admitted: list[str], refused: list[str]) -> None:
    allow = AllowList(patterns)
    assert [name for name in admitted + refused if allow.admits(NAMES.find(name))] == admitted


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_patterns_match_as_fnmatch_does(pattern: str, name: str) -> None:
    found = Found(name, "", "", "", name)
    assert AllowList([pattern]).admits(found) == fnmatchcase(name, pattern)


def test_many_stars_are_no_trap() -> None:
    # With a backtracking match this would not end within anybody's life.
    found = Found("a" * 256, "", "p", "a" * 250, "p/" + "a" * 250)
    assert not AllowList(["*" * 100 + "a*" * 50 + "b"]).admits(found)


def test_nearest() -> None:
    assert nearest("Gpt5-mini", ["gpt-5-mini", "claude"]) == ["gpt-5-mini"]
    assert did_you_mean("zzz", ["a", "b"]) == ""
    assert did_you_mean("list", ["lists", "listen"]) == ' (did you mean "lists" or "listen"?)'
    assert len(quoted("x" * 1000)) == 82


# --- several targets

SEVERAL = Names(
    {
        "mixed": [Target("gone", "x"), Target("openai", "a"), Target("lost", "y"), Target("local", "b")],
        "dead": [Target("gone", "x"), Target("lost", "y"), Target("gone", "z")],
    },
    {"openai": (), "local": ()},
    off={"gone": "GONE_KEY is not set", "lost": "LOST_KEY is not set"},
)


def test_a_name_leads_to_the_first_target_that_is_on() -> None:
    found = SEVERAL.find("mixed")
    assert (found.provider, found.model, found.deployment, found.others) == ("openai", "a", "openai/a", ("local/b",))


def test_every_target_that_is_on_can_be_asked_for_by_itself() -> None:
    assert [found.name for found in SEVERAL.listed()] == ["mixed", "openai/a", "local/b"]
    assert SEVERAL.find("b").deployment == "local/b"
    with pytest.raises(UnknownModel):
        SEVERAL.find("gone/x")


def test_a_name_whose_targets_are_all_off_is_switched_off() -> None:
    with pytest.raises(UnknownModel) as caught:
        SEVERAL.find("dead")
    # Each reason once.
    assert caught.value.message == 'model "dead" is switched off: GONE_KEY is not set; LOST_KEY is not set'


@pytest.mark.parametrize(
    ("patterns", "admitted"),
    [
        (["mixed"], True),
        (["openai/*"], True),
        (["local/b"], True),
        (["local/*"], True),
        (["gone/*"], False),
        (["other"], False),
        (None, True),
        (["*"], True),
    ],
)
def test_a_key_may_ask_for_a_name_of_which_it_may_use_a_part(patterns: list[str] | None, admitted: bool) -> None:
    assert AllowList(patterns).admits(SEVERAL.find("mixed")) is admitted
