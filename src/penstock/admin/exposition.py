"""Metrics as Prometheus reads them: Penstock's own, the process's, and the build's.

A registry of its own per scrape, never prometheus-client's global one. Counts are copied on the loop (`Snapshot`)
and written as text in a thread (`encode`): with every label set used that is half a second, too long for the loop.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from penstock.metrics import Counter, Histogram, Labels, Metrics
from penstock.version import VERSION

__all__ = ["OPENMETRICS", "TEXT", "Snapshot", "encode"]

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Snapshot(Collector):
    """All of Penstock's metrics at one moment, as prometheus-client collects them. Taken where they are counted."""

    def __init__(self, metrics: Metrics) -> None:
        self._counters: list[tuple[Counter, list[tuple[Labels, float]]]] = []
        self._histograms: list[tuple[Histogram, list[tuple[Labels, list[float]]]]] = []
        for metric in metrics:
            if isinstance(metric, Histogram):
                self._histograms.append((metric, [(labels, values[:]) for labels, values in metric.series.items()]))
            else:
                self._counters.append((metric, list(metric.series.items())))

    def collect(self) -> Iterator[Metric]:
        """Each metric with its samples."""
        for metric, series in self._counters:
            family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
                metric.name, metric.text, labels=metric.labels
            )
            for labels, value in series:
                family.add_metric(_valid(labels), value)
            yield family
        for histogram, spread in self._histograms:
            yield _histogram(histogram, spread)
        yield InfoMetricFamily(
            "penstock_build", "What runs.", {"version": VERSION, "python": platform.python_version()}
        )


def _histogram(histogram: Histogram, spread: list[tuple[Labels, list[float]]]) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.text, labels=histogram.labels)
    bounds = [*map(repr, histogram.bounds), "+Inf"]
    for labels, values in spread:
        counts = accumulate(values[:-1])
        family.add_metric(_valid(labels), list(zip(bounds, counts, strict=True)), values[-1])
    return family


def _valid(labels: Labels) -> Labels:
    # A name that callers made up may hold half a surrogate pair, which is not UTF-8 and would spoil the whole page.
    return tuple(label.encode("utf-8", "backslashreplace").decode() for label in labels)


def encode(taken: Snapshot, accept: str) -> tuple[bytes, str]:
    """The page and its content type: OpenMetrics for those who accept it, else Prometheus' text. Any thread may."""
    registry = CollectorRegistry()
    registry.register(taken)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    if "application/openmetrics-text" in accept:
        return generate_openmetrics(registry), OPENMETRICS  # type: ignore[no-untyped-call]
    return generate_latest(registry), TEXT
