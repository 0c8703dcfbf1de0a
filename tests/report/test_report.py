"""The page: the same bytes again, safe with any name, whole without a network, and no louder than its evidence."""

import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from ablation.faults import FaultsError
from ablation.paths import RunPaths
from analysis import load, numbers
from analysis.answer import answer
from analysis.evidence import gather
from analysis.findings import findings
from analysis.report import export, table_files
from analysis.report.__main__ import app
from analysis.report.build import build, render
from analysis.report.effects.settling import Settling, settled_by
from analysis.report.folder import ReportFolder
from analysis.report.inputs import read
from analysis.report.search import curves
from search_spaces.metrics import Metric
from search_spaces.space import Arm, Choice
from tests.support.made_runs import BRIDGES, write_run
from tests.support.plain_loop import run_study
from tests.support.report_runs import write_full_run
from tests.support.spaces import with_direction
from tests.toy_study import toy_plan

ROOT = Path(__file__).parents[2]
LOST = {
    "span=1.0/1/confirm/0": ("failed", "no_survivor"),
    "span=1.0/1/search/0": ("diverged", "val_loss is nan after epoch 2"),
    "baseline/2/confirm/0": ("pending", None),
}


class Page(HTMLParser):
    """What a browser would see: text outside scripts, addresses, ids, tables, figures' data."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.specs: list[Any] = []
        self._script: str | None = None
        self._may_break = False  # amid a word
        self.feed(source)
        self.text = re.sub(r"\s+", " ", " ".join(self.words).replace("\N{NARROW NO-BREAK SPACE}", " "))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self._may_break = tag == "wbr"
        self.addresses += [value for name in ("src", "href", "action", "data") if (value := found.get(name))]
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag in ("script", "style"):
            self._script = found.get("type") or tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script == "application/json":
            self.specs.append(json.loads(data))
        elif self._script is None:
            self.words.append(self.words.pop() + data if self._may_break else data)
            self._may_break = False


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_full_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def source(whole: Path) -> str:
    return build(whole).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Page:
    run = write_run(tmp_path_factory.mktemp("lost") / "run", statuses=LOST, random_search=True)
    return Page(render(run).page)


def test_the_page_is_rebuilt_byte_for_byte_even_from_a_copy_elsewhere(whole: Path, source: str, tmp_path: Path) -> None:
    table_files = {path.name: path.read_bytes() for path in (whole / "report" / "tables").iterdir()}
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in whole.rglob("*"):
        if path.is_file() and "report" not in path.parts:
            (copy / path.relative_to(whole)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(whole)).write_bytes(path.read_bytes())
    assert build(copy).read_bytes() == source.encode()
    assert {path.name: path.read_bytes() for path in (copy / "report" / "tables").iterdir()} == table_files


def test_the_page_is_one_file_below_8_mb_that_loads_nothing(page: Page, source: str) -> None:
    assert len(source.encode()) < 8e6
    assert not [address for address in page.addresses if not re.match(r"#|tables/[\w.=-]+\.(csv|md|tex)$", address)]
    assert "default-src 'none'" in source
    assert not {"link", "iframe", "img", "object"} & set(page.tags)


def test_links_lead_to_something(page: Page, whole: Path) -> None:
    assert len(page.ids) == len(set(page.ids))
    for address in page.addresses:
        assert (
            address.removeprefix("#") in page.ids if address.startswith("#") else (whole / "report" / address).is_file()
        )


def test_the_answer_claims_what_was_planted_and_no_more(page: Page) -> None:
    assert "Of 4 declared comparisons of test strength, 2 are significant after Holm’s correction" in page.text
    assert (
        "material=wood is worse than the reference by 10.0 percentage points (95 % interval 9.6 to 10.4)" in page.text
    )
    assert "The other 2 cannot be told apart, which is no evidence of equality: with 3 paired replicates" in page.text
    assert "cannot go below p = 0.25" in page.text


def test_the_best_run_of_all_arms_and_how_to_load_it_follow_the_answer(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    trials = pd.read_parquet(RunPaths(run).trials)
    confirm = trials[trials["phase"] == "confirm"]
    best = confirm.set_index("trial_id")[load.study(run).primary.validation_column].idxmax()
    saved = "checkpoints/x/epoch-00004-0.safetensors"
    trials.assign(checkpoint=trials["trial_id"].map({best: saved})).to_parquet(RunPaths(run).trials, index=False)
    page = Page(render(run).page)
    assert page.ids.index("answer") < page.ids.index("configuration") < page.ids.index("effects")
    assert f"What {best} was trained with, the confirm run with the best validation strength of all arms" in page.text
    head = page.text.partition("What each component is worth")[0]
    assert "build.rate" in head.partition("fixed hyperparameter")[0]
    assert f"saved = checkpoint.load(store.located('runs/made-bridges/{saved}'))" in page.text


def test_every_section_is_there_in_order(page: Page) -> None:
    sections = ["answer", "configuration", "effects", "components", "arms", "comparisons", "responses", "models"]
    sections += ["cost", "recall", "confusion", "attention", "reliability", "embedding", "search", "curves"]
    sections += ["survival", "importance", "slices", "tuned", "run", "timeline", "effort", "trials", "tables"]
    sections += ["method", "provenance"]
    assert [name for name in page.ids if name in sections] == sections
    assert "45 planned = 30 completed + 15 stopped + 0 diverged" in page.text


def test_figures_hold_the_planted_numbers(page: Page, whole: Path) -> None:
    forest = page.specs[0][0]["data"]
    assert isinstance(forest, list)
    means = [x for trace in forest[1:3] for x in trace["x"]]
    # With minus without: what the reference has over each arm, and each component added to the baseline.
    assert {10.0, 6.1, 0.2, -0.3} <= {round(x, 1) for x in means}
    curves = render(whole).figures["curves"].specs
    assert [spec["name"] for spec in curves] == ["val strength", "train loss", "val beauty"]


def test_every_figure_is_followed_by_its_numbers(whole: Path, source: str) -> None:
    figures = render(whole).figures
    assert source.count("<summary>Numbers of this figure</summary>") == len(figures)
    for name, figure in figures.items():
        assert len(figure.table), name
        assert (whole / "report" / "tables" / f"{figure.file}.csv").is_file(), name


def test_what_failed_or_waits_is_listed_with_its_reason(lost: Page) -> None:
    table = next(spec for spec in lost.specs if "columns" in spec)
    rows = [
        [one.get("names", one)[value] if "names" in one else value for value in one["values"]]
        for one in table["columns"]
    ]
    named = dict(zip((one["title"] for one in table["columns"]), rows, strict=True))
    keys = (named[title] for title in ("arm", "replicate", "phase", "index"))
    ids = ["/".join(map(str, key)) for key in zip(*keys, strict=True)]
    assert len(ids) == 45
    for trial_id, (status, reason) in LOST.items():
        row = ids.index(trial_id)
        assert (named["status"][row], named["reason"][row]) == (status, reason or "")
        assert reason is None or f"1 × {status} : {reason}" in lost.text
    assert "So far, " in lost.text
    assert "2 trials failed or diverged" in lost.text
    assert "1 trial has not ended" in lost.text
    assert "the search was random" in lost.text
    assert "no result from replicate 1" in lost.text


def test_a_study_without_artifacts_has_a_page_without_classes(lost: Page) -> None:
    assert "recall" not in lost.ids
    assert "curves" in lost.ids


NASTY = "</script><script>alert(1)</script><img src=http://x.y/z onerror=alert(2)>&{{7*7}}"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose arms, metrics, classes and reasons are all hostile."""
    space = BRIDGES.model_copy(
        update={
            "description": NASTY,
            "factors": {**BRIDGES.factors, "deck.material": Choice(values=("steel", NASTY))},
            "baseline": {"deck.material": NASTY, "deck.span": 1.0},
            "metrics": (Metric(name=f"strength_{NASTY}"), Metric(name="beauty")),
        }
    )
    lost = {"reference/0/search/0": ("failed", NASTY)}
    root = tmp_path_factory.mktemp("hostile") / "run"
    return write_run(root, space, statuses=lost, classes=(f"calm {NASTY}", "stormy"))


