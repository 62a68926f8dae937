"""What must hold of every story, whatever went wrong in it (semantics.md: the table, and the invariants by number)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from tests.simulation.answers import Read, read_answer
from tests.simulation.callers import KEY, Got
from tests.simulation.conduct import CONDUCT
from tests.simulation.histories import CALM_SECONDS
from tests.simulation.playing import LATENCY, LogAttempt, LogLine, Story
from tests.simulation.vendors import Arrival
from tests.simulation.ways import AT_LENGTH, PART, TAKES_IN_THE_END
from tests.simulation.weather import LINKS, Spell

__all__ = ["INVARIANTS", "Violation", "judge"]

Violation = str

# One way, and what the two ends take.
_SOON = 2 * LATENCY + 0.002
_CLOSING_SECONDS = 0.25
# What comes over a `far` way takes so long; these callers get the end of their answer when they come to it, if ever; of
# these the gateway cannot know that they have left.
_FAR = 0.2
# To a provider in a spell of `far`, a connection made first, and back.
_FAR_AND_BACK = 1.5
_LATE = ("far", "thin", "dark", "half dark", "unread")
_UNHEARD = ("dark", "half dark", "unread")
_UNWRITTEN_SECONDS = 0.5
# For so long a deployment may feel a spell that is over: a breaker's longest stay with its jitter, and three successes;
# a credential's pause, and its probe.
_AFTER = CALM_SECONDS
_AFTER_CREDENTIAL = 62.0 + 5.0
# A connection stays as it was when it was made, and so long the pool keeps one that nobody uses.
_LINGERS = 60.0
_NEVER = float("inf")
_LASTING = {"credential": _AFTER_CREDENTIAL, "missing": _AFTER_CREDENTIAL, "quota": _NEVER}
# What ends a request wherever it happens.
_FINAL = ("refused", "filtered")
# What can happen to an answer that has begun.
_HALFWAY = ("cut", "lossy", "half open")
# After these the same deployment is not asked again.
_ONCE = ("silent", "credential", "missing", "quota", "too long", *_FINAL)
_SLOW = ("silent", "slow", "far", "half open", "refusing", "lossy", "storm", "crumbs")


class _Case:
    """A caller's request and all that is known of it."""

    def __init__(self, story: Story, got: Got, arrivals: list[Arrival], lines: list[LogLine]) -> None:
        self.story = story
        self.got = got
        self.ask = got.ask
        self.arrivals = arrivals
        self.lines = lines
        killed = story.kills.get(got.worker, _NEVER)
        # Log lines are written in batches.
        self.unwritten = killed <= got.ended + _UNWRITTEN_SECONDS
        self.killed = killed <= got.ended + _SOON
        # It was sent once, to a worker that lived on: everything about it can be told exactly.
        self.plain = got.tries == 1 and not self.killed and got.worker >= 0
        # The whole request came to the gateway.
        self.arrived = got.ask.way not in PART and (
            not got.left or got.ended - got.sent > _SOON + (_FAR if got.ask.way == "far" else 0.0)
        )

    def __str__(self) -> str:
        return (
            f"ask {self.ask.number} ({self.ask.dialect}, {'stream' if self.ask.stream else 'unary'}, {self.ask.model})"
        )

    @property
    def life(self) -> tuple[float, float]:
        """In the history's time."""
        return self.got.sent - self.story.began, self.got.ended - self.story.began

    def met(self, kinds: tuple[str, ...]) -> bool:
        """Whether such a spell was on at one of its targets, or its after-effects."""
        targets = self.story.history.models.get(self.ask.model, ())
        return any(
            spell.vendor in targets
            and spell.kind in kinds
            and _feels(spell, self.life, _LINGERS if spell.kind in LINKS else 0.0)
            for spell in self.story.history.spells
        )

    def well(self, vendor: str) -> bool:
        """Nothing was wrong with that provider, nor could be felt of what had been."""
        return not any(
            spell.vendor == vendor and _feels(spell, self.life, _LASTING.get(spell.kind, _AFTER))
            for spell in self.story.history.spells
        )


