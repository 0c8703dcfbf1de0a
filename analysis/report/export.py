"""Figures as files for papers: SVG or PNG, on white, with their own legends. Needs the package kaleido."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from importlib import import_module, util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablation.faults import FaultsError
from ablation.store import AnyPath
from analysis.report.figures import Figure, Spec, escaped
from analysis.report.folder import ReportFolder

FORMATS = ("svg", "png")
WIDTH_PX = 900


def check(format: str) -> None:
    """Raise FaultsError if figures cannot be written as ``format``, before anything is computed."""
    if format not in FORMATS:
        raise FaultsError([f"--figures is {format!r}, but must be one of {', '.join(FORMATS)}"])
    if util.find_spec("kaleido") is None:
        rule = "writing figures as files needs the package kaleido and a Chrome or Chromium"
        raise FaultsError(
            [f"--figures {format}: {rule}; install it with `pip install 'kaleido>=1'`, or leave --figures out"]
        )


def write(figures: Mapping[str, Figure], folder: ReportFolder, format: str) -> list[AnyPath]:
    """Write each figure, and each of its alternatives, into ``folder``, in place of our own of that format there.

    Returns their paths. Raises FaultsError if there is no browser to draw them, or files that are not ours are in
    the way.
    """
    drawings: Any = import_module("plotly.io")
    drawn = {
        f"figures/{name}{f'-{index}' if len(figure.specs) > 1 else ''}.{format}": on_paper(spec, figure)
        for name, figure in figures.items()
        for index, spec in enumerate(figure.specs)
    }
    folder.check(drawn)
    # All at once, since each call starts a browser of its own; sizes of their own, since it overlooks the layouts'.
    heights = [figure["layout"]["height"] for figure in drawn.values()]
    with TemporaryDirectory() as scratch:
        paths = {name: Path(scratch) / Path(name).name for name in drawn}
        try:
            drawings.write_images(list(drawn.values()), list(paths.values()), width=WIDTH_PX, height=heights, scale=2)
        except RuntimeError as error:
            remedy = "install Chrome or Chromium (Debian's package chromium), or leave --figures out"
            raise FaultsError(
                [f"--figures {format}: no browser draws them ({_first_line(error)}); {remedy}"]
            ) from error
        folder.put({name: path.read_bytes() for name, path in paths.items()}, rf"figures/.*\.{format}")
    return [folder.path / name for name in drawn]


def on_paper(spec: Spec, figure: Figure) -> dict[str, Any]:
    """Turn a page's figure into one for paper: white, dark text, its name as title, its arms as legend."""
    drawn = copy.deepcopy({"data": spec["data"], "layout": spec["layout"]})
    layout = drawn["layout"]
    layout |= {"paper_bgcolor": "white", "plot_bgcolor": "white", "template": "none"}
    layout |= {"width": WIDTH_PX, "height": layout["height"] + 60}
    layout["font"] = {**layout["font"], "color": "#222222"}
    if spec["name"]:
        layout["title"] = {"text": escaped(spec["name"]), "font": {"size": 14}}
        layout["margin"] = {**layout["margin"], "t": layout["margin"]["t"] + 44}
    if figure.arms:
        layout["showlegend"] = True
        named: set[str] = set()
        for trace in drawn["data"]:
            arm = trace.get("legendgroup", "")
            trace["showlegend"] = trace["name"] == arm and arm not in named
            named |= {arm} if trace["showlegend"] else set()
            trace["name"] = escaped(trace["name"])
    return drawn


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
