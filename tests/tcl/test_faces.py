"""Photographs leave a trial, and get into a report, only where each was asked for."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ablation.faults import FaultsError
from ablation.tcl.artifacts import write_faces as leave_faces
from ablation.tcl.config import TclConfig
from ablation.tcl.data.cache import Split
from ablation.tcl.evaluate import Outputs
from ablation.trial import build_config, import_object
from analysis.report.__main__ import app
from analysis.report.build import build, render
from search_spaces.tcl import SPACE
from tests.support.report_runs import GREEN, RED, png, write_faces, write_full_run


def split() -> Split:
    """Five photographs of 2 × 2 pixels, all of their own grey, of the classes 1, 0, 1, 1 and 2."""
    images_NHWC = np.full((5, 2, 2, 3), 0, dtype=np.uint8) + 10 * np.arange(5, dtype=np.uint8)[:, None, None, None]
    return Split(images_NHWC, np.array([1, 0, 1, 1, 2]), ("a", "b", "c", "d", "e"))


def outputs(maps_NHW: torch.Tensor | None) -> Outputs:
    """Say class 0 of a and class 1 of the others, at odds of 3 : 1 : 1."""
    logits_NK = torch.zeros(5, 3)
    logits_NK[range(5), [0, 1, 1, 1, 1]] = float(np.log(3))
    return Outputs(logits_NK, torch.zeros(5, 2), maps_NHW)


def test_the_first_photographs_of_each_class_are_left_with_what_became_of_them(tmp_path: Path) -> None:
    maps_NHW = torch.arange(5)[:, None, None] / 8 + torch.tensor([[0.0, 0.5, 0.25]])
    leave_faces(tmp_path / "art", outputs(maps_NHW), split(), per_class=2)
    left = pd.read_parquet(tmp_path / "art" / "faces.parquet")
    # Of class 1 there are three, of the others one each.
    assert left["image"].tolist() == ["b", "a", "c", "e"]
    assert left["label"].tolist() == [0, 1, 1, 2]
    assert left["predicted"].tolist() == [1, 0, 1, 1]
    assert left["confidence"].tolist() == pytest.approx([3 / 5] * 4)
    assert (left["rows"].tolist(), left["columns"].tolist()) == ([1] * 4, [3] * 4)
    assert left["attention"].iloc[2].tolist() == [0.25, 0.75, 0.5]
    for content, grey in zip(left["png"], [10, 0, 20, 40], strict=True):
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.size, image.getpixel((1, 1))) == ("PNG", (2, 2), (grey,) * 3)


def test_without_attention_a_photograph_is_left_without_a_map(tmp_path: Path) -> None:
    leave_faces(tmp_path, outputs(None), split(), per_class=1)
    left = pd.read_parquet(tmp_path / "faces.parquet")
    assert left["image"].tolist() == ["b", "a", "e"]
    assert left[["attention", "rows", "columns"]].isna().all(axis=None)


def test_no_photograph_is_left_unless_asked_for(tmp_path: Path) -> None:
    leave_faces(tmp_path, outputs(None), split(), per_class=TclConfig().artifacts.faces)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FaultsError, match=r"artifacts\.faces is -1"):
        build_config(import_object(SPACE.trial), {"artifacts.faces": -1})


def test_photographs_that_lie_there_are_not_shown_unless_asked_for(tmp_path: Path) -> None:
    run = write_full_run(tmp_path / "run")
    without = {path.name: path.read_bytes() for path in build(run, tmp_path / "a").parent.rglob("*") if path.is_file()}
    write_faces(run)
    page = build(run, tmp_path / "b")
    assert {path.name: path.read_bytes() for path in page.parent.rglob("*") if path.is_file()} == without
    source = page.read_text()
    assert not any(base64.b64encode(png(colour)).decode() in source for colour in (RED, GREEN))
    shown = CliRunner().invoke(app, [str(run), "--out", str(tmp_path / "c"), "--faces"])
    assert shown.exit_code == 0
    source = (tmp_path / "c" / "index.html").read_text()
    # Each photograph once, however many arms show it.
    assert re.findall(r"<image [^>]*href=\"data:image/png;base64,([^\"]+)\"", source) == [
        base64.b64encode(png(colour)).decode() for colour in (RED, GREEN)
    ]


def test_a_run_that_left_no_photographs_says_which_option_leaves_them(tmp_path: Path) -> None:
    page = render(write_full_run(tmp_path / "run"), faces=True).page
    assert "No confirm run left photographs" in page
    assert "--set artifacts.faces=8" in page
