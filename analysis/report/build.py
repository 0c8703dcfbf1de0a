"""Run directory in, one self-contained page and its tables out: the same bytes for the same run, always."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.paths import RunPaths
from analysis import effects, effort, load, recall
from analysis.load import Study
from analysis.report import curves, figures, numbers, wording
from analysis.report.numbers import Unit

# What the page prints where an older or hand-made study.json does not say.
UNKNOWN: Mapping[str, Any] = {
    **{"name": "a study without a name", "created_utc": "at an unknown time", "git_commit": None, "budget_name": None},
    **{"command": (), "hardware": {}, "versions": {}},
}


def build(run: Path | str, out: Path | None = None) -> Path:
    """Write the report of ``run`` and return the page's path.

    Args:
        run: run directory; it is read, and written to under ``report/`` only.
        out: folder for index.html and tables/; ``RUN_DIR/report`` where None.

    Raises:
        FaultsError: the directory is no run, or lacks a file or column.
    """
    page, tables = render(run)
    folder = RunPaths(Path(run)).report if out is None else out
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for stale in sorted((folder / "tables").glob("*.csv")):
        if stale.stem not in tables:
            stale.unlink()
    for name, table in tables.items():
        _write(folder / "tables" / f"{name}.csv", table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    _write(folder / "index.html", page)
    return folder / "index.html"


def render(run: Path | str) -> tuple[str, dict[str, pd.DataFrame]]:
    """Make the page and its tables from the run directory alone: no clock, no random ids, no path of this machine."""
    study, trials, epochs = load.study(run), load.trials(run), load.epochs(run)
    counts = load.accounting(run)
    table = effects.replicates(study, trials)
    tables = {
        "arms": effects.arms_table(study, trials, table),
        "comparisons": effects.comparisons_table(study, table),
        "replicates": table,
        "effort": effort.effort_table(study, trials),
        "chosen": effort.chosen(study, trials),
        "not_completed": effort.not_completed(trials),
        "recall": recall.per_class_recall(study, trials, load.confusions(run)),
        "curves": curves.confirm_means(trials, epochs),
    }
    responses = effects.responses(study, table)
    for factor, curve in responses.items():
        tables[f"response_{_file_name(factor)}"] = curve
    units = {name: numbers.unit_of(table[name], study.higher_is_better) for name in study.metrics}
    drawn, replicates_drawn = _figures(study, trials, epochs, tables, responses, units[study.metric])
    summary = load.summary(run)
    context = _context(study, trials, tables, counts, units) | {
        "figures": drawn,
        "responses": responses,
        "replicates_drawn": replicates_drawn,
        "summary": summary,
    }
    return _template().render(context), {name: frame for name, frame in tables.items() if len(frame)}


def _context(
    study: Study,
    trials: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    counts: Mapping[str, int],
    units: Mapping[str, Unit],
) -> dict[str, Any]:
    comparisons = tables["comparisons"]
    names = effects.arm_names(study, trials)
    chosen = tables["chosen"]
    return {
        "study": study,
        "document": {**UNKNOWN, **{name: value for name, value in study.document.items() if value is not None}},
        "data": {"uri": None, "fingerprint": None, "train_count": None} | dict(study.document.get("data") or {}),
        "counts": counts,
        "units": units,
        "unit": units[study.metric],
        "answer": wording.answer(study, comparisons, units[study.metric], counts["pending"] + counts["interrupted"]),
        "caveats": wording.caveats(study, counts, comparisons),
        "arms": _records(tables["arms"]),
        "comparisons": _records(comparisons),
        "effort": {row["arm"]: row for row in _records(tables["effort"])},
        "not_completed": _records(tables["not_completed"]),
        "tuned": _tuned(chosen),
        "tuned_names": list(dict.fromkeys(chosen["name"])),
        "defaults": dict(zip(chosen["name"], chosen["default"], strict=True)),
        "styles": figures.styles(names),
        "opened": _opened(tables["arms"], study),
        "n": numbers,
        "w": wording,
    }


def _figures(
    study: Study,
    trials: pd.DataFrame,
    epochs: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    responses: Mapping[str, pd.DataFrame],
    unit: Unit,
) -> tuple[dict[str, list[dict[str, Any]]], int]:
    table = tables["replicates"]
    drawn: dict[str, list[dict[str, Any]]] = {}
    differing = _differing(tables["arms"], tables["comparisons"])
    if len(differing):
        points = {}
        for arm in differing["arm"]:
            whole, _ = effects.pairs(table, arm, effects.REFERENCE, study.metric)
            points[arm] = (whole["arm"] - whole["against"]).tolist()
        drawn["forest"] = [figures.spec(figures.forest(differing, points, unit))]
    specs, replicates_drawn = curves.learning_curves(study, trials, epochs)
    if specs:
        drawn["curves"] = specs
    for place, (factor, curve) in enumerate(responses.items()):
        dots = curve[["level", "arm"]].merge(table, on="arm").rename(columns={study.metric: "value"})
        figure = figures.response(dots.dropna(subset="value"), curve, factor, study.metric, unit)
        drawn[f"response-{place}"] = [figures.spec(figure)]
    recalls = tables["recall"]
    if len(recalls):
        drawn["recall"] = [figures.spec(figures.recall_map(recalls, "mean", study), "recall, %")]
        if recalls["difference"].notna().any():
            figure = figures.recall_map(recalls, "difference", study)
            drawn["recall"].append(figures.spec(figure, "difference to the reference, percentage points"))
    return drawn, replicates_drawn


def _differing(arms: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    sure = set(comparisons.loc[comparisons["significant"] & (comparisons["against"] == effects.REFERENCE), "arm"])
    rows = arms[arms["difference"].notna()]
    ends = {"difference_low": "low", "difference_high": "high"}
    columns = ["arm", "difference", "difference_low", "difference_high"]
    return rows[columns].rename(columns=ends).assign(significant=rows["arm"].isin(sure))


def _opened(arms: pd.DataFrame, study: Study) -> list[str]:
    """Choose the arms whose curves show at first: all of a few, else reference, baseline and the best."""
    names = list(arms["arm"])
    if len(names) <= 4:
        return names
    ranked = arms.sort_values(study.metric, ascending=not study.higher_is_better, kind="stable", na_position="last")
    return [*names[:1], *ranked["arm"].head(1), *arms.loc[arms["role"] != "", "arm"]]


def _tuned(chosen: pd.DataFrame) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for (arm, name), rows in chosen.groupby(["arm", "name"], sort=False):
        found.setdefault(str(arm), {})[str(name)] = wording.chosen_values(rows["value"].tolist())
    return found


@cache
def _template() -> Any:
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    def as_json(value: Any) -> Markup:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # Inside a script element only these could end it or start a comment; the escapes mean the same to JSON.
        return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["as_json"] = as_json
    environment.globals["plotly_js"] = Markup(get_plotlyjs().replace("</script", "<\\/script"))
    source = resources.files("analysis.report")
    for name, file in (("page_css", "page.css"), ("figures_js", "figures.js.j2")):
        environment.globals[name] = Markup(source.joinpath(file).read_text(encoding="utf-8"))
    return environment.from_string(source.joinpath("page.html.j2").read_text(encoding="utf-8"))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _file_name(factor: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in factor)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)
