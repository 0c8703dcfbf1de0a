"""The page's third part: what the searches did. Description throughout, and it says so."""

from __future__ import annotations

import pandas as pd

from analysis import effort, search_phase
from analysis.importance import importance
from analysis.report import curves, search_figures, search_wording
from analysis.report.figures import Figure, View, axis
from analysis.report.inputs import Inputs

MOST_MARKED = 300  # trials in slices and parallel coordinates


def view(inputs: Inputs, opened: tuple[str, ...]) -> View:
    """Show curves, survival, best so far, importance, slices and what tuning gained."""
    study, trials, epochs = inputs.study, inputs.trials, inputs.epochs
    curve_figure, means, drawn = curves.learning_curves(inputs, opened)
    survival = search_phase.survival_curve(study, trials)
    best = search_phase.best_so_far(study, trials, epochs)
    ranked = importance(study, trials, epochs)
    chosen = effort.chosen(study, trials)
    gains = search_phase.tuning_gain(study, trials, epochs)
    edges = search_phase.edges(study, chosen)
    epoch = search_phase.comparison_epoch(study)
    scores = search_phase.scores_at(study, trials, epochs, epoch)
    figures: dict[str, Figure] = {} if curve_figure is None else {"curves": curve_figure}
    arms, unit = tuple(inputs.arms), inputs.unit_of_metric(f"val_{study.metric}", scores["score"])
    if len(survival):
        share = survival.assign(percent=100 * survival["share"])
        titles = ("epoch", "search trials still training, %")
        drawn_spec = search_figures.steps(share, "epoch", "percent", inputs.looks, study.rungs, titles)
        drawn_spec["layout"]["yaxis"] |= {"range": [0, 103]}
        figures["survival"] = Figure((drawn_spec,), survival, "survival_curve", arms, opened)
    if len(best):
        scaled = best.assign(value=best["best"] * unit.scale)
        titles = ("search epochs spent in a replicate", f"best {axis(f'val {study.metric}', unit)}")
        drawn_spec = search_figures.steps(scaled, "epochs_spent", "value", inputs.looks, (), titles)
        figures["best"] = Figure((drawn_spec,), best, "best_so_far", arms, opened)
    if len(ranked):
        rows, names = (
            list(dict.fromkeys(ranked["arm"])),
            [n for n in search_phase.domains(study) if n in set(ranked["name"])],
        )
        specs = (search_figures.correlations(ranked, rows, names), search_figures.explained(ranked, rows, names))
        figures["importance"] = Figure(specs, ranked, "importance")
    figures |= _each_trial(inputs, scores, opened)
    tables = {"curves": means, "survival_curve": survival, "best_so_far": best, "importance": ranked}
    tables |= {"chosen": chosen, "edges": edges, "tuning_gain": gains, f"scores_at_epoch_{epoch}": scores}
    facts = {
        "search_trials_drawn": drawn,
        "search_trials": int(((trials["phase"] == "search") & (trials["epochs_trained"] > 0)).sum()),
        "marked": min(len(scores), MOST_MARKED),
        "comparison_epoch": epoch,
        "at_rung": len(scores),
        "survival_warning": search_wording.survival_warning(inputs.evidence.survival, inputs.evidence.unequal_survival),
        "edge_warnings": search_wording.edge_warnings(edges),
        "importance_summary": search_wording.importance_summary(ranked),
        "gains": _gains(gains),
        "gain_unit": unit,
        "tuned": _tuned(chosen),
        "tuned_names": list(dict.fromkeys(chosen["name"])),
        "defaults": dict(zip(chosen["name"], chosen["default"], strict=True)),
    }
    return View(figures, tables, facts)


def _each_trial(inputs: Inputs, scores: pd.DataFrame, opened: tuple[str, ...]) -> dict[str, Figure]:
    study = inputs.study
    known = {name: domain for name, domain in search_phase.domains(study).items() if f"config.{name}" in scores}
    if scores.empty or not known:
        return {}
    shown = scores
    if len(scores) > MOST_MARKED:
        per_arm = max(1, MOST_MARKED // scores["arm"].nunique())
        shown = scores.groupby("arm", sort=False, group_keys=False).head(per_arm).reset_index(drop=True)
    unit = inputs.unit_of_metric(f"val_{study.metric}", scores["score"])
    file, arms = f"scores_at_epoch_{search_phase.comparison_epoch(study)}", tuple(inputs.arms)
    made = (
        search_figures.slices(shown, name, domain, study.metric, unit, inputs.looks) for name, domain in known.items()
    )
    slices = tuple(spec for spec in made if spec is not None)
    lines = search_figures.parallel(shown, known, study.metric, unit, study.higher_is_better)
    return {
        "slices": Figure(slices, shown, file, arms, opened),
        "parallel": Figure((lines,), shown, file, arms, tuple(inputs.arms[:1])),
    }


def _gains(gains: pd.DataFrame) -> list[dict[str, object]]:
    rows = []
    for arm, mine in gains.groupby("arm", sort=False):
        epochs = sorted(set(mine["epoch"]))
        row: dict[str, object] = {"arm": arm, "replicates": len(mine), "default_won": int(mine["default_won"].sum())}
        row |= {name: float(mine[name].mean()) for name in ("default", "tuned", "gain")}
        rows.append(row | {"least": float(mine["gain"].min()), "most": float(mine["gain"].max()), "epochs": epochs})
    return rows


def _tuned(chosen: pd.DataFrame) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for (arm, name), rows in chosen.groupby(["arm", "name"], sort=False):
        found.setdefault(str(arm), {})[str(name)] = search_wording.chosen_values(rows["value"].tolist())
    return found
