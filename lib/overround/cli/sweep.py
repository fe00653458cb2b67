"""The command `overround sweep`: many variants over the store, the best of them, and a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overround.cli.console import League, Season, ShowCode, Source, sentences, write_report
from overround.progress import status_line

if TYPE_CHECKING:
    from overround.parallel.tasks import Progress, Show


def sweep(
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            "-v",
            metavar="NAME=VALUES",
            help="a,b,c, low..high/steps, or low..high for a --sample; repeatable",
        ),
    ],
    source: Source = "sample",
    league: League = [],
    season: Season = [],
    sample: Annotated[
        int, typer.Option(min=0, help="so many variants drawn from the space; 0: all of a grid")
    ] = 0,
    how: Annotated[str, typer.Option(help="of the sample: latin or random")] = "latin",
    judge: Annotated[
        str, typer.Option(help="reference of the closing lines; empty: that of the first variant")
    ] = "",
    bankroll: Annotated[float, typer.Option(help="of each variant, at the start")] = 1_000,
    simulations: Annotated[int, typer.Option(min=100, help="histories of the correction")] = 2_000,
    seed: Annotated[int, typer.Option(help="of all that is drawn")] = 7,
    scheduler: Annotated[
        str, typer.Option(help="tcp://host:8786: on a Dask cluster; by default on the cores of this machine")
    ] = "",
    workers: Annotated[int, typer.Option(min=0, help="threads here; 0: one a core")] = 0,
    top: Annotated[int, typer.Option(min=1, help="variants that are shown")] = 10,
    csv: Annotated[Path | None, typer.Option(help="also write all variants with their figures")] = None,
    report: Annotated[bool, typer.Option(help="write its page and list it in reports/index.html")] = True,
    show_code: ShowCode = False,
) -> None:
    """Try many variants of a value strategy at once; a sweep that was stopped goes on where it was."""
    with sentences():
        from overround.schema import AUTO
        from overround.settings import load_settings
        from overround.sources.registry import SHARP
        from overround.store.store import Store
        from overround.sweeps.engine import sweep as run
        from overround.sweeps.selection import sweep_verdict, top_variants, walk_forward_choice
        from overround.sweeps.settings import SweepSettings
        from overround.sweeps.space import space_of

        settings = load_settings()
        space = {"reference": SHARP.get(source, AUTO), **space_of(vary)}
        chosen = {"source": source, "competition": league, "season": season}
        where = {name: value for name, value in chosen.items() if value}
        store = Store(settings.store_root)
        version = store.version()
        with _progress() as show:
            how_to = SweepSettings(
                sample=sample or None,
                how=how,
                judge=judge or None,
                bankroll=bankroll,
                simulations=simulations,
                seed=seed,
                scheduler=scheduler or None,
                workers=workers or None,
                keep=settings.sweeps_folder,
                progress=show,
            )
            done = run(store, space, settings=how_to, where=where, version=version)
        if csv is not None:
            done.table.to_csv(csv)
        typer.echo(_text(top_variants(done, top)))
        typer.echo(f"\n{sweep_verdict(done, walk_forward_choice(done))}")
        if report:
            given = {"source": source, "leagues": league, "seasons": season, "vary": vary, "sample": sample}
            given |= {"how": how, "judge": judge, "bankroll": bankroll, "simulations": simulations}
            write_report("sweep", {**given, "seed": seed, "store_version": version}, show_code)


def _text(table: Any) -> str:
    from overround.formatting import BY_NAME, FORMATS

    forms = {name: BY_NAME.get(name, "p") for name in ("yield", "low", "high", "clv", "p", "p_adjusted")}
    forms |= {"bets": "count", "max_drawdown": "percent", "luck_p": "p", "luck_p_adjusted": "p"}
    texts = table.reset_index().astype(object)
    for name in forms.keys() & set(texts):
        texts[name] = [FORMATS[forms[name]](value) if value == value else "–" for value in texts[name]]
    lines = texts.rename(columns=lambda name: name.replace("_", " ")).to_string(index=False)
    return f"{lines}\n{table.attrs['says']}"


@contextmanager
def _progress() -> "Iterator[Show]":
    """Progress on standard error, and the address of a cluster's dashboard once it is known."""
    dashboard = ""
    with status_line(every_s=10) as line:

        def show(progress: "Progress") -> None:
            nonlocal dashboard
            if progress.where and progress.where != dashboard:
                dashboard = progress.where
                typer.echo(f"dashboard: {dashboard}", err=True)
            line(progress)

        yield show
