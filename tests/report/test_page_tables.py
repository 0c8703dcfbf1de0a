"""The page's tables and figures as one uses them: trials sorted and filtered, rows in windows, files saved."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from ablation.paths import RunPaths
from analysis.report.build import build
from tests.support.made_runs import write_run
from tests.support.opened_page import chromium, open_page

REPLICATES = 25
LOST = {
    "span=1.0/1/search/0": ("diverged", "val_loss is nan after epoch 2"),
    "baseline/2/confirm/0": ("failed", "no_survivor"),
}
KEPT = "reference/0/confirm/0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a run of 375 trials, one of which left a log and a checkpoint."""
    run = write_run(tmp_path_factory.mktemp("tables") / "run", replicates=REPLICATES, statuses=LOST)
    paths = RunPaths(run)
    for path in (paths.log(KEPT), paths.checkpoint_dir(KEPT) / "epoch-00004.safetensors"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("made")
    trials = pd.read_parquet(paths.trials)
    name = paths.checkpoint_dir(KEPT).name
    trials["checkpoint"] = [
        f"checkpoints/{name}/epoch-00004.safetensors" if trial_id == KEPT else None for trial_id in trials["trial_id"]
    ]
    trials.to_parquet(paths.trials, index=False)
    build(run)
    return run


@pytest.fixture(scope="module")
def page(browser: Any, run: Path) -> Any:
    page, _, complaints = open_page(browser, RunPaths(run).page, viewport={"width": 1440, "height": 900})
    assert complaints == []
    return page


@pytest.fixture(autouse=True)
def everything(page: Any) -> None:
    page.fill(".trials input", "")
    for name in ("arm", "phase", "status"):
        page.select_option(f".trials select[name={name}]", "")


def column(page: Any, title: str) -> list[str]:
    """Return the shown cells of a column of trials."""
    titles = page.locator(".rows thead th").all_inner_texts()
    place = [text.strip(" \u25b2\u25bc\n") for text in titles].index(title)
    rows = page.locator(".rows tbody tr:not(.spacer)")
    texts: list[str] = rows.evaluate_all(f"rows => rows.map(row => row.cells[{place}].innerText)")
    return texts


def test_only_rows_in_view_are_in_the_document_and_scrolling_brings_the_others(page: Any) -> None:
    assert page.inner_text(".trials output") == "375 trials"
    assert 10 < page.locator(".rows tbody tr").count() < 80
    assert column(page, "arm")[0] == "reference"
    page.eval_on_selector(".rows", "pane => { pane.scrollTop = pane.scrollHeight; }")
    page.locator(".rows tbody tr:last-child", has_text="baseline").wait_for()
    assert column(page, "replicate")[-1] == str(REPLICATES - 1)
    assert page.locator(".rows tbody tr").count() < 80


def test_a_heading_sorts_up_then_down_and_what_is_missing_comes_last(page: Any) -> None:
    title = "test strength, %"
    heading = page.locator(".rows thead button", has_text=title)
    for way in ("ascending", "descending"):
        heading.click()
        assert page.get_attribute(".rows th[aria-sort]", "aria-sort") == way
        texts = column(page, title)
        assert all(re.fullmatch(r"\d+\.\d\d", text) for text in texts)
        seen = [float(text) for text in texts]
        assert seen == sorted(seen, reverse=way == "descending")
    page.eval_on_selector(".rows", "pane => { pane.scrollTop = pane.scrollHeight; }")
    page.locator(".rows tbody tr:last-child", has_text="search").wait_for()
    assert set(column(page, title)) == {"\u2013"}
    page.locator(".rows thead button", has_text="arm").click()
    assert column(page, "arm")[0] == "reference"  # the plan's order, not the alphabet's


def test_words_and_choices_filter_together(page: Any) -> None:
    page.select_option(".trials select[name=status]", "failed")
    assert page.inner_text(".trials output") == "1 of 375 trials"
    assert (column(page, "arm"), column(page, "reason")) == (["baseline"], ["no_survivor"])
    page.select_option(".trials select[name=status]", "")
    page.fill(".trials input", "NAN span=1.0")
    assert column(page, "status") == ["diverged"]
    page.select_option(".trials select[name=phase]", "confirm")
    assert page.inner_text(".trials output") == "0 of 375 trials"


def test_a_number_of_the_accounting_leads_to_its_trials(page: Any) -> None:
    page.click(".accounting a[data-status=diverged]")
    assert column(page, "status") == ["diverged"]
    assert page.evaluate("location.hash") == "#trials"


def test_a_trial_is_told_whole_and_linked_to_its_log_and_checkpoint(page: Any, run: Path) -> None:
    page.fill(".trials input", KEPT)
    page.click(".rows tbody th button")
    assert KEPT in page.inner_text(".detail")
    links = page.locator(".rows tbody td a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert [link.partition("/")[0] for link in links] == ["..", ".."]
    assert all((RunPaths(run).report / link).is_file() for link in links)
    page.fill(".trials input", "reference/1/confirm/0")
    assert page.locator(".rows tbody td a").count() == 0


def test_a_page_elsewhere_names_files_without_links(browser: Any, run: Path, tmp_path: Path) -> None:
    page, _, _ = open_page(browser, build(run, tmp_path / "page"))
    page.fill(".trials input", KEPT)
    assert page.locator(".rows tbody td a").count() == 0
    assert page.locator(".rows tbody span[title^=logs]").count() == 1


def saved(page: Any, button: Any) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        button.click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_the_trials_that_are_shown_are_saved_as_csv(page: Any) -> None:
    page.select_option(".trials select[name=status]", "diverged")
    name, content = saved(page, page.locator(".trials button.csv"))
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert name == "trials.csv"
    assert [(row["trial_id"], row["reason"]) for row in rows] == [
        ("span=1.0/1/search/0", LOST["span=1.0/1/search/0"][1])
    ]


def test_every_figure_is_saved_as_svg_and_png_by_the_page_itself(page: Any) -> None:
    figures = page.locator("figure[data-plot]")
    assert figures.locator("button[data-format=svg]").count() == figures.count() > 3
    name, content = saved(page, page.locator("#figure-curves button[data-format=svg]"))
    assert name == "curves-0.svg"
    assert content.startswith(b"<svg")
    assert b"val strength" in content
    assert b">baseline<" in content  # its legend
    name, content = saved(page, page.locator("#figure-forest button[data-format=png]"))
    with Image.open(io.BytesIO(content)) as drawn:
        assert (name, drawn.format, drawn.width) == ("forest.png", "PNG", 1800)
        assert drawn.convert("RGB").getpixel((5, 5)) == (255, 255, 255)


def test_every_table_is_saved_as_csv_by_the_page_itself(page: Any) -> None:
    captions = page.locator("caption:has(.files)")
    assert captions.locator("button.csv").count() == captions.count() > 3
    name, content = saved(page, page.locator("#arms caption button.csv"))
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert name == "arms.csv"
    assert len({len(row) for row in rows}) == 1
    assert [row[0] for row in rows[2:]] == ["reference", "material=wood", "span=1.0", "span=100.0", "baseline"]


def test_a_table_that_is_cut_off_on_a_telephone_says_that_it_scrolls(browser: Any, run: Path) -> None:
    page, _, _ = open_page(browser, RunPaths(run).page, viewport={"width": 390, "height": 844})
    region = page.locator("#arms .scroll")
    hint = "region => getComputedStyle(region.querySelector('caption > span'), '::after').content"
    assert "Scroll sideways" in region.evaluate(hint)
    region.evaluate("region => { region.scrollLeft = region.scrollWidth; }")
    page.wait_for_selector("#arms .scroll.cut-left:not(.cut-right)")
    assert region.evaluate(hint) == "none"
    assert "cut-right" not in page.locator("#tables").inner_html()


def test_undecided_comparisons_are_folded_with_what_would_settle_them(browser: Any, tmp_path: Path) -> None:
    page, _, _ = open_page(browser, build(write_run(tmp_path / "run", replicates=3)))
    folded = page.locator("#undecided")
    assert "cannot be told apart" in folded.locator("summary").inner_text()
    assert not folded.locator("table").first.is_visible()
    shown = page.locator("#comparisons > .scroll tbody th").all_inner_texts()
    assert shown == ["material=wood", "baseline"]  # what was planted
    folded.locator("summary").click()
    assert folded.locator("table").first.is_visible()
    rows = folded.locator("table").nth(1).locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in rows] == ["span=1.0", "span=100.0"]
    for row in rows:
        _, against, _, replicates, _, command = row.split("\t")
        assert against == "reference"
        assert int(replicates) > 3
        assert command == f"ablation resume runs/made-bridges --replicates {replicates}"


def test_names_of_columns_stand_upright_or_level(page: Any) -> None:
    turns = page.locator("#plot-importance .xtick text").evaluate_all(
        "texts => texts.map(text => /rotate\\((-?[\\d.]+)/.exec(text.getAttribute('transform'))?.[1] ?? '0')"
    )
    assert turns
    assert {float(turn) for turn in turns} <= {0.0, -90.0}


def test_the_methods_paragraph_has_the_plans_numbers(page: Any) -> None:
    text = page.inner_text("#methods-text")
    assert f"We compared 5 arms (one-at-a-time design) in {REPLICATES} independent replicates" in text
    assert "searched with 2 trials of up to 4 epochs" in text
    assert "4 comparisons of test strength were declared beforehand" in text
