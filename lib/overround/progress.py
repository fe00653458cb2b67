"""Progress where somebody watches: a line on a terminal, a bar below the cell of a notebook that is open.

Under papermill, in CI and in pipes nothing moves: a report has no use for it, and a log gets a line now and
then where that is asked for.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, TypeVar

Item = TypeVar("Item")
_AFTER_S, _EVERY_S = 0.5, 0.1  # a short call shows no bar, and a long one does not draw all the time


@contextmanager
def status_line(
    every_s: float = math.inf, live: Callable[[Any], str] = str
) -> Iterator[Callable[[object], None]]:
    """A line on standard error for as long as the context lasts.

    Parameters
    ----------
    every_s : float
        Where standard error is no terminal: how often at most a line is printed, the last in any case; by
        default none is.
    live : callable
        Text of what to show on a terminal, made twice a second, so it may tell the time.

    Yields
    ------
    callable
        To be called with what to show.
    """
    newest: object = ""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        def show(state: object) -> None:
            nonlocal newest
            newest = state

        with Live(
            get_renderable=lambda: Text(live(newest) if newest else "", overflow="fold"),
            console=Console(stderr=True),
            refresh_per_second=2,
            transient=True,
        ):
            yield show
        return
    printed_at, unsaid = -math.inf, False

    def say(state: object) -> None:
        nonlocal newest, printed_at, unsaid
        newest, unsaid = state, time.monotonic() - printed_at < every_s < math.inf
        if not unsaid and every_s < math.inf:
            printed_at = time.monotonic()
            print(state, file=sys.stderr, flush=True)

    try:
        yield say
    finally:
        if unsaid:
            print(newest, file=sys.stderr, flush=True)


def followed(items: Collection[Item], what: str) -> Iterator[Item]:
    """The items one after the other, with a bar that says how many of them are done."""
    show = watched()
    for done, item in enumerate(items):
        if show:
            show(done / len(items), f"{done} of {len(items)} {what}")
        yield item
    if show:
        show(1.0, "")


def watched() -> Callable[[float, str], None] | None:
    """A bar in an open notebook, else None; called with the share that is done and words, it goes at 1."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if not hasattr(shell, "kernel"):
        return None
    # a Jupyter server sets the first for a notebook that is open, VS Code the second
    if "JPY_SESSION_NAME" not in os.environ and "__vsc_ipynb_file__" not in shell.user_ns:
        return None
    from IPython.display import HTML, display

    bar: Any = None
    began = drawn = time.monotonic()

    def show(share: float, words: str) -> None:
        nonlocal bar, drawn
        now = time.monotonic()
        if share >= 1:
            if bar is not None:
                bar.update(HTML(""))
                bar = None
        elif now - began >= _AFTER_S and now - drawn >= _EVERY_S:
            drawn = now
            html = HTML(f'<label><progress value="{share:.3f}" max="1"></progress> {escape(words)}</label>')
            if bar is None:
                bar = display(html, display_id=True)
            else:
                bar.update(html)

    return show
