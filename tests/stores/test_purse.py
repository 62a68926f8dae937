"""Purses and the treasury: all or nothing, leases that shrink, what is given back, and who dies with money in hand."""

from __future__ import annotations

import asyncio

import pytest

from penstock.clock import SystemClock
from penstock.errors import Overloaded
from penstock.reservation import Accounts, Shortage
from penstock.stores.money_messages import Ask
from penstock.stores.purse import open_purse
from penstock.stores.treasury import Treasury
from penstock.testing import FakeClock
from tests.stores.bank import DAY, Bank, budget, play, rate, reserved, want

DOLLAR = 10**9
FOREVER = float("inf")


def test_reserve_and_settle_to_the_actual() -> None:
    rule = budget(100)

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        one = reserved(await branch.purse.reserve([want(rule, 40)]))
        assert one.windows == [int(bank.loop.clock.wall()) // DAY * DAY]
        branch.purse.settle(one, [25])
        branch.purse.beat()
        await bank.loop.settle()
        (level,) = await branch.purse.look([want(rule, 0)])
        assert (level.used, level.left) == (25, 75)
        assert level.resets == pytest.approx(DAY - bank.loop.clock.wall() % DAY)

    play([rule], main)


def test_all_of_it_or_nothing() -> None:
    much, little, requests = budget(1000, "key"), budget(50), rate(60)

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        wants = [want(much, 100, "k"), want(requests, 1), want(little, 60)]
        came = await branch.purse.reserve(wants)
        assert isinstance(came, Shortage)
        assert (came.rule, came.value, came.left) == (little, "acme", 50)
        assert (bank.used(much, "k"), bank.used(requests), bank.used(little)) == (0, 0, 0)

    play([much, little, requests], main)


def test_more_than_the_whole_limit_is_never_to_be_had() -> None:
    for rule in (budget(50), rate(50), rate(50, "strict"), rate(600, "leaky", burst=50)):

        async def main(bank: Bank) -> None:
            came = await bank.branches[0].purse.reserve([want(bank.rules[0], 51)])
            assert isinstance(came, Shortage)
            assert came.wait == FOREVER

        play([rule], main)


def test_it_resolves_once() -> None:
    rule = budget(100)

    async def main(bank: Bank) -> None:
        purse = bank.branches[0].purse
        one = reserved(await purse.reserve([want(rule, 10)]))
        purse.void(one)
        assert not one.open
        for again in (purse.void, lambda held: purse.settle(held, [3])):
            with pytest.raises(RuntimeError, match="once"):
                again(one)
        await bank.loop.settle()
        assert bank.used(rule) == branch_holds(bank)

    play([rule], main)


def branch_holds(bank: Bank) -> int:
    return sum(branch.in_hand for branch in bank.branches)


def test_what_is_in_hand_costs_no_word() -> None:
    rule = budget(1000 * DOLLAR)

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        wants = [want(rule, DOLLAR // 100)]
        for _ in range(1000):
            one = reserved(await branch.purse.reserve(wants))
            branch.purse.settle(one, [DOLLAR // 100])
        asked = sum(isinstance(message, Ask) for message in branch.sent)
        assert asked <= 11, "each lease is as large as what was spent in ten seconds before it"

    play([rule], main)


def test_leases_are_a_twentieth_of_what_is_left_shared_among_the_holders() -> None:
    rule = budget(1_000_000)

    async def main(bank: Bank) -> None:
        for _ in range(2):
            for branch in bank.branches:
                # A pace that would have it lease everything.
                branch.purse.void(reserved(await branch.purse.reserve([want(rule, 200_000)])))
                await bank.loop.settle()
        for branch in bank.branches:
            assert 0 < branch.in_hand <= 200_000 + 800_000 // 20

    play([rule], main, count=2)


def test_in_the_last_twentieth_each_reservation_is_the_treasurys() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        one, other = bank.branches
        one.purse.settle(reserved(await one.purse.reserve([want(rule, 950)])), [950])
        for number in range(5):
            branch = (one, other)[number % 2]
            assert branch.purse.try_reserve(Accounts([(rule, "acme")]), [10]) is None
            held = reserved(await branch.purse.reserve([want(rule, 10)]))
            assert branch.in_hand == 0
            branch.purse.settle(held, [10])
        came = await one.purse.reserve([want(rule, 1)])
        assert isinstance(came, Shortage)
        assert came.left == 0
        assert came.wait == pytest.approx(DAY - bank.loop.clock.wall() % DAY, abs=1e-3)

    play([rule], main, count=2)


def test_what_others_have_in_hand_and_do_not_use_is_called_in_before_anybody_is_refused() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        one, other = bank.branches
        one.purse.void(reserved(await one.purse.reserve([want(rule, 20)])))
        assert one.in_hand == 20
        held = reserved(await other.purse.reserve([want(rule, 1000)]))
        await bank.loop.settle()
        assert one.in_hand == 0
        assert bank.left(rule) == 0
        other.purse.settle(held, [400])
        await bank.loop.settle()
        assert bank.left(rule) + branch_holds(bank) == 600

    play([rule], main, count=2)


def test_one_that_does_not_answer_is_waited_for_a_moment() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        one, other = bank.branches
        one.purse.void(reserved(await one.purse.reserve([want(rule, 20)])))
        one.deaf = True
        began = bank.loop.time()
        came = await other.purse.reserve([want(rule, 990)])
        assert isinstance(came, Shortage)
        assert bank.loop.time() - began == pytest.approx(0.25)
        reserved(await other.purse.reserve([want(rule, 900)]))
        one.hear()

    play([rule], main, count=2)


def test_more_than_was_reserved_is_booked_too() -> None:
    rule, requests = budget(1000), rate(100)

    async def main(bank: Bank) -> None:
        purse = bank.branches[0].purse
        held = reserved(await purse.reserve([want(rule, 900), want(requests, 50)]))
        purse.settle(held, [1300, 90])
        purse.beat()
        await bank.loop.settle()
        stand = bank.treasury.accounts.find(rule.id, "acme")
        assert stand is not None
        assert "1300 spent, 0 in hands" in repr(stand.account)
        assert isinstance(await purse.reserve([want(rule, 1)]), Shortage)
        assert bank.left(requests) == 10

    play([rule, requests], main)


def test_absurd_amounts_lead_to_a_refusal_or_are_booked_as_far_as_may_be() -> None:
    rule, requests = budget(1000), rate(100)

    async def main(bank: Bank) -> None:
        purse = bank.branches[0].purse
        came = await purse.reserve([want(requests, 1), want(rule, 10**30)])
        assert isinstance(came, Shortage)
        assert (came.rule, came.wait) == (rule, FOREVER)
        held = reserved(await purse.reserve([want(requests, 10), want(rule, 100)]))
        purse.settle(held, [-5, 10**40])
        purse.close()
        await bank.loop.settle()
        assert bank.left(requests) == 100
        assert isinstance(await purse.reserve([want(rule, 1)]), Shortage)
        entry = bank.treasury.accounts.find(rule.id, "acme")
        assert entry is not None
        assert f"{2**53} spent, 0 in hands" in repr(entry.account)

    play([rule, requests], main)


def test_of_an_absurd_amount_it_is_said_what_there_is_instead() -> None:
    rule, soft = budget(100), budget(50, "key", hard=False)

    async def main(bank: Bank) -> None:
        purse = bank.branches[0].purse
        reserved(await purse.reserve([want(rule, 40)]))
        came = await purse.reserve([want(rule, 10**30)])
        assert came == Shortage(rule, "acme", 60, FOREVER)
        # What refuses nobody leaves as much as can be asked for.
        came = await purse.reserve([want(soft, 10**30, "k")])
        assert came == Shortage(soft, "k", 2**53, FOREVER)
        reserved(await purse.reserve([want(soft, 2**53, "k")]))

    play([rule, soft], main)


def test_what_was_not_needed_for_the_life_of_its_lease_goes_back() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        branch.purse.void(reserved(await branch.purse.reserve([want(rule, 20)])))
        await bank.loop.clock.sleep(29)
        branch.purse.beat()
        assert branch.in_hand
        await bank.loop.clock.sleep(1)
        branch.purse.beat()
        await bank.loop.settle()
        assert (branch.in_hand, bank.left(rule)) == (0, 1000)
        assert repr(branch.purse).startswith("<Purse of 0 leases")

    play([rule], main)


def test_what_time_has_given_back_is_not_in_hand_as_well() -> None:
    rule = rate(1000)

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        branch.purse.void(reserved(await branch.purse.reserve([want(rule, 10)])))
        assert branch.in_hand
        await bank.loop.clock.sleep(30)
        (level,) = await branch.purse.look([want(rule, 0)])
        assert (level.used, level.left) == (0, 1000)

    play([rule], main)


def test_accounts_that_are_remembered_are_found_again_and_anew() -> None:
    rule, requests = budget(1000, period="minute"), rate(6000)

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        accounts = Accounts([(rule, "acme"), (requests, "acme")])
        assert branch.purse.try_reserve(accounts, [0, 1]) is None, "nothing is in hand yet"
        windows = []
        for _ in range(2):
            branch.purse.void(reserved(await branch.purse.reserve(accounts.wants([10, 100]))))
            held = [reserved(branch.purse.try_reserve(accounts, amounts)) for amounts in ([10, 1], [0, 99])]
            assert branch.purse.try_reserve(accounts, [0, 1]) is None, "all of one, or nothing of any"
            windows.append(held[0].windows)
            branch.purse.settle(held[0], [10, 1])
            await bank.loop.clock.sleep(60)
            # What is of a window that is over is not drawn on, not even for nothing.
            assert branch.purse.try_reserve(accounts, [0, 0]) is None
            branch.purse.settle(held[1], [0, 99])
            branch.purse.beat()
        assert windows[1][0] - windows[0][0] == 60
        assert [window[1] for window in windows] == [0, 0]

    play([rule, requests], main)


def test_a_window_that_ends_takes_its_leases_with_it() -> None:
    rule = budget(100, period="minute")

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        early = reserved(await branch.purse.reserve([want(rule, 30)]))
        assert branch.in_hand
        await bank.loop.clock.sleep(60 - bank.loop.clock.wall() % 60)
        assert branch.purse.try_reserve(Accounts([(rule, "acme")]), [1]) is None
        late = reserved(await branch.purse.reserve([want(rule, 50)]))
        assert late.windows[0] == early.windows[0] + 60
        branch.purse.settle(early, [30])
        branch.purse.settle(late, [50])
        branch.purse.beat()
        await bank.loop.settle()
        assert bank.used(rule) == 50 + branch_holds(bank), "a request belongs to the window in which it reserved"

    play([rule], main)


def test_a_window_that_ends_while_one_asks() -> None:
    """What was kept of the old window is of no use for the new one, and all of it is asked for anew."""
    rule = budget(100, period="minute")

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        branch.purse.void(reserved(await branch.purse.reserve([want(rule, 10)])))
        kept = branch.in_hand
        assert 0 < kept < 50
        await bank.loop.clock.sleep(60 - bank.loop.clock.wall() % 60 - 0.001)
        asking = asyncio.ensure_future(branch.purse.reserve([want(rule, 50)]))
        bank.loop.call_soon(lambda: setattr(bank.loop, "_now", bank.loop.time() + 0.002))
        held = reserved(await asking)
        assert held.windows[0] % 60 == 0
        assert bank.loop.clock.wall() - held.windows[0] < 1
        branch.purse.settle(held, [50])
        branch.purse.beat()
        await bank.loop.settle()
        assert bank.used(rule) == 50 + branch_holds(bank)

    play([rule], main)


def test_what_was_spent_before_this_process_began() -> None:
    rule = budget(100)
    asked = []

    def spent(rule: object, value: str, window: int) -> int:
        asked.append((value, window))
        return 70

    async def main(bank: Bank) -> None:
        purse = bank.branches[0].purse
        assert isinstance(await purse.reserve([want(rule, 31)]), Shortage)
        purse.settle(reserved(await purse.reserve([want(rule, 30)])), [30])
        assert asked == [("acme", int(bank.loop.clock.wall()) // DAY * DAY)]

    play([rule], main, spent=spent)


def test_what_a_dead_worker_had_in_hand_is_nobodys_until_its_books_say_what_it_spent() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        (other,) = bank.branches
        worker = bank.hire("journal-7")
        worker.purse.settle(reserved(await worker.purse.reserve([want(rule, 100)])), [80])
        worker.purse.beat()
        worker.purse.settle(reserved(await worker.purse.reserve([want(rule, 150)])), [130])
        reserved(await worker.purse.reserve([want(rule, 60)]))
        await bank.loop.settle()
        worker.die()
        await bank.loop.clock.sleep(3600)
        assert bank.treasury.unsettled == ["journal-7"]
        held = 1000 - bank.left(rule)
        assert held >= 80 + 150 + 60, "not by time alone"
        window = int(bank.loop.clock.wall()) // DAY * DAY
        # Its open attempt was posted at 45.
        bank.treasury.settled("journal-7", {(f"{rule.id}|acme", window): 80 + 130 + 45})
        assert bank.left(rule) == 1000 - 255
        assert bank.treasury.unsettled == []
        other.purse.settle(reserved(await other.purse.reserve([want(rule, 745)])), [745])
        bank.treasury.settled("journal-7", {(f"{rule.id}|acme", window): 999})
        assert bank.left(rule) == 0

    play([rule], main)


def test_without_books_what_a_dead_worker_had_in_hand_is_spent() -> None:
    rule, requests = budget(1000), rate(100)

    async def main(bank: Bank) -> None:
        worker = bank.hire()
        reserved(await worker.purse.reserve([want(rule, 300), want(requests, 50)]))
        await bank.loop.settle()
        held = bank.used(rule)
        worker.die()
        await bank.loop.settle()
        assert bank.used(rule) == held >= 300
        await bank.loop.clock.sleep(60)
        assert bank.left(requests) == 100, "rates forget by themselves"

    play([rule, requests], main)


def test_one_that_leaves_well_leaves_nothing() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        worker = bank.hire("journal-1")
        worker.purse.settle(reserved(await worker.purse.reserve([want(rule, 300)])), [120])
        worker.leave()
        await bank.loop.settle()
        assert bank.left(rule) == 880
        assert bank.treasury.unsettled == []

    play([rule], main)


def test_strict_is_never_leased_and_comes_back_to_its_own_second() -> None:
    rule = rate(100, "strict", unit="tokens")

    async def main(bank: Bank) -> None:
        one, other = bank.branches
        first = reserved(await one.purse.reserve([want(rule, 60)]))
        assert one.in_hand == 0
        await bank.loop.clock.sleep(30)
        second = reserved(await one.purse.reserve([want(rule, 40)]))
        assert second.windows == [0], "the books have no windows of rates"
        came = await other.purse.reserve([want(rule, 60)])
        assert isinstance(came, Shortage)
        assert came.left == 0
        assert came.wait == pytest.approx(31, abs=1)
        one.purse.settle(first, [10])
        await bank.loop.settle()
        assert bank.left(rule) == 50
        one.purse.void(second)
        await bank.loop.settle()
        assert bank.left(rule) == 90
        await bank.loop.clock.sleep(31)
        assert bank.left(rule) == 100

    play([rule], main, count=2)


def test_soft_budgets_refuse_nobody_and_count_all_the_same() -> None:
    rule = budget(100, hard=False)

    async def main(bank: Bank) -> None:
        purse = bank.branches[0].purse
        for _ in range(30):
            purse.settle(reserved(await purse.reserve([want(rule, 10)])), [10])
        purse.close()
        await bank.loop.settle()
        assert "300 spent" in repr(bank.treasury.accounts.find(rule.id, "acme").account)  # type: ignore[union-attr]

    play([rule], main)


def test_a_changed_limit_keeps_what_was_taken() -> None:
    rule, requests = budget(1000), rate(100, unit="tokens")

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        held = reserved(await branch.purse.reserve([want(rule, 300), want(requests, 40)]))
        bank.reload(budget(400), rate(50, unit="tokens"))
        await bank.loop.settle()
        assert branch.in_hand == 0, "what is in hand goes back"
        assert (bank.left(rule), bank.left(requests)) == (100, 10)
        assert isinstance(await branch.purse.reserve([want(rule, 101)]), Shortage)
        bank.reload(budget(2000), rate(100, unit="tokens"))
        assert bank.left(rule) == 1700
        branch.purse.settle(held, [300, 40])

    play([rule, requests], main)


def test_a_rule_that_is_gone_holds_for_those_that_still_go_by_it_and_an_unknown_one_lets_nobody_through() -> None:
    rule = budget(100)

    async def main(bank: Bank) -> None:
        purse = bank.branches[0].purse
        bank.treasury.adopt([])
        assert isinstance(await purse.reserve([want(rule, 101)]), Shortage)
        purse.void(reserved(await purse.reserve([want(rule, 100)])))
        came = await purse.reserve([want(rate(5), 1)])
        assert isinstance(came, Shortage)
        assert (came.left, came.wait) == (0, 1.0)

    play([rule], main)


def test_the_centre_is_gone() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        branch.purse.void(reserved(await branch.purse.reserve([want(rule, 20)])))
        branch.deaf = True
        waiting = asyncio.ensure_future(branch.purse.reserve([want(rule, 900, "other")]))
        await bank.loop.settle()
        branch.die()
        with pytest.raises(Overloaded):
            await waiting
        assert branch.purse.try_reserve(Accounts([(rule, "acme")]), [20]), "what is in hand may be spent"
        with pytest.raises(Overloaded) as refused:
            await branch.purse.reserve([want(rule, 900)])
        assert refused.value.retry_after
        with pytest.raises(Overloaded):
            await branch.purse.look([want(rule, 1)])

    play([rule], main)


def test_a_centre_that_does_not_answer() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        (branch,) = bank.branches
        branch.deaf = True
        with pytest.raises(Overloaded):
            await branch.purse.reserve([want(rule, 20)])
        assert bank.used(rule) == 40
        branch.hear()
        await bank.loop.settle()
        assert (bank.used(rule), branch.in_hand) == (0, 0), "what came too late goes back"

    play([rule], main)


def test_in_one_process_every_answer_is_there_at_once() -> None:
    rule = budget(1000)
    treasury = Treasury(SystemClock())
    treasury.adopt([rule])
    purse = open_purse(treasury, SystemClock())

    async def main() -> None:
        asking = purse.reserve([want(rule, 20)])
        with pytest.raises(StopIteration) as ended:
            asking.send(None)
        purse.settle(reserved(ended.value.value), [20])
        assert (await purse.look([want(rule, 1)]))[0].used == 20

    asyncio.run(main())


def test_standing_is_what_was_last_heard() -> None:
    clock = FakeClock()
    rule = rate(600)
    treasury = Treasury(clock)
    treasury.adopt([rule])
    purse = open_purse(treasury, clock)

    async def main() -> None:
        accounts = Accounts([(rule, "acme")])
        assert purse.levels(accounts) == ()
        reserved(await purse.reserve([want(rule, 1)]))
        (level,) = purse.levels(accounts)
        assert (level.rule, level.value, level.used, level.left) == (rule, "acme", 1, 599)
        purse.try_reserve(accounts, [1])
        clock.advance(0.05)
        now, before = purse.levels(accounts), purse.levels(accounts, 0.02)
        assert now[0].left == before[0].left == 598
        assert before[0].resets == pytest.approx(now[0].resets + 0.02)

    asyncio.run(main())