def _feels(spell: Spell, life: tuple[float, float], after: float) -> bool:
    return spell.start < life[1] + 1.0 and life[0] < spell.end + after


def _cases(story: Story) -> list[_Case]:
    """Made once for each story."""
    if story.cases is None:
        story.cases = _made(story)
    return story.cases


def _made(story: Story) -> list[_Case]:
    arrivals: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in story.arrivals:
        arrivals[arrival.ask].append(arrival)
    lines: dict[int, list[LogLine]] = defaultdict(list)
    for line in story.lines:
        lines[line.ask].append(line)
    return [_Case(story, got, arrivals[got.ask.number], lines[got.ask.number]) for got in story.got]


# --- the log


def one_line_each(story: Story) -> Iterator[Violation]:
    """Every request has exactly one line, and it says what the caller got."""
    ids = Counter(line.id for line in story.lines)
    yield from (f"two lines have the id {id}" for id, count in ids.items() if count > 1)
    by_id = {line.id: line for line in story.lines}
    for case in _cases(story):
        got = case.got
        if not case.plain or case.unwritten:
            continue
        id = got.headers.get(b"x-request-id", b"").decode()
        if case.arrived and not case.ask.wrong and len(case.lines) != 1:
            yield f"{case} has {len(case.lines)} log lines"
        elif got.whole and not id:
            yield f"{case} was answered {got.status} without x-request-id"
        elif got.whole and (id not in by_id or by_id[id].status != got.status):
            yield f"{case} got {got.status}; its log line says {by_id[id].status if id in by_id else 'nothing'}"


def no_mistakes_of_ours(story: Story) -> Iterator[Violation]:
    for line in story.lines:
        if line.error == "internal_error" or (line.status == 500 and not line.attempts):
            yield f"ask {line.ask}: an internal error"
        if any(attempt.outcome == "open" for attempt in line.attempts):
            yield f"ask {line.ask}: an attempt has no end in the log"


def every_attempt_is_logged(story: Story) -> Iterator[Violation]:
    """3, 4 as far as they go without a ledger: attempts in the log = requests that providers counted."""
    for case in _cases(story):
        if not case.plain or len(case.lines) != 1:
            continue
        logged = Counter(attempt.deployment for attempt in case.lines[0].attempts)
        answered = Counter(attempt.deployment for attempt in case.lines[0].attempts if attempt.status)
        seen = Counter(arrival.deployment for arrival in case.arrivals)
        if seen - logged or answered - seen:
            yield f"{case}: the log has {dict(logged)}, providers saw {dict(seen)}"


# --- streams and answers


def truncation_is_no_success(story: Story) -> Iterator[Violation]:
    """What ends cleanly is the whole answer of one provider; what does not is the beginning of one."""
    for case in _cases(story):
        try:
            read = read_answer(case.got)
        except (ValueError, KeyError, LookupError, TypeError) as error:
            yield f"{case}: {error!r} in {case.got.body[-200:]!r}"
            continue
        if not read.text:
            continue
        texts = _tellable(case.arrivals)
        if not _mangled(case) and not _says(read, texts):
            yield f"{case}: {'ended cleanly' if read.end == 'clean' else 'broke off'} with {read.text!r} of {texts}"


def _says(read: Read, texts: list[str]) -> bool:
    """Whether that is one of these, whole or, where it did not end cleanly, the beginning of one."""
    return read.text in texts if read.end == "clean" else any(text.startswith(read.text) for text in texts)


def _tellable(arrivals: list[Arrival]) -> list[str]:
    """What a caller may be told in all: any one's text, and what one made of another's beginning that went on with it.

    White space at the end of a beginning may have been left out of what was asked, and come again or not.
    """
    found: list[str] = []
    for arrival in arrivals:
        begun, text = arrival.begun, arrival.full_text
        if not begun:
            found.append(text)
            continue
        for known in found.copy():
            if known.startswith(begun):
                rest = known[len(begun) :]
                space = rest[: len(rest) - len(rest.lstrip())]
                found += [begun + text, begun + space + text]
    return found