def test_hostile_names_stay_text_on_the_page(hostile: Path) -> None:
    report = render(hostile)
    page = Page(report.page)
    assert "<script>alert" not in report.page
    assert "img" not in page.tags
    assert "{{7*7}}" in page.text
    assert page.tags.count("script") == 2 + len(page.specs)


def test_hostile_names_stay_text_in_what_plotly_takes_for_markup(hostile: Path) -> None:
    shown = json.dumps([spec["layout"] for figure in render(hostile).figures.values() for spec in figure.specs])
    traces = [trace for figure in render(hostile).figures.values() for spec in figure.specs for trace in spec["data"]]
    shown += json.dumps([[trace.get(key) for key in ("text", "customdata", "hovertemplate")] for trace in traces])
    shown += json.dumps([trace["name"] for trace in traces if trace.get("showlegend")])
    assert "alert(1)" in shown
    assert "<script" not in shown
    assert "<img" not in shown


def test_hostile_names_stay_text_in_tables(hostile: Path) -> None:
    files = render(hostile).files
    lines = files["arms.md"].splitlines()
    assert not [line for line in lines if "<" in line]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert r"\{\{7*7\}\}" in files["arms.tex"]
    assert r"\textless{}img" in files["arms.tex"]
    assert pd.read_csv(io.StringIO(files["arms.csv"]))["arm"].iloc[1].endswith(NASTY)


