"""Plays cases at a gateway, all at once, in real time or in virtual: the clock and the way to ask are given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.clock import Clock
from tests.sixteen.cases import CASES, MODEL, REFERENCE, Case
from tests.sixteen.story import Asked, Outcome, Story

__all__ = ["PROMPT", "Part", "Scene", "configuration", "parts_of", "play_all"]

PROMPT = "Why do rivers bend?"
MAX_TOKENS = 200
_OTHER = {"openai": "anthropic", "anthropic": "openai"}


@dataclass(frozen=True)
class Part:
    """A case in one of the forms in which it is played.

    Attributes:
        dialect: of the caller: `openai` or `anthropic`.
        crossed: both providers speak the other one.
    """

    case: Case
    dialect: str
    stream: bool
    crossed: bool = False

    @property
    def name(self) -> str:
        """The model that is asked for."""
        way = f"{self.dialect}-crossed" if self.crossed else self.dialect
        return f"{self.case.name}-{way}-{'stream' if self.stream else 'whole'}"

    @property
    def spoken(self) -> str:
        """The dialect of its providers."""
        return _OTHER[self.dialect] if self.crossed else self.dialect

    @property
    def kinds(self) -> dict[str, str]:
        """The names of its two providers, and their kinds."""
        fallback = self.case.fallback_kinds.get(self.spoken, self.spoken)
        return {f"p-{self.name}": self.spoken, f"f-{self.name}": fallback}

    @property
    def providers(self) -> dict[str, str]:
        """The names of its two providers, and their scripts."""
        return {
            f"p-{self.name}": self.case.script("primary", self.spoken),
            f"f-{self.name}": self.case.script("fallback", self.spoken),
        }


def parts_of(cases: Sequence[Case] = CASES, *, crossed: bool = False) -> list[Part]:
    """All forms of the cases, those of the provider in good health first.

    Args:
        crossed: those too in which callers and providers speak differently.
    """
    ways = [(dialect, other) for other in ((False, True) if crossed else (False,)) for dialect in _OTHER]
    return [
        Part(case, dialect, stream, other)
        for case in (REFERENCE, *cases)
        for dialect, other in ways
        for stream in case.streams
    ]


def configuration(parts: Sequence[Part], base_url: Callable[[str], str]) -> dict[str, Any]:
    """What `penstock.yaml` says of them.

    Args:
        base_url: of a provider by its name, without `/v1`.
    """
    kinds = {name: kind for part in parts for name, kind in part.kinds.items()}
    end = {"anthropic": ""}
    return {
        "auth": "open",
        "providers": {
            name: {"kind": kind, "base_url": base_url(name) + end.get(kind, "/v1"), "api_key": "none"}
            for name, kind in kinds.items()
        },
        "defaults": {
            "retry": {"max_attempts": 3},
            "timeouts": {"first_token": "12s", "idle": "12s"},
            "on_stream_cut": "resume",
        },
        "models": {
            part.name: {
                "targets": [f"p-{part.name}/{MODEL}", f"f-{part.name}/{part.case.fallback_model}"],
                **part.case.policies,
            }
            for part in parts
        },
    }


class Scene:
    """A gateway, the providers of some parts, and a way to ask.

    Attributes:
        clock: of whoever asks; the providers' times are on it too.
    """

    clock: Clock

    async def ask(self, part: Part) -> Outcome:
        """Send the part's request and take its answer; `began` is monotonic."""
        raise NotImplementedError

    async def seen(self) -> Mapping[str, Sequence[Asked]]:
        """What each provider has seen, by monotonic time."""
        raise NotImplementedError


async def play_all(scene: Scene, parts: Sequence[Part], apart: float = 0.0) -> dict[Part, Story]:
    """Every part at once; what came of each.

    Args:
        apart: seconds between their beginnings, so that clients on one core do not wait for each other; those that
            take longest begin first.
    """
    began = scene.clock.monotonic()
    order = sorted(parts, key=lambda part: -part.case.asks)
    turns = {part: apart * number for number, part in enumerate(order)}
    played = await asyncio.gather(*(_play(scene, part, turns[part]) for part in parts))
    seen = await scene.seen()
    stories: dict[Part, Story] = {}
    references: dict[tuple[str, bool], str] = {}
    for part, outcomes in zip(parts, played, strict=True):
        if part.case is REFERENCE:
            references.setdefault((part.dialect, part.crossed), outcomes[0].text)
        for outcome in outcomes:
            outcome.began -= began
        primary, fallback = (tuple(_since(seen[name], began)) for name in part.providers)
        stories[part] = Story(references[part.dialect, part.crossed], outcomes, list(primary), list(fallback))
    return stories


async def _play(scene: Scene, part: Part, wait: float) -> list[Outcome]:
    case = part.case
    outcomes: list[Outcome] = []
    clock = scene.clock
    await clock.sleep(wait)
    due = clock.monotonic()
    while len(outcomes) < case.asks and not (outcomes and case.until(Story("", outcomes, [], []))):
        outcomes.append(await scene.ask(part))
        due += case.pace
        await clock.sleep(max(0.0, due - clock.monotonic()))
    return outcomes


def _since(seen: Sequence[Asked], began: float) -> Iterator[Asked]:
    for one in sorted(seen, key=lambda asked: asked.time):
        yield Asked(one.time - began, one.outcome, one.stream)
