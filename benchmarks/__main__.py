"""`python -m benchmarks [odds] [store] [backtest]`: run all, or those named."""

import sys
from importlib import import_module

ALL = ("odds", "store", "backtest")

for name in sys.argv[1:] or ALL:
    if name not in ALL:
        sys.exit(f"benchmark {name!r} is unknown; there are {', '.join(ALL)}.")
    import_module(f"benchmarks.{name}").main()
