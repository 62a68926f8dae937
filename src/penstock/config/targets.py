"""What a configuration says of single targets: which model one really is, and where it may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.config.reader import Reader
from penstock.config.schema import Provider
from penstock.config.tree import Node
from penstock.providers.catalogue import Row
from penstock.routing.names import Target
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["check_regions", "read_identities", "read_regions"]


def read_regions(reader: Reader, node: Node | None) -> tuple[str, ...]:
    """`regions:` of a model; empty: anywhere."""
    if node is None:
        return ()
    if node.value is None or node.value == []:
        reader.problems.add(node.place, "an empty list allows no region: leave regions out to allow every one")
    return tuple(dict.fromkeys(name for name in map(reader.label, reader.items(node)) if name))


def check_regions(
    reader: Reader, item: Node, target: Target, regions: tuple[str, ...], providers: Mapping[str, Provider]
) -> None:
    """Refuse a target that is elsewhere than in `regions`, or nobody says where."""
    region = providers[target.provider].region
    if not regions or region in regions:
        return
    allowed = f"and this model may use {' or '.join(map(quoted, regions))}"
    if region is None:
        message = f"the provider {quoted(target.provider)} has no region, {allowed}"
        reader.problems.add(item.place, f"{message}: write providers: {target.provider}: {{region: {regions[0]}}}")
    else:
        near = did_you_mean(region, regions)
        reader.problems.add(item.place, f"{quoted(target.provider)} is in {quoted(region)}, {allowed}{near}")


def read_identities(reader: Reader, models: Node | None, catalogue: Mapping[str, Row]) -> dict[str, str]:
    """Every `is:` under `models:`: `provider/model` of a deployment to `kind/model` that it is."""
    found: dict[str, tuple[str, Node]] = {}
    for target, node in _written(models):
        said = reader.label(node)
        kind, slash, model = said.partition("/")
        if not said:
            continue
        if not slash or not kind or not model:
            reader.problems.add(node.place, f"{quoted(said)} is not kind/model: write is: openai/gpt-5")
            continue
        if kind not in catalogue:
            near = did_you_mean(kind, catalogue)
            reader.problems.add(node.place, f"no kind of provider is named {quoted(kind)}{near}")
            continue
        known, first = found.setdefault(target, (said, node))
        if known != said:
            message = f"{target} cannot be {said}: on line {first.place.line} it is {known}"
            reader.problems.add(node.place, message)
    return {target: said for target, (said, _) in found.items()}


def _written(models: Node | None) -> Iterator[tuple[str, Node]]:
    # Forms that are wrong have been told by who reads the models.
    entries = models.value if models is not None and isinstance(models.value, dict) else {}
    for entry in entries.values():
        targets = entry.value.get("targets") if isinstance(entry.value, dict) else None
        for item in targets.value if targets is not None and isinstance(targets.value, list) else ():
            fields = item.value if isinstance(item.value, dict) else {}
            if "is" in fields and "target" in fields:
                yield str(fields["target"].value), fields["is"]
