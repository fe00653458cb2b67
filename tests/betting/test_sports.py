"""Ties and overtime: what a bet on match odds comes to by what its bookmaker offered, its sport, and the score."""

import numpy as np
import pandas as pd
import pytest

from overround import Flat, Store, backtest, luck_test, sweep
from overround.betting import settle
from overround.betting.sports import sport
from overround.errors import ParameterError
from overround.evaluation.null_histories import null_of_market
from overround.evaluation.redrawn_results import ways_and_profits
from overround.sources.football_data.leagues import DIVISIONS, NEW_LEAGUES
from overround.sweeps import SweepSettings
from tests.support.books import bet, bets, result, results


def both(**more):
    """A home and an away bet at 2.1 and 1.8, one backed and one laid."""
    rows = [bet(outcome="home", price=2.1, bookmaker="a"), bet(outcome="away", price=1.8, side="lay")]
    return bets(*rows).assign(**{"competition": "elsewhere", **more})


TIE = results(result(home=20, away=20))


@pytest.mark.parametrize(
    ("more", "ended"),
    [
        ({"ways": 2}, ["push", "push"]),
        ({"ways": 3}, ["lost", "won"]),
        ({"competition": "americanfootball_nfl"}, ["push", "push"]),
        ({"competition": "baseball_kbo"}, ["push", "push"]),
        ({"competition": "boxing_boxing"}, ["push", "push"]),
        ({"competition": "soccer_epl"}, ["lost", "won"]),
        ({"competition": "E0"}, ["lost", "won"]),
        ({"competition": "BRA"}, ["lost", "won"]),
        ({"sport": "American Football"}, ["push", "push"]),
        ({"sport": "soccer"}, ["lost", "won"]),
        # what the bookmaker offered counts before the sport, and the sport before the competition
        ({"ways": 3, "competition": "baseball_mlb"}, ["lost", "won"]),
        ({"ways": 2, "sport": "soccer"}, ["push", "push"]),
        ({"sport": "baseball", "competition": "soccer_epl"}, ["push", "push"]),
    ],
)
def test_a_tie_gives_the_stake_back_where_no_draw_was_offered(more, ended):
    ledger = backtest(both(**more), TIE, stake=Flat(100))

    assert sorted(ledger["result"]) == sorted(ended)
    profit = {"push": 0.0, "lost": -100.0, "won": 100.0}
    assert sorted(ledger["profit"]) == sorted(profit[one] for one in ended)


@pytest.mark.parametrize("more", [{}, {"ways": None}, {"competition": "icehockey_nhl"}, {"sport": "cricket"}])
def test_a_tie_is_refused_where_nothing_says_what_was_offered(more):
    wanted = both(**more)

    with pytest.raises(
        ParameterError, match=r"row 1: the bet on 'away' of m1 ended in a tie.*'ways'.*'sport'"
    ):
        backtest(wanted, TIE)
    # nothing is asked where no bet ties: another score, a line, a draw
    assert len(backtest(wanted, results(result(home=1, away=0)))) == 2
    assert len(backtest(bets(bet(outcome="draw")).assign(competition="elsewhere"), TIE)) == 1
    lined = bets(bet(market="spreads", line=0.0)).assign(competition="elsewhere")
    assert backtest(lined, TIE)["result"].tolist() == ["push"]


def test_a_bet_on_the_draw_says_what_its_bookmaker_offered():
    rows = [bet(), bet(outcome="draw"), bet(outcome="away", bookmaker="other")]
    wanted = bets(*rows).assign(competition="elsewhere")

    assert sorted(backtest(wanted.head(2), TIE)["result"]) == ["lost", "won"]
    with pytest.raises(ParameterError, match="row 2: the bet on 'away'"):
        backtest(wanted, TIE)


def test_the_row_of_a_refused_bet_is_the_users():
    wanted = both().set_index(pd.Index([70, 71]))

    with pytest.raises(ParameterError, match="row 71: the bet"):
        backtest(wanted, TIE)


