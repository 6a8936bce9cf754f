"""What the account of a search says in worlds whose truth is known: the best trial's score, raw and corrected; the
probability of overfitting; the effective number of trials; how often noise is called skill.

N trials over C cutoffs or bars. `ratio` is ours / theirs. The trials of "search" lie as a search's do: two thirds of
them near one point of a space, and the nearer the more alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_samples
from tell import tell

from tidewright.metrics.effective import effective_number, expected_largest
from tidewright.metrics.score_sums import sums_of_losses, sums_of_returns
from tidewright.metrics.selection import correct_selection, probability_of_overfitting
from tidewright.portfolio.inference import deflated_sharpe, probabilistic_sharpe, sample_sharpe

OUT = Path(__file__).parent / "results" / "honest_account.jsonl"
Doubles = Any
WORLDS, SHARPE_WORLDS, REPEATS = 400, 600, 8


def main() -> None:
    """Writes a line a comparison."""
    tell((*corrected(), *overfitted(), *effective(), *called_skill()), out=OUT)


# the score of the best trial


def corrected() -> Iterator[dict[str, Any]]:
    """How far off the best trial's score is on average, in standard errors of one trial's score."""
    cases = [(c, n, spread, lags) for c, n in ((24, 30), (60, 100)) for spread, lags in ((0, 0), (0, 4), (0.2, 0))]
    for count, trials, spread, lags in cases:
        draw = np.random.default_rng(1)
        errors: dict[str, list[float]] = {}
        for _ in range(WORLDS):
            losses, true = make_losses(draw, count, trials, spread=spread, lags=lags)
            ours = correct_selection(sums_of_losses(losses), lags=lags)
            found = {"ours": ours.corrected, "raw": ours.score}
            found["tibshirani"] = correct_by_folds(losses)
            found["bootstrap"] = correct_by_bootstrap(losses, lags + 1, draw)
            for name, value in found.items():
                errors.setdefault(name, []).append(value - true[ours.best])
        unit = losses.std() / math.sqrt(count)
        bias = {name: float(np.mean(one)) / unit for name, one in errors.items()}
        root = {name: float(np.sqrt(np.mean(np.square(one)))) / unit for name, one in errors.items()}
        world = f"{trials} trials, {count} cutoffs" + (", overlapping" if lags else "")
        world += ", trials differ" if spread else ", noise"
        for peer in ("raw", "tibshirani", "bootstrap"):
            yield compare(
                f"bias of the best score, {world} vs {peer}", bias["ours"], bias[peer], unit="standard errors",
                n=WORLDS, note=f"root mean square error {root['ours']:.2f} vs {root[peer]:.2f}",
            )  # fmt: skip


def make_losses(draw: Any, count: int, trials: int, *, spread: float, lags: int) -> tuple[Doubles, Doubles]:
    """Losses [C, N] that share a part of variance 0.6, each the mean of `lags` + 1 steps, and their true means [N]."""
    steps = math.sqrt(0.6) * draw.normal(size=(count + lags, 1)) + math.sqrt(0.4) * draw.normal(
        size=(count + lags, trials)
    )
    losses = sum(steps[k : k + count] for k in range(lags + 1)) / (lags + 1)
    true = 10.0 + spread * draw.normal(size=trials)
    return losses + true, true


def correct_by_folds(losses: Doubles, folds: int = 10) -> float:
    """Tibshirani and Tibshirani (2009): the raw score and what the best loses to each fold's own best."""
    best = losses.mean(axis=0).argmin()
    means = np.array([part.mean(axis=0) for part in np.array_split(losses, folds)])
    return float(losses[:, best].mean() + (means[:, best] - means.min(axis=1)).mean())


