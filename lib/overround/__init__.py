"""Overround: a workbench for research on sports odds.

`import overround as ov` is all that a notebook needs; heavy parts load when they are used. The names of every
day are on `ov` itself. All others are in the package of their step: `ov.prices`, `ov.forecasts`,
`ov.signals`, `ov.betting`, `ov.evaluation`, `ov.sweeps`, `ov.display`, `ov.figures`, `ov.store`,
`ov.collection`, `ov.sources`, `ov.runs`, ...
"""

import warnings
from importlib import import_module
from typing import Any

import lazy_loader

from overround._moved import MOVED

_advertised, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name not in MOVED:
        return _advertised(name)
    warnings.warn(
        f"ov.{name} is now ov.{MOVED[name]}; the old name goes with 0.3", DeprecationWarning, stacklevel=2
    )
    package, _, leaf = MOVED[name].rpartition(".")
    return getattr(import_module(f"overround.{package}"), leaf)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext overround`: `%%sql` over the store, and a display of signals, ledgers and evaluations."""
    from overround.notebook.magics import load

    load(shell)