def test_latex_and_markdown_spell_what_would_be_markup() -> None:
    table = pd.DataFrame({"a_b": ["50 % & more\\", "#{~^}|"], "n": ["\N{MINUS SIGN}1.5", "+10.0"]})
    assert table_files.latex(table) == (
        "\\begin{tabular}{lr}\n\\toprule\na\\_b & n \\\\\n\\midrule\n"
        "50 \\% \\& more\\textbackslash{} & $-$1.5 \\\\\n"
        "\\#\\{\\textasciitilde{}\\textasciicircum{}\\}\\textbar{} & +10.0 \\\\\n\\bottomrule\n\\end{tabular}\n"
    )
    assert table_files.markdown(table).splitlines() == [
        "| a\\_b | n |",
        "| :--- | ---: |",
        "| 50 % &amp; more\\\\ | \N{MINUS SIGN}1.5 |",
        "| \\#{\\~^}\\| | +10.0 |",
    ]


def test_identical_arms_cannot_be_told_apart(tmp_path: Path) -> None:
    def noise(arm: Arm, replicate: int, seed: int) -> float:
        return 0.7 + 0.01 * (hash((len(arm.name), replicate)) % 7 - 3)

    run = write_run(tmp_path / "run", value=noise)
    first, second = answer(gather(run))
    assert findings(run)["answer"] == [first, second]
    assert "None of the 4 declared comparisons" in first
    assert "cannot be told apart" in first
    assert second.startswith("That is no evidence of equality")


def write_partly_tested(root: Path, wood: float, clear: float) -> Path:
    """Plant a comparison of each kind: one with noise, one alike in every replicate, one of one pair, one clear."""
    effects_at = {"span=1.0": 0.125, "span=100.0": 0.0, "baseline": clear}

    def value(arm: Arm, replicate: int, seed: int) -> float:
        base = 0.5 + replicate / 16
        if arm.name == "material=wood":
            return base + wood + (0.03 if replicate % 2 else -0.03)
        return base + effects_at.get(arm.name, 0.0) + (0.001 * replicate if arm.name == "baseline" else 0.0)

    lost = {f"span=100.0/{replicate}/confirm/0": ("failed", "made") for replicate in (0, 1)}
    return write_run(root, value=value, statuses=lost)


