"""Many variants at once: each is what it would be alone, all are counted, none sees the future, and what was
stopped goes on.
"""

import os
import signal
import subprocess
import sys
import textwrap
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import overround as ov
from overround.errors import ParameterError
from overround.evaluation import multiple_testing as search
from overround.parallel import tasks
from overround.sweeps import SweepSettings
from overround.sweeps.space import rule_of, space_of
from tests.support.books import bet, bets, noisy_quotes, quote, quotes, result, results, season
from tests.support.leagues import league
from tests.support.sweep_cluster import await_, stopped

ROOT = Path(__file__).parents[2]
SAME = (
    "bets",
    "staked",
    "profit",
    "yield",
    "mean_price",
    "final_bankroll",
    "max_drawdown",
    "clv",
    "beat_close",
    "luck_bets",
)


def snapshots(n: int, books: int, times: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Quotes that move: the sharp book s and others, seen at several times before kick-off."""
    rng = np.random.default_rng(seed)
    rows, ended = [], []
    for i in range(n):
        start = pd.Timestamp("2025-03-01 15:00", tz="UTC") + pd.Timedelta(days=i // 4)
        p = rng.dirichlet([6, 3.5, 4])
        ended.append(result(f"m{i:04d}", *[(1, 0), (0, 0), (0, 1)][rng.choice(3, p=p)]))
        for at in range(times):
            p = p * np.exp(rng.normal(0, 0.03, 3))
            p /= p.sum()
            seen = str(start - pd.Timedelta(hours=10 - at))[:19]
            for book in ["s", *(f"b{k}" for k in range(books))]:
                if book != "s" and rng.random() < 0.3:
                    continue  # it shows nothing new: the old price stands
                price = 1 / (p * 1.03) * np.exp(rng.normal(0, 0.0 if book == "s" else 0.04, 3))
                rows += [
                    quote(
                        f"m{i:04d}",
                        book,
                        outcome,
                        max(round(x, 2), 1.01),
                        phase="snapshot",
                        at=seen,
                        start=start,
                    )
                    for outcome, x in zip(("home", "draw", "away"), price, strict=True)
                ]
    return quotes(rows), results(*ended)


def alone(prices, ended, variant, closing):
    """The ledger of one variant by the functions that a notebook calls."""
    signals = ov.value_signals(
        prices,
        variant["reference"],
        variant["method"],
        variant["min_edge"],
        max_edge=variant["max_edge"],
        max_price=variant["max_price"],
        bookmakers=variant["bookmakers"],
        at_close=variant["at_close"],
        max_age_h=variant["max_age_h"],
    )
    return ov.backtest(signals, ended, stake=rule_of(variant, 1_000), closing=closing)


def assert_each_is_as_alone(swept, ledgers, **how):
    for variant, ledger in ledgers.items():
        mine = swept.ledger(variant)
        columns = [name for name in ledger if name != "strategy"]
        pd.testing.assert_frame_equal(mine[columns], ledger[columns], check_exact=True)
        evaluation = ov.evaluate(ledger, simulations=300)["value"]
        for name in SAME:
            assert swept.table.loc[variant, name] == pytest.approx(
                evaluation[name], rel=1e-11, abs=1e-9, nan_ok=True
            ), (variant, name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["early and close", "snapshots"])
def test_each_variant_is_what_backtest_and_evaluate_make_of_it_alone(kind):
    space = {
        "min_edge": [0.0, 0.03],
        "max_edge": [0.06, 0.25],
        "max_price": [4.0, 15.0],
        "bookmakers": [None, ("b1", "b2")],
    }
    if kind == "snapshots":
        prices, ended = snapshots(40, 3, 5, seed=1)
        space |= {
            "reference": ["s", "consensus"],
            "max_age_h": [1.5, 24.0],
            "staking": ["flat:20", "kelly:0.5"],
        }
    else:
        prices, ended = noisy_quotes(60, 4, seed=2)
        space |= {"reference": "b0", "at_close": [False, True], "method": ["power", "shin"]}
        space |= {"staking": ["kelly-shrunk:0.5", "kelly-joint:0.5", "kelly-drawdown:0.5"]}

    swept = ov.sweep(
        prices, space, ended, settings=SweepSettings(judge="consensus", judge_method="power", simulations=100)
    )

    closing = ov.closing_lines(prices, "consensus", "power")
    some = swept.table.index[np.random.default_rng(3).permutation(swept.tried)[:14]]
    ledgers = {variant: alone(prices, ended, swept.table.loc[variant], closing) for variant in some}
    assert sum(len(ledger) for ledger in ledgers.values()) > 200
    assert_each_is_as_alone(swept, ledgers)


def test_references_by_period_are_those_that_a_variant_alone_would_have(tmp_path):
    # of a table and of a store that is read league by league; the sharp one leaves in the middle
    left = pd.Timestamp("2024-10-10", tz="UTC")
    prices, ended = league(110, here=lambda book, day: book != "sharp" or day < left)
    store = ov.Store(tmp_path)
    starts = prices.drop_duplicates("event_id")[["event_id", "starts_at"]]
    place = {"sport": "soccer", "competition": "L1", "season": "2425", "home": "a", "away": "b"}
    store.append("events", starts.assign(**place, time_known=True, source="test"))
    store.append("quotes", prices.drop(columns="starts_at"))
    store.append("results", ended)
    settings = SweepSettings(simulations=100)

    swept = ov.sweep(prices, {"min_edge": [0.01, 0.04]}, ended, settings)
    from_store = ov.sweep(store, {"min_edge": [0.01, 0.04]}, settings=settings, where={"season": "2425"})

    periods = ov.forecasts.reference_periods(prices, ended)
    closing = ov.closing_lines(prices, periods)
    assert periods["reference"].nunique() == 3
    assert swept.table["reference"].unique().tolist() == ["auto"]
    for variant in swept.table.index:
        one = swept.table.loc[variant].to_dict() | {"reference": periods}
        assert_each_is_as_alone(swept, {variant: alone(prices, ended, one, closing)})
    figures = ["bets", "yield", "clv", "luck_p"]
    pd.testing.assert_frame_equal(swept.table[figures], from_store.table[figures])


def test_a_looser_threshold_bets_earlier_not_only_more():
    # what 0.0 takes at the first moment is gone when 0.05 is reached: masks on one list of signals would miss
    # that
    prices, ended = snapshots(30, 3, 6, seed=4)

    swept = ov.sweep(
        prices, {"reference": "s", "min_edge": [0.0, 0.05]}, ended, settings=SweepSettings(simulations=100)
    )
    loose, strict = swept.ledger(0), swept.ledger(1)

    both = loose.merge(strict, on=["event_id", "outcome"])
    assert (both["placed_at_x"] < both["placed_at_y"]).any()


@pytest.mark.slow
def test_a_ledger_with_lines_voids_lays_and_an_exchange_is_swept_as_it_is_backtested():
    rng = np.random.default_rng(5)
    rows, ended = [], []
    for i in range(120):
        start = pd.Timestamp("2025-03-01 15:00", tz="UTC") + pd.Timedelta(hours=7 * (i // 3))
        kind = ("h2h", "totals", "spreads")[i % 3]
        outcomes = {
            "h2h": ("home", "draw", "away"),
            "totals": ("over", "under"),
            "spreads": ("home", "away"),
        }[kind]
        line = {"h2h": None, "totals": 2.5 - 0.25 * (i % 4), "spreads": -0.5 + 0.25 * (i % 5)}[kind]
        for k, outcome in enumerate(outcomes[: 1 + i % len(outcomes)]):
            book = ("acme", "betfair_exchange")[(i + k) % 2 if i % 2 else 1]
            placed = str(start - pd.Timedelta(hours=4))[:19]
            rows.append(
                bet(
                    f"m{i:03d}",
                    outcome,
                    round(rng.uniform(1.6, 4.0), 2),
                    placed=placed,
                    start=start,
                    probability=rng.uniform(0.3, 0.6),
                    market=kind,
                    line=line,
                    bookmaker=book,
                    side="lay" if i % 11 == 0 else "back",
                )
            )
        ended.append(
            result(f"m{i:03d}", None if i % 17 == 0 else int(rng.integers(0, 4)), int(rng.integers(0, 3)))
        )
    wanted, done = bets(*rows), results(*ended)
    closing = wanted[["event_id", "market", "line", "outcome", "bookmaker", "probability"]].rename(
        columns={"probability": "closing_fair"}
    )
    closing = closing.assign(closing_price=2.0)
    whole = ov.backtest(wanted, done, closing=closing)

    space = {
        "min_edge": [-1.0, 0.0],
        "max_price": [2.5, 9.0],
        "min_probability": [0.0, 0.4],
        "staking": ["flat:30", "kelly:0.3", "kelly-joint"],
    }
    swept = ov.sweep(whole, space, settings=SweepSettings(simulations=100))

    ledgers = {}
    for variant, row in swept.table.iterrows():
        chosen = (
            (wanted["edge"] >= row["min_edge"])
            & (wanted["price"] <= row["max_price"])
            & (wanted["probability"] >= row["min_probability"])
        )
        ledgers[variant] = ov.backtest(wanted[chosen], done, stake=rule_of(row, 1_000), closing=closing)
    assert_each_is_as_alone(swept, ledgers)


def test_leagues_and_seasons_are_parameters_too():
    prices, ended = noisy_quotes(60, 3, seed=6)
    league = np.where(prices["event_id"] < "m00030", "E0", "D1")
    prices = prices.assign(
        competition=league, season=np.where(prices["event_id"].str[-1] < "5", "2324", "2425")
    )

    swept = ov.sweep(
        prices,
        {
            "reference": "b0",
            "min_edge": 0.0,
            "competition": ["E0", None, ("E0", "D1")],
            "season": ["2425", None],
        },
        ended,
    )

    staked = swept.table.set_index(["competition", "season"])["bets"]
    assert swept.ledger(0)["competition"].unique().tolist() == ["E0"]
    assert swept.ledger(0)["season"].unique().tolist() == ["2425"]
    assert (
        staked[[(None, None)]].iloc[0]
        == staked[[(("E0", "D1"), None)]].iloc[0]
        > staked[[(("E0",), None)]].iloc[0]
        > 0
    )


def test_the_luck_of_many_bets_is_that_of_the_luck_test():
    prices, ended = noisy_quotes(400, 5, seed=7)
    prices = prices[~prices["bookmaker"].str.startswith("market")]

    swept = ov.sweep(
        prices,
        {"reference": "b0", "min_edge": [0.0, 0.03], "staking": ["flat", "kelly:0.5"]},
        ended,
        settings=SweepSettings(simulations=100),
    )

    for variant, row in swept.table.iterrows():
        told = ov.luck_test(swept.ledger(variant), simulations=20_000)
        assert told["bets"] == row["luck_bets"] > 50
        # four standard errors of the simulation, and what the skewness leaves open
        assert row["luck_p"] == pytest.approx(
            told["p"], abs=4 * np.sqrt(told["p"] * (1 - told["p"]) / 20_000) + 0.003
        )


def test_the_luck_of_a_few_bets_is_exact():
    # prices are fair at a half: +1 -1; and at a fifth: +4 -1. Won, lost: profit 0 at unit stakes, reached by
    # won-lost (0.4), won-won (0.1), lost-won (0.1): 0.6
    wanted = bets(bet("m1", "home", 2.0), bet("m2", "home", 5.0))
    closing = wanted[["event_id", "market", "line", "outcome", "bookmaker"]].assign(
        closing_price=2.0, closing_fair=[0.5, 0.2]
    )
    ledger = ov.backtest(
        wanted, results(result("m1", 1, 0), result("m2", 0, 1)), stake=ov.Flat(1), closing=closing
    )

    assert ov.sweep(ledger, {"staking": "flat:1"}, settings=SweepSettings(simulations=100)).table[
        "luck_p"
    ].tolist() == pytest.approx([0.6])


def test_outcomes_of_one_match_exclude_each_other_in_the_luck_too():
    # home and away backed at 3.0, fair 0.4 and 0.4: +1 with chance 0.8, -2 with chance 0.2, so a profit of 1
    # has p 0.8; 9 such matches
    days = [pd.Timestamp("2025-03-01 15:00", tz="UTC") + pd.Timedelta(days=i) for i in range(9)]
    rows = [
        bet(f"m{i}", outcome, 3.0, start=start)
        for i, start in enumerate(days)
        for outcome in ("home", "away")
    ]
    wanted = bets(*rows)
    closing = wanted[["event_id", "market", "line", "outcome", "bookmaker"]].assign(
        closing_price=3.0, closing_fair=0.4
    )
    ended = results(*(result(f"m{i}", 1, 0) for i in range(9)))
    ledger = ov.backtest(wanted, ended, stake=ov.Flat(1), closing=closing)

    swept = ov.sweep(ledger, {"staking": "flat:1"}, settings=SweepSettings(simulations=100))

    # worth 2 x (0.4 x 3 - 1) = 0.4 a match, an edge that is taken out: mean 0, variance 0.8 x 0.36 + 0.2 x
    # 5.76 = 1.44
    assert swept.table["luck_z"].iloc[0] == pytest.approx(9 / np.sqrt(9 * 1.44))
    assert ov.luck_test(ledger, simulations=40_000)["p"] == pytest.approx(
        swept.table["luck_p"].iloc[0], abs=0.12
    )


def test_intervals_agree_with_those_of_evaluate():
    prices, ended = noisy_quotes(700, 3, seed=8, per_day=3)

    swept = ov.sweep(
        prices, {"reference": "b0", "min_edge": [0.0, 0.02]}, ended, settings=SweepSettings(simulations=100)
    )

    for variant, row in swept.table.iterrows():
        evaluation = ov.evaluate(swept.ledger(variant), simulations=4_000).loc["yield"]
        assert (row["low"], row["high"]) == pytest.approx(
            (evaluation["low"], evaluation["high"]), abs=0.1 * (row["high"] - row["low"])
        )


def test_all_variants_are_counted_by_the_correction():
    prices, ended = noisy_quotes(150, 4, seed=9)
    space = {"reference": "b0", "min_edge": [0.0, 0.02, 0.04, 0.9], "max_price": [3.0, 6.0, 15.0]}

    swept = ov.sweep(prices, space, ended, settings=SweepSettings(simulations=400, seed=5))

    by_hand = ov.correct_for_search(
        {str(v): swept.ledger(v) for v in swept.table.index}, simulations=400, seed=5
    )
    assert swept.table["p"].to_numpy() == pytest.approx(by_hand["p"].to_numpy(), abs=1.5 / 401)
    assert swept.table["p_adjusted"].to_numpy() == pytest.approx(
        by_hand["p_adjusted"].to_numpy(), abs=1.5 / 401
    )
    assert swept.table.attrs["tried"] == swept.tried == 12  # those that never bet as well
    assert (swept.table["luck_p_adjusted"].dropna() >= swept.table["luck_p"].dropna()).all()
    assert swept.table["luck_p_adjusted"].min() > swept.table["luck_p"].min()


def test_a_correction_in_blocks_is_that_of_all_together(monkeypatch):
    profits = np.random.default_rng(1).standard_normal((80, 50))
    profits[:, 3] += 0.4
    profits[:, 7] = 0
    whole = ov.correct_for_search(profits, simulations=300)

    monkeypatch.setattr(search, "CHUNK", 300 * 7)

    in_blocks = ov.correct_for_search(profits, simulations=300)
    pd.testing.assert_frame_equal(in_blocks, whole)
    assert in_blocks.attrs == whole.attrs


def test_the_number_of_threads_changes_no_bit():
    prices, ended = noisy_quotes(80, 3, seed=10)
    space = {
        "reference": ["b0", "consensus"],
        "min_edge": np.linspace(0, 0.05, 30),
        "staking": ["flat", "kelly"],
    }

    one, three = (
        ov.sweep(prices, space, ended, settings=SweepSettings(simulations=200, workers=workers))
        for workers in (1, 3)
    )

    pd.testing.assert_frame_equal(one.table, three.table, check_exact=True)
    assert (one.profit == three.profit).all()


def test_a_store_is_swept_league_by_league_with_the_same_numbers(tmp_path):
    prices, ended = noisy_quotes(60, 3, seed=11)
    league = {name: "E0" if name < "m00030" else "D1" for name in ended["event_id"]}
    prices, ended = (
        frame.assign(competition=frame["event_id"].map(league), season="2425") for frame in (prices, ended)
    )
    store = filled(tmp_path / "store", prices, ended)

    space = {"reference": "b0", "min_edge": [0.0, 0.03], "staking": ["flat", "kelly"]}
    whole, by_league = (
        ov.sweep(prices, space, ended, settings=SweepSettings(simulations=100)),
        ov.sweep(store, space, settings=SweepSettings(simulations=100)),
    )

    pd.testing.assert_frame_equal(whole.table, by_league.table, check_exact=True)
    with pytest.raises(ParameterError, match="'nobody' has no prices"):
        ov.sweep(store, {"reference": "nobody"})


def filled(root: Path, prices: pd.DataFrame, ended: pd.DataFrame) -> ov.Store:
    store = ov.Store(root)
    events = prices.drop_duplicates("event_id")[["event_id", "competition", "season", "starts_at", "source"]]
    store.append("events", events.assign(sport="soccer", home="a", away="b", time_known=True))
    store.append("quotes", prices.drop(columns="starts_at"))
    store.append("results", ended)
    return store


def test_a_finished_sweep_is_read_and_a_damaged_part_made_anew(tmp_path):
    prices, ended = noisy_quotes(60, 3, seed=12)
    space = {"reference": "b0", "min_edge": np.linspace(0, 0.05, 150)}
    told = []
    first = ov.sweep(prices, space, ended, settings=SweepSettings(keep=tmp_path, simulations=100))
    files = sorted((tmp_path / first.key).iterdir())
    assert len(files) == 3

    files[1].write_bytes(files[1].read_bytes()[:1000])
    again = ov.sweep(
        prices, space, ended, settings=SweepSettings(keep=tmp_path, simulations=100, progress=told.append)
    )

    assert (told[0].kept, told[-1].done, told[-1].of) == (2, 3, 3)
    pd.testing.assert_frame_equal(again.table, first.table, check_exact=True)


@pytest.mark.slow
def test_other_data_parameters_or_money_are_another_sweep():
    prices, ended = noisy_quotes(30, 3, seed=13)
    moved = prices.assign(price=prices["price"] + 0.01 * (prices["bookmaker"] == "b1"))
    turned = ended.assign(home_score=ended["away_score"], away_score=ended["home_score"])
    space = {"reference": "b0", "min_edge": [0.0, 0.01]}

    keys = [
        ov.sweep(prices, space, ended, settings=SweepSettings(simulations=100)).key,
        ov.sweep(moved.iloc[::-1], space, ended, settings=SweepSettings(simulations=100)).key,
        ov.sweep(prices, space, turned, settings=SweepSettings(simulations=100)).key,
        ov.sweep(
            prices, {**space, "min_edge": [0.0, 0.02]}, ended, settings=SweepSettings(simulations=100)
        ).key,
        ov.sweep(prices, space, ended, settings=SweepSettings(simulations=100, bankroll=999)).key,
    ]

    assert len(set(keys)) == 5
    assert ov.sweep(prices.iloc[::-1], space, ended, settings=SweepSettings(simulations=100)).key == keys[0]


SLOWLY = """
    import sys, time
    from pathlib import Path
    import overround as ov
    from overround import sweep
    from overround.sweeps.bets import block
    from tests.support.sweep_cluster import stopped
    module = sys.modules["overround.sweeps.blocks"]
    def slowly(*given):
        time.sleep(0.3)
        return block(*given)
    module.block = slowly
    stopped(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_sweep_whose_process_was_killed_goes_on_where_it_was(tmp_path):
    script = tmp_path / "slowly.py"
    script.write_text(textwrap.dedent(SLOWLY))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "lib"), str(ROOT)])}
    keep = tmp_path / "kept"
    process = subprocess.Popen([sys.executable, script, keep], env=env, cwd=ROOT)
    await_(lambda: len(list(keep.glob("*/variants-*.npz"))) >= 3 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    told = []
    done = stopped(keep, progress=told.append)

    assert 3 <= told[0].kept < told[0].of == 12
    pd.testing.assert_frame_equal(done.table, stopped(None).table, check_exact=True)


@pytest.mark.parametrize("measure", ["statistic", "yield"])
@pytest.mark.parametrize("window", [None, 60])
def test_a_pick_knows_nothing_of_its_future(measure, window):
    wanted, ended, closing = season(600, seed=15)
    wanted = wanted.assign(edge=np.random.default_rng(1).uniform(0, 1, 600))
    late = sorted(wanted["starts_at"].unique())[70]
    other = wanted.loc[wanted["starts_at"] >= late, "event_id"]
    turned = ended["event_id"].isin(other)
    altered = ended.assign(
        home_score=ended["home_score"].mask(turned, 1 - ended["home_score"]),
        away_score=ended["away_score"].mask(turned, 0.5),
    )
    space = {"min_edge": np.linspace(0, 0.9, 10), "staking": ["flat", "kelly:0.1"]}

    def picks(results_then):
        swept = ov.sweep(
            ov.backtest(wanted, results_then, closing=closing), space, settings=SweepSettings(simulations=100)
        )
        return ov.sweeps.walk_forward_choice(
            swept, every_days=10, window_days=window, measure=measure, least_days=5
        )

    before, after = picks(ended), picks(altered)

    known = before.periods.index <= late - pd.Timedelta(hours=3)
    pd.testing.assert_frame_equal(
        before.periods.loc[known, ["variant", "statistic"]],
        after.periods.loc[known, ["variant", "statistic"]],
    )
    assert (before.periods.loc[known, "variant"] >= 0).sum() > 3
    assert not before.periods["variant"].equals(after.periods["variant"])


def test_picks_are_those_of_a_loop_over_the_ledgers():
    wanted, ended, closing = season(400, seed=16, edge=0.05)
    wanted = wanted.assign(edge=np.random.default_rng(2).uniform(0, 1, 400))
    swept = ov.sweep(
        ov.backtest(wanted, ended, closing=closing),
        {"min_edge": [0.0, 0.3, 0.6], "staking": "flat:10"},
        settings=SweepSettings(simulations=100),
    )

    found = ov.sweeps.walk_forward_choice(swept, every_days=7, measure="yield", least_days=10)

    ledgers, staked, profit = {v: swept.ledger(v) for v in swept.table.index}, 0.0, 0.0
    begin, last = wanted["placed_at"].min(), wanted["placed_at"].max()
    while begin <= last:
        scores = {}
        for variant, ledger in ledgers.items():
            past = ledger[ledger["settled_at"] <= begin]
            if past["starts_at"].dt.normalize().nunique() >= 10:
                scores[variant] = past["profit"].sum() / past["stake"].sum()
        if scores and max(scores.values()) > 0:
            ledger = ledgers[max(scores, key=scores.get)]
            mine = ledger[
                (ledger["placed_at"] >= begin) & (ledger["placed_at"] < begin + pd.Timedelta(days=7))
            ]
            staked, profit = staked + mine["stake"].sum(), profit + mine["profit"].sum()
        begin += pd.Timedelta(days=7)
    assert found.value == pytest.approx(profit / staked, rel=1e-5)
    assert found.low < found.value < found.high
    assert found.periods["staked"].sum() == pytest.approx(staked, rel=1e-5)


def test_neighbours_differ_by_one_step():
    wanted, ended, closing = season(80, seed=17)
    ledger = ov.backtest(wanted, ended, closing=closing)
    grid = ov.sweep(
        ledger,
        {"max_price": [2.0, 3.0, 4.0], "min_price": [1.0, 1.2, 1.5], "staking": ["flat", "percentage"]},
        settings=SweepSettings(simulations=100),
    )

    found = ov.sweeps.stability(grid)

    # the corner has one neighbour along each number and the other staking; the middle two along each
    assert found.loc[0, "neighbours"] == 3
    middle = grid.table.index[
        (grid.table["max_price"] == 3.0)
        & (grid.table["min_price"] == 1.2)
        & (grid.table["staking"] == "flat")
    ][0]
    near = [
        v
        for v, row in grid.table.iterrows()
        if ((row["max_price"] != 3) + (row["min_price"] != 1.2) + (row["staking"] != "flat")) == 1
    ]
    assert len(near) == found.loc[middle, "neighbours"] == 5
    assert found.loc[middle, "neighbour_yield"] == pytest.approx(grid.table.loc[near, "yield"].mean())
    assert found.loc[middle, "neighbours_winning"] == (grid.table.loc[near, "yield"] > 0).mean()


def test_neighbours_in_a_sample_are_the_nearest():
    wanted, ended, closing = season(80, seed=18)
    ledger = ov.backtest(wanted, ended, closing=closing)

    drawn = ov.sweep(
        ledger,
        {"max_price": (1.5, 4.0), "min_price": (1.0, 1.4), "staking": ["flat", "percentage"]},
        settings=SweepSettings(sample=40, simulations=100),
    )

    assert (ov.sweeps.stability(drawn)["neighbours"] == 4).all()


def test_the_best_come_first_and_the_verdict_counts_all():
    wanted, ended, closing = season(300, seed=19)
    wanted = wanted.assign(edge=np.random.default_rng(3).uniform(0, 1, 300))
    swept = ov.sweep(
        ov.backtest(wanted, ended, closing=closing),
        {"min_edge": np.linspace(0, 0.95, 40)},
        settings=SweepSettings(simulations=200),
    )

    best = ov.sweeps.top_variants(swept, 5)
    words = ov.sweeps.sweep_verdict(swept, ov.sweeps.walk_forward_choice(swept))

    assert best["p_adjusted"].is_monotonic_increasing
    assert "of 40 variants" in words
    assert words.startswith("Nothing that the search does not explain")


def test_an_edge_passes_the_correction():
    wanted, ended, closing = season(2_000, seed=20, edge=0.25)
    closing = closing.assign(closing_fair=closing["closing_fair"])

    swept = ov.sweep(
        ov.backtest(wanted, ended, closing=closing),
        {"max_price": np.linspace(2, 5, 20)},
        settings=SweepSettings(simulations=300),
    )

    assert swept.table["p_adjusted"].min() < 0.01


def test_a_sweep_without_bets_says_so():
    prices, ended = noisy_quotes(10, 2, seed=21)

    swept = ov.sweep(prices, {"reference": "b0", "min_edge": [0.8, 0.9], "max_edge": 0.95}, ended)

    assert (
        ov.sweeps.sweep_verdict(swept, ov.sweeps.walk_forward_choice(swept))
        == "None of 2 variants placed a bet."
    )
    assert swept.table[["yield", "p", "luck_p_adjusted"]].isna().all(axis=None)
    assert ov.sweeps.top_variants(swept).empty


def test_a_grid_has_every_point_once():
    found = ov.sweeps.variants(
        {
            "min_edge": [0.0, 0.01, 0.01],
            "staking": ["flat", "kelly"],
            "bookmakers": ["b1", ("b1", "b2"), None],
        }
    )

    points = list(found[["min_edge", "staking", "bookmakers"]].itertuples(index=False, name=None))
    # the last parameter of the library's order turns fastest
    assert sorted(points, key=repr) == sorted(
        product([0.0, 0.01], ["flat", "kelly"], [("b1",), ("b1", "b2"), None]), key=repr
    )
    assert found.attrs["varied"] == ["min_edge", "bookmakers", "staking"]


def test_a_latin_sample_takes_every_part_of_each_range_equally_often():
    space = {
        "min_edge": (0.0, 0.1),
        "max_price": (2.0, 20.0, "log"),
        "staking": ["flat", "kelly", "percentage"],
    }

    found = ov.sweeps.variants(space, 60, seed=3)

    assert np.bincount((found["min_edge"] * 600).astype(int)).tolist() == [1] * 60
    assert np.bincount((np.log(found["max_price"] / 2) / np.log(10) * 60).astype(int)).tolist() == [1] * 60
    assert found["staking"].value_counts().tolist() == [20, 20, 20]
    assert found.equals(ov.sweeps.variants(space, 60, seed=3))
    assert not found.equals(ov.sweeps.variants(space, 60, seed=4))
    apart = ov.sweeps.variants(space, 60, how="random", seed=3)
    assert np.bincount((apart["min_edge"] * 600).astype(int), minlength=60).max() > 1


@pytest.mark.parametrize(
    ("space", "more", "sentence"),
    [
        ({"edge": [0.1]}, {}, "parameter 'edge' cannot be swept; those that can: reference, method"),
        ({"min_edge": []}, {}, "min_edge has no value"),
        ({"min_edge": (0.0, 0.1)}, {}, "min_edge is a range, from which only a sample can be drawn"),
        ({"min_edge": (0.1, 0.0)}, {"sample": 3}, r"min_edge is \(0.1, 0.0\); a range is"),
        ({"min_edge": (0.1,)}, {"sample": 3}, r"min_edge is \(0.1,\); a range is"),
        ({"max_price": (0.0, 3.0, "log")}, {"sample": 3}, "'log'\\) above 0"),
        ({"min_edge": (0.0, 0.1)}, {"sample": 0}, "sample is 0"),
        (
            {"min_edge": (0.0, 0.1)},
            {"sample": 2, "how": "grid"},
            "how 'grid' is unknown; there are latin, random",
        ),
        ({"staking": ["kelly", "martingale"]}, {}, "staking 'martingale' is unknown"),
        ({"staking": "kelly:much"}, {}, "staking 'kelly:much' cannot be read"),
        ({"staking": "kelly:7"}, {}, "fraction is 7"),
        ({"reference": "nobody"}, {}, "reference 'nobody' has no prices here"),
        ({"bookmakers": "nobody"}, {}, "bookmaker 'nobody' has no prices here"),
        ({}, {"bankroll": 0}, "bankroll is 0"),
        ({}, {"where": {"season": "2425"}}, "where and version choose rows of a store"),
        ({}, {"version": "quotes=1"}, "where and version choose rows of a store"),
    ],
)
def test_what_cannot_be_swept_is_a_sentence(space, more, sentence, tmp_path):
    prices, ended = noisy_quotes(10, 2, seed=22)

    with pytest.raises(ParameterError, match=sentence):
        rows = {name: more.pop(name) for name in ("where", "version") if name in more}
        ov.sweep(prices, {"reference": "b0", **space}, ended, SweepSettings(**more), **rows)
    with pytest.raises(ParameterError, match="a store has its own results"):
        ov.sweep(ov.Store(tmp_path), {"reference": "b0"}, ended)


def test_a_ledger_of_a_variant_that_is_none_is_refused_with_those_that_are():
    prices, ended = noisy_quotes(10, 2, seed=22)

    with pytest.raises(ParameterError, match="there is no variant 2; they are numbered from 0 to 1"):
        ov.sweep(
            prices, {"reference": "b0", "min_edge": [0.0, 0.1]}, ended, settings=SweepSettings(simulations=50)
        ).ledger(2)


def test_a_space_is_typed_as_names_and_values():
    typed = [
        "min_edge=0..0.1/11",
        "max_price=3,5",
        "method=power,shin",
        "bookmakers=all,bet365+bwin",
        "season=2425",
        "at_close=true",
    ]

    assert space_of(typed) == {
        "min_edge": [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1],
        "max_price": [3.0, 5.0],
        "method": ["power", "shin"],
        "bookmakers": [None, ("bet365", "bwin")],
        "season": ["2425"],
        "at_close": [True],
    }
    assert space_of(["min_edge=0..0.1"]) == {"min_edge": (0.0, 0.1)}
    for wrong in ("min_edge", "=3", "min_edge=a..b", "min_edge=0..1/1"):
        with pytest.raises(ParameterError, match="--vary"):
            space_of([wrong])
    with pytest.raises(ParameterError, match="--vary min_edge is given twice; write all its values in one"):
        space_of(["min_edge=0.01", "min_edge=0.02"])


def test_progress_tells_the_time_that_is_left(monkeypatch):
    clock = iter(np.arange(0.0, 1_000, 30))
    monkeypatch.setattr(tasks.time, "monotonic", lambda: next(clock))
    told = []

    tasks.run_tasks(
        [tasks.Task(str(i), lambda i: {"i": np.array(i)}, (i,), size=2.0 - i) for i in range(2)],
        workers=1,
        show=told.append,
    )

    # two thirds of the work after 30 s
    assert [str(one) for one in told[:2]] == ["0 of 2 pieces", "1 of 2 pieces, 15 s left"]
    assert str(told[-1]) == "2 of 2 pieces"