def _mangled(case: _Case) -> bool:
    """An event that is not valid is dropped, and so is the text in it."""
    return any(part in arrival.script for arrival in case.arrivals for part in ("malformed", "bad_utf8"))


def nothing_follows_the_commit_point(story: Story) -> Iterator[Violation]:
    """10: once a caller has read some of an answer, nobody else is asked, but to go on with it."""
    if story.history.resume:
        return
    for case in _cases(story):
        got = case.got
        if case.plain and got.status == 200 and got.first:
            later = [arrival for arrival in case.arrivals if arrival.time > got.first]
            if later:
                yield f"{case}: after the first output at {got.first:.3f} came {later}"


# --- attempts


def attempts_are_bounded(story: Story) -> Iterator[Violation]:
    retry = story.history.retry
    for case in _cases(story):
        if not case.plain:
            continue
        if len(case.arrivals) > retry.max_total:
            yield f"{case}: {len(case.arrivals)} attempts, at most {retry.max_total}"
        # Who lost a race was called off and has not failed: it may still be asked to go on with what the winner began.
        counted = [one for one in case.arrivals if not (story.history.hedge and one.seen.outcome == "disconnected")]
        for deployment, count in Counter(arrival.deployment for arrival in counted).items():
            if count > retry.max_attempts:
                yield f"{case}: {count} attempts at {deployment}, at most {retry.max_attempts}"


def retry_after_is_kept(story: Story) -> Iterator[Violation]:
    """11: no request comes back to a deployment before it said that it may."""
    for case in _cases(story):
        until: dict[str, float] = {}
        for arrival in case.arrivals if case.plain and not case.met(LINKS) else ():
            if arrival.time < until.get(arrival.deployment, 0.0):
                yield f"{case}: {arrival} came {until[arrival.deployment] - arrival.time:.3f} s too early"
            told = arrival.script.partition("retry_after=")[2]
            if told:
                until[arrival.deployment] = (arrival.seen.ended or arrival.time) + float(told)


def what_is_final_is_not_repeated(story: Story) -> Iterator[Violation]:
    """11 and the table: some failures are never answered by asking the same again, some by asking nobody."""
    for case in _cases(story):
        over: dict[str, str] = {}
        final: list[tuple[float, str]] = []
        asked: Counter[str] = Counter()
        for arrival in case.arrivals if case.plain else ():
            asked[arrival.deployment] += 1
            if arrival.deployment in over:
                yield f"{case}: {arrival} after '{over[arrival.deployment]}' at the same deployment"
            if final and arrival.time > final[0][0]:
                yield f"{case}: {arrival} after '{final[0][1]}'"
            attempt = _logged(case, arrival.deployment, asked[arrival.deployment])
            # Of what a link swallowed, or of one that was called off, nothing came back.
            said = arrival.seen.outcome != "disconnected" and (attempt is None or attempt.status != 0)
            # Who refuses an answer's beginning is asked afresh, and what it says to that is not what the caller has
            # begun to hear: another may go on (seed 310764).
            said = said and not arrival.begun and (attempt is None or attempt.kind != "resume")
            if said and arrival.spell is not None and arrival.spell.kind in _ONCE:
                over[arrival.deployment] = arrival.spell.kind
                # The first one's own answer counts, also where it was still waiting for its turn.
                if arrival.spell.kind in _FINAL and (attempt is None or attempt.kind != "hedge"):
                    # Over a far way a hedge may be under way before the answer has come (seeds 700378, 701070).
                    heard = arrival.time + (_FAR_AND_BACK if case.met(("far",)) else 0.0)
                    final.append((heard, arrival.spell.kind))
            elif attempt is not None and attempt.outcome == "cancelled":
                continue  # it lost a race, and was called off before anything could be told of it
            elif arrival.spell is not None and arrival.spell.kind == "silent":
                over[arrival.deployment] = "silent"


