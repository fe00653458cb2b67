"""Output of all commands: errors in one sentence with an exit status, steps as they begin and end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overround.errors import OverroundError, ParameterError
from overround.formatting import printable
from overround.progress import status_line

if TYPE_CHECKING:  # they take a while to import
    from overround.runs.runner import Progress
    from overround.runs.steps import Outcome, Step

Source = Annotated[str, typer.Option(help="sample, football-data or the-odds-api")]
League = Annotated[
    list[str], typer.Option("--league", "--sport", help="as the source writes it: E0, soccer_epl; repeatable")
]
Season = Annotated[
    list[str], typer.Option("--season", help="as the source writes it: 2425, fixtures; repeatable")
]
ShowCode = Annotated[bool, typer.Option(help="offer the notebooks' code in the pages")]


@contextmanager
def sentences() -> Iterator[None]:
    """Errors as sentences: exit status 2 where the call was wrong, 1 where the work failed."""
    try:
        yield
    except ParameterError as error:
        say(f"overround: {error}")
        raise typer.Exit(2) from None
    except OverroundError as error:
        say(f"overround: {error}")
        raise typer.Exit(1) from None
    except OSError as error:  # a folder that is not there, a full disk, a port that is taken
        what = f"{error.filename}: " if error.filename else ""
        say(f"overround: {what}{error.strerror or error}.")
        raise typer.Exit(1) from None


def say(text: str) -> None:
    """Write a line to the error stream."""
    # names and messages come from providers and files, and may hold control sequences
    typer.echo(printable(text), err=True)


@contextmanager
def step_by_step() -> Iterator["Progress"]:
    """Progress of a pipeline: the steps that run, on a terminal, and how each one ended."""
    running: list[str] = []
    with status_line() as show:

        def report(step: "Step", outcome: "Outcome | None") -> None:
            if outcome is None:
                running.append(step.label)
            else:
                if step.label in running:
                    running.remove(step.label)
                _say_outcome(outcome)
            show(f"  {', '.join(running)} …" if running else "")

        yield report


def write_report(notebook: str, parameters: dict[str, Any], show_code: bool = False) -> None:
    """Run one notebook and print where its page is; exit status 1 where it fails."""
    from overround.runs.runner import Step, run_pipeline
    from overround.settings import load_settings

    step = Step(notebook, notebook, parameters)
    with step_by_step() as progress:
        outcome = run_pipeline([step], settings=load_settings(), show_code=show_code, progress=progress)[0]
    typer.echo(outcome.html)
    if not outcome.ok:
        raise typer.Exit(1)


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """An event that SIGTERM or Ctrl-C sets, to finish the work at hand; a second one ends the process."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def set_stop(number: int, frame: FrameType | None) -> None:
        stop.set()
        for one, handler in before.items():
            signal.signal(one, handler)

    for number in before:
        signal.signal(number, set_stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_outcome(outcome: "Outcome") -> None:
    if outcome.status == "not run":
        say(f"  not run {outcome.label:<20}         {outcome.verdict}")
        return
    mark = "kept   " if outcome.reused else "done   " if outcome.ok else "FAILED "
    then = " then" if outcome.reused else ""
    say(f"  {mark} {outcome.label:<20}{outcome.seconds:6.1f} s{then}  {outcome.verdict}")
    if outcome.failure:
        where = f"cell {outcome.failure.cell}" if outcome.failure.cell else "before its first cell"
        say(f"          {where}: {outcome.failure.name}: {outcome.failure.message}")
        say(f"          {_shown(outcome.html)}")


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
