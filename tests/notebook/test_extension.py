"""`%load_ext overround` in a real IPython shell: SQL over the store, and tables that people can read."""

import duckdb
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

import overround as ov
from overround.errors import ParameterError, StoreError
from overround.notebook.magics import ensure_sample, shown
from tests.support.books import noisy_quotes, quotes, season, three_way


@pytest.fixture(scope="module")
def shell():
    made = InteractiveShell()
    made.run_line_magic("load_ext", "overround")
    return made


@pytest.fixture
def store(tmp_path) -> ov.Store:
    made = ov.Store(tmp_path)
    made.append("quotes", quotes(three_way()))
    return made


def html(shell, frame: pd.DataFrame) -> str:
    return shell.display_formatter.format(frame)[0]["text/html"]


def test_a_query_in_a_cell_asks_the_store_of_the_notebook_with_its_variables(shell, store):
    shell.user_ns |= {"store": store, "least": 3.5}

    answer = shell.run_cell_magic("sql", "", "SELECT count(*) AS n FROM quotes WHERE price >= $least")
    shell.run_cell_magic("sql", "kept", "SELECT count(*) AS n FROM quotes WHERE price >= $least")
    line = shell.run_line_magic("sql", "SELECT count(*) AS n FROM quotes WHERE price >= 3.5")

    assert 'scope="row"' in html(shell, answer)  # as our tables are, without an index
    wanted = int((store.read("quotes")["price"] >= 3.5).sum())
    assert wanted == 2
    assert [answer["n"][0], shell.user_ns["kept"]["n"][0], line["n"][0]] == [wanted] * 3


def test_an_answer_of_any_kind_is_shown(shell, store):
    shell.user_ns |= {"store": store}
    query = """SELECT outcome, list(price) AS prices, sum(1) AS n, NULL AS nothing, max(collected_at) AS at,
                      {'a': 1} AS s, '<i>' AS "<b>"
               FROM quotes GROUP BY outcome ORDER BY outcome"""

    text = html(shell, shell.run_cell_magic("sql", "", query))

    assert text.count('scope="row"') == 3
    assert all(part in text for part in ("[4.]", "&lt;i&gt;", "&lt;b&gt;", "–"))


@pytest.mark.parametrize(
    "name", ["first", "price", "low", "clv", "rows", "starts_at", "flagged", "p", "anything"]
)
@pytest.mark.parametrize(
    "value",
    ["'text'", "DATE '2025-03-01'", "TIMESTAMP '2025-03-01 12:00'", "1.5", "7", "TRUE", "NULL", "[1, 2]"],
)
def test_an_answer_may_call_anything_by_the_name_of_a_column_of_ours(name, value):
    answer = duckdb.sql(f"SELECT {value} AS {name}, {value} AS high").to_arrow_table().to_pandas()
    answer.attrs["sql"] = "as the magic marks it"

    text = shown(answer)

    assert 'scope="row"' in text
    assert {"clv": "CLV"}.get(name, name.replace("_", " ")) in text or "95 % interval" in text


def test_a_query_that_cannot_be_asked_is_a_sentence(shell, store):
    shell.user_ns |= {"store": store}

    with pytest.raises(ParameterError, match=r"asks for \$nothing_of_this_name"):
        shell.run_cell_magic("sql", "", "SELECT $nothing_of_this_name")
    with pytest.raises(ParameterError, match="a name to keep the answer under"):
        shell.run_cell_magic("sql", "SELECT 1", "SELECT 2")
    with pytest.raises(StoreError, match="nowhere"):
        shell.run_cell_magic("sql", "", "SELECT * FROM nowhere")


def test_a_value_is_a_value_and_never_a_part_of_the_query(shell, store):
    shell.user_ns |= {"store": store, "name": "x' OR 1=1 --"}

    answer = shell.run_cell_magic("sql", "", "SELECT * FROM quotes WHERE bookmaker = $name")

    assert answer.empty


def test_a_ledger_says_what_it_came_to_and_names_its_matches(shell):
    signals, results, closing = season(30, seed=1)
    ledger = ov.backtest(signals, results, stake=ov.Flat(10), closing=closing)
    first = ledger["event_id"].iloc[0]
    shell.user_ns["events"] = pd.DataFrame({"event_id": [first], "home": ["<b>Rovers"], "away": ["United"]})

    text = html(shell, ledger)

    assert f"30 bets settled {ledger['settled_at'].min():%Y-%m-%d}" in text
    assert f"yield {ov.percent(ledger['profit'].sum() / ledger['stake'].sum(), sign=True)}" in text
    assert "&lt;b&gt;Rovers – United" in text
    assert first not in text
    assert text.count("<tr>") == 9
    assert "22 more rows" in text
    assert ">h2h<" not in text  # goes without saying


def test_signals_and_an_evaluation_are_read_as_such_and_other_frames_stay(shell):
    prices, results = noisy_quotes(40, 3, seed=1)
    signals = ov.value_signals(prices, "b0")
    found = ov.evaluate(ov.backtest(signals, results), simulations=100)
    other = pd.DataFrame({"a": [1.23456]})

    assert f"{len(signals):,} signals, mean edge" in html(shell, signals)
    assert "closing-line value" in html(shell, found)
    assert html(shell, other) == other._repr_html_()
    assert "0 signals" in html(shell, signals.head(0))
    assert "0 bets, nothing staked" in html(shell, ov.backtest(signals.head(0), results))


def test_the_package_alone_changes_no_shell():
    plain = InteractiveShell()

    assert plain.find_cell_magic("sql") is None
    assert plain.display_formatter.formatters["text/html"].for_type(pd.DataFrame) is None


def test_a_store_with_the_sample_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERROUND_STORE", str(tmp_path))
    monkeypatch.setenv("OVERROUND_ODDS_API_URL", "http://127.0.0.1:9")
    ov.Store(tmp_path).append(
        "events",
        [
            {
                "event_id": "m1",
                "sport": "soccer",
                "competition": "L1",
                "season": "2425",
                "starts_at": pd.Timestamp("2025-03-01", tz="UTC"),
                "time_known": True,
                "home": "A",
                "away": "B",
                "source": "sample",
            }
        ],
    )

    said = ensure_sample()

    assert "1 simulated matches are there" in said
