"""The page's third part: what the searches did. Description throughout, and it says so."""

from __future__ import annotations

import pandas as pd

from analysis.caveats import unequal_survival
from analysis.importance import alike, importance
from analysis.numbers import Unit
from analysis.report.figures import Figure, View, axis
from analysis.report.inputs import Inputs
from analysis.report.search import curves
from analysis.report.search import figures as search_figures
from analysis.report.search import wording as search_wording
from analysis.report.sections import Part, Section
from analysis.tables import effort, search_phase, variance_sources

MOST_MARKED = 300  # trials in slices and parallel coordinates


def _curves(inputs: Inputs) -> View:
    figure, means, drawn = curves.learning_curves(inputs)
    trained = (inputs.trials["phase"] == "search") & (inputs.trials["epochs_trained"] > 0)
    facts = {"search_trials_drawn": drawn, "search_trials": int(trained.sum())}
    return View({} if figure is None else {"curves": figure}, {"curves": means}, facts)


def _survival(inputs: Inputs) -> View:
    study, found = inputs.study, inputs.evidence
    survival = search_phase.survival_curve(study, inputs.trials)
    warning = unequal_survival(found.survival, found.unequal_survival)
    if survival.empty:
        return View(facts={"survival_warning": warning})
    share = survival.assign(percent=100 * survival["share"])
    titles = ("epoch", "search trials still training, %")
    drawn = search_figures.steps(inputs.shown(share), "epoch", "percent", inputs.looks, study.rungs, titles)
    drawn["layout"]["yaxis"] |= {"range": [0, 103]}
    figure = Figure((drawn,), survival, "survival_curve", inputs.drawn)
    return View({"survival": figure}, {"survival_curve": survival}, {"survival_warning": warning})


def _best(inputs: Inputs) -> View:
    best, metric = search_phase.best_so_far(inputs.study, inputs.trials, inputs.epochs), f"val {inputs.study.metric}"
    if best.empty:
        return View()
    unit = _unit(inputs)
    titles = ("search epochs spent in a replicate", f"best {axis(metric, unit)}")
    scaled = best.assign(value=best["best"] * unit.scale)
    drawn = search_figures.steps(inputs.shown(scaled), "epochs_spent", "value", inputs.looks, (), titles)
    return View({"best": Figure((drawn,), best, "best_so_far", inputs.drawn)}, {"best_so_far": best})


def _importance(inputs: Inputs) -> View:
    study = inputs.study
    ranked = importance(study, inputs.trials, inputs.epochs)
    facts = {
        "importance_summary": search_wording.importance_summary(ranked),
        "alike": alike(study, inputs.trials, inputs.epochs),
        "comparison_epoch": search_phase.comparison_epoch(study),
    }
    if ranked.empty:
        return View({}, {"importance": ranked}, facts)
    rows, known = list(dict.fromkeys(inputs.shown(ranked)["arm"])), set(ranked["name"])
    names = [name for name in search_phase.domains(study) if name in known]
    specs = (search_figures.correlations(ranked, rows, names), search_figures.explained(ranked, rows, names))
    return View({"importance": Figure(specs, ranked, "importance")}, {"importance": ranked}, facts)


def _each_trial(inputs: Inputs) -> View:
    study, scores, epoch = inputs.study, _scores(inputs), search_phase.comparison_epoch(inputs.study)
    file, arms = f"scores_at_epoch_{epoch}", inputs.drawn
    facts = {"marked": min(len(inputs.shown(scores)), MOST_MARKED), "at_rung": len(scores), "comparison_epoch": epoch}
    known = {name: domain for name, domain in search_phase.domains(study).items() if f"config.{name}" in scores}
    if scores.empty or not known:
        return View({}, {file: scores}, facts)
    shown = inputs.shown(scores).reset_index(drop=True)
    if len(shown) > MOST_MARKED:
        per_arm = max(1, MOST_MARKED // shown["arm"].nunique())
        shown = shown.groupby("arm", sort=False, group_keys=False).head(per_arm).reset_index(drop=True)
    unit = _unit(inputs)
    made = (
        search_figures.slices(shown, name, domain, study.metric, unit, inputs.looks) for name, domain in known.items()
    )
    slices = tuple(spec for spec in made if spec is not None)
    lines = search_figures.parallel(shown, known, study.metric, unit, study.higher_is_better)
    figures = {
        "slices": Figure(slices, shown, file, arms),
        "parallel": Figure((lines,), shown, file, arms),
    }
    return View(figures, {file: scores}, facts)


def _tuned(inputs: Inputs) -> View:
    study = inputs.study
    chosen = effort.chosen(study, inputs.latest)
    gains = search_phase.tuning_gain(study, inputs.trials, inputs.epochs)
    edges = search_phase.edges(study, chosen)
    facts = {
        "edge_warnings": search_wording.edge_warnings(edges),
        "gains": _gains(gains),
        "gain_unit": _unit(inputs),
        "tuned": _values(chosen),
        "tuned_names": list(dict.fromkeys(chosen["name"])),
        "defaults": dict(zip(chosen["name"], chosen["default"], strict=True)),
    }
    return View({}, {"chosen": chosen, "edges": edges, "tuning_gain": gains}, facts)


def _variance_sources(inputs: Inputs) -> View:
    found = inputs.evidence.variance_sources
    said = variance_sources.sentence(found, inputs.study, inputs.unit)
    return View(facts={"variance_sources": found.to_dict("records"), "variance_said": said})


def _scores(inputs: Inputs) -> pd.DataFrame:
    epoch = search_phase.comparison_epoch(inputs.study)
    return search_phase.scores_at(inputs.study, inputs.trials, inputs.epochs, epoch)


def _unit(inputs: Inputs) -> Unit:
    return inputs.unit_of_metric(inputs.study.primary.validation, _scores(inputs)["score"])


def _gains(gains: pd.DataFrame) -> list[dict[str, object]]:
    rows = []
    for arm, mine in gains.groupby("arm", sort=False):
        epochs = sorted(set(mine["epoch"]))
        row: dict[str, object] = {"arm": arm, "replicates": len(mine), "default_won": int(mine["default_won"].sum())}
        row |= {name: float(mine[name].mean()) for name in ("default", "tuned", "gain")}
        rows.append(row | {"least": float(mine["gain"].min()), "most": float(mine["gain"].max()), "epochs": epochs})
    return rows


def _values(chosen: pd.DataFrame) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for (arm, name), rows in chosen.groupby(["arm", "name"], sort=False):
        found.setdefault(str(arm), {})[str(name)] = search_wording.chosen_values(rows["value"].tolist())
    return found


PART = Part(
    "search",
    "Search",
    (
        Section("curves", "Learning curves", _curves),
        Section("survival", "Survival", _survival, is_half=True),
        Section("best", "Best so far", _best, is_half=True),
        Section("importance", "Importance of hyperparameters", _importance, link="Importance"),
        Section("slices", "Each trial", _each_trial),
        Section("tuned", "Tuned values", _tuned),
        Section("variance_sources", "Where the spread comes from", _variance_sources, link="Spread"),
    ),
)
