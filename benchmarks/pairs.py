"""Time contenders in turns, A B C A B C, so that a machine that slows down slows them all."""

import statistics
import time
from collections.abc import Callable, Mapping


def race(
    title: str, contenders: Mapping[str, Callable[[], object]], *, rounds: int = 7, before: int = 1
) -> None:
    """Print CPU seconds and the ratio of each contender to the first: medians over rounds, with the range.

    Parameters
    ----------
    title : str
        What is measured, with its size.
    contenders : mapping
        Name -> work without arguments; the first is the floor or the peer that the others are held against.
    rounds : int
        Counted ones.
    before : int
        Uncounted ones that go before, for compilers, caches and the allocator.
    """
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(before + rounds):
        for name, work in contenders.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            work()
            if number >= before:
                cpu[name].append(time.process_time() - began_cpu)
                wall[name].append(time.perf_counter() - began)
    first = next(iter(contenders))
    print(f"\n{title} ({rounds} rounds in turns; ratio of wall time to {first})")
    for name in contenders:
        ratios = sorted(mine / floor for mine, floor in zip(wall[name], wall[first], strict=True))
        spread = (
            ""
            if name == first
            else f"   {statistics.median(ratios):6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
        print(
            f"  {name:<34} {statistics.median(cpu[name]):9.4f} s CPU "
            f"{statistics.median(wall[name]):9.4f} s wall{spread}"
        )
