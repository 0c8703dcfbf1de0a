"""From views to one page: jinja2's environment, figures as JSON, and the text alternative of each."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from analysis.report import numbers, wording
from analysis.report.figures import Figure
from analysis.report.tables import as_text

MOST_ROWS = 60  # of a figure's numbers on the page; the CSV has all


def render(template: str, context: dict[str, Any]) -> str:
    """Fill a template of this package; undefined names are errors, texts are escaped."""
    text: str = _environment().get_template(template).render(context)
    return text


def placed(figure: Figure) -> dict[str, Any]:
    """Prepare a figure for the template: its data, its arms, and its numbers as text."""
    shown = as_text(figure.table.head(MOST_ROWS))
    rows = {"head": list(shown.columns), "body": shown.to_numpy().tolist(), "all": len(figure.table)}
    return {"specs": figure.specs, "arms": figure.arms, "opened": figure.opened, "rows": rows, "file": figure.file}


@cache
def _environment() -> Any:
    import jinja2
    from markupsafe import Markup

    source = resources.files("analysis.report")

    def as_json(value: Any) -> Markup:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # Inside a script element only these could end it or start a comment; the escapes mean the same to JSON.
        return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))

    def load(name: str) -> str:
        return source.joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["as_json"] = as_json
    plotly_js = resources.files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
    environment.globals["plotly_js"] = Markup(plotly_js.replace("</script", "<\\/script"))
    environment.globals["page_css"] = Markup(load("page.css"))
    environment.globals["figures_js"] = Markup(load("figures.js.j2"))
    environment.globals |= {"n": numbers, "w": wording}
    return environment
