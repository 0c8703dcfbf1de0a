"""What is said of a study of one arm, in which nothing can be compared: how well its best configuration does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.load import STATUSES, PlannedStudy
from analysis.numbers import THIN, Unit, count, missing
from analysis.tables.best import Best, Score
from analysis.tables.search_phase import EDGE, unit_scale
from search_spaces.domains import Choice


def answer(study: PlannedStudy, found: Best | None, trials: pd.DataFrame, unit: Unit) -> tuple[str, str]:
    """Say in two sentences what the best configuration scores, and what that rests on."""
    noun = f"test {study.metric.replace('_', ' ')}"
    if found is None:
        return _unconfirmed(trials), "Everything on this page is description."
    if missing(found.own.mean):
        return f"The {noun} of the best configuration by validation is not known.", _rests_on(study, found, unit)
    budget = study.plan.budget
    searched = count(budget.trials * budget.replicates, "search trial")
    what = f"The best configuration of {searched}" if budget.trials else "Trained without a search, the model"
    return f"{what} reaches a {noun} of {in_words(found.own, unit)}.", _rests_on(study, found, unit)


def in_words(score: Score, unit: Unit) -> str:
    """Format a score with its unit and, over two values or more, with interval and spread."""
    fine = unit.at(score.low, score.high)
    if score.n < 2:
        return fine.value(score.mean)
    n = count(score.planned, score.unit) if score.n == score.planned else f"{score.n} of {score.planned} {score.unit}s"
    spread = f"standard deviation {fine.bare(score.sd)}, {n}"
    if missing(score.low):
        return f"{fine.value(score.mean)} ({spread})"
    return f"{fine.value(score.mean)} (95{THIN}% interval {fine.interval(score.low, score.high)}, {spread})"


def at_edges(study: PlannedStudy, found: Best | None) -> Iterator[str]:
    """Warn of each value of the best configuration that lies at an end of its range."""
    rows = [] if found is None else found.configuration.to_dict("records")
    for name, value in ((row["name"], row["value"]) for row in rows if row["searched"]):
        domain = study.space.domain(name)
        if isinstance(domain, Choice) or domain.low == domain.high:
            continue
        place = float(unit_scale(domain, np.array([value], dtype=float))[0])
        end, bound = ("low", domain.low) if place <= EDGE else ("high", domain.high)
        if place <= EDGE or place >= 1 - EDGE:
            yield f"{name} lies at the {end} end of its range ({bound:g}): a wider one might hold a better value."


def _unconfirmed(trials: pd.DataFrame) -> str:
    confirm = trials.loc[trials["phase"] == "confirm", "status"].value_counts().to_dict()
    yet = " yet" if confirm.get("pending", 0) + confirm.get("interrupted", 0) else ""
    ends = ", ".join(f"{confirm[status]} {status}" for status in STATUSES if confirm.get(status))
    total = count(sum(confirm.values()), "confirm run")
    return f"No configuration has been confirmed{yet}: of {total}, {ends}."


def _rests_on(study: PlannedStudy, found: Best, unit: Unit) -> str:
    """Say what the score rests on, in one sentence."""
    if study.plan.budget.trials and found.procedure.n > 1:
        repeated = f"{found.procedure.n} searches, each with its own confirm runs"
        return f"On average over {repeated}, the procedure gives {in_words(found.procedure, unit)}."
    own = found.own
    if own.n == 0:
        return "Everything on this page is description."
    if own.n == 1 and own.unit == "seed":
        return "That is one confirm run, so how much of it is luck is not known; more seeds would tell."
    if own.n == 1:
        one = f"Of {count(own.planned, 'replicate')} one has all of its runs"
        return f"{one}, so how much of the score is luck is not known."
    chose = "Validation chose the configuration, and " if study.plan.budget.trials else ""
    text = f"{chose}nothing is compared: this says how well it does, and not which of its parts matter."
    return text[0].upper() + text[1:]
