"""Margin removal against independent programs and published examples."""

import importlib
import importlib.util
import sys

import goto_conversion
import numpy as np
import pytest
import shin
from scipy import optimize

from overround.prices.margin import remove_margin


def markets(outcomes: int, n: int, seed: int = 11) -> np.ndarray:
    """Prices of n markets with margins from 1 to 12 % and no outcome below 2 %."""
    rng = np.random.default_rng(seed + outcomes)
    fair = rng.dirichlet(np.full(outcomes, 4.0), n)
    fair = (fair + 0.03) / (1 + 0.03 * outcomes)
    prices = 1 / (fair * rng.uniform(1.01, 1.12, (n, 1)))
    return prices[(prices > 1.02).all(axis=1)]


def part_of(package: str, part: str):
    """A subpackage alone, because its package would load scrapers and plots for some seconds."""
    folders = importlib.util.find_spec(package).submodule_search_locations
    name = f"{package}_{part}"
    spec = importlib.util.spec_from_file_location(
        name, f"{folders[0]}/{part}/__init__.py", submodule_search_locations=[f"{folders[0]}/{part}"]
    )
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def penaltyblog():
    return part_of("penaltyblog", "implied")


@pytest.fixture(scope="module")
def backtestbuddy():
    return importlib.import_module(f"{part_of('backtestbuddy', 'odds').__name__}.margin")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("multiplicative", "multiplicative"),
        ("additive", "additive"),
        ("power", "power"),
        ("shin", "shin"),
        ("odds_ratio", "odds_ratio"),
        ("differential_margin_weighting", "additive"),
        ("logarithmic", "odds_ratio"),
    ],
)
@pytest.mark.parametrize("outcomes", [2, 3, 6, 10])
def test_penaltyblog_agrees(penaltyblog, theirs, ours, outcomes):
    prices = markets(outcomes, 250)

    with np.errstate(all="ignore"):  # it looks for Shin's z between 0 and 100, past the pole at 1
        expected = [
            penaltyblog.calculate_implied(row.tolist(), method=theirs).probabilities for row in prices
        ]

    assert remove_margin(prices, ours) == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize("method", ["multiplicative", "additive", "power", "shin"])
@pytest.mark.parametrize("outcomes", range(2, 11))
def test_backtestbuddy_agrees(backtestbuddy, method, outcomes):
    prices = markets(outcomes, 2_000)

    assert remove_margin(prices, method) == pytest.approx(
        backtestbuddy.remove_margin(prices, method), abs=1e-9
    )


@pytest.mark.parametrize("outcomes", range(2, 11))
def test_the_shin_package_agrees(outcomes):
    prices = markets(outcomes, 1_000)

    # its fixed point comes slowly where the margin is small: its own 1,000 steps leave up to 4e-5 below a
    # margin of 1 %
    details = [
        shin.calculate_implied_probabilities(
            row.tolist(), full_output=True, convergence_threshold=1e-16, max_iterations=20_000
        )
        for row in prices
    ]

    fair, z = remove_margin(prices, "shin", return_parameter=True)
    assert fair == pytest.approx(np.array([detail.implied_probabilities for detail in details]), abs=1e-9)
    assert z == pytest.approx(np.array([detail.z for detail in details]), abs=1e-9)


@pytest.mark.parametrize("outcomes", range(2, 11))
@pytest.mark.parametrize("target", [1.0, 0.9])
def test_goto_conversion_agrees(outcomes, target):
    prices = markets(outcomes, 1_000)
    fair, status = remove_margin(prices, "goto_conversion", target=target, return_status=True)

    expected = np.array([goto_conversion.goto_conversion(row, total=target) for row in prices[status == 0]])

    assert (status == 0).mean() > 0.8
    assert fair[status == 0] == pytest.approx(expected, abs=1e-12)


def test_the_worked_example_of_goto_conversion():
    # its README
    expected = [0.7753528189788175, 0.17479473292721065, 0.04985244809397199]

    assert remove_margin([1.2, 3.4, 5.6], "goto")[0] == pytest.approx(expected, abs=1e-15)


def test_the_worked_example_of_the_shin_package():
    # its README, which stops when z moves by less than 1e-12
    fair, z = remove_margin([2.6, 2.4, 4.3], "shin", return_parameter=True)

    assert fair[0] == pytest.approx([0.37299406033208965, 0.4047794109200184, 0.2222265287474275], abs=1e-12)
    assert z[0] == pytest.approx(0.01694251276407055, abs=1e-12)


def test_jensen_shannon_agrees_with_two_root_searches_on_its_definition():
    # as R's implied does it: for each distance the probability of each outcome, and outside it the distance
    # that makes the sum 1
    def distance(p, r):
        coins = np.array([[p, 1 - p], [r, 1 - r]])
        return np.sqrt((coins * np.log(coins / coins.mean(axis=0))).sum() / 2)

    def at(d, r):
        return optimize.brentq(lambda p: distance(p, r) - d, 1e-12, r, xtol=1e-15, rtol=1e-15)

    for prices in 0.97 * markets(3, 12):
        inverse = 1 / prices
        reach = min(distance(1e-12, r) for r in inverse)
        d = optimize.brentq(
            lambda d, inverse=inverse: sum(at(d, r) for r in inverse) - 1, 1e-6, reach, xtol=1e-15, rtol=1e-14
        )

        fair, parameter = remove_margin(prices, "jensen_shannon", return_parameter=True)

        assert fair[0] == pytest.approx([at(d, r) for r in inverse], abs=1e-9)
        assert parameter[0] == pytest.approx(d, abs=1e-9)


def test_the_worked_example_of_penaltyblog():
    # docstring of penaltyblog 1.13.1, implied.calculate_implied, to its eight digits
    assert remove_margin([2.7, 2.3, 4.4], "multiplicative")[0] == pytest.approx(
        [0.35873804, 0.42112726, 0.2201347], abs=1e-8
    )


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (
            "basic",
            [
                [0.2331556, 0.2646631, 0.5021813],
                [0.3988848, 0.2641264, 0.3369888],
                [0.4586948, 0.2938514, 0.2474538],
            ],
        ),
        (
            "wpo",
            [
                [0.2310332, 0.2632083, 0.5057585],
                [0.4004096, 0.2625166, 0.3370739],
                [0.4666506, 0.2913457, 0.2420036],
            ],
        ),
    ],
)
def test_the_worked_examples_of_implied(method, expected):
    # vignette "Introduction to the implied package" of R's implied 0.5 (CRAN, 2023), to its seven digits
    prices = [[4.20, 3.70, 1.95], [2.45, 3.70, 2.90], [2.05, 3.20, 3.80]]

    assert remove_margin(prices, method) == pytest.approx(np.array(expected), abs=6e-8)