def _logged(case: _Case, deployment: str, number: int) -> LogAttempt | None:
    """What the log says of its so manieth attempt there."""
    attempts = [one for line in case.lines for one in line.attempts if one.deployment == deployment]
    return attempts[number - 1] if number <= len(attempts) else None


def nothing_after_the_deadline(story: Story) -> Iterator[Violation]:
    """9: no attempt begins after the deadline, and the caller hears of it in time."""
    timeouts = story.history.timeouts
    for case in _cases(story):
        got, ask = case.got, case.ask
        limit = timeouts.whole(stream=ask.stream) or _NEVER
        limit = min(limit, ask.deadline or _NEVER)
        if not case.plain or limit == _NEVER:
            continue
        late = [arrival for arrival in case.arrivals if arrival.time > got.sent + limit + _SOON + _far(case)]
        if late:
            yield f"{case}: {late} after the deadline of {limit:g} s, sent {got.sent:.3f}"
        if ask.way not in _LATE and got.ended > got.sent + limit + 1.0 + ask.stalls + _far(case):
            yield f"{case}: ended {got.ended - got.sent:.3f} s after it was sent, its deadline was {limit:g} s"


def _far(case: _Case) -> float:
    return 2.0 if case.met(LINKS) or case.ask.way else 0.0


# --- callers that leave


def who_leaves_is_followed(story: Story) -> Iterator[Violation]:
    """13: caller gone -> upstream closed within 250 ms, and nothing is begun for it."""
    for case in _cases(story):
        got = case.got
        if got.ask.way == "said" and got.whole and case.arrivals:
            yield f"{case} said that it sends no more, and was answered by {case.arrivals}"
        if not got.left or case.killed or case.met(LINKS) or got.ask.way in _UNHEARD:
            continue
        limit = got.ended + _CLOSING_SECONDS + _SOON + (_FAR if got.ask.way == "far" else 0.0)
        for arrival in case.arrivals:
            if arrival.time > limit:
                yield f"{case} left at {got.ended:.3f}: {arrival} came after"
            elif arrival.seen.ended is None or arrival.seen.ended > limit:
                yield f"{case} left at {got.ended:.3f}: {arrival} ended at {arrival.seen.ended}"


def half_a_request_is_none(story: Story) -> Iterator[Violation]:
    """Nobody is asked for what did not arrive whole."""
    for case in _cases(story):
        if case.ask.way in PART and case.arrivals:
            yield f"{case} came in part, and reached {case.arrivals}"


def who_reads_nothing_is_cut(story: Story) -> Iterator[Violation]:
    """A caller that is stalled for 30 s is cut. (Twenty seconds may go by before there is something to read.)"""
    for case in _cases(story):
        if case.ask.way != "unread" or not case.plain or len(case.arrivals) != 1 or len(case.lines) != 1:
            continue
        arrival, seconds = case.arrivals[0], case.lines[0].ms / 1000
        # Who is asked and stays silent leaves nothing to read but a comment now and then, which the wire holds.
        silent = arrival.script == "silence" or case.met(("half open",))
        soon = arrival.time < case.got.sent + 2.0 and not silent
        if soon and seconds > TAKES_IN_THE_END - 4.0:
            yield f"{case} read nothing, and was cut after {seconds:g} s"


# --- success


def whoever_can_be_served_is(story: Story) -> Iterator[Violation]:
    """A request one of whose targets is well is answered whole, if nothing ended it or cut it at another.

    15 stands in it: a reload, a renewal of the workers, a jump of the clock lose nobody's request.
    """
    for case in _cases(story):
        ask, got = case.ask, case.got
        if ask.wrong or got.left or case.killed or (got.tries > 1 and not got.status):
            continue
        targets = story.history.models[ask.model]
        if not any(case.well(name) for name in targets) or case.met((*_FINAL, *_HALFWAY)):
            continue
        if (ask.deadline or story.history.timeouts.total) and not all(case.well(name) for name in targets):
            continue
        if story.history.retry.max_total < 6 and not all(case.well(name) for name in targets):
            continue
        # Over a thin way a long answer alone takes ten seconds (seed 900372).
        if ask.deadline and ask.deadline < (20.0 if ask.way in AT_LENGTH else 5.0):
            continue
        read = _read(got)
        if read.end != "clean" and not (story.history.most and read.code in _full(case, targets)):
            yield f"{case} could have been served, and got {got.status} {read}: {case.arrivals}"


