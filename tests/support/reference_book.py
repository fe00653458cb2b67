"""The engine's rules once more in plain Python, bet by bet, and random books to hold the engine against."""

import math
import random
from dataclasses import dataclass, field
from itertools import groupby

HOURS = 24


@dataclass
class Rules:
    """What an account and the bookmaker make of a stake; the defaults limit nothing."""

    bankroll: float | None = None  # None: the common one
    most: float = math.inf
    payout: float = math.inf
    minimum: float = 0.0
    step: float = 0.0
    fee: float = 0.0
    tax: float = 0.0


@dataclass
class Case:
    """A random book: bets, accounts by bookmaker (None: one bankroll, no limits), and what else the engine is
    told.
    """

    bets: list[dict]
    accounts: dict[str, Rules] | None
    bankroll: float
    floor: float = 0.0
    size: float = math.inf
    cut_to_size: bool = True
    fees: dict[str, float] = field(default_factory=dict)


def ended(bet: dict) -> float | None:
    """How the selection ended: a quarter line is two half bets on the lines beside it."""
    if bet["home"] is None:
        return None
    difference, total = bet["home"] - bet["away"], bet["home"] + bet["away"]
    if bet["market"].startswith("h2h"):
        return (
            1.0
            if bet["outcome"] == ("draw" if difference == 0 else "home" if difference > 0 else "away")
            else -1.0
        )
    line = bet["line"]
    lines = [line] if (line * 2).is_integer() else [line - 0.25, line + 0.25]
    first = []
    for each in lines:
        ahead = total - each if bet["market"] == "totals" else difference + each
        first.append((ahead > 0) - (ahead < 0))
    side = sum(first) / len(first)
    return side if bet["outcome"] in ("over", "home") else -side


def play(case: Case) -> tuple[dict[int, dict], list[tuple[float, float, float, float]]]:
    """Play the book.

    Returns what became of each bet (stake, profit, asked, taken), and after each moment: its time, all money
    realised, free money and money on open bets.
    """
    rules = (
        case.accounts
        if case.accounts is not None
        else {bet["bookmaker"]: Rules(fee=case.fees.get(bet["bookmaker"], 0.0)) for bet in case.bets}
    )
    purse_of = {name: "common" if rule.bankroll is None else name for name, rule in rules.items()}
    at_start = {name: rules[name].bankroll for name in rules if rules[name].bankroll is not None}
    if "common" in purse_of.values():
        at_start["common"] = case.bankroll
    free, total, peak = dict(at_start), dict(at_start), dict(at_start)
    done: dict[int, dict] = {
        i: {"stake": 0.0, "profit": 0.0, "asked": None, "taken": "no account"} for i in range(len(case.bets))
    }
    tied = dict.fromkeys(done, 0.0)
    trail = []
    for moment in sorted({bet[when] for bet in case.bets for when in ("placed", "settled")}):
        ending = [
            i for i, bet in enumerate(case.bets) if bet["settled"] == moment and bet["bookmaker"] in rules
        ]
        for i, profit in profits(case.bets, ending, done, rules).items():
            purse = purse_of[case.bets[i]["bookmaker"]]
            done[i]["profit"] = profit
            total[purse] += profit
            free[purse] += tied[i] + profit
            tied[i] = 0.0
        peak = {name: max(peak[name], total[name]) for name in peak}
        coming = [
            i for i, bet in enumerate(case.bets) if bet["placed"] == moment and bet["bookmaker"] in rules
        ]
        for purse, group in groupby(
            sorted(coming, key=lambda i: purse_of[case.bets[i]["bookmaker"]]),
            key=lambda i: purse_of[case.bets[i]["bookmaker"]],
        ):
            each = list(group)
            base = free[purse] - case.floor * peak[purse]
            base = base if base > 1e-9 * at_start[purse] else 0.0
            wanted = {}
            for i in each:
                wanted[i] = accept(case, rules[case.bets[i]["bookmaker"]], case.bets[i], base, done[i])
                if base == 0 and case.bets[i].get("accepted", 1.0) > 0:
                    wanted[i], done[i]["taken"] = (
                        0.0,
                        "bankrupt" if total[purse] <= 1e-9 * at_start[purse] else "no money",
                    )
            need = sum(stake * risk(case.bets[i], rules) for i, stake in wanted.items())
            for i, stake in wanted.items():
                if need > base and stake > 0:
                    stake, done[i]["taken"] = stake * base / need, "short of money"
                done[i]["stake"] = rounded(stake, rules[case.bets[i]["bookmaker"]], done[i])
                tied[i] = done[i]["stake"] * risk(case.bets[i], rules)
                free[purse] -= tied[i]
        trail.append((moment, sum(total.values()), sum(free.values()), sum(tied.values())))
    return done, trail


def accept(case: Case, rule: Rules, bet: dict, base: float, note: dict) -> float:
    """Stake that the account's limits and the bookmaker let pass."""
    stake = max(bet["amount"] + bet["share"] * base, 0.0)
    note["asked"], note["taken"] = stake, "full" if stake > 0 else "no stake"
    if bet.get("accepted", 1.0) == 0:
        note["taken"] = "refused"
        return 0.0
    most = min(rule.most, rule.payout / bet["price"])
    if stake > most:
        stake, note["taken"] = most, "limited"
    if stake > case.size:
        if not case.cut_to_size:
            note["taken"] = "too large"
            return 0.0
        stake, note["taken"] = case.size, "partly"
    if stake > 0 and bet.get("accepted", 1.0) < 1:
        stake, note["taken"] = stake * bet["accepted"], "partly"
    return stake