def correct_by_bootstrap(losses: Doubles, block: int, draw: Any, draws: int = 200) -> float:
    """Tsamardinos et al. (2018), in blocks: the best of a resample, scored on what is not in it."""
    count = len(losses)
    starts = draw.integers(count, size=(draws, -(-count // block)))
    rows = (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :count] % count
    weights = np.zeros((draws, count))
    np.add.at(weights, (np.arange(draws)[:, None], rows), 1.0)
    out = weights == 0
    best = (weights @ losses).argmin(axis=1)
    scored = (out @ losses)[np.arange(draws), best]
    return float(scored.sum() / out.sum())


# overfitting


def overfitted() -> Iterator[dict[str, Any]]:
    """The mean probability of overfitting where it should be one half, and where it should be 0."""
    for name, edge, truth in (("noise", 0.0, 0.5), ("one trial with an annual Sharpe ratio of 6", 6.0, 0.0)):
        draw = np.random.default_rng(2)
        found = []
        for _ in range(60):
            returns = draw.normal(0.0, 0.01, (504, 50))
            returns[:, 3] += 0.01 * edge / math.sqrt(252)
            found.append(probability_of_overfitting(sums_of_returns(returns)).probability)
        yield compare(
            f"probability of overfitting, {name} vs the truth", float(np.mean(found)), truth, unit="probability",
            n=60, note=f"50 trials of 504 bars, 16 blocks; standard deviation over worlds {np.std(found):.3f}",
        )  # fmt: skip


# the effective number of trials


def effective() -> Iterator[dict[str, Any]]:
    """The expected luck of the best (in standard errors) that each count of trials implies, and what it is."""
    peers: dict[str, Callable[[Doubles], float]] = {
        "average correlation": by_average, "nyholt": by_nyholt, "li and ji": by_li_ji, "galwey": by_galwey,
        "clusters (ONC)": by_clusters,
    }  # fmt: skip
    for count in (24, 250):
        for name, root in correlate(100).items():
            draw = np.random.default_rng(3)
            true = float((draw.normal(size=(40_000, 100)) @ root.T).max(axis=1).mean())
            worlds = [draw.normal(size=(count, 100)) @ root.T for _ in range(REPEATS)]
            ours = float(np.mean([effective_number(one) for one in worlds]))
            for peer, method in peers.items():
                theirs = float(np.mean([method(one) for one in worlds[: 2 if "ONC" in peer else None]]))
                off = [abs(expected_largest(n) - true) for n in (ours, theirs)]
                yield compare(
                    f"luck of the best of 100 trials, {name}, {count} bars vs {peer}", off[0], off[1],
                    unit="standard errors from the truth", n=REPEATS,
                    note=f"effective number {ours:.1f} vs {theirs:.1f}; the true luck is {true:.2f}",
                )  # fmt: skip


def correlate(trials: int) -> dict[str, Doubles]:
    """Roots of correlation matrices [N, N], by name."""
    groups = np.repeat(np.arange(10), trials // 10)
    uneven = np.repeat(np.arange(5), [60, 20, 10, 5, 5])
    draw = np.random.default_rng(4)
    places = np.concatenate([draw.uniform(size=(33, 3)), 0.5 + 0.08 * draw.normal(size=(trials - 33, 3))])
    apart = ((places[:, None] - places) ** 2).sum(axis=-1)
    found = {
        "independent": np.zeros((trials, trials)),
        "all alike by 0.5": np.full((trials, trials), 0.5),
        "all alike by 0.9": np.full((trials, trials), 0.9),
        "ten groups": np.where(groups[:, None] == groups, 0.9, 0.0),
        "uneven groups": np.where(uneven[:, None] == uneven, 0.95, 0.0),
        "groups and a common part": np.where(groups[:, None] == groups, 0.95, 0.5),
        "search": 0.3 + 0.7 * np.exp(-apart / 0.18),
    }
    for one in found.values():
        np.fill_diagonal(one, 1.0)
    return {name: np.linalg.cholesky(one + 1e-9 * np.eye(trials)) for name, one in found.items()}


def by_average(values: Doubles) -> float:
    """Bailey and Lopez de Prado (2014): r + (1 - r) N."""
    matrix = np.corrcoef(values.T)
    count = len(matrix)
    mean = max((matrix.sum() - count) / (count * (count - 1)), 0.0)
    return float(mean + (1.0 - mean) * count)


def by_nyholt(values: Doubles) -> float:
    """Nyholt (2004)."""
    roots = np.linalg.eigvalsh(np.corrcoef(values.T))
    return float(1.0 + (len(roots) - 1.0) * (1.0 - roots.var(ddof=1) / len(roots)))


def by_li_ji(values: Doubles) -> float:
    """Li and Ji (2005)."""
    roots = np.maximum(np.linalg.eigvalsh(np.corrcoef(values.T)), 0.0)
    return float(((roots >= 1.0) + roots - np.floor(roots)).sum())


def by_galwey(values: Doubles) -> float:
    """Galwey (2009)."""
    roots = np.maximum(np.linalg.eigvalsh(np.corrcoef(values.T)), 0.0)
    return float(np.sqrt(roots).sum() ** 2 / roots.sum())


def by_clusters(values: Doubles) -> float:
    """The base level of Lopez de Prado and Lewis (2019): k-means with the best silhouette t-statistic."""
    apart = np.sqrt(np.maximum((1.0 - np.corrcoef(values.T)) / 2.0, 0.0))
    best = (-math.inf, 0)
    for count in range(2, 25):
        labels = KMeans(count, n_init=3, random_state=0).fit(apart).labels_
        scores = silhouette_samples(apart, labels)
        best = max(best, (float(scores.mean() / scores.std()), count))
    return float(best[1])


# noise called skill


def called_skill() -> Iterator[dict[str, Any]]:
    """How often the best of 100 strategies is called skilled at 95 %: without skill, and with one of skill."""
    for name, root in correlate(100).items():
        for annual in (0.0, 3.0):
            draw = np.random.default_rng(5)
            hits = {"ours": 0, "paper": 0, "undeflated": 0}
            for _ in range(SHARPE_WORLDS):
                returns = 0.01 * (draw.normal(size=(504, 100)) @ root.T)
                returns[:, 3] += 0.01 * annual / math.sqrt(252)
                for key, said in judge(returns).items():
                    hits[key] += said > 0.95
            shares = {key: count / SHARPE_WORLDS for key, count in hits.items()}
            kind = "noise" if annual == 0.0 else "one of 100 with an annual Sharpe ratio of 3"
            for peer in ("paper", "undeflated"):
                yield compare(
                    f"called skill at 95 %, {kind}, {name} vs {peer}", shares["ours"], shares[peer],
                    unit="share of worlds", n=SHARPE_WORLDS, note="two years of days",
                )  # fmt: skip


def judge(returns: Doubles) -> dict[str, float]:
    """The deflated Sharpe ratio of the best: ours with the effective number and the variance of luck alone, the paper's
    with all trials and the variance of their ratios, and the probabilistic one without any."""
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    best = sample_sharpe(returns[:, ratios.argmax()])
    luck, spread = 1.0 / (len(returns) - 1), float(ratios.var(ddof=1))
    return {
        "ours": deflated_sharpe(best, trials=effective_number(returns), trial_variance=luck).probability,
        "paper": deflated_sharpe(best, trials=returns.shape[1], trial_variance=spread).probability,
        "undeflated": probabilistic_sharpe(best),
    }


def compare(name: str, ours: float, theirs: float, *, unit: str, n: int, note: str) -> dict[str, Any]:
    """A line of results."""
    ratio = ours / theirs if theirs else None
    return {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ratio, "n": n, "note": note}


if __name__ == "__main__":
    main()
