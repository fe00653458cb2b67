"""`python -m benchmarks.iterations [N]`: what `overround run iterations` shows as a page, printed.

Exit status 1 where something is wrong.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd

from overround.perf.iterations import faults, iterations


def main() -> None:
    """Run and print."""
    number = next((int(word) for word in sys.argv[1:] if word.isdecimal()), 3)
    with tempfile.TemporaryDirectory() as folder:
        facts, _ = iterations(Path(folder), number)
    with pd.option_context("display.width", 200, "display.max_columns", 40):
        print(facts.round(2).to_string())
    wrong = faults(facts)
    print("\n".join(wrong) or "same results, nothing doubled, growth is what the data explain")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