@pytest.mark.parametrize(
    ("wood", "clear", "said"),
    [
        (0.0, -0.2, "Of the other 3, 2 could not be tested and 1 cannot be told apart, which is no evidence"),
        (0.0, 0.001, ": 2 cannot be told apart, 2 could not be tested. That is no evidence of equality: with"),
        (0.3, -0.2, "The other 2 could not be tested; with 3 paired replicates"),
    ],
)
def test_what_could_not_be_tested_is_not_called_undecided(tmp_path: Path, wood: float, clear: float, said: str) -> None:
    run = write_partly_tested(tmp_path / "run", wood, clear)
    report = render(run)
    text, rows = Page(report.page).text, report.tables["comparisons"]
    assert said in text
    assert "Every declared comparison is significant" not in text
    undecided = rows[rows["p"].notna() & ~rows["significant"]]
    least = (undecided if len(undecided) else rows[rows["significant"]])["detectable"].median()
    reach = f"a true difference of about {100 * least:.1f} percentage points or more would have been found with 80 %"
    assert reach in text
    assert "1 comparison could not be tested: two replicates that both arms have are needed." in text
    assert "1 comparison could not be tested: the difference is the same in every replicate" in text
    # The table of the page and findings.json say the same apart.
    kinds = [row["verdict"]["kind"] for row in findings(run)["comparisons"]]
    assert kinds.count("untested") == 2
    shown = re.findall(r'<td class="text(?: sure)?">([^<]+)</td>\s*<td>', report.page.partition('id="comparisons"')[2])
    words = {"no spread, not tested": "untested", "too little data": "untested", "cannot be told apart": "undecided"}
    decided = [kind for kind in kinds if kind != "undecided"]  # the others are folded
    assert [words.get(word, word) for word in shown[: len(decided)]] == decided
    assert {"no spread, not tested", "too little data"} <= set(shown)


def test_a_score_that_overflowed_has_no_say_in_how_scores_are_printed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", statuses={"baseline/0/search/0": ("diverged", "val_strength is inf")})
    table = pd.read_parquet(run / "epochs.parquet")
    table.loc[(table["trial_id"] == "baseline/0/search/0") & (table["epoch"] == 2), "metric.val_strength"] = math.inf
    table.to_parquet(run / "epochs.parquet", index=False)
    figure = render(run).figures["curves"].specs[0]
    assert figure["layout"]["yaxis"]["title"]["text"] == "val strength, %"
    search = next(trace for trace in figure["data"] if trace["name"] == "baseline, search")
    # Trial after trial, with a gap between them: the first one's second epoch overflowed.
    assert search["y"][:3] == [pytest.approx(100 * 0.64 * (1 - 0.5**1.25), rel=0.02), None, None]


def test_a_free_metric_that_is_infinite_in_one_epoch_is_drawn_without_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    table = pd.read_parquet(run / "epochs.parquet")
    first = (table["epoch"] == 1) & table["trial_id"].str.startswith("reference")
    table.loc[first, "metric.train_loss"] = math.inf
    table.to_parquet(run / "epochs.parquet", index=False)
    loss = next(spec for spec in render(run).figures["curves"].specs if spec["name"] == "train loss")
    drawn = next(trace["y"] for trace in loss["data"] if trace["name"] == "reference")
    assert drawn[0] is None
    assert drawn[1:] == pytest.approx([1 / 2, 1 / 3, 1 / 4], rel=1e-4)


def test_a_result_too_large_to_be_squared_is_no_result(tmp_path: Path) -> None:
    def value(arm: Arm, replicate: int, seed: int) -> float:
        return 1e200 if (arm.name, replicate) == ("baseline", 1) else 0.7 + 0.01 * replicate

    report = render(write_run(tmp_path / "run", value=value))
    lost = report.tables["arms"].set_index("arm")["missing"]
    assert lost.to_dict() == {"reference": "", "material=wood": "", "span=1.0": "", "span=100.0": "", "baseline": "1"}