@pytest.mark.parametrize("ways", [1, 4, 0, 2.5])
def test_other_numbers_of_ways_are_refused(ways):
    with pytest.raises(ParameterError, match=f"row 1: ways is {ways:g}; match odds have 2 outcomes, or 3"):
        backtest(both(ways=ways), TIE)


def test_a_draw_of_two_ways_is_refused():
    with pytest.raises(ParameterError, match="row 0: a bet on 'draw' has 2 ways"):
        backtest(bets(bet(outcome="draw")).assign(ways=2), TIE)


def test_the_users_table_is_left_as_it_is():
    wanted = both(competition="baseball_mlb")
    before = wanted.copy()

    backtest(wanted, TIE)

    pd.testing.assert_frame_equal(wanted, before)


def test_settle_asks_for_the_ways_of_a_tie():
    of = [pd.Series([value]) for value in ("h2h", np.nan, "home", 1, 1)]

    assert settle(*of, ways=pd.Series([2])).tolist() == [0]
    assert settle(*of, ways=pd.Series([3])).tolist() == [-1]
    with pytest.raises(ParameterError, match="row 0: 'home' of h2h ended in a tie"):
        settle(*of)


def test_a_ledger_of_bets_with_a_sport_says_how_many_ways():
    ledger = backtest(both(sport="baseball"), TIE)

    assert ledger["ways"].tolist() == [2, 2]
    assert "sport" not in ledger


def test_a_stored_ledger_keeps_its_ways(tmp_path):
    store = Store(tmp_path / "store")
    store.append("ledgers", backtest(both(ways=2), TIE).assign(run_id="one"))
    store.append("ledgers", backtest(both(competition="E0"), TIE).assign(run_id="none"))

    stored = store.read("ledgers")

    assert stored[stored["run_id"] == "one"]["ways"].tolist() == [2, 2]
    assert stored[stored["run_id"] == "none"]["ways"].isna().all()
    again = ways_and_profits(stored[stored["run_id"] == "one"].assign(closing_fair=0.5))[0]
    assert (again.ends == 0).any(axis=0).all()


