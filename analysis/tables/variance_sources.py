"""Where the spread of scores comes from: the luck of search, seed and test images. Description only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ablation.variance_components import Components, variance_components
from analysis.effects import LARGEST
from analysis.inference import Array
from analysis.load import PlannedStudy
from analysis.numbers import NOTHING, THIN, Unit, missing
from analysis.statistics.resampling import counted_as, hits_of

COLUMNS = ("of", "source", "variance", "sd", "share", "df", "is_clipped")
REPLICATE, SEED, IMAGES = "replicate", "seed", "test images"
SHARED = "what its runs share"


def variance_sources(
    study: PlannedStudy, trials: pd.DataFrame, table: pd.DataFrame, predictions: pd.DataFrame
) -> pd.DataFrame:
    """Split the variance of one confirm run's score, and of the difference between two arms' runs of the same seed.

    Columns: of (score or difference), source, variance, sd (its root, in the metric's unit), share (of the sum of the
    rows of its kind), df (degrees of freedom; NaN for images), is_clipped (a negative estimate, for which 0 stands).
    Sources: replicate, the variance between replicates beyond what their runs' seeds make of it: the luck of the
    search, and whatever else a replicate's runs share; seed, the variance between the runs of one replicate; test
    images, if predictions were left: what another draw of as many images would add to every score of an arm alike, the
    mean over arms.
    ``table`` is what ``effects.replicates`` returned. No rows unless a replicate has two confirm runs with a score.
    """
    return split(scores_of(study, trials), study.comparisons, lambda: _images(study, trials, table, predictions))


def split(
    scores: Mapping[str, Array],
    comparisons: Iterable[tuple[str, str]],
    images: Callable[[], float] = lambda: float("nan"),
) -> pd.DataFrame:
    """Split the variance of scores, each arm's as ``scores_RS``, and of paired differences; as ``variance_sources``.

    ``images`` computes what another draw of test images would add, NaN if that is not known.
    """
    found = variance_components(np.stack([*scores.values()])) if scores else None
    if found is None:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = _rows("score", found, images())
    differences = [scores[a] - scores[b] for a, b in comparisons if a in scores and b in scores]
    between_arms = variance_components(np.stack(differences)) if differences else None
    rows += [] if between_arms is None else _rows("difference", between_arms, float("nan"))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def scores_of(study: PlannedStudy, trials: pd.DataFrame) -> dict[str, Array]:
    """Lay out each arm's test scores of confirm runs as ``scores_RS``, NaN where a run has none."""
    confirm = trials[trials["phase"] == "confirm"]
    column = study.primary.test_column
    if column not in confirm:
        return {}
    values = confirm[column].astype(float)
    values = values.where((confirm["status"] == "completed") & (values.abs() < LARGEST))
    shape = int(confirm["replicate"].max()) + 1, int(confirm["index"].max()) + 1
    found: dict[str, Array] = {}
    for arm, rows in confirm.assign(score=values).groupby("arm", sort=False):
        scores_RS = np.full(shape, np.nan)
        scores_RS[rows["replicate"].to_numpy(), rows["index"].to_numpy()] = rows["score"].to_numpy()
        found[str(arm)] = scores_RS
    return found


def sentence(sources: pd.DataFrame, study: PlannedStudy, unit: Unit) -> str:
    """Say where the spread of scores comes from, or why that cannot be said."""
    score = study.score
    if sources.empty:
        runs = study.plan.budget.seeds
        if runs > 1:
            return (
                f"No arm has two replicates, and a replicate two runs, with a score of {score}: nothing can be split."
            )
        return (
            "Each replicate has one confirm run, so the luck of its search and of its seed cannot be told apart: "
            "two confirm runs a replicate (--seeds 2) would show both."
        )
    luck = "the luck of the search" if study.plan.budget.trials else SHARED
    return shares_in_words(sources, f"a confirm run’s {score}", luck, unit)


def shares_in_words(sources: pd.DataFrame, whose: str, luck: str, unit: Unit) -> str:
    """Say how the variance of ``whose`` score is split; ``luck`` is what differs between replicates."""
    rows = sources[sources["of"] == "score"].to_dict("records")
    named = {REPLICATE: f"replicate ({luck})", SEED: "seed", IMAGES: "draw of test images"}
    parts = [f"{_share(row['share'])} by its {named[row['source']]}, sd {_sd(row['sd'], unit)}" for row in rows]
    clipped = " The estimate between replicates is negative, for which 0 stands: they differ no more than seeds do."
    return f"The variance of {whose} is {'; '.join(parts)}.{clipped if rows[0]['is_clipped'] else ''}"


def image_variance(right_RN: ArrayLike, groups_KN: Array) -> float:
    """Estimate what another draw of as many test images would add to the variance of every score of one arm.

    Args:
        right_RN: how often each replicate (one at least) has each image right, over its runs: 0..1.
        groups_KN: one-hot rows of images; the score is the mean over groups of each group's share of right ones.

    A two-way analysis of variance within each group, replicates crossed with images: how far images differ in how
    often they are right, less what few replicates make of it by chance. Of one replicate nothing can be taken off: with
    one run it is the binomial variance, p (1 − p) / N, which is too large. NaN if a group has fewer than two images.
    """
    right_RN = np.asarray(right_RN, dtype=float)
    total = 0.0
    for is_mine_N in groups_KN > 0:
        mine_RN = right_RN[:, is_mine_N]
        replicates, images = mine_RN.shape
        if images < 2:
            return float("nan")
        mean_N = mine_RN.mean(axis=0)
        spread = float(mean_N.var(ddof=1))
        if replicates > 1:
            rest_RN = mine_RN - mean_N - mine_RN.mean(axis=1, keepdims=True) + mine_RN.mean()
            spread = max(0.0, spread - float((rest_RN**2).sum()) / ((replicates - 1) * (images - 1)) / replicates)
        total += spread / images / len(groups_KN) ** 2
    return total


def _rows(of: str, found: Components, images: float) -> list[tuple[object, ...]]:
    known = {REPLICATE: found.between, SEED: found.within, IMAGES: images}
    total = sum(variance for variance in known.values() if not np.isnan(variance))
    df = {REPLICATE: found.between_df, SEED: found.within_df}
    return [
        (
            *(of, source, variance, variance**0.5, variance / total if total else np.nan, df.get(source, np.nan)),
            source == REPLICATE and found.is_clipped,
        )
        for source, variance in known.items()
        if not np.isnan(variance)
    ]


def _images(study: PlannedStudy, trials: pd.DataFrame, table: pd.DataFrame, predictions: pd.DataFrame) -> float:
    """Average over arms what the draw of images adds; NaN without predictions from which the scores follow."""
    hits, label_N = hits_of(study, trials, table, predictions)
    if label_N.size == 0:
        return float("nan")
    metric, groups_KN = counted_as(study, table, hits, label_N)
    if metric != study.metric:
        return float("nan")
    return float(
        np.mean([image_variance(np.stack([*by_replicate.values()]), groups_KN) for by_replicate in hits.values()])
    )


def _share(value: float) -> str:
    return NOTHING if missing(value) else f"{value * 100:.0f}{THIN}%"


def _sd(value: float, unit: Unit) -> str:
    return unit.at(0.0, value).size(value)