def _full(case: _Case, targets: tuple[str, ...]) -> list[str]:
    """What it may be told where few may be asked at a time: its turn did not come, at any of those that are well."""
    well = [name for name in targets if case.well(name)]
    told = ["overloaded"]
    # It has waited longer than anybody who is passed over once does. (Of a killed worker's try nothing is known.)
    waited = case.got.ended - case.got.sent > 1.0
    if waited and not any(one.vendor.name in well and one.time > case.got.sent for one in case.arrivals):
        told.append("every_deployment_failed")
    # What a killed worker held of places lapses after ten seconds.
    again = case.got.tries > 1
    late = all(arrival.time - case.got.sent > 1.0 for arrival in case.arrivals)
    if case.ask.deadline and (again or late):
        told.append("deadline_exceeded")
    total = case.story.history.timeouts.total
    if total is not None and late and case.got.ended - case.got.sent >= total:
        told.append("upstream_timeout")  # its turn came when its time was nearly over (seed 300123)
    return told


def nobody_is_hung_up_on(story: Story) -> Iterator[Violation]:
    """15: a worker that goes answers what it has; only a killed one does not."""
    for got in story.got:
        for worker, time in got.dropped:
            if worker not in story.kills or time < story.kills[worker] - _SOON:
                yield f"ask {got.ask.number}: worker {worker} hung up at {time:.3f}"


def nobody_is_blamed_for_others(story: Story) -> Iterator[Violation]:
    """The table: cancellations, and what is wrong with a request, never move a breaker."""
    for case in _cases(story):
        shut = {
            one.deployment.partition("/")[0]
            for line in case.lines
            for one in line.decisions
            if one.what == "passed_over" and one.why.startswith(("open:", "trial:"))
        }
        told = case.got.status == 503 and _read(case.got).code == "circuit_open"
        if not told and not shut:
            continue
        guilty = {
            spell.vendor
            for spell in story.history.spells
            if spell.kind not in (*_FINAL, "too long", "harmless") and spell.start <= case.life[1]
        }
        # Who found only this prompt too long was asked, and nobody says its breaker is open: another's is.
        guilty |= {one.vendor.name for one in case.arrivals}
        # Nor does who had no place until it was too late, beside one whose breaker opened meanwhile (seed 300234), or
        # has no word for what is asked, which the other's dialect may have (seed 920985).
        guilty |= {
            one.deployment.partition("/")[0]
            for line in case.lines
            for one in line.decisions
            if (one.what, one.why) in (("queued", "late"), ("failed", "invalid_request"))
        }
        innocent = [name for name in story.history.models.get(case.ask.model, ()) if name not in guilty]
        if told and innocent:
            yield f"{case} was told that the breaker is open, and {innocent} had done nothing"
        if shut - guilty:
            yield f"{case} was not sent to {shut - guilty} because they had failed, and they had done nothing"


def all_is_well_again(story: Story) -> Iterator[Violation]:
    """12: when faults stop, success returns to 100 % within 22 s and one request."""
    for case in _cases(story):
        if case.ask.at < story.history.calm or case.ask.wrong or case.got.left:
            continue
        lasting = [spell for spell in story.history.spells if spell.kind in _LASTING]
        targets = story.history.models[case.ask.model]
        if all(any(spell.vendor == name for spell in lasting) for name in targets):
            continue
        read = _read(case.got)
        if story.history.most and read.code == "overloaded" and (lasting or _clogged(story) or _taken(case)):
            continue  # the rest of them has no room for all
        if read.end != "clean":
            yield f"{case} in the calm got {case.got.status} {read}: {case.arrivals}"


