"""A bar below the cell of a long call, where somebody watches: in a notebook that is open in JupyterLab or VS Code.

Elsewhere nothing is shown: a report has no use for it, and on a terminal the commands have their own.
"""

import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from html import escape
from typing import Any, TypeVar

Item = TypeVar("Item")
_AFTER_S, _EVERY_S = 0.5, 0.1  # a short call shows no bar, and a long one does not draw all the time


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
    """What to call with the share that is done and words, where somebody watches; at a share of 1 the bar goes."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if not hasattr(shell, "kernel"):
        return None
    # the one is set by a Jupyter server for a notebook that is open, the other by VS Code
    return _Bar() if "JPY_SESSION_NAME" in os.environ or "__vsc_ipynb_file__" in shell.user_ns else None


class _Bar:
    """One bar, drawn in place."""

    def __init__(self) -> None:
        self._shown: Any = None
        self._began = self._drawn = time.monotonic()

    def __call__(self, share: float, words: str) -> None:
        from IPython.display import HTML, display

        now = time.monotonic()
        if share >= 1:
            if self._shown is not None:
                self._shown.update(HTML(""))
                self._shown = None
        elif now - self._began >= _AFTER_S and now - self._drawn >= _EVERY_S:
            self._drawn = now
            bar = HTML(f'<label><progress value="{share:.3f}" max="1"></progress> {escape(words)}</label>')
            if self._shown is None:
                self._shown = display(bar, display_id=True)
            else:
                self._shown.update(bar)
