"""The commands `overround perf ...`: costs of the library, before and after a change."""

from pathlib import Path
from typing import Annotated

import typer

from overround.cli.console import sentences, write_report
from overround.errors import ParameterError
from overround.progress import status_line

app = typer.Typer(
    no_args_is_help=True, help="Measure what the library costs, and whether a change made it better."
)

Workload = Annotated[
    list[str],
    typer.Option(
        "--workload", "-w", help="margin, signals, backtest, evaluate, append, read, collect; repeatable"
    ),
]
Pairs = Annotated[int, typer.Option(min=5, help="samples of each side")]
Repeats = Annotated[int, typer.Option(min=1, help="calls in the process of a sample, which is their median")]


def _drawable(path: Path | None) -> Path | None:
    if path is not None and (path.suffix not in (".svg", ".png") or not path.parent.is_dir()):
        raise typer.BadParameter(
            f"{str(path)!r} cannot be drawn: "
            "give a file that ends in .svg or .png, in a folder that is there."
        )
    return path


Figure = Annotated[Path | None, typer.Option(help="also draw all of it, as .svg or .png", callback=_drawable)]


@app.command()
def baseline(
    name: Annotated[str, typer.Argument(help="under which the samples are kept, in data/perf")],
    workload: Workload = [],
    pairs: Pairs = 15,
    repeats: Repeats = 5,
) -> None:
    """Measure this checkout and keep the samples under a name."""
    with sentences():
        from overround import perf
        from overround.perf.samples import DEFAULT
        from overround.perf.sides import HERE

        with perf.resolved(HERE) as (here,), status_line() as show:
            sides = {"A": here}
            samples = perf.measure(sides, workload or DEFAULT, pairs=pairs, repeats=repeats, progress=show)
            typer.echo(f"\n{perf.keep(name, samples, sides)}")


@app.command()
def compare(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A", help="a git revision, a baseline, name=value,..., or . for this checkout"
        ),
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="likewise; B is held against A")] = ".",
    workload: Workload = [],
    pairs: Pairs = 15,
    repeats: Repeats = 5,
    metric: Annotated[
        str,
        typer.Option(
            help="that decides: own_s (wall less the wait for a processor), wall_s, cpu_s or peak_mb"
        ),
    ] = "own_s",
    threshold: Annotated[float, typer.Option(min=0, help="a change smaller than this share is none")] = 0.05,
    fail_on: Annotated[
        str,
        typer.Option(
            help="worse: exit status 1 if a workload is, with its whole interval beyond the threshold"
        ),
    ] = "",
    report: Annotated[bool, typer.Option(help="also write a page, which the index lists")] = False,
    figure: Figure = None,
) -> None:
    """Measure two sides in turns and say what is better, worse or within noise; always with its interval."""
    with sentences():
        from datetime import UTC, datetime

        from overround import perf
        from overround.measure.paired import WORSE, compare_all, comparison_lines
        from overround.perf.samples import DEFAULT
        from overround.perf.stored import COMPARED

        _check("fail-on", fail_on or WORSE, WORSE)
        metrics = ("wall_s", "own_s", "cpu_s", "peak_mb")
        _check("metric", metric, *metrics)
        with perf.resolved(before, after) as (a, b), status_line() as show:
            sides = {"A": a, "B": b}
            samples = perf.measure(sides, workload or DEFAULT, pairs=pairs, repeats=repeats, progress=show)
        file = perf.keep(f"{COMPARED}{datetime.now(UTC):%Y%m%d-%H%M%S}", samples, sides)
        table = compare_all(samples, metrics, threshold=threshold)
        typer.echo(
            f"\nA: {a.name} ({a.revision}); B: {b.name} ({b.revision}). "
            "Ratios of medians B / A with 95 % intervals.\n"
        )
        typer.echo("\n".join(comparison_lines(table)))
        for workload, why in samples.attrs["left_out"].items():
            typer.echo(f"left out: {workload}: {why}", err=True)
        typer.echo(f"\n{file}")
        if untold := sorted(set(samples["workload"]) - set(table.loc[table["metric"] == metric, "workload"])):
            raise ParameterError(
                f"{metric} of {', '.join(untold)} was not measured on both sides; "
                "--metric takes another that was."
            )
        if figure is not None:
            from overround.figures import change

            names, note = (a.name, b.name), f"{a.revision} and {b.revision}"
            picture = change(samples, metric=metric, threshold=threshold, names=names, note=note)
            picture.figure.savefig(figure, dpi=150)
        if report:
            parameters = {"comparison": file.stem, "metric": metric, "threshold": threshold}
            write_report("revisions", parameters)
    # a failure stops others, so it takes a whole interval beyond the threshold
    sure = (table["metric"] == metric) & (table["verdict"] == WORSE) & (table["low"] > 1 + threshold)
    worse = table[sure]["workload"].tolist()
    if worse and fail_on:
        typer.echo(f"worse in {metric}: {', '.join(worse)}", err=True)
        raise typer.Exit(1)


