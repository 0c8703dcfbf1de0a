"""From views to one page: jinja2's environment, figures as JSON, and the text alternative of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from analysis import numbers
from analysis.report.figures import Figure, as_json
from analysis.report.sections import Filled, Part, Section, beside
from analysis.report.table_files import as_text

SCRIPTS = ("page.js.j2", "figures.js.j2", "run/trials.js.j2")
MOST_ROWS, MOST_COLUMNS = 60, 30  # of a figure's numbers on the page; the CSV has all


def render(template: str, context: dict[str, Any]) -> str:
    """Fill a template of this package; undefined names are errors, texts are escaped, and the result is not again."""
    from markupsafe import Markup

    return Markup(_environment().get_template(template).render(context))


def filled(part: Part, name: str, context: dict[str, Any]) -> Any:
    """Fill one block of a part's template; undefined names are errors, and the result is not escaped again."""
    from markupsafe import Markup

    environment = _environment()
    template = environment.get_template(part.template)
    macros = environment.get_template("macros.html.j2").make_module(context)
    return Markup("".join(template.blocks[name](template.new_context({**context, "m": macros}))))


def put_together(
    parts: Sequence[Part],
    texts: Mapping[str, Any],
    failed: Mapping[str, str],
    context: Mapping[str, Any],
    template: str,
) -> str:
    """Make the whole page of what its sections came to; what failed is said in its place.

    Args:
        parts: the parts, of which the first is the page's head.
        texts: filled blocks by section, and the lead of each part by its folder; none of sections that failed.
        failed: reasons by name.
        context: what every template is given.
        template: the page around the sections.
    """
    titles = {part.folder: part.title for part in parts}
    titles |= {name: title for part in parts for section in part.sections for name, title in section.titles.items()}
    ready = [
        {
            "folder": part.folder,
            "title": part.title,
            "lead": texts.get(part.folder, ""),
            "reason": failed.get(part.folder),
            "rows": beside([one for one in (_of(section, texts, failed) for section in part.sections) if one.is_shown]),
        }
        for part in parts
    ]
    lacking = {name: titles.get(name, name) for name in failed}
    shown = {"head": ready[0], "parts": [part for part in ready[1:] if part["rows"]], "lacking": lacking}
    return render(template, {**context, **shown})


def _of(section: Section, texts: Mapping[str, Any], failed: Mapping[str, str]) -> Filled:
    lacking = {name: (title, failed[name]) for name, title in section.titles.items() if name in failed}
    return Filled(section, texts.get(section.name, ""), lacking)


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
    return {**drawn, "arms": figure.arms, "rows": rows, "file": figure.file}


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
    plotly_js = resources.files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
    environment.globals["plotly_js"] = Markup(plotly_js.replace("</script", "<\\/script"))
    environment.globals["page_css"] = Markup(load("page.css"))
    environment.globals["page_js"] = Markup("".join(map(load, SCRIPTS)))
    environment.globals["n"] = numbers
    return environment
