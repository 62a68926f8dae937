"""Every metric's name, unit and labels in one place. Layers count through it; the control plane shows it.

Counting is a dict update, cheap enough for the request path; names follow Prometheus' rules (base units, `_total`).
A metric keeps at most `MAX_SERIES` label sets: past that, new ones are summed under `other`, so that no caller can
fill memory by inventing model names.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from penstock.records import Record

__all__ = ["MAX_SERIES", "NOTED", "Counter", "Deltas", "Gauge", "Histogram", "Metrics"]

MAX_SERIES = 1000
# Requests that may wait to be counted: many in one go cost a third of one at a time.
NOTED = 256
# What of a label's value is passed on to another registry.
MAX_LABEL = 200
_OTHER = "other"

Labels = tuple[str, ...]
# Per metric its series: the labels' values, and what to add to each of the cell's numbers.
Counts = dict[str, list[tuple[Labels, list[float]]]]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
ERRORS = (-2.0, -1.0, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 0.75)
OVERHEAD_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25)


def _nothing() -> None:
    pass


class Counter:
    """A number that only grows, per label set.

    Attributes:
        settle: called before its values are read, for what is still to be counted.
        cells: each label set's value as it is counted, without `settle`.
    """

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Labels = ()) -> None:
        self.name = name
        self.text = text
        self.labels = labels
        self.settle = _nothing
        self.cells: dict[Labels, list[float]] = {} if labels else {(): [0.0]}

    @property
    def series(self) -> dict[Labels, float]:
        """Each label set's value now."""
        self.settle()
        return {labels: cell[0] for labels, cell in self.cells.items()}

    def child(self, labels: Labels = ()) -> list[float]:
        """The cell of one label set, to be added to in place; values in the order of the labels."""
        cells = self.cells
        if labels not in cells and len(cells) >= MAX_SERIES:
            labels = (_OTHER,) * len(self.labels)
        return cells.setdefault(labels, [0.0])

    def inc(self, labels: Labels = (), amount: float = 1) -> None:
        """Add to one series."""
        cell = self.cells.get(labels)
        if cell is None:
            cell = self.child(labels)
        cell[0] += amount


class Gauge(Counter):
    """A number that goes up and down."""

    kind = "gauge"

    def set(self, value: float, labels: Labels = ()) -> None:
        """Set one series; the only one of a gauge without labels."""
        self.child(labels)[0] = value


class Census(Gauge):
    """How many are there now: those in `members`, besides what was set."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.members: set[Record] = set()

    @property
    def series(self) -> dict[Labels, float]:
        """Its only value."""
        return {(): self.cells[()][0] + len(self.members)}


class Histogram:
    """How values spread over fixed buckets, per label set: counts per bucket (the last is +Inf), then the sum."""

    kind = "histogram"

    def __init__(self, name: str, text: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.text = text
        self.labels = labels
        self.bounds = bounds
        self.settle = _nothing
        self.cells: dict[Labels, list[float]] = {}

    @property
    def series(self) -> dict[Labels, list[float]]:
        """Each label set's buckets and sum now."""
        self.settle()
        return self.cells

    def child(self, labels: Labels) -> list[float]:
        """The buckets and sum of one label set, for `add`."""
        cells = self.cells
        known = cells.get(labels)
        if known is not None:
            return known
        if len(cells) >= MAX_SERIES:
            labels = (_OTHER,) * len(self.labels)
        return cells.setdefault(labels, [0.0] * (len(self.bounds) + 2))

    def add(self, child: list[float], value: float) -> None:
        """Count one value in a child."""
        child[bisect_left(self.bounds, value)] += 1
        child[-1] += value

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value."""
        self.add(self.child(labels), value)


def _spread(child: list[float], bounds: tuple[float, ...], values: list[float]) -> None:
    """Count many values in a histogram's child."""
    values.sort()
    below, total = 0, len(values)
    for at, bound in enumerate(bounds):
        upto = bisect_right(values, bound)
        if upto > below:
            child[at] += upto - below
            below = upto
            if below == total:
                break
    child[-2] += total - below
    child[-1] += sum(values)


