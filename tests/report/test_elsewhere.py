"""The report of a table of results: claims that the numbers bear out, and said plainly what a table cannot say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner, Result

from analysis.elsewhere.asked import Asked
from analysis.elsewhere.reading import read
from analysis.elsewhere.results import understood
from analysis.findings_schema import SCHEMA
from analysis.numbers import THIN
from analysis.report.__main__ import app
from analysis.report.elsewhere.build import render_table

EXAMPLE = Path(__file__).parents[2] / "examples/results/published_models.csv"
PAIRED = "model,seed,loss\n" + "".join(
    f"{model},{seed},{0.3 + 0.1 * seed + effect + wobble:.3f}\n"
    for model, effect, wobbles in (("full", 0.0, (0, 0, 0, 0)), ("plain", 0.2, (0.01, 0, -0.01, 0.005)))
    for seed, wobble in enumerate(wobbles)
)


def report(file: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(app, [str(file), "--out", str(out), *options])


def found(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "findings.json").read_text())
    jsonschema.validate(document, SCHEMA)
    return document


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "report"
    result = report(EXAMPLE, out, "--reference", "model A", "--unpaired")
    assert result.exit_code == 0, result.output
    assert "score: column 'test_accuracy'" in result.output and result.output.splitlines()[-1].endswith("index.html")
    return out


def test_the_example_is_what_its_script_writes() -> None:
    path = EXAMPLE.with_name("simulate.py")
    spec = importlib.util.spec_from_file_location("simulate", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert EXAMPLE.read_text() == script.table()
    scores = pd.read_csv(EXAMPLE, comment="#").groupby("model")["test_accuracy"]
    for model, (mean, sd) in script.MODELS.items():
        assert (scores.mean()[model], scores.std()[model]) == pytest.approx((mean, sd), abs=5e-4)


def test_unpaired_arms_are_tested_by_welch_with_holm(published: Path) -> None:
    scores = {
        model: rows.to_numpy() for model, rows in pd.read_csv(EXAMPLE, comment="#").groupby("model")["test_accuracy"]
    }
    p = {
        model: float(stats.ttest_ind(values, scores["model A"], equal_var=False).pvalue)
        for model, values in scores.items()
        if model != "model A"
    }
    adjusted, reached = {}, 0.0
    for rank, model in enumerate(sorted(p, key=p.__getitem__)):
        reached = max(reached, min(1.0, p[model] * (len(p) - rank)))
        adjusted[model] = reached
    rows = {row["arm"]: row for row in found(published)["comparisons"]}
    assert {model: row["p_holm"] for model, row in rows.items()} == pytest.approx(adjusted)
    assert {model: row["verdict"]["kind"] for model, row in rows.items()} == {
        **dict.fromkeys(("model D", "model E"), "worse"),
        "model C": "better",
        **dict.fromkeys(("model B", "model F", "model G"), "undecided"),
    }
    assert all(row["p_flip"] is None and row["wins"] is None for row in rows.values())


def test_the_page_says_what_a_table_cannot_say(published: Path) -> None:
    page = (published / "index.html").read_text()
    warnings = {one["code"]: one["text"] for one in found(published)["warnings"]}
    assert warnings.keys() == {"search_unknown", "split_unknown", "accounting_unknown", "plan_unknown"}
    assert all(text in page for text in warnings.values())
    assert (
        "figures simulated from means and standard deviations" in page and "Not paired, as asked: Welch&#39;s t" in page
    )
    assert "declared" not in page.split("<script>")[0].lower()
    assert f"model E is worse than model A by 7.7 percentage points (95{THIN}% interval" in page


def test_without_pairs_worth_has_no_dots_and_without_a_plan_nothing_is_to_be_grown(published: Path) -> None:
    report = render_table(understood(read(str(EXAMPLE)), Asked(reference="model A", is_paired=False)))
    dots, *means = report.figures["forest"].specs[0]["data"]
    assert dots["x"] == [] and sum(len(trace["x"]) for trace in means) == 6
    page = (published / "index.html").read_text()
    assert 'id="variance_sources"' not in page
    assert "3 of 6 comparisons cannot be told apart" in page and "ablation resume" not in page


def test_its_tables_are_files_for_papers_too(published: Path) -> None:
    latex = (published / "tables/comparisons.tex").read_text()
    assert r"\toprule" in latex and "model C & model A & +1.5" in latex
    assert len(pd.read_csv(published / "tables/arms.csv")) == 7
    arms, comparisons = ((published / f"tables/{name}.md").read_text() for name in ("arms", "comparisons"))
    assert arms.startswith("| arm | test accuracy, % |")
    heading = comparisons.splitlines()[0]
    assert "| replicates |" in heading and "pairs" not in heading and "plain t" not in heading


def test_where_an_arm_has_no_score_nothing_is_said_of_how_often_it_is_ahead(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("model,loss\nfull,0.3\nfull,0.4\nplain,0.5\nplain,0.6\nlost,\nlost,\n")
    result = report(tmp_path / "table.csv", tmp_path / "out", "--reference", "full", "--unpaired")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out/index.html").read_text()
    assert "<td>0 %</td>" in page and "nan %" not in page


def test_the_same_table_gives_the_same_bytes(published: Path, tmp_path: Path) -> None:
    report(EXAMPLE, tmp_path / "again", "--reference", "model A", "--unpaired")
    for name in ("index.html", "findings.json"):
        assert (tmp_path / "again" / name).read_bytes() == (published / name).read_bytes()


def test_equal_labels_are_pairs_and_a_lower_loss_is_better(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(PAIRED)
    result = CliRunner().invoke(app, [str(tmp_path / "table.csv")])
    assert result.exit_code == 0 and "paired by column 'seed', since" in result.output
    (row,) = found(tmp_path / "table-report")["comparisons"]
    scores = pd.read_csv(tmp_path / "table.csv").pivot(index="seed", columns="model", values="loss")
    assert row["p"] == pytest.approx(float(stats.ttest_rel(scores["plain"], scores["full"]).pvalue))
    assert row["verdict"]["kind"] == "worse" and "less loss is better, by its name" in result.output


def test_a_smallest_effect_tells_models_that_are_practically_equal_from_those_that_nothing_is_known_of(
    tmp_path: Path,
) -> None:
    options = ("--reference", "model A", "--unpaired", "--equivalence", "1.5")
    result = report(EXAMPLE, tmp_path / "out", *options)
    assert "practically equal, as asked: within ±1.5 percentage points of test accuracy" in result.output
    document, page = found(tmp_path / "out"), (tmp_path / "out/index.html").read_text()
    kinds = {row["arm"]: row["verdict"]["kind"] for row in document["comparisons"]}
    assert kinds == {
        **dict.fromkeys(("model D", "model E"), "worse"), "model C": "better",
        **dict.fromkeys(("model B", "model F"), "equal"), "model G": "undecided",
    }  # fmt: skip
    assert document["study"]["smallest_effect"] == 1.5
    assert document["answer"][1].startswith("Practically equal, within ±1.5 percentage points: model B and model A")
    assert document["answer"][2].startswith("The other one cannot be told apart")
    undecided = next(row["verdict"] for row in document["comparisons"] if row["arm"] == "model G")
    assert f"{undecided['replicates_to_equate']} show equal arms to be so within ±1.5" in undecided["text"]
    assert "equivalence p" in page and "the smallest effect that was given" in page
    assert "p (equivalence)" in (tmp_path / "out/tables/comparisons.md").read_text()
    assert "declared" not in page.split("<script>")[0].lower()


def test_runs_of_one_replicate_show_how_much_of_the_spread_is_the_seeds(tmp_path: Path) -> None:
    # Two replicates of two runs an arm: mean squares 16 between and 2 within, so 7 between, 2 within.
    scores = {"full": ((1, 3), (5, 7)), "plain": ((4, 6), (8, 10))}
    rows = [f"{arm},{r},{s},{scores[arm][r][s]}" for arm in scores for r in (0, 1) for s in (0, 1)]
    (tmp_path / "table.csv").write_text("\n".join(["arm,replicate,seed,score", *rows]))
    assert report(tmp_path / "table.csv", tmp_path / "out", "--unpaired").exit_code == 0
    sources = found(tmp_path / "out")["description"]["variance_sources"]
    assert [(row["of"], row["source"], row["df"]) for row in sources] == [
        ("score", "replicate", 2),
        ("score", "seed", 4),
    ]
    assert [row["variance"] for row in sources] == pytest.approx([7, 2])
    page = (tmp_path / "out/index.html").read_text()
    assert "The variance of one run’s score is 78" in page and "(what its runs share)" in page


def test_factors_give_components(tmp_path: Path) -> None:
    rows = [
        f"{arm},{margin},{attention},{seed},{score + 0.01 * seed + 0.001 * (seed * len(arm) % 3)}"
        for arm, margin, attention, score in (
            ("full", 0.2, True, 0.8), ("no margin", 0, True, 0.7),
            ("no attention", 0.2, False, 0.75), ("bare", 0, False, 0.6),
        )
        for seed in range(4)
    ]  # fmt: skip
    (tmp_path / "table.csv").write_text("\n".join(["arm,margin,attention,seed,acc", *rows]))
    options = ("--factor-columns", "margin,attention", "--baseline", "bare")
    result = report(tmp_path / "table.csv", tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    worth = {row["component"]: row for row in found(tmp_path / "out")["description"]["components"]}
    assert worth["margin"]["removed"] == "no margin" and worth["margin"]["added"] == "no attention"
    assert worth["attention"]["removed_difference"] == pytest.approx(-0.05, abs=0.005)


def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    result = report(EXAMPLE, tmp_path / "out", "--arm-column", "modle", "--unit", "furlong", "--faces")
    assert result.exit_code == 2 and "--faces and --watch are for runs" in result.output
    result = report(EXAMPLE, tmp_path / "out", "--arm-column", "modle", "--unit", "furlong")
    assert result.exit_code == 2 and "did you mean 'model'?" in result.output and "'furlong'" in result.output
    result = report(EXAMPLE, tmp_path / "out")
    assert result.exit_code == 2 and "name it with --reference; arms are model A, model B" in result.output
    assert not (tmp_path / "out").exists()


def test_options_of_tables_are_refused_for_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path), "--reference", "x", "--paired"])
    assert result.exit_code == 2 and "--reference, --paired are for tables of results" in result.output


def test_a_folder_that_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    result = report(EXAMPLE, tmp_path, "--reference", "model A")
    assert result.exit_code == 2 and (tmp_path / "index.html").read_text() == "mine"