def rounded(stake: float, rule: Rules, note: dict) -> float:
    """Stake in whole steps, or nothing below the minimum."""
    if stake <= 0:
        return 0.0
    if rule.step > 0:
        stake = math.floor(stake / rule.step + 1e-9) * rule.step
    if stake <= 0 or stake < rule.minimum:
        note["taken"] = "below minimum"
        return 0.0
    return stake


def risk(bet: dict, rules: dict[str, Rules]) -> float:
    """Money tied up per unit staked."""
    return (bet["price"] - 1 if bet["side"] == "lay" else 1.0) + rules[bet["bookmaker"]].tax


def profits(
    bets: list[dict], ending: list[int], done: dict[int, dict], rules: dict[str, Rules]
) -> dict[int, float]:
    """Profit of the bets that end together; an account's commission is on what its bets on one market win
    together.
    """
    markets: dict[tuple, dict[int, float]] = {}
    for i in ending:
        bet, how = bets[i], ended(bets[i])
        mine = 0.0 if how is None else -how if bet["side"] == "lay" else how
        pays, costs = (1.0, bet["price"] - 1) if bet["side"] == "lay" else (bet["price"] - 1, 1.0)
        kind = "h2h" if bet["market"] == "h2h_lay" else bet["market"]
        markets.setdefault((bet["bookmaker"], bet["event"], kind, bet["line"]), {})[i] = (
            done[i]["stake"] * mine * (pays if mine > 0 else costs)
        )
    earned = {}
    for (bookmaker, *_), gross in markets.items():
        rule = rules[bookmaker]
        won = sum(profit for profit in gross.values() if profit > 0)
        kept = rule.fee * max(sum(gross.values()), 0.0) / won if won > 0 else 0.0
        for i, profit in gross.items():
            tax = 0.0 if ended(bets[i]) is None else rule.tax * done[i]["stake"]
            earned[i] = profit * (1 - kept if profit > 0 else 1.0) - tax
    return earned


def random_case(seed: int) -> Case:
    """A small book with many ties of time, money that runs out, and every rule at some point."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    books = ["a", "b", "x"][: rng.randint(1, 3)]
    limited = rng.random() < 0.6
    accounts = (
        {name: random_rules(rng) for name in books if rng.random() < 0.9 or name == "a"} if limited else None
    )
    case = Case(
        [],
        accounts,
        float(rng.choice([50, 100, 1000])),
        floor=rng.choice([0.0, 0.0, 0.5, 0.8]),
        fees={"x": 0.05} if not limited else {},
    )
    if limited and rng.random() < 0.3:
        case.size, case.cut_to_size = rng.uniform(5, 60), rng.random() < 0.5
    matches = [
        (f"m{i}", rng.randint(2, HOURS), rng.choice([None, 0, 0, 1, 1, 2, 3]), rng.randint(0, 3))
        for i in range(rng.randint(1, 5))
    ]
    seen = set()
    for _ in range(rng.randint(1, 12)):
        event, start, home, away = rng.choice(matches)
        market = rng.choice(["h2h", "h2h", "totals", "spreads"])
        outcome = rng.choice(
            {"h2h": ["home", "draw", "away"], "totals": ["over", "under"], "spreads": ["home", "away"]}[
                market
            ]
        )
        line = {
            "h2h": None,
            "totals": rng.choice([2.0, 2.25, 2.5, 2.75]),
            "spreads": rng.choice([-0.75, -0.5, -0.25, 0.0, 0.25]),
        }[market]
        bet = {
            "event": event,
            "market": market,
            "line": line,
            "outcome": outcome,
            "bookmaker": rng.choice(books),
            "price": rng.randint(102, 600) / 100,
            "side": "lay" if rng.random() < 0.25 else "back",
            "placed": rng.randint(0, start),
            "settled": start + 2,
            "start": start,
            "home": home,
            "away": away,
            "amount": rng.choice([0.0, 0.0, 10.0, 33.33]),
            "share": rng.choice([0.0, 0.05, 0.3, 1.0]),
        }
        if limited and rng.random() < 0.2:
            bet["accepted"] = rng.choice([0.0, 0.5])
        key = (event, market, line, outcome, bet["bookmaker"], bet["side"])
        if key not in seen:
            seen.add(key)
            case.bets.append(bet)
    return case


def random_rules(rng: random.Random) -> Rules:
    """An account with some limits."""
    fee = rng.choice([0.0, 0.0, 0.05])
    return Rules(
        bankroll=rng.choice([None, 20.0, 200.0]),
        most=rng.choice([math.inf, 25.0]),
        payout=rng.choice([math.inf, 80.0]),
        minimum=rng.choice([0.0, 2.0]),
        step=rng.choice([0.0, 0.01, 1.0]),
        fee=fee,
        tax=0.0 if fee else rng.choice([0.0, 0.02]),
    )
