"""Tables for papers: every table as CSV, short ones as Markdown and LaTeX too, with names escaped for each."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report.numbers import FIGURE_SPACE, MINUS, NOTHING, THIN, Unit, p_value

MOST_ROWS = 100  # a longer table is data, not a table for a paper
FORMATS = (".csv", ".md", ".tex")
LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{MINUS: "$-$", NOTHING: "--", THIN: r"\,", FIGURE_SPACE: r"\phantom{0}"},
}


def files(tables: Mapping[str, pd.DataFrame], papers: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Spell tables as files: name to content.

    Args:
        tables: by file name, with unrounded numbers; CSV gives ten digits, the other formats four.
        papers: by file name, already text: what Markdown and LaTeX show in place of the table of that name.
    """
    found = {}
    for name, table in tables.items():
        if table.empty:
            continue
        found[f"{name}.csv"] = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
        if len(table) <= MOST_ROWS:
            shown = papers.get(name, as_text(table))
            found[f"{name}.md"], found[f"{name}.tex"] = markdown(shown), latex(shown)
    return found


def write(folder: Path, found: Mapping[str, str]) -> None:
    """Put files into ``folder``, each whole or not at all, and remove tables that are no longer made."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in sorted(folder.iterdir()):
        if stale.suffix in FORMATS and stale.name not in found:
            stale.unlink()
    for name, text in found.items():
        put(folder / name, text)


def put(path: Path, text: str) -> None:
    """Write a text file that is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Spell each cell: numbers with four significant digits, nothing as a dash."""
    return pd.DataFrame({name: [cell(value) for value in table[name]] for name in table.columns})


def cell(value: Any) -> str:
    """Spell one value for reading."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", MINUS)
    return str(value)


def paper_arms(arms: pd.DataFrame, units: Mapping[str, Unit]) -> pd.DataFrame:
    """Lay out the arms as a paper would print them: means with intervals, differences to the reference."""
    primary = next(iter(units))
    columns: dict[str, Sequence[str]] = {"arm": arms["arm"].tolist()}
    for name, unit in units.items():
        title = f"test {name.replace('_', ' ')}{', %' if unit.points else ''}"
        columns[title] = [unit.bare(value) for value in arms[name]]
        columns[f"95 % interval of {name.replace('_', ' ')}"] = _ends(arms, name, unit)
    points = " (points)" if units[primary].points else ""
    columns[f"difference{points}"] = [units[primary].difference(value) for value in arms["difference"]]
    ends = zip(arms["difference_low"], arms["difference_high"], strict=True)
    columns["95 % interval of difference"] = [units[primary].reach(*pair) for pair in ends]
    columns["replicates"] = [str(n) for n in arms["n"]]
    return pd.DataFrame(columns)


def paper_comparisons(comparisons: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """Lay out the declared comparisons as a paper would print them."""
    points = " (points)" if unit.points else ""
    reach = [unit.reach(*ends) for ends in zip(comparisons["low"], comparisons["high"], strict=True)]
    return pd.DataFrame(
        {
            "arm": comparisons["arm"],
            "against": comparisons["against"],
            f"difference{points}": [unit.difference(value) for value in comparisons["difference"]],
            "95 % interval": reach,
            "pairs": [str(n) for n in comparisons["n"]],
            "p": [p_value(p, aligned=True) for p in comparisons["p"]],
            "p (Holm)": [p_value(p, aligned=True) for p in comparisons["p_holm"]],
        }
    )


def markdown(table: pd.DataFrame) -> str:
    """Spell a table of texts as a pipe table; numbers to the right."""
    rules = ["---:" if numeric else ":---" for numeric in _numeric(table)]
    rows = [[str(name) for name in table.columns], *table.to_numpy().tolist()]
    lines = ["| " + " | ".join(_markdown(str(value)) for value in row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join(rules) + " |", *lines[1:]]) + "\n"


def latex(table: pd.DataFrame) -> str:
    r"""Spell a table of texts as a booktabs tabular (``\usepackage{booktabs}``); numbers to the right."""
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


def _ends(arms: pd.DataFrame, name: str, unit: Unit) -> list[str]:
    return [unit.interval(*ends) for ends in zip(arms[f"{name}_low"], arms[f"{name}_high"], strict=True)]
