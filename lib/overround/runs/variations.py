"""One notebook with many sets of parameters: a step each, and the page that compares them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import product
from typing import Any

from overround.errors import ParameterError
from overround.reports.notebooks import BACKTEST, COMPARISON, NOTEBOOKS
from overround.runs.parameter_values import Parameter, parse_value
from overround.runs.parameters import check_parameters, notebook_path, read_parameters
from overround.runs.steps import Step
from overround.settings import Settings
from overround.sweeps.space import space_of

_TRIED = "tried"  # a parameter of backtests: a p value is deflated by the number of strategies tried
_MOST = 1_000
_LONGEST = 80  # of a label: it names files
_BETWEEN = re.compile(r"[^A-Za-z0-9_.,=+-]+")


def variations(step: Step, vary: Sequence[str], settings: Settings) -> list[Step]:
    """A step for every combination of the values that parameters are to take.

    Parameters
    ----------
    step : Step
        The notebook with the parameters that all share.
    vary : sequence of str
        NAME=VALUES as in `overround sweep`: a,b,c or low..high/steps; a+b is one value of a parameter that
        takes a list.
    settings : Settings
        Where the notebooks are.

    Returns
    -------
    list of Step
        Independent of each other, labelled by what varies. Backtests are told how many were tried, and a
        comparison of those that ended well with the first one comes last.

    Raises
    ------
    ParameterError
        For a parameter that the notebook does not take, a value that it does not allow, and for more than a
        thousand combinations.
    """
    source = notebook_path(step.notebook, settings.home)
    declared = read_parameters(source)
    space = space_of(list(vary))
    for name in space.keys() - declared.keys():
        check_parameters(source, {name: None}, declared)  # refuses a name that the notebook does not take
    values = {name: _values(declared[name], found) for name, found in space.items()}
    points = [dict(zip(values, point, strict=True)) for point in _points(values)]
    tried = (
        {_TRIED: len(points)}
        if _TRIED in declared and not {_TRIED} & (values.keys() | step.parameters.keys())
        else {}
    )
    labels = [_label(point) for point in points]
    steps = [
        replace(step, label=label, parameters={**step.parameters, **tried, **point}, after=())
        for label, point in zip(labels, points, strict=True)
    ]
    if step.notebook == BACKTEST and len(steps) > 1:
        comparison = NOTEBOOKS[COMPARISON]
        steps.append(
            Step(comparison.name, "compare", {}, tuple(labels), least=2, from_runs=comparison.from_runs)
        )
    return steps


def _points(values: Mapping[str, list]) -> list[tuple]:
    number = 1
    for some in values.values():
        number *= len(some)
    if number > _MOST:
        raise ParameterError(
            f"--vary asks for {number:,} runs of a notebook; at most {_MOST:,}: "
            "overround sweep is made for more."
        )
    return list(product(*values.values()))


def _values(parameter: Parameter, found: Any) -> list:
    """The values in the parameter's type, each once."""
    name = parameter.name
    if isinstance(found, tuple):
        raise ParameterError(f"--vary {name} needs a number of steps: {name}={found[0]:g}..{found[1]:g}/5.")
    values = [parse_value(parameter, _typed(value, parameter)) for value in found]
    return [value for at, value in enumerate(values) if value not in values[:at]]


def _typed(value: Any, parameter: Parameter) -> str:
    """A value of a sweep's grammar, in which none and all are the same, as `-p` takes it."""
    if value is None:
        return "none" if parameter.nullable else ""
    return ",".join(value) if isinstance(value, tuple) else str(value).removesuffix(".0")


def _label(point: Mapping[str, Any]) -> str:
    """What varies, as a name for files."""
    words = ",".join(f"{name}={_word(value)}" for name, value in point.items())
    label = _BETWEEN.sub("_", words)
    if label == words and len(label) <= _LONGEST:
        return label
    return f"{label[:_LONGEST]}-{blake2b(words.encode(), digest_size=3).hexdigest()}"


def _word(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_word, value)) or "all"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