class Metrics:
    """All of Penstock's metrics.

    Attributes:
        noted: ended requests that are not counted yet: to be settled once they are `NOTED`, and when somebody looks.
    """

    def __init__(self) -> None:
        self.requests = Counter(
            "penstock_requests_total", "Requests answered, by HTTP status.", ("operation", "deployment", "status")
        )
        self.seconds = Histogram(
            "penstock_request_duration_seconds", "From a request's last byte in to its answer's last byte out.",
            ("operation", "deployment"), SECONDS,
        )  # fmt: skip
        self.first_output = Histogram(
            "penstock_first_output_seconds", "From a request's last byte in to the first output in hand.",
            ("operation", "deployment"), SECONDS,
        )  # fmt: skip
        self.overhead = Histogram(
            "penstock_overhead_seconds", "Time inside Penstock up to the first output, waits for providers left out.",
            (), OVERHEAD_SECONDS,
        )  # fmt: skip
        self.attempts = Counter(
            "penstock_attempts_total", "Wire attempts, by how they ended.", ("deployment", "outcome")
        )
        self.tokens = Counter("penstock_tokens_total", "Tokens used.", ("deployment", "kind"))
        self.cost = Counter(
            "penstock_cost_usd_total", "What providers charge, in dollars, where the price is known.", ("deployment",)
        )
        self.unknown_price = Counter(
            "penstock_unknown_price_total", "Requests answered whose price is not known.", ("deployment",)
        )
        self.dropped_events = Counter(
            "penstock_dropped_events_total", "Stream events that were not valid in their dialect.", ("deployment",)
        )
        self.stream_errors = Counter(
            "penstock_stream_errors_total", "Streams that ended in an error event.", ("deployment", "code")
        )
        self.degraded = Counter(
            "penstock_degraded_total",
            "Requests answered by the text of on_failure, by the deployment they should have gone to.",
            ("deployment",),
        )
        self.in_flight = Census("penstock_requests_in_flight", "Requests being answered.")
        self.connections = Gauge("penstock_connections", "Callers' connections open.")
        self.upstream_connections = Gauge("penstock_upstream_connections", "Connections to providers open.")
        self.upstream_busy = Gauge("penstock_upstream_connections_busy", "Connections to providers carrying a request.")
        self.calls_waiting = Gauge(
            "penstock_calls_waiting", "Calls that wait for their turn at a deployment or a limit."
        )
        self.generation = Gauge(
            "penstock_config_generation", "Which generation of the configuration each worker works with.", ("worker",)
        )
        self.leased = Gauge("penstock_leases_held", "Of what is counted over all workers, what they hold.", ("guard",))
        self.accounts = Gauge("penstock_accounts", "Accounts of limits and budgets that are kept.")
        self.unsettled = Gauge(
            "penstock_workers_unsettled", "Workers that died, and of which the ledger has not said yet what they spent."
        )
        self.restarts = Counter("penstock_worker_restarts_total", "Workers replaced because they died.")
        self.states = Gauge(
            "penstock_deployment_state", "1 for the state in which a deployment is.", ("deployment", "state")
        )
        self.breaker_moves = Counter(
            "penstock_breaker_transitions_total", "Where breakers went: open, half_open, closed.", ("deployment", "to")
        )
        self.retries_refused = Counter(
            "penstock_retries_refused_total", "Retries that a deployment's quota did not allow.", ("deployment",)
        )
        self.probe_up = Gauge("penstock_probe_up", "0 where a provider's probes fail in a row.", ("provider",))
        self.rehearsal_ok = Gauge(
            "penstock_rehearsal_ok", "1 where the last rehearsal of a deployment was answered.", ("deployment",)
        )
        self.rehearsal_cost = Counter(
            "penstock_rehearsal_cost_usd_total", "What rehearsals cost, in dollars.", ("deployment",)
        )
        self.log_dropped = Counter(
            "penstock_log_lines_dropped_total", "Log lines lost: what takes them was too slow, or failed."
        )

        self._limiting()
        self._watching()
        self.noted: list[Record] = []
        for metric in self:
            metric.settle = self.settle
        self._bound: dict[tuple[str, str, int], _Bound] = {}

    def _limiting(self) -> None:
        """What is counted of requests that limits and budgets hold back."""
        self.limited = Counter(
            "penstock_limited_total", "Requests refused by a limit, by its scope and what it counts.", ("scope", "unit")
        )
        self.shed = Counter(
            "penstock_shed_total", "Requests refused because the process had too much to do.", ("priority",)
        )
        self.repeats = Counter(
            "penstock_repeats_total", "Requests refused because the same was asked again and again.", ("key",)
        )
        self.estimates = Histogram(
            "penstock_input_estimate_error_ratio",
            "What a provider counts of a prompt, less what was expected, as a part of the count.",
            ("deployment",), ERRORS,
        )  # fmt: skip
        self.short = Counter(
            "penstock_budget_short_total",
            "Attempts that a budget or a limit had too little left for: clamped (made smaller), refused.",
            ("scope", "what"),
        )

    def _watching(self) -> None:
        """What whoever watches the spending counts."""
        self.unwritten = Counter(
            "penstock_ledger_refused_total", "Attempts that were not sent, since the ledger could not be written."
        )
        self.ledger_failing = Gauge(
            "penstock_ledger_failing", "1 while the ledger's store cannot be written, and the journals grow."
        )
        self.alerts = Counter("penstock_alerts_total", "Alerts, each told once.", ("kind",))
        self.alert_deliveries = Counter(
            "penstock_alert_deliveries_total",
            "Times that an alert was sent to the webhook: sent, failed, given_up, or dropped without being sent.",
            ("outcome",),
        )
        self.budget_used = Gauge(
            "penstock_budget_used_ratio", "What of a budget is spent in its window.", ("budget", "value")
        )
        self.budget_exhausted_at = Gauge(
            "penstock_budget_exhausted_at_seconds",
            "When a budget will be used up at the recent rate, in Unix time; +Inf: not within its window.",
            ("budget", "value"),
        )

    def __iter__(self) -> Iterator[Counter | Histogram]:
        return (metric for metric in vars(self).values() if isinstance(metric, Counter | Histogram))

    def settle(self) -> None:
        """Count what was noted."""
        noted = self.noted[:]
        self.noted.clear()
        groups: defaultdict[tuple[str, str, int], list[Record]] = defaultdict(list)
        for record in noted:
            groups[record.operation, record.deployment, record.status].append(record)
        for key, records in groups.items():
            self._count(key, records)

    def gauges(self) -> dict[str, float]:
        """The gauges without labels, by name, as they stand."""
        found = (metric for metric in self if isinstance(metric, Gauge) and not metric.labels)
        return {metric.name: metric.series[()] for metric in found}

    def show(self, gauges: dict[str, float]) -> None:
        """Set gauges without labels by name."""
        for metric in self:
            if isinstance(metric, Gauge) and metric.name in gauges:
                metric.set(gauges[metric.name])

    def note_estimate(self, deployment: str, expected: int, counted: int) -> None:
        """A prompt has been counted of which so much was expected."""
        if counted > 0:
            self.estimates.observe((deployment,), (counted - expected) / counted)

    def moved(self, deployment: str, to: str) -> None:
        """A breaker opened, is half open, or closed."""
        self.breaker_moves.inc((deployment, to))

    def retry_refused(self, deployment: str) -> None:
        """A retry was not allowed."""
        self.retries_refused.inc((deployment,))

    def show_states(self, states: Iterable[tuple[str, str]]) -> None:
        """In which state each deployment is."""
        self.states.cells.clear()
        for labels in states:
            self.states.set(1, labels)

    def add(self, counts: Counts) -> None:
        """Add what another registry's `Deltas` took."""
        for metric in self:
            for labels, values in counts.get(metric.name, ()):
                cell = metric.child(labels)
                for at, value in enumerate(values):
                    cell[at] += value

    def _count(self, key: tuple[str, str, int], records: list[Record]) -> None:
        """Count ended requests of one kind: lists and C functions, since loops of Python's would cost twice that."""
        bound = self._bound.get(key) or self._bind(key)
        bound.requests[0] += len(records)
        _spread(bound.seconds, SECONDS, [record.ended - record.started for record in records])
        answered = [record for record in records if record.first_output]
        if answered:
            _spread(bound.first_output, SECONDS, [record.first_output - record.started for record in answered])
            _spread(bound.overhead, OVERHEAD_SECONDS, [record.overhead for record in answered])
        ends = Tally([(attempt.deployment, attempt.outcome) for record in records for attempt in record.attempts])
        for labels, times in ends.items():
            self.attempts.inc(labels, times)
        usages = [record.usage for record in records if record.usage is not None]
        if usages:
            bound.tokens_in[0] += sum([usage.input_tokens for usage in usages])
            bound.tokens_out[0] += sum([usage.output_tokens for usage in usages])
            unknown = [record for record in records if record.cost is None and record.usage is not None]
            if unknown:
                self.unknown_price.inc((key[1] or "none",), len(unknown))
        bound.cost[0] += sum([each.cost for each in records if each.cost is not None and len(each.attempts) < 2]) / 1e9
        for attempt in [one for each in records if len(each.attempts) > 1 for one in each.attempts]:
            if attempt.cost is not None:  # each is charged by its own deployment, those that failed too
                self.cost.inc((attempt.deployment.partition("#")[0],), attempt.cost / 1e9)
        for record in [each for each in records if each.dropped_events or each.stream_error or each.degraded]:
            if record.dropped_events:
                self.dropped_events.inc((record.deployment,), record.dropped_events)
            if record.degraded:
                self.degraded.inc((record.deployment,))
            if record.stream_error:
                self.stream_errors.inc((record.deployment, record.stream_error))

    def _bind(self, key: tuple[str, str, int]) -> _Bound:
        operation, deployment, status = key
        deployment = deployment or "none"
        where = (operation, deployment)
        bound = _Bound(
            self.requests.child((operation, deployment, str(status))),
            self.seconds.child(where),
            self.first_output.child(where),
            self.overhead.child(()),
            self.tokens.child((deployment, "input")),
            self.tokens.child((deployment, "output")),
            self.cost.child((deployment,)),
        )
        if len(self._bound) < MAX_SERIES:
            self._bound[key] = bound
        return bound


