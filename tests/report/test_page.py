"""The page in a browser: nothing loaded, no errors, all figures drawn; readable narrow, dark, on paper, by keyboard."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analysis.report.build import build
from tests.support.opened_page import chromium, open_page
from tests.support.report_runs import GREEN, RED, write_faces, write_full_run


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(write_full_run(tmp_path_factory.mktemp("page") / "run"))


@pytest.fixture(scope="module")
def opened(browser: Any, report: Path) -> tuple[Any, list[str], list[str]]:
    return open_page(browser, report, viewport={"width": 1440, "height": 900})


@pytest.fixture(scope="module")
def page(opened: tuple[Any, list[str], list[str]]) -> Any:
    return opened[0]


def test_nothing_but_the_page_itself_is_loaded_and_nothing_complains(
    opened: tuple[Any, list[str], list[str]], report: Path
) -> None:
    _, asked, complaints = opened
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert complaints == []


def test_every_figure_has_traces_a_caption_a_name_and_its_numbers(page: Any) -> None:
    figures = page.eval_on_selector_all(
        "figure[data-plot]",
        """figures => figures.map(figure => ({
            id: figure.id,
            traces: figure.querySelector('.plot').data.length,
            marks: figure.querySelectorAll('.plot .trace, .plot .hm, .plot .bars path').length,
            label: figure.querySelector('.plot').getAttribute('aria-label'),
            caption: figure.querySelector('figcaption').innerText.length,
            rows: figure.querySelectorAll('details tbody tr').length,
        }))""",
    )
    ids = {figure["id"].removeprefix("figure-") for figure in figures}
    assert ids >= {"forest", "response-0", "cost", "recall", "confusion", "attention", "embedding", "reliability"}
    assert ids >= {"curves", "survival", "best", "importance", "slices", "parallel", "timeline"}
    for figure in figures:
        assert all(figure[name] for name in ("traces", "marks", "label", "caption", "rows")), figure


SHOWN = "arm => document.querySelector('#plot-curves').data.filter(t => t.legendgroup === arm && t.visible).length"


def test_one_choice_of_arms_serves_every_figure(page: Any) -> None:
    assert page.locator("#shown-arms").count() == 1
    assert page.locator("figure fieldset").count() == 0
    before = page.evaluate(SHOWN, "material=wood")
    other = SHOWN.replace("curves", "reliability")
    page.locator("#shown-arms input[value='material=wood']").evaluate("box => box.click()")
    assert {before == 0, page.evaluate(SHOWN, "material=wood") == 0} == {True, False}
    assert (page.evaluate(SHOWN, "material=wood") == 0) == (page.evaluate(other, "material=wood") == 0)
    page.click("#shown-arms button[value=none]")
    assert page.evaluate(SHOWN, "material=wood") == page.evaluate(SHOWN, "reference") == 0
    assert "No arm is chosen" in page.inner_text("#figure-curves .legend")
    page.click("#shown-arms button[value=all]")
    assert page.locator("#figure-curves .legend span").all_inner_texts() == [
        *("reference", "material=wood", "span=1.0", "span=100.0", "baseline"),
    ]
    page.click("#shown-arms button[value=first]")
    assert page.evaluate(SHOWN, "material=wood") == before


def test_another_metric_can_be_chosen(page: Any) -> None:
    title = "() => document.querySelector('#plot-curves').layout.yaxis.title.text"
    assert page.evaluate(title) == "val strength, %"
    page.select_option("#choose-curves", label="train loss")
    assert page.evaluate(title) == "train loss"


def test_hovering_tells_the_numbers(page: Any) -> None:
    point = page.locator("#plot-forest .scatterlayer .trace").nth(1).locator("path.point").first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    page.wait_for_selector("#plot-forest .hoverlayer .hovertext")
    assert "material=wood" in page.text_content("#plot-forest .hoverlayer")


def test_headings_are_in_order_and_the_page_has_landmarks(page: Any) -> None:
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "headings => headings.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for landmark in ("header", "main", "nav", "footer"):
        assert page.locator(f"body > {landmark}, main > {landmark}").count() == 1


def test_the_keyboard_reaches_the_skip_link_first_and_focus_is_seen(browser: Any, report: Path) -> None:
    page, _, _ = open_page(browser, report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.focus("#shown-arms input")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    outline = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    assert page.evaluate("document.activeElement.type") == "checkbox"
    assert page.evaluate(outline) == "solid"


def test_a_telephone_needs_no_sideways_scrolling_and_upright_names_get_height(browser: Any, report: Path) -> None:
    page, _, complaints = open_page(browser, report, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    rights = page.eval_on_selector_all(".plot .main-svg", "them => them.map(it => it.getBoundingClientRect().right)")
    assert max(rights) <= 390
    assert complaints == []
    asked, given = page.eval_on_selector(
        "#figure-importance",
        """it => [JSON.parse(it.querySelector('script').textContent)[0].layout.height,
            it.querySelector('.main-svg').getBoundingClientRect().height]""",
    )
    assert given >= asked + 7 * len("build.rate")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_are_readable_in_light_and_dark(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.querySelector('figure')).backgroundColor")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    for selector, name in (("main p", "color"), (".plot .xtick text", "fill"), (".plot .ytick text", "fill")):
        ink = page.locator(selector).first.evaluate(f"element => getComputedStyle(element).{name}")
        assert contrast(ink, paper) >= 4.5, selector
    strokes = page.eval_on_selector_all(
        "#plot-curves .scatterlayer .js-line", "lines => lines.map(line => getComputedStyle(line).stroke)"
    )
    assert strokes
    assert all(contrast(stroke, paper) >= 2.9 for stroke in strokes)


def test_paper_is_white_and_leaves_controls_out(page: Any) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert not page.locator("#shown-arms").is_visible()
    assert not page.locator("#figure-curves .save").is_visible()


def contrast(first: str, second: str) -> float:
    """Compute WCAG 2's contrast of two opaque CSS colours."""
    bright, dim = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    """Compute relative luminance from ``rgb(r, g, b)``."""
    shares = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))


