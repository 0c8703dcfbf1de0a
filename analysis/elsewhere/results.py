"""A table of results, understood: which runs it has and what it asks; or all that is wrong with it, at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ablation.faults import FaultsError
from analysis.elsewhere.arms import arms_of, level_faults, reference_of, role_faults
from analysis.elsewhere.asked import Asked
from analysis.elsewhere.columns import Columns, choose
from analysis.elsewhere.metric import equivalence_faults, equivalence_in_words, metric_of
from analysis.elsewhere.question import TableQuestion
from analysis.elsewhere.reading import ResultsFile
from analysis.elsewhere.runs import runs_of
from analysis.inference import Array
from analysis.numbers import count
from search_spaces.domains import Choice


@dataclass(frozen=True)
class Results:
    """A table of results, ready to be analysed.

    Attributes:
        file: where it comes from.
        columns: what is read from where.
        question: what is compared with what.
        runs: as ``runs_of`` returns them.
        replicates: arm, replicate, seeds, ended and the score under the metric's name, as ``effects.replicates``.
        said: how the table was understood, in sentences.
        title: of its report; None: the file's name.
    """

    file: ResultsFile
    columns: Columns
    question: TableQuestion
    runs: pd.DataFrame
    replicates: pd.DataFrame
    said: tuple[str, ...]
    title: str | None = None

    @property
    def heading(self) -> str:
        """What its report is headed with: its title, else the file's name."""
        return self.title or self.file.name


def understood(file: ResultsFile, asked: Asked) -> Results:
    """Understand a table of results; raises FaultsError with all that is wrong with it and with what was asked."""
    columns, faults = choose(asked, file.cells)
    if faults := [*asked.faults(), *faults]:
        raise FaultsError(faults)
    runs, faults = runs_of(file, columns)
    names = list(dict.fromkeys(runs["arm"]))
    reference, said_reference = reference_of(asked, names)
    faults += [*role_faults(asked, names, reference), *level_faults(runs, columns), *_too_few(runs, reference)]
    is_paired, said_pairing = _pairing(asked, columns, runs)
    metric, said_metric = metric_of(asked, columns, runs["score"])
    faults += [*_pairing_faults(asked, columns, runs), *equivalence_faults(asked, metric, runs["score"])]
    if faults or reference is None:
        raise FaultsError(faults)
    arms = arms_of(runs, columns, [reference, *(name for name in names if name != reference)])
    baseline = asked.baseline or ("baseline" if "baseline" in names and reference != "baseline" else "")
    factors = {name: Choice(values=tuple(dict.fromkeys(arm.levels[name] for arm in arms))) for name in columns.factors}
    question = TableQuestion(arms, reference, baseline, metric, is_paired, factors, asked.equivalence)
    runs, said_numbers = _numbered(runs)
    said = (*columns.guessed, *said_reference, *said_metric, said_pairing, *said_numbers)
    said += equivalence_in_words(asked, metric, runs["score"])
    return Results(file, columns, question, runs, _replicates(runs, question), said)


def scores_by_seed(results: Results) -> dict[str, Array]:
    """Lay out each arm's scores as ``scores_RS``, NaN if there is no run; empty without a column of seeds."""
    if results.columns.seed is None:
        return {}
    runs = results.runs
    wide = runs.pivot(index=["arm", "replicate"], columns="seed", values="score")
    replicates = sorted(set(runs["replicate"]))
    return {arm.name: wide.loc[arm.name].reindex(replicates).to_numpy(dtype=float) for arm in results.question.arms}


def _too_few(runs: pd.DataFrame, reference: str | None) -> Iterator[str]:
    counts = runs.dropna(subset="score").groupby("arm")["replicate"].nunique()
    needed = "a test needs two: without repetitions nothing is known of the noise"
    if counts.max() < 2 or counts.empty:
        yield f"no arm has scores of more than one replicate, and {needed}"
    elif reference in set(runs["arm"]) and counts.get(reference, 0) < 2:
        known = count(int(counts.get(reference, 0)), "replicate")
        yield f"the reference {reference!r} has {known} with a score, and {needed}"


def _pairing(asked: Asked, columns: Columns, runs: pd.DataFrame) -> tuple[bool, str]:
    labels = runs.groupby("arm")["replicate"].agg(frozenset)
    is_same = columns.replicate is not None and labels.nunique() == 1
    by = f"column {columns.replicate!r}"
    if asked.is_paired is not None:
        return asked.is_paired, f"paired by {by}, as asked" if asked.is_paired else "not paired, as asked: Welch's t"
    if is_same:
        return (
            True,
            f"paired by {by}, since every arm has the same labels there (--unpaired, if equal labels share nothing)",
        )
    why = f"arms have different labels in {by}" if columns.replicate else "no column names replicates"
    return False, f"not paired, since {why}: Welch's t"


def _pairing_faults(asked: Asked, columns: Columns, runs: pd.DataFrame) -> Iterator[str]:
    if not asked.is_paired:
        return
    if columns.replicate is None:
        yield "--paired needs a column that says which rows of two arms are a pair; name it with --replicate-column"
    elif runs.groupby("replicate")["arm"].nunique().max() < 2:
        yield f"--paired: no two arms have a label of column {columns.replicate!r} in common; leave --paired out"


def _numbered(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Turn labels of replicates into whole numbers: as they are if all are, else in the table's order."""
    labels = list(dict.fromkeys(runs["replicate"]))
    if all(re.fullmatch(r"\d{1,18}", label) for label in labels) and len({int(label) for label in labels}) == len(
        labels
    ):
        return runs.assign(replicate=runs["replicate"].astype("int64")), []
    codes = {label: index for index, label in enumerate(labels)}
    listed = f"replicates are numbered from 0 in the table's order: {labels[0]} is 0"
    return runs.assign(replicate=runs["replicate"].map(codes)), [listed]


def _replicates(runs: pd.DataFrame, question: TableQuestion) -> pd.DataFrame:
    """Average the seeds of each replicate; NaN unless all of them have a score."""
    scores = runs.groupby(["arm", "replicate"], sort=True)["score"]
    table = pd.DataFrame(
        {"seeds": scores.size(), "ended": scores.count(), question.metric: scores.mean()}
    ).reset_index()
    table[question.metric] = table[question.metric].where(table["ended"] == table["seeds"])
    order = {arm.name: index for index, arm in enumerate(question.arms)}
    return table.iloc[table["arm"].map(order).argsort(kind="stable")].reset_index(drop=True)
