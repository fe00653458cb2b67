"""`python -m benchmarks [odds] [store] [backtest] [fetch]`: run all, or those named; week and scale (minutes) only by name."""

import sys
from importlib import import_module

ALL = ("odds", "store", "backtest", "fetch")
BY_NAME = ("week", "scale")

for name in sys.argv[1:] or ALL:
    if name not in ALL + BY_NAME:
        sys.exit(f"benchmark {name!r} is unknown; there are {', '.join(ALL + BY_NAME)}.")
    import_module(f"benchmarks.{name}").main()
