"""Metrics as Prometheus reads them, judged by prometheus-client's own parsers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from penstock.admin.exposition import OPENMETRICS, TEXT, Snapshot, encode
from penstock.metrics import MAX_SERIES, Metrics
from penstock.version import VERSION
from tests.admin.asgi import ask, control_plane

ACCEPTS = {TEXT: "", OPENMETRICS: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}


def samples(families: Iterable[Any]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in families:
        for sample in family.samples:
            series = (sample.name, frozenset(sample.labels.items()))
            assert series not in found, "one series twice: Prometheus drops the whole page"
            found[series] = sample.value
    return found


def read(metrics: Metrics, media: str = TEXT) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    page, found = encode(Snapshot(metrics), ACCEPTS[media])
    assert found == media
    parse: Any = parse_openmetrics if media == OPENMETRICS else parse_text
    return samples(parse(page.decode()))


def value(found: dict[Any, float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


@pytest.mark.parametrize("media", [TEXT, OPENMETRICS])
def test_every_kind(media: str) -> None:
    metrics = Metrics()
    metrics.requests.inc(("chat", "sim/small", "200"), 3)
    metrics.in_flight.set(2)
    for seconds in (0.005, 0.006, 0.3, 1000.0):
        metrics.seconds.observe(("chat", "sim/small"), seconds)
    found = read(metrics, media)
    assert value(found, "penstock_requests_total", operation="chat", deployment="sim/small", status="200") == 3
    assert value(found, "penstock_requests_in_flight") == 2
    where = {"operation": "chat", "deployment": "sim/small"}
    name = "penstock_request_duration_seconds"
    for bound, count in {"0.005": 1, "0.01": 2, "0.25": 2, "0.5": 3, "600.0": 3, "+Inf": 4}.items():
        assert value(found, f"{name}_bucket", **where, le=bound) == count
    assert value(found, f"{name}_count", **where) == 4
    assert value(found, f"{name}_sum", **where) == pytest.approx(1000.311)
    (build,) = [dict(labels) for sample, labels in found if sample == "penstock_build_info"]
    assert build["version"] == VERSION
    assert any(sample == "python_info" for sample, _ in found)
    assert value(found, "process_cpu_seconds_total") > 0


def test_every_metric_is_there_with_its_kind_and_text() -> None:
    metrics = Metrics()
    families = list(parse_text(encode(Snapshot(metrics), "")[0].decode()))
    shown = {family.name: (family.type, family.documentation) for family in families}
    for metric in metrics:
        name = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
        assert shown[name] == (metric.kind, metric.text)


@pytest.mark.parametrize("media", [TEXT, OPENMETRICS])
@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\rb", "a{b}", "ü", "\U0001f600", "\x7f", "a b"])
def test_names_that_callers_made_up(name: str, media: str) -> None:
    metrics = Metrics()
    metrics.dropped_events.inc((name,))
    metrics.dropped_events.inc(("honest",))
    found = read(metrics, media)
    assert value(found, "penstock_dropped_events_total", deployment=name) == 1
    assert value(found, "penstock_dropped_events_total", deployment="honest") == 1


def test_half_a_character_does_not_spoil_the_page() -> None:
    metrics = Metrics()
    metrics.dropped_events.inc(("\ud800",))
    metrics.dropped_events.inc(("\ud801",))
    metrics.seconds.observe(("chat", "\udfff"), 1.0)
    found = read(metrics)
    assert value(found, "penstock_dropped_events_total", deployment="\\ud800") == 1
    assert value(found, "penstock_dropped_events_total", deployment="\\ud801") == 1


def test_more_label_sets_than_a_metric_keeps() -> None:
    metrics = Metrics()
    for number in range(MAX_SERIES + 5):
        metrics.tokens.inc((f"openai/{number}", "input"), 1)
    found = read(metrics)
    assert value(found, "penstock_tokens_total", deployment="other", kind="other") == 5


def test_a_snapshot_does_not_move() -> None:
    metrics = Metrics()
    metrics.seconds.observe(("chat", "a"), 1.0)
    taken = Snapshot(metrics)
    metrics.seconds.observe(("chat", "a"), 1.0)
    metrics.requests.inc(("chat", "a", "200"))
    found = samples(parse_text(encode(taken, "")[0].decode()))
    assert value(found, "penstock_request_duration_seconds_count", operation="chat", deployment="a") == 1
    assert not [sample for sample, _ in found if sample == "penstock_requests_total"]


def test_the_global_registry_is_left_alone() -> None:
    read(Metrics())
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("penstock")]


def test_over_http() -> None:
    async def refresh() -> None:
        gateway.metrics.connections.set(7)

    plane, gateway = control_plane(refresh=refresh)
    for media, accept in ACCEPTS.items():
        answer = ask(plane, "/metrics", ("accept", accept))
        assert answer.headers["content-type"] == media
        assert b"\npenstock_connections 7.0\n" in answer.body
    for accept in ("*/*", "text/html, application/xml;q=x", "text/plain;version=abc", ";;,,"):
        assert ask(plane, "/metrics", ("accept", accept)).headers["content-type"] == TEXT
