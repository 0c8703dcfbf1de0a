"""Tables for papers: every table as CSV, short ones as Markdown and LaTeX too, with names escaped for each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.numbers import FIGURE_SPACE, MINUS, NOTHING, THIN, Unit, p_value
from search_spaces.metrics import Metric

MOST_ROWS = 100  # a longer table is data, not a table for a paper
LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{MINUS: "$-$", NOTHING: "--", THIN: r"\,", FIGURE_SPACE: r"\phantom{0}"},
}


def files(name: str, table: pd.DataFrame, paper: Callable[[], pd.DataFrame] | None = None) -> dict[str, str]:
    """Format a table as files: name to content; none of a table without rows.

    Args:
        name: of the files, without ending.
        table: with unrounded numbers; CSV gives ten digits, the other formats four.
        paper: lays it out, already as text: what Markdown and LaTeX show in its place.
    """
    if table.empty:
        return {}
    found = {f"{name}.csv": table.to_csv(index=False, float_format="%.10g", lineterminator="\n")}
    if len(table) <= MOST_ROWS:
        shown = as_text(table) if paper is None else paper()
        found |= {f"{name}.md": markdown(shown), f"{name}.tex": latex(shown)}
    return found


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Format each cell: numbers with four significant digits, nothing as a dash."""
    return pd.DataFrame({name: [cell(value) for value in table[name]] for name in table.columns})


def cell(value: Any) -> str:
    """Format one value for reading."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", MINUS)
    return str(value)


def paper_arms(
    arms: pd.DataFrame, units: Mapping[str, Unit], declared: Mapping[str, Metric], score: str
) -> pd.DataFrame:
    """Lay out the arms as a paper would print them: means with intervals, differences to the reference.

    ``units`` has the primary metric first, whose values are called ``score``.
    """
    primary = next(iter(units))
    columns: dict[str, Sequence[str]] = {"arm": arms["arm"].tolist()}
    for name, unit in units.items():
        shown = name.replace("_", " ")
        ends = list(zip(arms[f"{name}_low"], arms[f"{name}_high"], strict=True))
        called = score if name == primary else f"test {shown}"
        title = f"{called}{', %' if unit.points else ''}{_less(declared[name].higher_is_better)}"
        columns[title] = [unit.at(*pair).bare(value) for value, pair in zip(arms[name], ends, strict=True)]
        columns[f"95 % interval of {shown}"] = [unit.at(*pair).interval(*pair) for pair in ends]
    names = ("difference", "difference_low", "difference_high")
    columns |= _differences(arms, units[primary], names, declared[primary].higher_is_better)
    columns["replicates"] = [str(n) for n in arms["n"]]
    return pd.DataFrame(columns)


def paper_scores(scores: pd.DataFrame, units: Mapping[str, Unit], declared: Mapping[str, Metric]) -> pd.DataFrame:
    """Lay out the scores of a study of one arm as a paper would print them: mean, spread and interval."""
    rows = scores.to_dict("records")
    fine = [units[row["metric"]].at(row["low"], row["high"]) for row in rows]
    names = [f"test {row['metric'].replace('_', ' ')}{_less(declared[row['metric']].higher_is_better)}" for row in rows]
    return pd.DataFrame(
        {
            "metric": [f"{name}{', %' if unit.points else ''}" for name, unit in zip(names, fine, strict=True)],
            "of": scores["of"].tolist(),
            "mean": [unit.bare(row["mean"]) for row, unit in zip(rows, fine, strict=True)],
            "standard deviation": [unit.bare(row["sd"]) for row, unit in zip(rows, fine, strict=True)],
            "95 % interval": [unit.interval(row["low"], row["high"]) for row, unit in zip(rows, fine, strict=True)],
            "values": [f"{row['n']} {row['unit']}{'s' * (row['n'] != 1)}" for row in rows],
        }
    )


def paper_comparisons(
    comparisons: pd.DataFrame, unit: Unit, higher_is_better: bool, *, is_paired: bool
) -> pd.DataFrame:
    """Lay out the comparisons as a paper would print them; without pairs there is no plain t of them."""
    columns: dict[str, Any] = {
        "arm": comparisons["arm"],
        "against": comparisons["against"],
        **_differences(comparisons, unit, ("difference", "low", "high"), higher_is_better),
        "pairs" if is_paired else "replicates": [str(n) for n in comparisons["n"]],
    }
    names = {"p": "p", "p (Holm)": "p_holm", "p (plain t)": "p_t", "p (equivalence)": "p_equivalent"}
    if comparisons["p_equivalent"].isna().all():
        del names["p (equivalence)"]
    if not is_paired:
        del names["p (plain t)"]
    return pd.DataFrame(
        columns | {title: [p_value(p, aligned=True) for p in comparisons[name]] for title, name in names.items()}
    )


def paper_components(components: pd.DataFrame, unit: Unit, higher_is_better: bool) -> pd.DataFrame:
    """Lay out what components are worth as a paper would print it; a dash where no such arm was planned."""
    columns: dict[str, Sequence[str]] = {
        "component": components["component"].tolist(),
        "level": components["level"].tolist(),
        "instead of": components["instead"].tolist(),
    }
    for side, title in (("added", "added to the baseline"), ("removed", "removed from the reference")):
        names = (f"{side}_difference", f"{side}_low", f"{side}_high")
        difference, interval = _differences(components, unit, names, higher_is_better).values()
        columns[f"{title}{' (points)' if unit.points else ''}{_less(higher_is_better)}"] = difference
        columns[f"95 % interval, {side}"] = interval
    return pd.DataFrame(columns)


def _differences(
    table: pd.DataFrame, unit: Unit, names: tuple[str, str, str], higher_is_better: bool
) -> dict[str, list[str]]:
    rows = list(zip(*(table[name] for name in names), strict=True))
    points = " (points)" if unit.points else ""
    return {
        f"difference{points}{_less(higher_is_better)}": [unit.at(low, high).difference(d) for d, low, high in rows],
        "95 % interval of difference": [unit.at(low, high).reach(low, high) for _, low, high in rows],
    }


def _less(higher_is_better: bool) -> str:
    return "" if higher_is_better else ", less is better"


def markdown(table: pd.DataFrame) -> str:
    """Format a table of texts as a pipe table; numbers to the right."""
    rules = ["---:" if numeric else ":---" for numeric in _numeric(table)]
    rows = [[str(name) for name in table.columns], *table.to_numpy().tolist()]
    lines = ["| " + " | ".join(_markdown(str(value)) for value in row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join(rules) + " |", *lines[1:]]) + "\n"


def latex(table: pd.DataFrame) -> str:
    r"""Format a table of texts as a booktabs tabular (``\usepackage{booktabs}``); numbers to the right."""
    shape = "".join("r" if numeric else "l" for numeric in _numeric(table))
    rows = [[str(name) for name in table.columns], *table.to_numpy().tolist()]
    lines = [" & ".join(_latex(str(value)) for value in row) + r" \\" for row in rows]
    body = ["\\toprule", lines[0], "\\midrule", *lines[1:], "\\bottomrule"]
    return "\n".join([f"\\begin{{tabular}}{{{shape}}}", *body, "\\end{tabular}"]) + "\n"


def _latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split("\n")))


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", " ".join(text.split("\n")))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _numeric(table: pd.DataFrame) -> list[bool]:
    return [
        all(re.match(rf"[+{MINUS}<\s]*\d|{NOTHING}$", str(value)) is not None for value in table[name])
        for name in table.columns
    ]
