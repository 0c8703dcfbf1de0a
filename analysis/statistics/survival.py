"""Did the search let every arm's trials through alike? Where it did not, arms were not given the same chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from analysis import inference
from analysis.effects import arm_names
from analysis.load import PlannedStudy
from analysis.statistics.resampling import generator

TABLES = 20_000
ENDED = ("completed", "stopped", "diverged", "failed")
STRIKING = 2.0  # adjusted residual, in standard deviations


class Unequal(NamedTuple):
    """Whether shares differ between arms by more than chance: Pearson's chi-square, its p, and the verdict."""

    chi2: float
    p: float
    is_unequal: bool


def survival_table(study: PlannedStudy, trials: pd.DataFrame) -> tuple[pd.DataFrame, Unequal]:
    """Count the search trials of each arm that reached the full budget, and test whether arms' shares differ.

    Returns the table (arm, ended, survived, share, residual, flagged) and the test over all arms. Trials still open
    are left out. ``residual`` is Pearson's adjusted one, in standard deviations; ``flagged`` marks arms beyond 2 of
    them, where the test over all arms is below 0.05. Description only: no claim about scores rests on it.
    """
    search = trials[(trials["phase"] == "search") & trials["status"].isin(ENDED)]
    known = set(trials["arm"])
    names = [name for name in arm_names(study, trials) if name in known]
    ended_A = search.groupby("arm").size().reindex(names, fill_value=0).to_numpy(dtype=np.int64)
    survivors = search[search["status"] == "completed"].groupby("arm").size()
    survived_A = survivors.reindex(names, fill_value=0).to_numpy(dtype=np.int64)
    test = unequal_shares(survived_A, ended_A, generator(study.plan.seed, "unequal survival"))
    total, reached = ended_A.sum(), survived_A.sum()
    share = reached / total if total else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        expected_A = ended_A * share
        residual_A = (survived_A - expected_A) / np.sqrt(expected_A * (1 - share) * (1 - ended_A / max(total, 1)))
        shares_A = survived_A / np.where(ended_A > 0, ended_A, np.nan)
    residual_A = np.where(np.isfinite(residual_A), residual_A, np.nan)
    table = pd.DataFrame({"arm": names, "ended": ended_A, "survived": survived_A, "share": shares_A})
    return table.assign(residual=residual_A, flagged=test.is_unequal & (np.abs(residual_A) > STRIKING)), test


def unequal_shares(
    successes_A: ArrayLike, trials_A: ArrayLike, random: np.random.Generator, tables: int = TABLES
) -> Unequal:
    """Test whether shares differ between groups: exact chi-square by Monte Carlo, given both margins.

    Tables with the same row and column sums are drawn from the multivariate hypergeometric distribution; p is
    (1 + those at least as far from equal shares) / (1 + tables), which is valid for any number of tables. A search that
    stops a fixed share of each arm makes shares more equal than chance would, so the test errs on the quiet side. NaN
    if there is nothing to compare. Source: Besag & Clifford (1989); Pearson (1900).
    """
    successes_A, trials_A = np.asarray(successes_A, dtype=np.int64), np.asarray(trials_A, dtype=np.int64)
    present = trials_A > 0
    successes_A, trials_A = successes_A[present], trials_A[present]
    total, reached = int(trials_A.sum()), int(successes_A.sum())
    if trials_A.size < 2 or reached in (0, total):
        return Unequal(np.nan, np.nan, False)
    drawn_BA = random.multivariate_hypergeometric(trials_A, reached, size=tables)
    share = reached / total

    def chi2(counts_A: np.ndarray) -> np.ndarray:
        return np.asarray(((counts_A - trials_A * share) ** 2 / trials_A).sum(axis=-1) / (share * (1 - share)))

    seen = float(chi2(successes_A))
    p = (1 + int((chi2(drawn_BA) >= seen * (1 - 1e-12)).sum())) / (1 + tables)
    return Unequal(seen, p, p < inference.ALPHA)
