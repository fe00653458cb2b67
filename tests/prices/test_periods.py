"""References that change with time, on boards."""

import pandas as pd
import pytest

from overround import closing_lines, value_signals
from overround.errors import ParameterError
from overround.prices import reference_runs, reference_words
from tests.support.books import KICK_OFF, quotes, three_way

FAIR, LONG = (2.0, 4.0, 4.0), (2.2, 4.0, 4.0)


def periods(**references) -> pd.DataFrame:
    """From day to name: day of 2025 as in `feb_01="alpha"`."""
    index = pd.DatetimeIndex([pd.Timestamp(f"2025 {day}".replace("_", " ")) for day in references], tz="UTC")
    return pd.DataFrame({"reference": list(references.values())}, index=index.rename("since"))


def shown(bookmaker, prices, hours, event="m1", **more):
    at = KICK_OFF - pd.Timedelta(hours=hours)
    return three_way(event, bookmaker, prices, phase="snapshot", at=str(at)[:19], **more)


def test_a_moment_has_the_reference_of_its_own_period_not_of_the_kick_off():
    # kick-off on 1 March at 15:00; the bet is placed the day before, in the period of alpha
    rows = quotes(shown("alpha", FAIR, 20), shown("beta", (2.4, 3.4, 3.4), 20), shown("acme", LONG, 19))

    signals = value_signals(rows, periods(feb_01="alpha", mar_01="beta"), "multiplicative")

    home = signals[signals["outcome"] == "home"]
    assert home[["bookmaker", "reference"]].to_numpy().tolist() == [["beta", "alpha"]]
    assert home["probability"].tolist() == pytest.approx([0.5])


def test_where_it_has_shown_nothing_so_far_three_others_stand_in_and_fewer_do_not():
    four = [shown(name, FAIR, 10) for name in "bcd"]
    rows = quotes(*four, shown("acme", LONG, 9))

    signals = value_signals(rows, periods(feb_01="alpha"), "multiplicative")

    assert signals[["bookmaker", "reference"]].to_numpy().tolist() == [["acme", "consensus"]]
    assert value_signals(quotes(*four[:2], shown("acme", LONG, 9)), periods(feb_01="alpha")).empty


def test_where_it_has_taken_its_price_away_there_is_no_bet():
    # alpha's price is 30 hours old when acme shows its own: it no longer stands, and the others do not step in
    fresh = [shown(name, FAIR, 10) for name in "bcd"]
    rows = quotes(shown("alpha", FAIR, 39), *fresh, shown("acme", LONG, 9))

    assert value_signals(rows, periods(feb_01="alpha"), "multiplicative").empty
    assert len(value_signals(rows, "consensus", "multiplicative")) > 0


def test_where_it_has_withdrawn_its_price_there_is_no_bet():
    gone = (float("nan"),) * 3
    others = [shown(name, FAIR, 10) for name in "bcd"]
    rows = quotes(shown("alpha", FAIR, 12), *others, shown("alpha", gone, 9.5), shown("acme", LONG, 9))

    assert value_signals(rows, periods(feb_01="alpha"), "multiplicative").empty
    back = quotes(shown("alpha", FAIR, 12), *others, shown("acme", LONG, 9))
    assert value_signals(back, periods(feb_01="alpha"), "multiplicative")["reference"].tolist() == ["alpha"]


def test_closing_lines_are_judged_by_the_reference_at_kick_off():
    rows = quotes(
        *(three_way("m1", name, (2.0, 4.0, 4.0), phase="close") for name in "bcd"),
        three_way("m1", "alpha", (1.6, 4.0, 8.0), phase="close"),
    )

    def home(reference) -> float:
        lines = closing_lines(rows, reference, "multiplicative")
        return float(lines.loc[lines["outcome"] == "home", "closing_fair"].iloc[0])

    assert home(periods(feb_01="b", mar_01="alpha")) == pytest.approx(0.625)
    assert home(periods(feb_01="alpha", mar_01="b")) == pytest.approx(0.5)
    # before the first period, and for one without a close: the mean of all
    assert home(periods(mar_02="alpha")) == home(periods(feb_01="zeta")) == home("consensus")


def test_periods_in_words_and_as_runs():
    table = periods(jan_01="consensus", feb_01="alpha", mar_01="alpha", apr_01="beta")

    runs = reference_runs(table)

    assert runs["reference"].tolist() == ["consensus", "alpha", "beta"]
    assert runs["to"].dt.month.tolist()[:2] == [2, 4]
    assert pd.isna(runs["to"].iloc[-1])
    assert reference_words(table) == "consensus, from Feb 2025 alpha, from Apr 2025 beta"
    assert reference_words(periods(jan_06="alpha", jan_13="beta")) == "alpha, from 13 Jan 2025 beta"
    many = periods(jan_01="a", feb_01="b", mar_01="a", apr_01="b", may_01="a")
    assert reference_words(many) == "2 references by period, mostly a"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (periods(feb_01="alpha").reset_index(), "a table of references needs the column 'reference' and an"),
        (periods(mar_01="alpha", feb_01="beta"), "a table of references needs its periods in order of time"),
        (periods(feb_01="exchange_mid"), "reference 'exchange_mid' cannot be one of several; a table names"),
    ],
)
def test_a_table_that_is_none_is_refused(table, says):
    rows = quotes(shown("alpha", FAIR, 10))

    for rule in (value_signals, closing_lines):
        with pytest.raises(ParameterError, match=says):
            rule(rows, table)


def test_the_word_auto_alone_says_what_to_give():
    with pytest.raises(
        ParameterError, match=r"give what forecasts.reference_periods\(quotes, results\) returns"
    ):
        value_signals(quotes(shown("alpha", FAIR, 10)), "auto")
