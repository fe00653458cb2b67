"""`python -m benchmarks [odds] [store] [backtest] [fetch] [meter]`: run all, or those named; week (minutes) only by name."""

import sys
from importlib import import_module

ALL = ("odds", "store", "backtest", "fetch", "meter")
BY_NAME = ("week",)

for name in sys.argv[1:] or ALL:
    if name not in ALL + BY_NAME:
        sys.exit(f"benchmark {name!r} is unknown; there are {', '.join(ALL + BY_NAME)}.")
    import_module(f"benchmarks.{name}").main()
