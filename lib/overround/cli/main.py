"""The command `overround`: its subcommands call the library; errors are one sentence, exit status 1 or 2."""

from typing import Annotated

import typer

from overround.cli import collect as collect_cli
from overround.cli import perf as perf_cli
from overround.cli import sweep as sweep_cli
from overround.cli.console import League, Season, ShowCode, Source, say, sentences, step_by_step, write_report
from overround.errors import ParameterError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A workbench for research on sports odds.",
)

Given = Annotated[
    list[str], typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="of the notebooks; repeatable")
]


@app.command()
def run(
    notebook: Annotated[
        str, typer.Argument(help="only this one, e.g. daily; by default the whole line")
    ] = "",
    source: Source = "sample",
    league: League = [],
    season: Season = [],
    parameter: Given = [],
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            "-v",
            metavar="NAME=VALUES",
            help="of one notebook: a,b,c or low..high/steps; repeatable",
        ),
    ] = [],
    scheduler: Annotated[
        str, typer.Option(help="with --vary: tcp://host:8786, on a Dask cluster instead of here")
    ] = "",
    show_code: ShowCode = False,
    timeout: Annotated[int, typer.Option(min=1, help="seconds that one cell may take")] = 600,
    jobs: Annotated[int, typer.Option(min=0, help="steps at a time, never more than cores; 0: as many")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="also run what an earlier run has answered already")
    ] = False,
) -> None:
    """Run the whole line or one notebook, also with many sets of parameters; nothing unchanged runs again."""
    with sentences():
        from overround.runs.pipeline import run_requested
        from overround.settings import load_settings

        settings = load_settings()
        with step_by_step() as progress:
            outcomes = run_requested(
                source,
                league,
                season,
                _pairs(parameter),
                notebook=notebook,
                vary=vary,
                scheduler=scheduler,
                settings=settings,
                show_code=show_code,
                timeout_s=timeout,
                jobs=jobs,
                force=force,
                progress=progress,
            )
        if all(outcome.reused for outcome in outcomes):
            typer.echo("\nNothing has changed, nothing was run; --force runs all.")
        typer.echo(f"\n{settings.reports_folder / 'index.html'}")
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(1)


app.command("collect")(collect_cli.collect)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="run ids of backtests, as the index shows them; the first is the baseline"),
    ],
    show_code: ShowCode = False,
) -> None:
    """Compare backtests with the first one; writes a report."""
    with sentences():
        write_report("compare", {"runs": runs}, show_code)


@app.command()
def rebuild(
    run_id: Annotated[str, typer.Argument(help="as a page's footer names it")], show_code: ShowCode = False
) -> None:
    """Make a run again from the version of the data that it read; exit status 1 where a number differs."""
    with sentences():
        from overround.runs.reproduce import rebuild as rebuild_run
        from overround.settings import load_settings

        settings = load_settings()
        done = rebuild_run(run_id, settings=settings, show_code=show_code)
        for warning in done.warnings:
            say(f"  not as then: {warning}")
        say(f"{done}\n{done.outcome.html}")
    if done.differing or not done.outcome.ok:
        raise typer.Exit(1)


@app.command()
def index(
    baseline: Annotated[
        str, typer.Option(metavar="RUN", help="from now on the run that others are compared with")
    ] = "",
) -> None:
    """Write reports/index.html again."""
    with sentences():
        from overround.reports.page import render_index
        from overround.settings import load_settings

        reports = load_settings().reports_folder
        if baseline:
            from overround.reports.prune import mark_baseline

            mark_baseline(reports, baseline)
        typer.echo(render_index(reports))


