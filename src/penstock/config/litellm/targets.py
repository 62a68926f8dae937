"""The deployments of one `model_name` as the targets of one model here, and how one of them is chosen.

Those that differ in their key alone are one target with several credentials. LiteLLM shuffles by weight where nothing
else is said, and takes those of the lowest `order` before others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from penstock.config.litellm.deployments import Deployment, part_of, whole_parts
from penstock.config.litellm.providers import Providers, Spec
from penstock.config.litellm.reading import Import, entries
from penstock.config.litellm.written import Model
from penstock.config.yaml_text import flow
from penstock.routing.nearest import quoted

__all__ = ["SHUFFLE", "model_of"]

SHUFFLE = "weighted"


class _Cluster(NamedTuple):
    """What is one target here."""

    name: str
    of: list[Deployment]

    @property
    def order(self) -> int:
        return min(each.order for each in self.of)


def model_of(found: Import, group: list[Deployment], strategy: str, providers: Providers) -> Model:
    """One model.

    Args:
        group: at least one.
        strategy: how one of several is chosen.
    """
    group = sorted(group, key=lambda each: each.order)
    clusters = sorted(_clusters(found, group, providers), key=lambda cluster: cluster.order)
    policies = dict(group[0].policies)
    _tell_differences(found, group)
    weights = {cluster.name: 1 for cluster in clusters}
    first = [cluster for cluster in clusters if cluster.order == clusters[0].order]
    if len(first) > 1 or (strategy != SHUFFLE and len(clusters) > 1):
        policies = {"strategy": strategy, **policies}
        if strategy == SHUFFLE:
            weights = _weights(clusters, first)
    _tell_unused(found, clusters, strategy, shuffled=len(first) > 1 and strategy == SHUFFLE)
    targets = [_written(cluster, weights[cluster.name]) for cluster in clusters]
    return Model(targets, policies, [comment for each in group for comment in each.later])


def _clusters(found: Import, group: list[Deployment], providers: Providers) -> list[_Cluster]:
    alike: dict[object, list[Deployment]] = {}
    for each in group:
        # Whoever wants no key is no credential of a pool.
        alike.setdefault((each.where, each.model, each.key == "none"), []).append(each)
    clusters = []
    for several in alike.values():
        name = providers.name(Spec.of(several))
        keys = len({each.key for each in several})
        if keys > 1:
            message = f"its {keys} keys are the credentials of {name}, chosen by weight"
            found.note(several[0].entry, quoted(several[0].name), message)
        elif len(several) > 1:
            message = "stands there more than once: it is one target here, of so much more weight"
            found.note(several[1].entry, quoted(several[0].name), message)
        clusters.append(_Cluster(f"{name}/{several[0].model}", several))
    return clusters


def _weights(clusters: list[_Cluster], first: list[_Cluster]) -> dict[str, int]:
    """By what the first one says of itself, and what does not say it gets nothing: as LiteLLM shuffles."""
    by = next((name for name in ("weight", "rpm", "tpm") if _part(first[0].of[0], name)), "")
    parts = [[_part(each, by) if by else 1 for each in cluster.of] for cluster in clusters]
    sums = whole_parts(sum(of) if cluster in first else 0 for cluster, of in zip(clusters, parts, strict=True))
    found = {cluster.name: weight for cluster, weight in zip(clusters, sums, strict=True)}
    return dict.fromkeys(found, 1) if len(set(found.values())) == 1 else found


def _part(deployment: Deployment, name: str) -> float:
    return part_of(entries(entries(deployment.entry).get("litellm_params")).get(name))


def _written(cluster: _Cluster, weight: int) -> Any:
    known_as = next((each.known_as for each in cluster.of if each.known_as), "")
    said = {**({"is": known_as} if known_as else {}), **({"weight": weight} if weight != 1 else {})}
    return {"target": cluster.name, **said} if said else cluster.name


def _tell_differences(found: Import, group: list[Deployment]) -> None:
    first = group[0]
    for each in group[1:]:
        if each.policies != first.policies:
            said = flow(each.policies) if each.policies else "nothing"
            message = f"what is said of timeouts and the like holds for all its targets, and here it is {said}"
            found.note(each.entry, quoted(each.name), f"{message}: the first one's hold")
        if (
            each.known_as
            and each.known_as != first.known_as
            and each.model == first.model
            and each.where == first.where
        ):
            found.note(each.entry, quoted(each.name), "base_model: the first one's holds")


def _tell_unused(found: Import, clusters: list[_Cluster], strategy: str, *, shuffled: bool) -> None:
    """Weights and orders that change nothing here."""
    for cluster in clusters:
        pooled = len({each.key for each in cluster.of}) > 1
        for each in cluster.of:
            params = entries(entries(each.entry).get("litellm_params"))
            if "weight" in params and not pooled and not shuffled:
                why = "there is one to begin with" if strategy == SHUFFLE else f"strategy: {strategy} asks for none"
                found.note(params["weight"], "litellm_params.weight", f"{_number(each.weight)} is left out: {why}")
            if "order" in params and (len(clusters) == 1 or strategy != SHUFFLE):
                why = "there is one target" if len(clusters) == 1 else f"strategy: {strategy} chooses among all"
                found.note(params["order"], "litellm_params.order", f"{each.order} is left out: {why}")
            elif "order" in params:
                found.note(params["order"], "litellm_params.order", f"{each.order} is its place among the targets")


def _number(weight: float | None) -> str:
    return "it" if weight is None else f"{weight:.12g}"
