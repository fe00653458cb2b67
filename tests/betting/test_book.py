"""The compiled book against the same rules in plain Python, and what must hold whatever the bets."""

import math

import numpy as np
import pandas as pd
import pytest

from overround.betting.accounts import TAKEN
from overround.betting.book import Limits, Stakes, Terms, event_order
from overround.betting.kernels import Played, payoffs, run_book, settled_selections
from tests.support.books import whole
from tests.support.reference_book import Case, Rules, play, random_case

MARKETS, OUTCOMES = (
    {"h2h": 0, "totals": 1, "spreads": 2},
    {"home": 0, "over": 0, "draw": 1, "away": 2, "under": 2},
)


def compiled(case: Case) -> tuple[list[int], Played]:
    """The book by the kernels alone: the order of the bets in its arrays, and what `run_book` returned."""
    accounts = (
        case.accounts
        if case.accounts is not None
        else {b["bookmaker"]: Rules(fee=case.fees.get(b["bookmaker"], 0.0)) for b in case.bets}
    )
    own = [name for name, rule in accounts.items() if rule.bankroll is not None]
    common = any(rule.bankroll is None for rule in accounts.values())
    money = [case.bankroll] * common + [accounts[name].bankroll for name in own]
    purses = {
        name: 0 if rule.bankroll is None else own.index(name) + common for name, rule in accounts.items()
    }
    placed = sorted(
        (i for i in range(len(case.bets)) if case.bets[i]["bookmaker"] in accounts),
        key=lambda i: (case.bets[i]["placed"], purses[case.bets[i]["bookmaker"]]),
    )
    chosen = [case.bets[i] for i in placed]
    rules = [accounts[b["bookmaker"]] for b in chosen]

    def column(name, kind=float):
        return np.array([math.nan if b[name] is None else b[name] for b in chosen], kind)

    price, lay = column("price"), np.array([b["side"] == "lay" for b in chosen])
    keys = [(b["bookmaker"], b["event"], b["market"], b["line"]) for b in chosen]
    market = np.array(
        [
            list(dict.fromkeys(keys)).index(key) if keys.count(key) > 1 and rule.fee > 0 else -1
            for key, rule in zip(keys, rules, strict=True)
        ]
    )
    shared = (market >= 0).any()
    fee, tax = np.array([rule.fee for rule in rules]), np.array([rule.tax for rule in rules])
    purse = np.array([purses[b["bookmaker"]] for b in chosen], np.int64)
    order = event_order(
        column("placed", np.int64), purse, column("settled", np.int64), market if shared else None
    )
    none = np.empty(0)
    limits = (
        Limits()
        if case.accounts is None
        else Limits(
            np.minimum([rule.most for rule in rules], np.array([rule.payout for rule in rules]) / price),
            np.array([rule.step for rule in rules]),
            np.array([rule.minimum for rule in rules]),
            np.array([b.get("accepted", 1.0) for b in chosen]),
            float(case.size),
            case.cut_to_size,
        )
    )
    kind, picked = (
        np.array([names[b[name]] for b in chosen], np.int8)
        for name, names in (("market", MARKETS), ("outcome", OUTCOMES))
    )
    ended = settled_selections(kind, picked, column("line"), column("home"), column("away"))
    gain, _ = payoffs(ended, lay, price, np.where(market >= 0, 0.0, fee), tax)
    exposure = np.where(lay, price - 1, 1.0) + tax
    terms = Terms(purse, exposure, fee if shared else none)
    return placed, run_book(
        order,
        terms,
        limits,
        Stakes(column("amount"), column("share"), case.floor),
        gain,
        np.array(money, float),
    )


def compare(first: int, last: int) -> set[str]:
    """Hold the kernels against the reference on random books; returns every fate that a bet met."""
    met = set()
    for seed in range(first, last):
        case = random_case(seed)
        done, trail = play(case)
        placed, (stake, _, profit, after, _, taken) = compiled(case)
        for at, i in enumerate(placed):
            expected = done[i]
            assert abs(stake[at] - expected["stake"]) < 1e-9, (seed, i, stake[at], expected)
            assert abs(profit[at] - expected["profit"]) < 1e-9, (seed, i, profit[at], expected)
            refused = case.bets[i].get("accepted", 1.0) == 0
            assert refused or TAKEN[taken[at]] == expected["taken"], (seed, i, TAKEN[taken[at]], expected)
            met.add(expected["taken"])
        final = [total for _, total, _, _ in trail][-1]
        last_settled = max((case.bets[i]["settled"] for i in placed), default=0)
        ends = [after[at] for at, i in enumerate(placed) if case.bets[i]["settled"] == last_settled]
        assert not placed or min(abs(end - final) for end in ends) < 1e-9
    return met