@app.command()
def watch(
    metric: Annotated[str, typer.Option(help="cpu_s, wall_s or peak_mb")] = "cpu_s", figure: Figure = None
) -> None:
    """Look through the history of every stage in the store; exit status 1 while one is slower than usual."""
    with sentences():
        from overround.perf.anomalies import LEAST, LOOK, histories
        from overround.perf.anomalies import watch as look
        from overround.store.store import Store

        _check("metric", metric, "cpu_s", "wall_s", "peak_mb")  # else nothing is found, and all seems well
        store = Store()
        history = histories(store.read("measurements"), store.read("runs"), metric)
        found = look(history)
        runs = history.groupby("stage").size()
        judged = int((runs >= LEAST + LOOK).sum())
        for row in found[::-1].itertuples(index=False):
            typer.echo(
                f"{row.noticed_at:%Y-%m-%d %H:%M}  {row.stage}: {row.kind}, "
                f"{row.ratio:.2f} times the usual {row.usual:.3g} ({row.run_id})"
            )
        still = found[found["open"]]
        typer.echo(
            f"{judged} stage{'' if judged == 1 else 's'} with {LEAST + LOOK} runs or more, "
            f"{len(still)} slower than usual in {metric}."
        )
        if figure is not None:
            from overround.figures import stage_history

            stage_history(history, found, metric=metric).figure.savefig(figure, dpi=150)
    if len(still):
        raise typer.Exit(1)


@app.command()
def profile(
    workload: Annotated[
        str, typer.Argument(help="margin, signals, backtest, evaluate, append, read or collect")
    ],
    html: Annotated[Path | None, typer.Option(help="also write the call tree as a page that unfolds")] = None,
) -> None:
    """Show where a workload spends its time, by samples of its calls; needs pyinstrument."""
    with sentences():
        import tempfile

        from overround.perf.samples import known
        from overround.perf.workloads import WORKLOADS

        known([workload])
        try:
            from pyinstrument import Profiler
        except ImportError:
            raise ParameterError("a profile needs pyinstrument: pip install pyinstrument.") from None
        profiler = Profiler(interval=0.001)
        with tempfile.TemporaryDirectory() as folder, WORKLOADS[workload](Path(folder)) as (run, _):
            run()  # compilers, caches, imports
            with profiler:
                for _ in range(5):
                    run()
        typer.echo(profiler.output_text(color=False, show_all=False))
        if html is not None:
            html.write_text(profiler.output_html())


@app.command()
def tune(
    setting: Annotated[
        list[str],
        typer.Option("--setting", "-s", help="batch_rows, fetch_workers, live_ttl, processes; repeatable"),
    ] = [],
    budget: Annotated[
        str, typer.Option(metavar="10m", help="time that all of it may take (90s, 10m)")
    ] = "10m",
    latency_ms: Annotated[
        float,
        typer.Option(min=0, max=10_000, help="how far away the provider is; 0: as the store's log says"),
    ] = 0.0,
    outdated: Annotated[float, typer.Option(help="share of the prices used that may be outdated")] = 0.01,
    write: Annotated[bool, typer.Option(help="write what is chosen to .env")] = True,
) -> None:
    """Measure settings on this machine, and write to .env those whose gain is beyond noise."""
    with sentences():
        import os

        from overround.durations import seconds
        from overround.perf import tuning
        from overround.perf.env_file import save
        from overround.settings import load_settings

        settings, chosen = load_settings(), {}
        names = tuple(dict.fromkeys(setting)) or tuning.SETTINGS
        limits = {"budget_s": seconds(budget), "latency_s": latency_ms / 1000, "outdated": outdated}
        for name, (value, (what, *lines, why)) in tuning.tune(names, settings, **limits):
            now = f"{getattr(settings, name):g}"
            verdict = f"{now} stays" if value is None else f"{now} -> {value:g}"
            typer.echo("\n  ".join([f"{name}: {what}", *lines, f"{verdict}: {why}.\n"]))
            if value is not None:
                chosen[name] = value
        variables = {f"OVERROUND_{name.upper()}": value for name, value in chosen.items()}
        said = ", ".join(f"{name}={value:g}" for name, value in variables.items()) or "nothing"
        if chosen and write:
            typer.echo(f"{save(chosen)}: {said}")
        else:
            typer.echo(f"{said}{' would be' if chosen else ' is'} written to .env.")
        for name in variables.keys() & os.environ.keys():
            typer.echo(f"{name} is set in the environment, which goes before the file: unset it.", err=True)


def _check(option: str, given: str, *allowed: str) -> None:
    if given not in allowed:
        raise ParameterError(f"--{option} takes {', '.join(allowed)}, not {given!r}.")