def test_where_less_is_better_a_smaller_value_is_called_better(tmp_path: Path) -> None:
    space = with_direction(BRIDGES, "minimize")
    page = Page(render(write_run(tmp_path / "run", space)).page)
    assert "material=wood is better than the reference by 0.0996 (95 % interval 0.0956 to 0.1036)" in page.text
    assert "minus without it, turned round since less is better; right of the line it helps" in page.text


def test_a_study_that_confirmed_nothing_still_has_a_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    trials = pd.read_parquet(run / "trials.parquet")
    late = trials["phase"] == "confirm"
    trials.loc[late, "status"] = "pending"
    trials[[name for name in trials.columns if "test_" not in name]].to_parquet(run / "trials.parquet")
    text = Page(render(run).page).text
    assert "Nothing can be said yet: the 4 declared comparisons of test strength have no replicate" in text
    assert "a test needs two. Of 15 confirm trials: 15 pending." in text


def test_a_joint_design_makes_no_claim(tmp_path: Path) -> None:
    text = Page(render(write_run(tmp_path / "run", design="joint")).page).text
    assert "reaches a test strength of" in text and "significant" not in text.partition("Best configuration")[0]


def test_confirm_means_leave_unfinished_trials_out(whole: Path) -> None:
    trials, epochs = load.trials(whole), load.epochs(whole)
    means = curves.confirm_means(trials, epochs)
    mine = means[means["arm"] == "reference"]
    assert mine["trials"].tolist() == [3] * 4
    final = trials[(trials["arm"] == "reference") & (trials["phase"] == "confirm")]["metric.val_strength"].mean()
    assert mine["metric.val_strength"].iloc[-1] == pytest.approx(final * (1 - 0.5**5))


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [(-0.04, 1, "0.0"), (-1.25, 1, "−1.2"), (1234.5, 1, "1 234.5"), (0.0, 2, "0.00")],
)
def test_decimals_have_a_true_minus_and_no_minus_nought(number: float, digits: int, text: str) -> None:
    assert numbers.decimal(number, digits).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


def test_shares_are_percent_and_other_metrics_are_themselves() -> None:
    assert numbers.unit_of([0.2, 0.9], True).difference(0.012) == "+1.2"
    assert numbers.unit_of([0.2, 0.9], False).value(0.2) == "0.2000"
    assert numbers.unit_of([120.0, 90.0], True).value(118.26) == "118.3"


