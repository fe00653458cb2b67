"""How good probabilities were: Brier score, log loss, ranked probability score, each bookmaker against a reference."""

import numpy as np
import pandas as pd


def probability_scores(fair: pd.DataFrame, results: pd.DataFrame, reference: str) -> pd.DataFrame:
    """How good each bookmaker's margin-free probabilities were on 1X2 markets; lower is better.

    Bookmakers quote different matches, some easier to foretell than others: only the column `gap` compares them fairly.

    Parameters
    ----------
    fair : DataFrame
        What `fair_probabilities` returned, one price of each selection and bookmaker (say the closing ones).
    results : DataFrame
        The table `results`.
    reference : str
        Bookmaker that the others are held against.

    Returns
    -------
    DataFrame
        Index `bookmaker`, best gap first; columns matches, overround, brier (Brier 1950: sum over outcomes of squared errors), log_loss
        (nats) and rps (ranked probability score, Epstein 1969, over home-draw-away), each the mean over matches; gap (mean difference
        in log loss to the reference on the matches that both quote), low and high (its 95 % interval, matches independent).
    """
    h2h = fair[fair["market"] == "h2h"].dropna(subset=["fair"])
    scored = h2h.merge(results[["event_id", "home_score", "away_score"]].dropna(), on="event_id")
    sign = np.sign(scored["home_score"] - scored["away_score"])
    happened = scored["outcome"].map({"home": 1, "draw": 0, "away": -1}) == sign
    p, y = scored["fair"], happened.astype(float)
    # the ranked score of three ordered outcomes: half the squared errors of both ends, whose cumulative sums are P(home) and 1 - P(away)
    ends = (scored["outcome"] != "draw") / 2
    scored = scored.assign(
        brier=(p - y) ** 2, log_loss=-np.log(p.where(happened, 1.0)), rps=ends * (p - y) ** 2, overround=scored["overround"] / 3
    )
    matches = scored.groupby(["bookmaker", "event_id"])[["overround", "brier", "log_loss", "rps"]].sum().reset_index()
    sharp = matches[matches["bookmaker"] == reference].set_index("event_id")["log_loss"]
    gap = matches.assign(gap=matches["log_loss"] - matches["event_id"].map(sharp.to_dict()).astype(float)).groupby("bookmaker")["gap"]
    half = 1.96 * gap.std() / np.sqrt(gap.count())
    means = matches.groupby("bookmaker")[["overround", "brier", "log_loss", "rps"]].mean()
    means.insert(0, "matches", matches.groupby("bookmaker").size())
    return means.assign(gap=gap.mean(), low=gap.mean() - half, high=gap.mean() + half).sort_values("gap")