def test_five_hundred_random_books_equal_the_same_rules_in_plain_python():
    assert compare(0, 500) >= set(TAKEN) - {"price gone", "after kick-off", "no account"}


@pytest.mark.slow
def test_ten_thousand_random_books_equal_the_same_rules_in_plain_python():
    compare(500, 10_500)


def without_refusals(seed: int) -> Case:
    """A random book of which nothing is refused by chance: what `backtest` draws by itself the reference
    cannot know.
    """
    case = random_case(seed)
    for one in case.bets:
        one.pop("accepted", None)
    return case


@pytest.mark.parametrize("seed", range(60))
def test_the_whole_backtest_equals_the_same_rules_in_plain_python(seed):
    case = without_refusals(seed)
    done, _ = play(case)

    ledger = whole(case)

    for row in ledger.itertuples():
        expected = done[int(row.strategy)]
        assert (row.stake, row.profit) == pytest.approx((expected["stake"], expected["profit"]), abs=1e-9)
        if case.accounts is not None:
            assert row.taken == expected["taken"]
            assert row.taken == "no account" or row.asked == pytest.approx(expected["asked"], abs=1e-9)
    assert len(ledger) == len(case.bets)


@pytest.mark.parametrize("seed", range(40))
def test_cash_and_open_stakes_and_profits_always_add_up(seed):
    case = without_refusals(seed)
    ledger = whole(case)
    start = ledger["bankroll_at_start"].iloc[0]
    tax = {name: rule.tax for name, rule in (case.accounts or {}).items()}
    tied = ledger["stake"] * (
        np.where(ledger["side"] == "lay", ledger["price"] - 1, 1.0) + ledger["bookmaker"].map(tax).fillna(0.0)
    )

    for moment in sorted({*ledger["placed_at"], *ledger["settled_at"]}):
        settled = ledger["settled_at"] <= moment
        still_open = (ledger["placed_at"] <= moment) & ~settled
        cash = start + ledger.loc[settled, "profit"].sum() - tied[still_open].sum()
        assert cash >= -1e-9
    assert ledger["bankroll"].tolist() == pytest.approx((start + ledger["profit"].cumsum()).tolist())


@pytest.mark.parametrize("seed", range(40))
def test_the_order_in_which_bets_are_given_changes_nothing(seed):
    case = without_refusals(seed)
    straight = whole(case)
    mixed = whole(
        Case(
            case.bets[::-1], case.accounts, case.bankroll, case.floor, case.size, case.cut_to_size, case.fees
        )
    )
    names = {str(i): str(len(case.bets) - 1 - i) for i in range(len(case.bets))}

    keys = ["event_id", "market", "line", "outcome", "bookmaker", "side"]
    both = [
        frame.sort_values(keys, ignore_index=True)
        for frame in (straight, mixed.assign(strategy=mixed["strategy"].map(names)))
    ]
    columns = [*keys, "strategy", "stake", "profit", "result"]
    pd.testing.assert_frame_equal(both[0][columns], both[1][columns], check_exact=True)


@pytest.mark.parametrize("seed", range(40))
def test_a_worse_price_never_pays_more(seed):
    case = without_refusals(seed)
    for one in case.bets:  # money that does not run out: with less money fewer losing bets are made
        one["side"], one["share"], one["amount"] = "back", 0.0, 1.0
    case.bankroll, case.floor = 1e6, 0.0
    for rule in (case.accounts or {}).values():
        rule.bankroll, rule.payout = None, math.inf

    profits = [whole(case, price_cut=cut)["profit"].sum() for cut in (0.0, 0.01, 0.03)]

    assert profits[0] >= profits[1] >= profits[2]


def test_every_bet_of_a_void_match_returns_its_stake():
    for seed in range(20):
        case = without_refusals(seed)
        for one in case.bets:
            one["home"] = None
        ledger = whole(case)
        assert (ledger["profit"] == 0).all()
        assert (ledger["result"] == "void").all()