class Deltas:
    """What a registry counts from one look to the next."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._seen: dict[tuple[str, Labels], list[float]] = {}

    def take(self) -> Counts:
        """What was counted since the last call: counters and histograms, and of these only the series that grew."""
        self._metrics.settle()
        found = {metric.name: self._grown(metric) for metric in self._metrics if not isinstance(metric, Gauge)}
        return {name: series for name, series in found.items() if series}

    def _grown(self, metric: Counter | Histogram) -> list[tuple[Labels, list[float]]]:
        grown = []
        for labels, cell in metric.cells.items():
            key = metric.name, labels
            seen = self._seen.get(key)
            if seen != cell:
                more = cell[:] if seen is None else [now - then for now, then in zip(cell, seen, strict=True)]
                grown.append((_portable(labels), more))
                self._seen[key] = cell[:]
        return grown


def _portable(labels: Labels) -> Labels:
    # A name that callers made up may be no valid UTF-8, or long enough to burst a message.
    return tuple(label[:MAX_LABEL].encode("utf-8", "backslashreplace").decode() for label in labels)


class _Bound(NamedTuple):
    """The series of one kind of request, looked up once."""

    requests: list[float]
    seconds: list[float]
    first_output: list[float]
    overhead: list[float]
    tokens_in: list[float]
    tokens_out: list[float]
    cost: list[float]
