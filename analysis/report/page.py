"""From views to one page: jinja2's environment, figures as JSON, and the text alternative of each."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from analysis import numbers
from analysis.report.effects import wording
from analysis.report.figures import Figure
from analysis.report.table_files import as_text

MOST_ROWS, MOST_COLUMNS = 60, 30  # of a figure's numbers on the page; the CSV has all


TITLES = {
    **{"answer": "The answer", "differences": "Differences to the reference", "arms": "Arms"},
    **{"components": "What each component is worth", "ablation_path": "From the baseline to the reference"},
    **{"marginals": "Factors on average", "interactions": "Interactions", "comparisons": "Declared comparisons"},
    **{"responses": "Response to each ordered factor", "cost": "Cost against score", "recall": "Recall of each class"},
    **{"confusion": "Confusions", "attention": "Attention", "faces": "Photographs", "reliability": "Calibration"},
    **{"embedding": "Embedding", "curves": "Learning curves", "survival": "Survival", "best": "Best so far"},
    **{"importance": "Importance of hyperparameters", "slices": "Each trial", "tuned": "Tuned values"},
    **{"timeline": "Timeline", "effort": "Effort", "incomplete": "Trials that did not complete", "tables": "Tables"},
    **{"sampling": "Test-sampling uncertainty", "mcnemar": "Best models, picture by picture"},
    **{"findings": "findings.json", "effects": "Effects", "models": "Models", "search": "Search", "run": "Run"},
}


def render(template: str, context: dict[str, Any]) -> str:
    """Fill a template of this package; undefined names are errors, texts are escaped, and the result is not again."""
    from markupsafe import Markup

    return Markup(_environment().get_template(template).render(context))


def placed(figure: Figure) -> dict[str, Any]:
    """Prepare a figure for the template: its data, its arms, and its numbers as text."""
    shown = as_text(figure.table.iloc[:MOST_ROWS, :MOST_COLUMNS])
    rows = {
        "head": list(shown.columns),
        "body": shown.to_numpy().tolist(),
        "all": len(figure.table),
        "left_out": max(0, figure.table.shape[1] - MOST_COLUMNS),
    }
    names = [spec["name"] for spec in figure.specs]
    height = figure.specs[0]["layout"]["height"] if figure.specs else 0
    drawn = {"names": names, "height": height, "json": as_json(figure.specs)}
    return {**drawn, "arms": figure.arms, "opened": figure.opened, "rows": rows, "file": figure.file}


def as_json(value: Any) -> Any:
    """Format a value as JSON that may stand in a script element."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Inside a script element only these could end it or start a comment; the escapes mean the same to JSON.
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@cache
def _environment() -> Any:
    import jinja2
    from markupsafe import Markup

    source = resources.files("analysis.report")

    def load(name: str) -> str:
        return source.joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["titles"] = TITLES
    plotly_js = resources.files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
    environment.globals["plotly_js"] = Markup(plotly_js.replace("</script", "<\\/script"))
    environment.globals["page_css"] = Markup(load("page.css"))
    environment.globals["figures_js"] = Markup(load("figures.js.j2"))
    environment.globals |= {"n": numbers, "w": wording}
    return environment
