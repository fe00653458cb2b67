"""The command `overround collect`: once, again and again, or past odds that cost credits."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from overround.cli.console import League, Season, say, sentences, stopped_by_signals
from overround.errors import ParameterError
from overround.progress import status_line

if TYPE_CHECKING:
    from overround.collection.collector import Collected
    from overround.sources.the_odds_api.history import History


def collect(
    source: Annotated[str, typer.Argument(help="sample, football-data or the-odds-api")],
    league: League = [],
    season: Season = [],
    every: Annotated[
        str, typer.Option(metavar="30s", help="the-odds-api: ask again and again, so often (30s, 5m)")
    ] = "",
    until: Annotated[
        str,
        typer.Option("--for", metavar="12h", help="for so long (30m, 12h, 2d); by default until interrupted"),
    ] = "",
    polls: Annotated[int, typer.Option(help="or so many times; 0: no limit")] = 0,
    regions: Annotated[str, typer.Option(help="the-odds-api: whose prices, e.g. eu,uk")] = "",
    markets: Annotated[
        str, typer.Option(help="the-odds-api: h2h, h2h_lay, totals, spreads; joined by commas")
    ] = "",
    bookmakers: Annotated[
        str, typer.Option(help="the-odds-api: in place of regions, e.g. pinnacle,bet365")
    ] = "",
    start: Annotated[
        str,
        typer.Option("--from", metavar="TIME", help="the-odds-api: buy past odds, from 2024-08-16T12:00Z"),
    ] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="to 2024-08-20")] = "",
    step: Annotated[str, typer.Option(metavar="10min", help="as they stood so often (10min, 1h)")] = "",
    credit: Annotated[
        int | None,
        typer.Option("--credits", metavar="N", help="spend at most so many; the rest another time"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="spend the credits without being asked")] = False,
) -> None:
    """Bring a source's matches, prices and results into the store: once, again and again, or past odds."""
    with sentences():
        asked = {"regions": regions, "markets": markets, "bookmakers": bookmakers}
        offer = {name: text for name, text in asked.items() if text}
        again = bool(every or until or polls)
        if start or end or step or credit is not None or yes:
            _check_past(source, season, again, {"--from": start, "--to": end, "--step": step})
            done = _buy(source, league, start, end, step, credit, yes, offer)
        elif again or offer:
            if source != "the-odds-api" or season:
                raise ParameterError(
                    "only the-odds-api has current prices to ask for again and again, "
                    "of sports and not of seasons."
                )
            # regions, markets and bookmakers alone: one poll
            _poll(league, every or "30s", until, polls or (None if again else 1), offer)
            return
        else:
            from overround.collection.collector import collect as collect_source

            done = collect_source(source, leagues=league, seasons=season)
        _show(done)
    if done.failed:
        raise typer.Exit(1)


def _show(done: "Collected") -> None:
    typer.echo(str(done))
    for note in done.notes:
        say(f"  {note}")
    for row in done.set_aside.head(10).itertuples(index=False):
        say(f"  set aside: {row[0]} line {row[1]}, column {row[2]}: {row[3]!r} ({row[4]})")
    if len(done.set_aside) > 10:
        typer.echo(
            f"  and {len(done.set_aside) - 10:,} more; the collect report groups them by reason.", err=True
        )
    for name, why in done.failed.items():
        say(f"  failed: {name}: {why}")


def _check_past(source: str, seasons: list[str], again: bool, given: dict[str, str]) -> None:
    missing = [name for name, text in given.items() if not text]
    wrong = (
        f"{source} has none"
        if source != "the-odds-api"
        else "they have no seasons"
        if seasons
        else "--every, --for and --polls are for current prices"
        if again
        else f"{missing[0]} is missing"
        if missing
        else ""
    )
    if wrong:
        raise ParameterError(
            f"past odds cannot be bought like this: {wrong}; write overround collect the-odds-api "
            "--sport soccer_epl --from 2024-08-16T12:00Z --to 2024-08-20 --step 10min."
        )


def _buy(
    source: str,
    sports: list[str],
    start: str,
    end: str,
    step: str,
    most: int | None,
    yes: bool,
    offer: dict[str, str],
) -> "Collected":
    from dataclasses import replace

    from overround.collection.collector import collect as collect_source
    from overround.settings import load_settings
    from overround.sources.the_odds_api.client import Offer
    from overround.sources.the_odds_api.history import History, bill

    history = History.read(start, end, step, most or 0, Offer(**offer))  # type: ignore[arg-type]
    cost = bill(sports, history, load_settings())
    limit = cost.credits if most is None else most
    _agree(f"{_period(history)}: {cost}", cost.credits, limit, yes)
    return collect_source(source, leagues=sports, history=replace(history, credits=limit))


def _period(history: "History") -> str:
    dates = history.dates()
    return f"{len(dates):,} times from {dates[0]} to {dates[-1]}"


def _agree(sentence: str, needed: int, limit: int, yes: bool) -> None:
    """State the cost; go on only where it is agreed to, or there is nothing to spend."""
    ends = f"; it stops at the limit of {limit:,}" if limit < needed else ""
    typer.echo(f"{sentence}{ends}.")
    if yes or not min(needed, limit):
        return
    if not sys.stdin.isatty():
        raise ParameterError("nothing was spent; add --yes to spend the credits.")
    if not typer.confirm("Spend them?"):
        raise ParameterError("nothing was spent.")


def _poll(sports: list[str], every: str, duration: str, polls: int | None, offer: dict[str, str]) -> None:
    import time
    from datetime import UTC, datetime

    from overround.collection.poll_settings import PollSettings
    from overround.collection.polled import Polled
    from overround.collection.poller import poll
    from overround.durations import seconds, span
    from overround.memory import limit_arenas
    from overround.sources.the_odds_api.client import Offer

    limit_arenas()
    until = datetime.now(UTC) + span(duration) if duration else None

    def live(polled: Polled) -> str:
        return f"next poll in {max(0.0, polled.next_poll_s - time.time()):.0f} s | {polled}"

    with stopped_by_signals() as stop, status_line(60, live) as show:
        settings = PollSettings(seconds(every), until, polls, offer=Offer(**offer))  # type: ignore[arg-type]
        done = poll(sports, settings, stop=stop, progress=show)
    typer.echo(f"{done}; ended because {done.ended}.")
