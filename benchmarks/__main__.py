"""`python -m benchmarks [odds] [signals] [store] [backtest] [models] [fetch] [meter]`: all, or those; scale, search, week by name."""

import sys
from importlib import import_module

ALL = ("odds", "signals", "store", "backtest", "models", "fetch", "meter")
BY_NAME = ("scale", "search", "week")

for name in sys.argv[1:] or ALL:
    if name not in ALL + BY_NAME:
        sys.exit(f"benchmark {name!r} is unknown; there are {', '.join(ALL + BY_NAME)}.")
    import_module(f"benchmarks.{name}").main()
