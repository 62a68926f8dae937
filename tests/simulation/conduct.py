"""How all callers together treat a deployment that is not well: semantics.md, the table's last column, breaker, quota.

Everything is told from what the providers saw, and only what is certain from there: of an attempt whose fate is
unclear (cut off, slow, on a bad link) nothing is concluded.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from penstock.stores.breaker import JITTER, BreakerRules
from penstock.stores.quota import CAPACITY, FLOOR_A_SECOND, REQUESTS_A_RETRY, SAVED
from tests.simulation.playing import LATENCY, Story
from tests.simulation.vendors import Arrival
from tests.simulation.weather import LINKS

__all__ = ["CONDUCT"]

# From the provider's last byte to the moment at which every worker knows, and what they sent meanwhile has arrived.
_KNOWN = 4 * LATENCY + 0.003
_RULES = BreakerRules()
# So late a worker may tell that one succeeded, and what others saw fail meanwhile counts anew.
_TOLD = 1.2
# So long at the least it stays open.
_OPEN = _RULES.open * (1 - JITTER)
# So long are credentials and deployments skipped that the provider does not know.
_SKIPPED = 60.0
# The credential is good, and the model known, of what is answered so.
_TAKEN = ("slow", "harmless", "cut")
_FAILING = ("outage", "brownout", "timeout")
# After which a credential or a model is skipped.
_REFUSING = ("credential", "missing", "quota")


def _ended(arrival: Arrival) -> float:
    return arrival.seen.ended if arrival.seen.ended is not None else arrival.time


def _by_deployment(story: Story) -> dict[str, list[Arrival]]:
    """The arrivals of each deployment that no bad link hid anything from."""
    hidden = {spell.vendor for spell in story.history.spells if spell.kind in LINKS}
    found: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in story.arrivals:
        if arrival.vendor.name not in hidden:
            found[arrival.deployment].append(arrival)
    return found


def _failed(arrival: Arrival) -> bool:
    """It counts as a failure for the breaker, and its caller stayed to see it."""
    return arrival.spell is not None and arrival.spell.kind in _FAILING and arrival.seen.outcome in ("done", "cut")


def _rows(arrivals: list[Arrival]) -> Iterator[list[Arrival]]:
    """Runs of failures, in the order in which they ended, that nothing else interrupts."""
    row: list[Arrival] = []
    for arrival in sorted(arrivals, key=_ended):
        if _failed(arrival):
            row.append(arrival)
        else:
            if row:
                yield row
            row = []
    if row:
        yield row


def _openings(story: Story) -> Iterator[tuple[str, list[Arrival], list[Arrival], tuple[Arrival, Arrival]]]:
    """Of each time that a breaker must have opened: whose, all that reached it, the failures, the first and sixth."""
    for deployment, arrivals in _by_deployment(story).items() if story.history.breaker else ():
        for row in _rows(arrivals):
            opened = _opened(row, arrivals)
            if opened is not None:
                yield deployment, arrivals, row, opened


def an_open_breaker_sends_nothing(story: Story) -> Iterator[str]:
    """9: where six have failed in a row faster than anything half open would be asked, it is open from then on."""
    for deployment, arrivals, _, (first, sixth) in _openings(story):
        inside = [one for one in arrivals if _ended(sixth) + _KNOWN < one.time < _ended(first) + _OPEN]
        # One goes early where every deployment is open, and where that one is answered it is open no more.
        if len(inside) > 1 and _failed(inside[0]):
            yield f"{deployment} is open since {_ended(sixth):.3f} and was sent {inside[:4]}"


def _opened(row: list[Arrival], arrivals: list[Arrival]) -> tuple[Arrival, Arrival] | None:
    """The first and the sixth failure between which nothing can have succeeded."""
    for first, sixth in zip(row, row[_RULES.failures :], strict=False):
        if _ended(sixth) - _ended(first) < _OPEN - 0.5 and not any(
            not _failed(one) and one.time < _ended(sixth) and first.time - _TOLD < _ended(one) for one in arrivals
        ):
            return first, sixth
    return None


def half_open_has_one_permit(story: Story) -> Iterator[str]:
    """9: once it has opened, and as long as whatever is tried fails, hardly anything is sent."""
    for deployment, _, row, (_, sixth) in _openings(story):
        tried = [one for one in row if one.time > _ended(sixth) + _KNOWN]
        for one, third in zip(tried, tried[2:], strict=False):
            if third.time - one.time < _OPEN - 0.5:
                yield f"{deployment} was tried at {one.time:.3f} and twice more until {third.time:.3f}"
                break


def silence_is_tried_by_one(story: Story) -> Iterator[str]:
    """9: where silence has opened the breaker one is kept waiting by it at a time; two, where a permit has lapsed."""
    if not story.history.breaker or story.history.hedge:
        return
    for deployment, arrivals in _by_deployment(story).items():
        for spell in story.history.spells:
            if spell.vendor == arrivals[0].vendor.name and spell.kind == "silent":
                silent = [one for one in arrivals if spell.start <= one.time - story.began < spell.end]
                before = [one for one in arrivals if one.time - story.began < spell.start]
                opened = _silenced(story, silent, max(map(_ended, before), default=0.0))
                if not opened or any(one.spell is not spell for one in silent):
                    continue
                most, at = _together([one for one in silent if one.time > opened])
                if most > 2:
                    yield f"{deployment} is silent and open since {opened:.3f}, and was asked by {most} at {at:.3f}"


def _silenced(story: Story, silent: list[Arrival], heard: float) -> float:
    """From when on the breaker is certainly open: once six have waited in vain. 0.0: never.

    Args:
        heard: the end of the last answer to what came before.
    """
    hurried = {got.ask.number for got in story.got if got.ask.deadline} | _unheard(story)
    vain = sorted(_ended(one) for one in silent if one.ask not in hurried and one.seen.outcome == "disconnected")
    vain = [time for time in vain if time > heard + _TOLD]
    return vain[_RULES.failures] + _KNOWN if len(vain) > _RULES.failures else 0.0


def _together(arrivals: list[Arrival]) -> tuple[int, float]:
    """How many at the most were being answered at a time, and when."""
    # A provider hears of the end a moment after who sent it has given its permit back.
    moments = [(one.time, 1) for one in arrivals] + [(max(one.time, _ended(one) - _KNOWN), -1) for one in arrivals]
    running = most = 0
    when = 0.0
    for time, change in sorted(moments):
        running += change
        if running > most:
            most, when = running, time
    return most, when


def retries_are_rationed(story: Story) -> Iterator[str]:
    """9: attempts <= 1.1 x requests + 1/s, of which ten may have been saved up; and the quota of 500.

    Who asks once more, because the worker died that it had asked, makes another request.
    """
    tries = {got.ask.number: got.tries for got in story.got}
    for deployment, arrivals in _by_deployment(story).items():
        asked: Counter[int] = Counter()
        firsts = retries = paid = 0
        began = arrivals[0].time
        for arrival in arrivals:
            asked[arrival.ask] += 1
            if asked[arrival.ask] <= tries.get(arrival.ask, 1):
                firsts += 1
                continue
            retries += 1
            paid += 5 if "429" in arrival.script else 14
            bound = firsts / REQUESTS_A_RETRY + SAVED + FLOOR_A_SECOND * (arrival.time - began) + 2
            if retries > bound:
                yield f"{deployment}: {retries} retries beside {firsts} requests in {arrival.time - began:.1f} s"
                break
            back = sum(14 for one in arrivals if one.spell is None or not _failed(one))
            if paid > CAPACITY + back + 28:
                yield f"{deployment}: {retries} retries, more than its quota"
                break


def _unheard(story: Story) -> set[int]:
    """The requests whose callers left, or whose worker died: what the provider last said to them, nobody knows."""
    return {got.ask.number for got in story.got if got.left or got.tries > 1 or got.worker in story.kills}


def a_pause_is_for_all(story: Story) -> Iterator[str]:
    """11: a deployment that says for how long it wants to be left alone is left alone by everybody."""
    unheard = _unheard(story)
    for deployment, arrivals in _by_deployment(story).items():
        until, by = 0.0, None
        for arrival in arrivals:
            if by is not None and _ended(by) + _KNOWN < arrival.time < until:
                yield f"{deployment} was asked to wait until {until:.3f} by {by}, and {arrival} came"
                break
            told = arrival.script.partition("retry_after=")[2]
            heard = arrival.seen.outcome == "done" and arrival.ask not in unheard
            if told and heard and _ended(arrival) + float(told) > until:
                until, by = _ended(arrival) + float(told), arrival


def who_is_refused_waits(story: Story) -> Iterator[str]:
    """The table: a credential without quota is not used again, one that is not known, and a model, not for a minute.

    Where nobody else can be asked it is asked all the same: who has just paid the bill shall not have to wait.
    """
    models = {got.ask.number: got.ask.model for got in story.got}
    unheard = _unheard(story)
    for deployment, arrivals in _by_deployment(story).items():
        until, well, why = 0.0, 0.0, None
        # What a worker that died may have told, or not: from then on the minute may have begun.
        perhaps = 0.0
        for arrival in arrivals:
            others = _others(story, models.get(arrival.ask, ""), arrival)
            if why is not None and _ended(why) + _KNOWN < arrival.time < until and others:
                yield f"{deployment} is skipped since {why}, and was sent {arrival}"
                break
            kind = arrival.spell.kind if arrival.spell is not None else ""
            if not kind or (kind in _TAKEN and arrival.seen.outcome in ("done", "cut")):
                # some lone request has found out that it is well again
                why, well, perhaps = None, _ended(arrival), 0.0
            if arrival.seen.outcome != "done" or arrival.time <= well or kind not in _REFUSING or why is not None:
                continue
            end = _ended(arrival) + _SKIPPED
            if arrival.ask in unheard:
                perhaps = perhaps if arrival.time < perhaps else end
            else:
                until, why = (perhaps if arrival.time < perhaps else end), arrival


def no_more_than_may_run_at_a_time(story: Story) -> Iterator[str]:
    """8: whatever is sent, by whichever worker, holds one of so many permits."""
    most = story.history.most
    if not most:
        return
    for deployment, arrivals in _by_deployment(story).items():
        running, time = _together(arrivals)
        if running > most:
            yield f"{deployment}: {running} at a time at {time:.3f}, at most {most}"


def _others(story: Story, model: str, arrival: Arrival) -> bool:
    """Whether another provider could have been asked: nothing was ever wrong there."""
    spoilt = {spell.vendor for spell in story.history.spells} | {arrival.vendor.name}
    return any(name not in spoilt for name in story.history.models.get(model, ()))


def nobody_asks_in_haste(story: Story) -> Iterator[str]:
    """Backoff: between two attempts of one request at one deployment there is a wait, by chance a short one."""
    by_ask: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in story.arrivals:
        by_ask[arrival.ask].append(arrival)
    pairs = [
        (before, later)
        for row in by_ask.values()
        for before, later in pairwise(row)
        if _failed(before) and before.deployment == later.deployment
    ]
    waits = [later.time - _ended(before) - 2 * LATENCY for before, later in pairs]
    # A connection is made anew within 2 ms; that chance has it so six times happens once in many millions.
    if len(waits) >= 6 and all(wait < 0.0025 for wait in waits):
        yield f"{len(waits)} retries, and all came at once"


CONDUCT = (
    an_open_breaker_sends_nothing,
    half_open_has_one_permit,
    silence_is_tried_by_one,
    retries_are_rationed,
    a_pause_is_for_all,
    who_is_refused_waits,
    nobody_asks_in_haste,
    no_more_than_may_run_at_a_time,
)
