"""What all commands say and how: errors in one sentence with an exit status, steps as they begin and end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from overround.errors import OverroundError, ParameterError
from overround.formatting import printable


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
    # names and messages come from providers and files, and a terminal obeys more than letters
    typer.echo(printable(text), err=True)


def step_by_step():  # Step and Outcome take a while to import
    """What a pipeline tells of its steps: those that run, and how each ended."""
    running: list[str] = []

    def show(step, outcome):
        if outcome is None:
            running.append(step.label)
        else:
            if step.label in running:
                running.remove(step.label)
            if sys.stderr.isatty():
                typer.echo("\r\033[K", err=True, nl=False)
            _say_outcome(outcome)
        if running and sys.stderr.isatty():
            typer.echo(f"\r\033[K  {', '.join(running)} …", err=True, nl=False)

    return show


def _say_outcome(outcome) -> None:  # type: ignore[no-untyped-def]
    if outcome.status == "not run":
        say(f"  not run {outcome.label:<20}         {outcome.verdict}")
        return
    mark = "kept   " if outcome.kept else "done   " if outcome.ok else "FAILED "
    say(
        f"  {mark} {outcome.label:<20}{outcome.seconds:6.1f} s{' then' if outcome.kept else ''}  {outcome.verdict}"
    )
    if outcome.failure:
        where = f"cell {outcome.failure.cell}" if outcome.failure.cell else "before its first cell"
        say(
            f"          {where}: {outcome.failure.name}: {outcome.failure.message}\n          {_shown(outcome.html)}"
        )


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