def moneylines(n=400, *, ties=0.1, ways=2, seed=3):
    """Home bets at fair odds of two ways: a tie every tenth time, and else both as often."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2025-03-01 15:00", tz="UTC") + pd.to_timedelta(np.arange(n), unit="D")
    wanted = bets(*(bet(f"m{i:04d}", placed=str(s)[:10], start=s) for i, s in enumerate(start))).assign(
        ways=ways
    )
    tied, home = rng.random(n) < ties, rng.random(n) < 0.5
    scores = [(3, 3) if t else (4, 2) if h else (2, 4) for t, h in zip(tied, home, strict=True)]
    ended = results(*(result(f"m{i:04d}", *score) for i, score in enumerate(scores)))
    closing = wanted[["event_id", "market", "line", "outcome", "bookmaker"]]
    return wanted, ended, closing.assign(closing_price=2.0, closing_fair=0.5), tied


def test_redrawn_results_tie_as_often_as_the_bets_and_are_fair():
    wanted, ended, closing, tied = moneylines()
    ledger = backtest(wanted, ended, stake=Flat(1), bankroll=1000, closing=closing)

    ways, profits = ways_and_profits(ledger)

    assert ledger["result"].eq("push").mean() == tied.mean()
    assert ways.chances[1] == pytest.approx(np.full(len(ledger), tied.mean()))
    assert profits[1].tolist() == [0.0] * len(ledger)
    # 1 / price = P(win) / (1 - P(tie)): a fair price earns nothing
    assert (ways.chances * profits).sum(axis=0) == pytest.approx(np.zeros(len(ledger)), abs=1e-12)
    assert luck_test(ledger, simulations=500)["expected"] == pytest.approx(0, abs=1e-9)


def test_a_whole_line_and_a_moneyline_tie_by_their_own_chances():
    wanted, ended, closing, tied = moneylines()
    lined = wanted.assign(market="spreads", line=-2.0, bookmaker="b")  # every home win is a push
    closing = pd.concat([closing, closing.assign(market="spreads", line=-2.0, bookmaker="b")])
    ledger = backtest(pd.concat([wanted, lined], ignore_index=True), ended, bankroll=1e6, closing=closing)

    chance = pd.Series(ways_and_profits(ledger)[0].chances[1]).groupby(ledger["market"].to_numpy()).unique()

    assert chance["h2h"] == pytest.approx([tied.mean()])
    pushes = ledger[ledger["market"] == "spreads"]["result"].eq("push").mean()
    assert chance["spreads"] == pytest.approx([pushes])


def test_strategies_on_two_ways_and_on_three_have_their_own_chances():
    wanted, ended, closing, tied = moneylines(ties=0.3)
    three = backtest(wanted.assign(ways=3), ended, stake=Flat(1), bankroll=1000, closing=closing)
    two = backtest(wanted, ended, stake=Flat(1), bankroll=1000, closing=closing)

    null = null_of_market({"two": two, "three": three}, 4000, 7)

    # variance of a unit at 2.00: without the pushes 1 - ties, with a draw that loses 1
    assert (null.error**2 / len(two)).tolist() == pytest.approx([1 - tied.mean(), 1], rel=0.07)


def test_a_sweep_over_two_way_bets_has_the_figures_of_their_ledger():
    wanted, ended, closing, _ = moneylines()
    ledger = backtest(wanted, ended, stake=Flat(1), bankroll=1000, closing=closing)

    swept = sweep(
        ledger, {"staking": "flat", "stake": [1.0]}, settings=SweepSettings(simulations=100, bankroll=1000)
    )

    assert swept.table["profit"].tolist() == pytest.approx([ledger["profit"].sum()])
    luck = luck_test(ledger, simulations=4000)["p"]
    assert swept.table["luck_p"].tolist() == pytest.approx([luck], abs=0.03)


@pytest.mark.parametrize(
    ("competition", "score", "with_overtime", "ways", "settled"),
    [
        # a goal in overtime ends a game of ice hockey: one goal apart it may have been a draw before
        ("icehockey_nhl", (3, 2), True, 3, False),
        ("icehockey_nhl", (4, 2), True, 3, True),
        ("icehockey_nhl", (3, 2), True, 2, True),
        ("icehockey_nhl", (3, 2), False, 3, True),
        ("icehockey_nhl", (3, 2), None, 3, True),
        ("icehockey_nhl", (2, 2), False, 2, False),
        ("icehockey_nhl", (2, 2), False, 3, True),
        # elsewhere any win may have been made in overtime
        ("basketball_nba", (110, 98), True, 3, False),
        ("soccer_fifa_world_cup", (3, 1), True, 3, False),
        ("soccer_fifa_world_cup", (1, 1), True, 3, True),
        ("americanfootball_nfl", (20, 20), True, 2, True),
        ("soccer_epl", (1, 1), False, 2, True),
    ],
)
def test_a_score_settles_what_it_decides(competition, score, with_overtime, ways, settled):
    wanted = bets(bet(), bet(outcome="away", bookmaker="b")).assign(competition=competition, ways=ways)
    ended = results(result(home=score[0], away=score[1])).assign(with_overtime=with_overtime)

    ledger = backtest(wanted, ended)

    assert len(ledger) == 2 * settled
    assert ledger.attrs["unsettled"] == 2 * (not settled)
    if settled:
        without = backtest(wanted, ended.drop(columns="with_overtime"))
        assert ledger["result"].tolist() == without["result"].tolist()
    lined = bets(bet(market="totals", line=2.5, outcome="over")).assign(competition=competition)
    assert len(backtest(lined, ended)) == 1


def test_every_league_of_football_data_is_soccer():
    assert {sport(league) for league in (*DIVISIONS, *NEW_LEAGUES)} == {"soccer"}