@app.command()
def prune(
    keep: Annotated[int | None, typer.Option(help="so many of the newest pipelines stay")] = None,
    older_than: Annotated[str, typer.Option(metavar="30d", help="only what is older (12h, 30d, 4w)")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="remove them; without it they are only listed")] = False,
) -> None:
    """List pages and executed notebooks of old runs, and with --yes remove them; never the store's tables."""
    with sentences():
        from overround.durations import span
        from overround.reports.prune import candidates, remove
        from overround.settings import load_settings

        reports = load_settings().reports_folder
        old = candidates(reports, keep=keep, older_than=span(older_than) if older_than else None)
        for row in old.itertuples(index=False):
            typer.echo(
                f"  {row.pipeline}  {row.started_at:%Y-%m-%d %H:%M}  {row.runs} runs  {row.megabytes:.1f} MB"
            )
        if yes and len(old):
            remove(reports, old["pipeline"].tolist())
        what = f"{len(old)} pipelines, {old['megabytes'].sum():.1f} MB"
        hint = "" if old.empty or yes else "; nothing was removed, add --yes to remove them"
        typer.echo(f"{reports}: {what} {'removed' if yes else 'would go'}{hint}.")


store_app = typer.Typer(no_args_is_help=True, help="Look after the tables on disk.")
app.add_typer(store_app, name="store")
app.add_typer(perf_cli.app, name="perf")
app.command("sweep")(sweep_cli.sweep)


@store_app.command("check")
def store_check() -> None:
    """Look for damage in the store; exit status 1 where there is some."""
    with sentences():
        from overround.store.store import Store

        store = Store()
        found = store.check()
        harmless = found["what"] == "orphan file"
        for row in found[~harmless].itertuples(index=False):
            say(f"  {row.table}: {row.what}: {row.where}; {row.mend}")
        wrong = int((~harmless).sum())
        verdict = (
            f"things wrong: {wrong}, which `overround store repair` mends" if wrong else "nothing is wrong"
        )
        if store.layout < 2:
            say(
                f"  quotes: layout {store.layout}, of version 0.1: a price that an answer no longer showed "
                "is not known to be gone; `overround store upgrade` marks those"
            )
        typer.echo(f"store {store.root}: {verdict}; {harmless.sum()} files await the vacuum.")
    if wrong:
        raise typer.Exit(1)


@store_app.command("repair")
def store_repair() -> None:
    """Repair what check finds, and say what was lost; exit status 1 where something is still wrong."""
    with sentences():
        from overround.store.store import Store

        store = Store()
        done = store.repair()
        for sentence in done:
            say(f"  {sentence}")
        left = int((store.check()["what"] != "orphan file").sum())
        typer.echo(f"store {store.root}: {len(done)} things were done, {left} are still wrong.")
    if left:
        raise typer.Exit(1)


@store_app.command("upgrade")
def store_upgrade() -> None:
    """Bring a store of version 0.1 up to date: mark the prices that were gone before that was kept."""
    with sentences():
        from overround.store.store import Store

        store = Store()
        before, marked = store.layout, store.upgrade()
        typer.echo(
            f"store {store.root}: layout {before}, now {store.layout}; {marked:,} prices marked as gone."
        )


@store_app.command("compact")
def store_compact(
    days: Annotated[float, typer.Option(help="old files stay this long for those who still read them")] = 7,
) -> None:
    """Merge small files, and remove those that no version of the last days or of a recorded run needs."""
    with sentences():
        from overround.store.store import Store

        store = Store()
        compacted, removed = store.compact(), store.vacuum(days)
        typer.echo(f"store {store.root}: {compacted} partitions compacted, {removed} old files removed.")


@app.command("serve-sample")
def serve_sample(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one")] = 8765, seed: int = 2026
) -> None:
    """Serve the simulated market on loopback in The Odds API's format, until interrupted."""
    with sentences():
        from overround.sources.sample.market import Market
        from overround.sources.sample.server import serve

        serve(Market(seed=seed), port)


def main() -> None:
    """Entry point of the console script."""
    app()


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError(f"-p {text!r} cannot be read; write -p name=value, e.g. -p min_edge=0.03.")
        pairs[name] = value
    return pairs


if __name__ == "__main__":
    main()
