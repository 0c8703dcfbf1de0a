"""Everything the report reads of one run, once; and what all of its parts derive from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from ablation.run_dir import MismatchError, RunDir, RunLocation, run_dir
from analysis import effects, load
from analysis.attempts import Attempts, Failure, LostError
from analysis.evidence import Evidence, gather
from analysis.live import events, is_current, tables
from analysis.load import PlannedStudy
from analysis.numbers import Unit, unit_of
from analysis.report.figures import styles
from search_spaces.metrics import bare_name

MOST_ARMS = 40  # in figures that show each of them; tables have all
MOST_OPENED = 4  # arms that are all shown at first


@dataclass(frozen=True)
class Inputs:
    """A run as the report sees it.

    ``log`` holds the ledger's events without payloads; ``lies_in_run`` says whether the page lies in the run's own
    ``report/``, from where links lead to its files.
    """

    where: RunDir
    study: PlannedStudy
    trials: pd.DataFrame
    epochs: pd.DataFrame
    log: pd.DataFrame
    summary: Mapping[str, Any]
    shows_faces: bool = False
    lies_in_run: bool = False

    def titled(self, title: str | None) -> Inputs:
        """Return them with another title for the page; as they are where None."""
        if title is None:
            return self
        return replace(self, study=replace(self.study, file=self.study.file.model_copy(update={"title": title})))

    @cached_property
    def arms(self) -> list[str]:
        """Names of the arms in the plan's order."""
        return effects.arm_names(self.study, self.trials)

    @cached_property
    def latest(self) -> pd.DataFrame:
        """Trials without the confirm trials of what was best before the search grew."""
        return self.study.of_last_stage(self.trials)

    @cached_property
    def drawn(self) -> tuple[str, ...]:
        """Arms that figures show: all of a few, else reference, baseline and the best by mean, in the plan's order."""
        if len(self.arms) <= MOST_ARMS:
            return tuple(self.arms)
        homes = [arm for arm in self.arms if arm in (effects.REFERENCE, effects.BASELINE)]
        kept = set(list(dict.fromkeys([*homes, *(self._ranked if self.has_evidence else self.arms)]))[:MOST_ARMS])
        return tuple(arm for arm in self.arms if arm in kept)

    def shown(self, table: pd.DataFrame) -> pd.DataFrame:
        """Keep the rows of arms that figures show."""
        return table if len(self.drawn) == len(self.arms) else table[table["arm"].isin(self.drawn)]

    @cached_property
    def looks(self) -> dict[str, tuple[str, str]]:
        """Colour and dash of each arm."""
        return styles(self.arms)

    @cached_property
    def opened(self) -> tuple[str, ...]:
        """Arms whose curves show at first: all of a few, else reference, baseline and the best."""
        if len(self.arms) <= MOST_OPENED:
            return tuple(self.arms)
        homes = [arm for arm in self.arms if arm in (effects.REFERENCE, effects.BASELINE)]
        if not self.has_evidence:
            return tuple(homes or self.arms[:MOST_OPENED])
        return tuple(dict.fromkeys([*self.arms[:1], *self._ranked[:1], *homes]))

    @property
    def _ranked(self) -> list[str]:
        arms, metric = self.evidence.arms, self.study.metric
        ranked = arms.sort_values(metric, ascending=not self.study.higher_is_better, kind="stable", na_position="last")
        return list(ranked["arm"])

    @property
    def evidence(self) -> Evidence:
        """Everything that the analysis comes to; raises LostError if what claims rest on cannot be computed."""
        if isinstance(self._gathered, Failure):
            raise LostError(self._gathered)
        return self._gathered

    @property
    def has_evidence(self) -> bool:
        """Whether there is evidence: what needs none of it can be shown all the same."""
        return isinstance(self._gathered, Evidence)

    @cached_property
    def _gathered(self) -> Evidence | Failure:
        """Gather once: what fails would fail in every section, at the same cost."""
        attempts = Attempts()
        found = attempts.make("evidence", lambda: gather(self.where, self.study, self.trials), None)
        return attempts.failures[0] if found is None else found

    @property
    def unit(self) -> Unit:
        """How the primary test metric is printed."""
        return self.evidence.units[self.study.metric]

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Planned trials, then how many there are of each status."""
        return load.counted(self.trials)

    @property
    def open_trials(self) -> int:
        """Trials that have not ended: pending, running or interrupted."""
        return self.counts["pending"] + self.counts["interrupted"]

    def unit_of_metric(self, metric: str, values: pd.Series[float]) -> Unit:
        """Choose how to print any metric that trials report: the space's own as declared."""
        declared = self.study.declared.get(bare_name(metric))
        return unit_of(values, False) if declared is None else unit_of(values, declared.higher_is_better, declared.unit)


def read(run: RunLocation, *, shows_faces: bool = False, lies_in_run: bool = False) -> Inputs:
    """Read a run directory: its tables where they hold all that the ledger says, else the ledger itself.

    A run that has neither has just started: every trial is pending. Raises FaultsError if the directory is no run, or
    a file or column is missing or damaged.
    """
    where = run_dir(run)
    study, log = load.study(where), events(where)
    try:
        written = _written(where, study, log)
    except MismatchError:
        if log.empty:
            raise
        written = None  # caught between two writes, or damaged: the ledger has everything
    if written is not None:
        return replace(written, shows_faces=shows_faces, lies_in_run=lies_in_run)
    trials, epochs = tables(where, study)
    return Inputs(where, study, trials, _coded(epochs), log, {}, shows_faces, lies_in_run)


def _written(where: RunDir, study: PlannedStudy, log: pd.DataFrame) -> Inputs | None:
    """Read the run's tables; None if they are not there yet, or hold less than the ledger says."""
    has = [where.has(path) for path in (where.paths.trials, where.paths.epochs, where.paths.summary)]
    # Without a ledger, what is left of the tables has to do: a missing one is a fault.
    if not (all(has[:2]) if len(log) else any(has)):
        return None
    trials, epochs = load.trials(where), _coded(load.epochs(where))
    if not is_current(study, log, trials, epochs):
        return None
    load.accounting(where)  # raises where summary and table disagree
    return Inputs(where, study, trials, epochs, log, load.summary(where))


def _coded(epochs: pd.DataFrame) -> pd.DataFrame:
    """Keep a million names of trials as codes: what looks them up is ten times faster."""
    return epochs.assign(trial_id=epochs["trial_id"].astype("category"))
