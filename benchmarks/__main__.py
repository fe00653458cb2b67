"""`python -m benchmarks [NAME ...] [SIZE]`: odds, signals, collect, backtest, models, meter, by default all.

Only by name: iterations, pipeline, scale, search, slider, soak, sweep, truths, week; and the parts of
collect, store and fetch.
"""

import sys
from importlib import import_module

# what a collector does is measured in two modules: appending and fetching
ALL = {
    "odds": ["odds"],
    "signals": ["signals"],
    "collect": ["store", "fetch"],
    "backtest": ["backtest"],
    "models": ["models"],
    "meter": ["meter"],
}
BY_NAME = {
    name: [name]
    for name in (
        "store",
        "fetch",
        "iterations",
        "pipeline",
        "scale",
        "search",
        "slider",
        "soak",
        "sweep",
        "truths",
        "week",
    )
}

# a number is a size, which each benchmark reads for itself
for name in [word for word in sys.argv[1:] if not word.replace("_", "").isdecimal()] or ALL:
    if name not in ALL | BY_NAME:
        sys.exit(f"benchmark {name!r} is unknown; there are {', '.join(ALL | BY_NAME)}.")
    for module in (ALL | BY_NAME)[name]:
        import_module(f"benchmarks.{module}").main()
