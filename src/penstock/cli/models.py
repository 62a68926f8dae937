"""`penstock models`: what models there are, what they can do and what they cost, from the table and a configuration."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from penstock.cli.model_list import Found
    from penstock.config.pricing import Pricing

__all__ = ["command"]

_ALIKE = 0.75  # how much a misspelt name must be

# In the words of the table (providers/models.py), which loads too slowly for `--help`.
ABILITIES = {
    "tools": "That call tools.",
    "parallel_tools": "That call several tools at once.",
    "json_schema": "That can be bound to a JSON schema.",
    "vision": "That see images.",
    "audio": "That hear.",
    "video": "That see films.",
    "documents": "That read documents.",
    "thinking": "That think before they answer.",
    "prefill": "That go on from an answer's beginning.",
    "prompt_caching": "That cache prompts.",
}
# More than a screen is only listed when asked for; a pipe gets all.
SCREEN = 40


def _abilities(command: Callable[..., None]) -> Callable[..., None]:
    for name, what in reversed(ABILITIES.items()):
        command = click.option(f"--{name.replace('_', '-')}", is_flag=True, help=what)(command)
    return command


@click.command(short_help="Search models by capability and price.")
@click.argument("text", nargs=-1)
@click.option("--provider", metavar="NAME", help="Of one provider alone, such as openai.")
@_abilities
@click.option("--context", metavar="N", help="With a window of at least so many tokens: 200k, 1M.")
@click.option("--max-input-price", metavar="USD", help="At most so many dollars per million tokens of input.")
@click.option("--max-output-price", metavar="USD", help="The same for output.")
@click.option("--embeddings", is_flag=True, help="Models that make embeddings, instead of those that talk.")
@click.option("--sort", type=click.Choice(["name", "price", "context"]), default="name", help="In which order.")
@click.option("--all", "every", is_flag=True, help="However many there are, and those switched off by now.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array, one object a line, with every price.")
@click.option("--config", "path", metavar="FILE", help="Of the providers of a configuration, at its prices.")
def command(text: tuple[str, ...], **options: Any) -> None:
    """Search the models that Penstock knows, by name, capability and price.

    TEXT is part of a name; with several, all must be in it. Prices are dollars per million tokens as they stand now;
    docs/prices.md says where they are from. What is not listed can be asked all the same, at an unknown cost.
    """
    from penstock.cli.model_list import as_json, by, card, listing

    found = sorted(_found([part.lower() for part in text], options), key=by(options["sort"]))
    if options["as_json"]:
        click.echo(as_json(found))
        return
    if not found:
        meant = _meant("".join(text), options)
        raise click.ClickException(f"No model that is known is like that{meant}; ask for less, or without --provider.")
    terminal = sys.stdout.isatty()
    if len(found) == 1:
        click.echo(card(found[0], terminal=terminal))
        return
    shown = found[:SCREEN] if terminal and not options["every"] else found
    click.echo(listing(shown, terminal=terminal, plain=bool(os.environ.get("NO_COLOR"))))
    if len(shown) < len(found):
        click.echo(f"{len(found) - len(shown)} more: name a part of what you look for, or --all", err=True)


def _found(parts: list[str], options: dict[str, Any]) -> Iterator[Found]:
    """Those that are as wanted."""
    from penstock.cli.model_list import Found
    from penstock.clock import SystemClock
    from penstock.config import values
    from penstock.config.prices import per_million
    from penstock.providers.catalogue import load_catalogue
    from penstock.providers.facts import abilities_of
    from penstock.providers.models import models_of

    least = _read(options["context"], values.count, "--context")
    dearest = {
        unit: _read(options[f"max_{unit}_price"], per_million, f"--max-{unit}-price") for unit in ("input", "output")
    }
    wanted = [name for name in ABILITIES if options[name]]
    mode = "embeddings" if options["embeddings"] else "chat"
    wall = SystemClock().wall()
    for provider, kind, pricing in _providers(options):
        row = load_catalogue().get(kind)
        for model in models_of(kind):
            price = pricing.of(provider, model.id)
            can = abilities_of(kind, model.id)
            found = Found(provider, model, can, price, price.rates(wall) if price is not None else None)
            if (
                all(part in found.name for part in parts)
                and (row is None or row.sells(model.id))
                and model.kind == mode
                and all(can.get(name) for name in wanted)
                and (least is None or (model.context or 0) >= least)
                and all(found.costs_at_most(unit, most) for unit, most in dearest.items() if most is not None)
                and (options["every"] or found.lives(wall))
            ):
                yield found


def _meant(word: str, options: dict[str, Any]) -> str:
    """` (did you mean "openai/gpt-5"?)`: names that are the same but for what is no letter and no digit; else like."""
    from penstock.routing.nearest import did_you_mean

    bare = _bare(word)
    known = [found.name for found in _found([], options)] if bare else []
    names = sorted((name for name in known if bare in _bare(name)), key=len)
    if names:
        return did_you_mean(names[0], names[:3], alike=0)
    if word.isalpha() and (family := _family(word.lower(), known)):
        return family
    if "/" not in word:  # each provider has them
        return _like(word, {name.partition("/")[2]: name for name in reversed(known)})
    return _like(word, dict(zip(known, known, strict=True)))


def _family(word: str, known: list[str]) -> str:
    """Of what several models have in their names the word that was misspelt."""
    from penstock.routing.nearest import did_you_mean

    words = {part for name in known for part in re.split(r"[^a-z]+", name.lower()) if part[:1] == word[:1]}
    return did_you_mean(word, sorted(words, key=lambda each: abs(len(each) - len(word))), alike=_ALIKE)


def _like(word: str, known: dict[str, str]) -> str:
    """The same of misspelt names; by what they are called, those there are."""
    from penstock.routing.nearest import did_you_mean, nearest

    alike = (name for name in known if name[:1].lower() == word[:1].lower())
    found = nearest(word, sorted(alike, key=lambda name: abs(len(name) - len(word))), alike=_ALIKE)
    return did_you_mean(known[found[0]], [known[name] for name in found], alike=0) if found else ""


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _providers(options: dict[str, Any]) -> list[tuple[str, str, Pricing]]:
    """Each provider with its kind in the table: those of a configuration, else every kind that is known."""
    from penstock.config.pricing import Pricing
    from penstock.config.schema import Config, Provider
    from penstock.providers.catalogue import load_catalogue
    from penstock.providers.models import tables
    from penstock.routing.nearest import did_you_mean

    if options["path"] is not None:
        from penstock.cli.settings import find_config

        config, _ = find_config(options["path"], serving=False)
    else:
        config = Config(source="(all)", providers={kind: Provider(name=kind, kind=kind) for kind in tables()})
    pricing = Pricing(config, load_catalogue()) if options["path"] is not None else Pricing.of_vendors(config)
    named = options["provider"]
    if named is not None and named not in config.providers:
        raise click.UsageError(f"No provider is named '{named}'{did_you_mean(named, config.providers)}.")
    chosen = [config.providers[named]] if named is not None else config.providers.values()
    return [(provider.name, provider.kind, pricing) for provider in chosen]


def _read(text: str | None, parse: Callable[[object], int], option: str) -> int | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None