def _taken(case: _Case) -> bool:
    """Whether all places at all of its targets were taken when it was refused: more came than may run.

    A call has its place until its caller has taken the answer: one that does not read holds it (seed 50333).
    """
    story = case.story
    at, targets = case.got.ended - LATENCY, story.history.models[case.ask.model]
    heard = {got.ask.number: got.ended for got in story.got}
    running: Counter[str] = Counter()
    for one in story.arrivals:
        ended = _NEVER if one.seen.ended is None else max(one.seen.ended, heard.get(one.ask, 0.0))
        if one.time - _SOON <= at <= ended + _SOON:
            running[one.vendor.name] += 1
    return all(running[name] >= story.history.most for name in targets)


def _clogged(story: Story) -> bool:
    """Whether calls that nobody answers may hold their places until long after: by default for two minutes."""
    return story.history.timeouts.first_token is None and any(
        spell.kind in ("silent", "half open") for spell in story.history.spells
    )


def _read(got: Got) -> Read:
    try:
        return read_answer(got)
    except (ValueError, LookupError, TypeError) as error:
        return Read("nonsense", code=repr(error))


# --- the rest


def nothing_is_left(story: Story) -> Iterator[Violation]:
    """8, 12, 13: at the end nothing is in flight, held or open."""
    dark = any(spell.kind == "half open" for spell in story.history.spells)
    for left in story.left:
        # A provider whose peer vanished without a word does not know it.
        if not (dark and "requests are being answered" in left):
            yield left


def secrets_stay(story: Story) -> Iterator[Violation]:
    """16, 17: a provider's key goes to that provider alone; the log has no key, no prompt, no answer."""
    for arrival in story.arrivals:
        if not arrival.credential.startswith(f"sk-{arrival.vendor.name}-"):
            yield f"{arrival} came with {arrival.credential!r}"
    if b"sk-" in story.log or KEY.encode() in story.log or b"Tell ask" in story.log:
        yield "a key or a prompt is in the log"
    for got in story.got:
        if b"sk-" in got.body:
            yield f"ask {got.ask.number} was told a key"


def nonsense_is_refused(story: Story) -> Iterator[Violation]:
    """18: malformed input never gives a 5xx, and nobody is asked for it."""
    for case in _cases(story):
        wrong, got = case.ask.wrong, case.got
        if not wrong or not case.plain or got.left:
            continue
        # In the provider's own dialect that is the provider's to say, if it can be asked at all.
        passed_on = wrong == "messages"
        # Who waited in a queue for long was told its place, as a stream, before the provider could say no.
        taken = got.status == 200 and _read(got).end != "error"
        if taken or (got.status >= 500 and not passed_on):
            yield f"{case} was wrong ({wrong}) and got {got.status}"
        if case.arrivals and not passed_on:
            yield f"{case} was wrong ({wrong}) and reached {case.arrivals}"


INVARIANTS: tuple[Callable[[Story], Iterator[Violation]], ...] = (
    one_line_each,
    no_mistakes_of_ours,
    every_attempt_is_logged,
    truncation_is_no_success,
    nothing_follows_the_commit_point,
    attempts_are_bounded,
    retry_after_is_kept,
    what_is_final_is_not_repeated,
    nothing_after_the_deadline,
    who_leaves_is_followed,
    half_a_request_is_none,
    who_reads_nothing_is_cut,
    whoever_can_be_served_is,
    nobody_is_hung_up_on,
    nobody_is_blamed_for_others,
    all_is_well_again,
    nothing_is_left,
    secrets_stay,
    nonsense_is_refused,
    *CONDUCT,
)


def judge(story: Story) -> list[Violation]:
    """Every violation, with the name of what is violated."""
    return [f"{invariant.__name__}: {told}" for invariant in INVARIANTS for told in invariant(story)]
