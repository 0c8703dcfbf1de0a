"""Everything that the analysis of one run comes to, computed once: the report prints it, findings.json writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from ablation.run_dir import RunLocation
from analysis import effects, load
from analysis.attempts import Attempts
from analysis.effect_evidence import EffectEvidence, compare
from analysis.load import PlannedStudy
from analysis.statistics import item_agreement, resampling, survival
from analysis.statistics.survival import Unequal
from analysis.tables import best, code_versions, effort, recall
from analysis.tables.code_versions import code_table
from analysis.tables.reruns import rerun_counts
from analysis.tables.variance_sources import variance_sources

# What stands for tables that findings look up by arm, where they could not be computed.
NO_CALIBRATION = pd.DataFrame(columns=["arm"])
NO_EFFORT = pd.DataFrame(columns=["arm", "search"])
NO_TRIALS = pd.DataFrame(columns=["trial_id", "arm", "status", "reason"])
NO_SURVIVAL = (pd.DataFrame(columns=["arm"]), Unequal(float("nan"), float("nan"), False))
NO_PAIRS = pd.DataFrame(columns=["arm", "against"])


@dataclass(frozen=True, kw_only=True)
class Evidence(EffectEvidence):
    """One run's tables: its effects and what only a run has, each as the function of the same name returns it."""

    study: PlannedStudy
    trials: pd.DataFrame
    counts: Mapping[str, int]
    effort: pd.DataFrame
    not_completed: pd.DataFrame
    code: pd.DataFrame
    survival: pd.DataFrame
    unequal_survival: Unequal
    confusions: pd.DataFrame
    recall: pd.DataFrame
    sampling: pd.DataFrame
    mcnemar: pd.DataFrame
    calibration: pd.DataFrame
    reliability: pd.DataFrame
    variance_sources: pd.DataFrame
    best: best.Best | None = None
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    reruns: Mapping[str, int] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by name, empty ones included, but what was read and not computed: trials, confusion counts.

        Of one arm there is no table that compares arms with a reference: ``scores`` has its numbers.
        """
        left_out = {"trials", "confusions", *(["arms"] if self.study.is_plain else [])}
        return {name: frame for name, frame in super().tables.items() if name not in left_out}


def gather(run: RunLocation, study: PlannedStudy | None = None, trials: pd.DataFrame | None = None) -> Evidence:
    """Compute a run's evidence: a function of the run directory alone, the same for the same bytes.

    Args:
        run: run directory or its address.
        study: what ``load.study`` returned, if it was called already.
        trials: planned trials as they stand, if trials.parquet is not to be read (as of a run still at work).

    Raises:
        FaultsError: the directory is no run, or lacks a file or column.
    """
    study = load.study(run) if study is None else study
    if trials is None:
        trials, counts = load.trials(run), load.accounting(run)
    else:
        counts = load.counted(trials)
    latest = study.of_last_stage(trials)
    table = effects.replicates(study, latest)
    ids = trials["trial_id"].tolist()
    attempts, nothing = Attempts(), pd.DataFrame()
    make = attempts.make
    predictions = make("predictions", lambda: load.predictions(run, among=ids), nothing_of(load.PREDICTION_COLUMNS))
    confusions = make("confusions", lambda: load.confusions(run, ids), nothing_of(load.CONFUSION_COLUMNS))
    compared = compare(study, table, attempts)
    is_scored = study.is_plain  # of several arms, arms_table has the scores
    found = make("configuration", lambda: best.best(study, trials, table), None)
    survived, unequal = make("survival", lambda: survival.survival_table(study, trials), NO_SURVIVAL)
    calibrated, reliability = make(
        "reliability", lambda: item_agreement.calibration(study, latest, predictions), (NO_CALIBRATION, nothing)
    )
    shared = {name: value for name, value in vars(compared).items() if name not in ("study", "failures")}
    return Evidence(
        **shared,
        study=study,
        trials=trials,
        counts=counts,
        effort=make("effort", lambda: effort.effort_table(study, trials), NO_EFFORT),
        not_completed=make("not_completed", lambda: effort.not_completed(trials), NO_TRIALS),
        code=make("code", lambda: code_table(trials, load.summary(run)), nothing_of(code_versions.COLUMNS)),
        survival=survived,
        unequal_survival=unequal,
        confusions=confusions,
        recall=make("recall", lambda: recall.per_class_recall(study, latest, confusions), nothing),
        sampling=make("sampling", lambda: resampling.sampling_table(study, trials, table, predictions), NO_PAIRS),
        mcnemar=make("mcnemar", lambda: item_agreement.mcnemar_table(study, trials, predictions), NO_PAIRS),
        calibration=calibrated,
        reliability=reliability,
        variance_sources=make("variance_sources", lambda: variance_sources(study, latest, table, predictions), nothing),
        best=found,
        scores=make("scores", lambda: best.scores(study, trials, table, found), nothing) if is_scored else nothing,
        reruns=make("reruns", lambda: rerun_counts(load.reruns(run)), rerun_counts({})),
        failures=tuple(attempts.failures),
    )


def nothing_of(columns: Iterable[str]) -> pd.DataFrame:
    """Return a table of a trial's artifacts, or of anything else with these columns, without rows."""
    return pd.DataFrame(columns=["trial_id", *columns])