def test_photographs_are_shown_with_what_the_model_attended_to(browser: Any, tmp_path: Path) -> None:
    run = write_full_run(tmp_path / "run")
    write_faces(run)
    page, asked, complaints = open_page(browser, build(run, faces=True), viewport={"width": 1440, "height": 900})
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert complaints == []
    assert page.locator("#faces h4").count() == page.locator("#faces .faces").count() == 5
    assert page.locator("#faces figcaption").all_inner_texts() == ["calm → stormy", "stormy → stormy"] * 5
    named = page.locator("#faces figure svg").evaluate_all("faces => faces.map(face => face.ariaLabel)")
    reported = "predicted stormy with confidence"
    looks = [f"photograph red.jpg: calm, {reported} 62.5 %", f"photograph green.jpg: stormy, {reported} 75.0 %"]
    over = [f"{look}, with its attention laid over" for look in looks]
    assert [name.replace("\N{NARROW NO-BREAK SPACE}", " ") for name in named] == over * 4 + looks

    def colours(face: int) -> list[tuple[int, ...]]:
        shown = Image.open(io.BytesIO(page.locator("#faces figure svg").nth(face).screenshot())).convert("RGB")
        places = [((2 * column + 1) / 6, (2 * row + 1) / 4) for row in range(2) for column in range(3)]
        pixels = np.asarray(shown)
        return [tuple(pixels[int(y * shown.height), int(x * shown.width)].tolist()) for x, y in places]

    def shaded(colour: tuple[int, ...], left: float) -> Any:
        return pytest.approx([left * part for part in colour], abs=3)

    # The most attended places stay as they are, half the attention takes 3/8 of the light, none takes 3/4.
    for face, colour in ((0, RED), (1, GREEN)):
        assert [list(found) for found in colours(face)] == [
            shaded(colour, left) for left in (1, 5 / 8, 1, 1 / 4, 1 / 4, 1 / 4)
        ]
    # The baseline, which comes last, has no attention.
    assert [list(found) for found in colours(8)] == [shaded(RED, 1)] * 6