def test_the_command_writes_the_page_where_it_is_told(whole: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(whole), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert result.output.strip() == str(tmp_path / "out" / "index.html")
    assert (tmp_path / "out" / "tables" / "arms.csv").is_file()


def test_a_directory_that_is_no_run_is_refused_with_exit_code_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 2
    assert "study.json does not exist; give a run directory" in result.output
    twice = CliRunner().invoke(app, [str(tmp_path / "a" / "run"), str(tmp_path / "b" / "run"), "--out", str(tmp_path)])
    assert twice.exit_code == 2
    assert "would write 'run' twice" in twice.output


def test_several_runs_are_set_side_by_side(whole: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", replicates=4)
    result = CliRunner().invoke(app, [str(whole), str(other), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    written = [Path(line) for line in result.output.split()]
    assert written == [tmp_path / "out" / name / "index.html" for name in ("run", "other")] + [
        tmp_path / "out" / "index.html"
    ]
    page = Page(written[-1].read_text())
    assert "2 studies side by side" in page.text
    assert page.text.count("difference (points)") == 2 and "less is better" not in page.text
    assert "Nothing is tested across studies" in page.text
    assert {"run/index.html", "other/index.html"} <= set(page.addresses)
    table = pd.read_csv(tmp_path / "out" / "tables" / "studies.csv")
    assert table.groupby("study")["n"].max().to_dict() == {"run": 3, "other": 4}
    row = table[(table["study"] == "run") & (table["arm"] == "material=wood")].iloc[0]
    assert row["difference"] == pytest.approx(-0.0996)


def test_studies_side_by_side_say_where_less_is_better_and_count_one_replicate(tmp_path: Path) -> None:
    less = with_direction(BRIDGES, "minimize")
    runs = [str(write_run(tmp_path / name, less, replicates=n)) for name, n in (("one", 1), ("two", 2))]
    assert CliRunner().invoke(app, [*runs, "--out", str(tmp_path / "out")]).exit_code == 0
    text = Page((tmp_path / "out" / "index.html").read_text()).text
    assert text.count("test strength (less is better)") == 2
    assert "1 replicate ×" in text and "2 replicates ×" in text


def settled(run: Path) -> list[Settling]:
    inputs = read(run)
    return [found for verdict in inputs.evidence.verdicts if (found := settled_by(inputs, verdict)) is not None]


def test_a_study_that_is_planned_large_enough_is_settled_by_going_on(tmp_path: Path) -> None:
    later = {
        f"{arm.name}/{replicate}/{phase}/{index}": ("pending", None)
        for arm in BRIDGES.arms()
        for replicate in range(3, 40)
        for phase, index in (("search", 0), ("search", 1), ("confirm", 0))
    }
    found = settled(write_run(tmp_path / "run", statuses=later, replicates=40))
    assert found and {one.command for one in found} == {"ablation resume runs/made-bridges"}
    assert {one.replicates for one in found} == {40}
    # A replicate of an arm: a trial of 4 epochs, one stopped after 2, and a confirm run of 4, at 2.5 s each.
    assert [one.trial_s for one in found] == pytest.approx([2.5 * (4 + 2 + 4) * 5 * 37] * len(found))


def test_a_study_that_has_come_to_its_end_is_settled_by_growing_alone(tmp_path: Path) -> None:
    found = settled(write_run(tmp_path / "run"))
    assert found
    for one in found:
        assert one.command == f"ablation resume runs/made-bridges --replicates {one.replicates}"
        assert one.trial_s == pytest.approx(2.5 * (4 + 2 + 4) * 5 * (one.replicates - 3))
    # All but three replicates lost a trial: what is planned would be enough, but will not come.
    lost = {f"span=1.0/{replicate}/confirm/0": ("failed", "out of memory") for replicate in range(3, 40)}
    lost |= {name.replace("span=1.0", "span=100.0"): how for name, how in lost.items()}
    assert settled(write_run(tmp_path / "lost", statuses=lost, replicates=40)) == []


def test_an_unfinished_run_says_so_from_its_ledger_and_is_watched_until_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_study(toy_plan(), tmp_path / "run", most_epochs=60).root
    for name in ("trials.parquet", "epochs.parquet", "summary.json"):
        (run / name).unlink()
    assert "This study is not finished." in Page(render(run).page).text
    pages: list[str] = []

    def finish_meanwhile(seconds: float) -> None:
        pages.append((run / "report" / "index.html").read_text())
        assert seconds == 7
        run_study(toy_plan(), run)

    monkeypatch.setattr("time.sleep", finish_meanwhile)
    result = CliRunner().invoke(app, [str(run), "--watch", "7"])
    assert result.exit_code == 0
    pages.append((run / "report" / "index.html").read_text())
    assert ['http-equiv="refresh" content="7"' in page for page in pages] == [True, False]
    assert ["This study is not finished." in page for page in pages] == [True, False]


def test_a_run_that_is_unreadable_for_a_moment_is_watched_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_study(toy_plan(), tmp_path / "run", most_epochs=60).root
    whole_study = (run / "study.json").read_bytes()
    shown: list[bytes] = []

    def turn(_: float) -> None:
        shown.append((run / "report" / "index.html").read_bytes())
        if len(shown) == 1:
            (run / "study.json").write_bytes(b"{")
        else:
            (run / "study.json").write_bytes(whole_study)
            run_study(toy_plan(), run)

    monkeypatch.setattr("time.sleep", turn)
    result = CliRunner().invoke(app, [str(run), "--watch", "7"])
    assert result.exit_code == 0, result.output
    assert shown[0] == shown[1]
    assert "study.json is damaged" in result.output
    assert "trying again in 7 s" in result.output
    assert "This study is not finished." not in (run / "report" / "index.html").read_text()


def test_a_run_that_cannot_be_read_at_first_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("watched"))
    assert CliRunner().invoke(app, [str(tmp_path), "--watch", "7"]).exit_code == 2


def test_figures_as_files_ask_for_kaleido_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(app, [str(tmp_path), "--figures", "svg"])
    assert result.exit_code == 2
    assert "needs the package kaleido" in result.output
    assert "must be one of svg, png" in CliRunner().invoke(app, [str(tmp_path), "--figures", "gif"]).output


def test_a_figure_for_paper_is_white_and_names_its_arms(whole: Path) -> None:
    figure = render(whole).figures["curves"]
    drawn = export.on_paper(figure.specs[0], figure)
    assert drawn["layout"]["paper_bgcolor"] == "white"
    assert [trace["name"] for trace in drawn["data"] if trace["showlegend"]] == list(figure.arms)
    assert "showlegend" not in figure.specs[0]["data"][0]


def test_figures_as_files_have_the_size_of_their_layout_and_replace_those_of_before(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, tuple[int, int]] = {}

    def draw(drawn: list[dict[str, Any]], paths: list[Path], *, width: int, height: list[int], scale: int) -> None:
        assert scale == 2
        asked.update({path.name: (width, one) for path, one in zip(paths, height, strict=True)})
        for path in paths:
            path.write_bytes(b"drawn")

    monkeypatch.setattr("plotly.io.write_images", draw)
    folder, figures = ReportFolder(tmp_path), render(whole).figures
    export.write({"curves": figures["curves"]}, folder, "svg")
    export.write({"recall": figures["recall"]}, folder, "png")
    (tmp_path / "figures" / "own.svg").write_text("the user's")
    written = export.write({name: figures[name] for name in ("forest", "confusion")}, folder, "svg")
    assert [path.name for path in written] == ["forest.svg", *(f"confusion-{arm}.svg" for arm in range(5))]
    assert asked["forest.svg"] == (export.WIDTH_PX, figures["forest"].specs[0]["layout"]["height"] + 60)
    kept = {path.name for path in (tmp_path / "figures").iterdir()}
    assert kept == {"own.svg", "recall-0.png", "recall-1.png", *(path.name for path in written)}


def test_figures_as_files_without_a_browser_say_what_to_install(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: object, **__: object) -> None:
        raise RuntimeError("\n\nKaleido requires Google Chrome to be installed.\n\nEither download it yourself")

    monkeypatch.setattr("plotly.io.write_images", draw)
    with pytest.raises(FaultsError, match=r"Google Chrome to be installed\.\); install Chrome or Chromium"):
        export.write(render(whole).figures, ReportFolder(tmp_path), "png")


def test_findings_lie_beside_the_page(whole: Path, source: str) -> None:
    found = json.loads((whole / "report" / "findings.json").read_text())
    assert [row["arm"] for row in found["comparisons"]] == ["material=wood", "span=1.0", "span=100.0", "baseline"]


def test_no_claim_is_made_from_search_scores_and_the_page_says_so(page: Page) -> None:
    assert "No claim on this page rests on anything below in this part" in page.text
    assert "With 6 trials an arm this says little" in page.text


def test_tables_of_an_earlier_report_do_not_linger(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    lost = {f"reference/{replicate}/confirm/0": ("failed", "made") for replicate in range(3)}
    build(write_run(tmp_path / "other", statuses=lost), run / "report")
    stale = run / "report" / "tables" / "not_completed.csv"
    assert stale.is_file()
    build(run)
    assert not stale.exists()


def test_the_report_needs_neither_torch_nor_ray_nor_optuna() -> None:
    code = (
        "import sys, analysis.report, analysis.report.__main__\n"
        "assert not {'pandas', 'plotly', 'scipy', 'jinja2'} & set(sys.modules)\n"
        "import analysis.report.build\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'torch', 'ray', 'optuna'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
