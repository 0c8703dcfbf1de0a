"""findings.json says what the tables say, to machines: valid, pure, and in words that the numbers bear out."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

from ablation.ledger.log import Ledger
from ablation.power import replicates_needed
from analysis import caveats, effects, load, verdicts
from analysis.answer import answer
from analysis.evidence import gather
from analysis.findings import findings
from analysis.findings_schema import SCHEMA
from analysis.numbers import THIN, Unit, unit_of
from analysis.plain_json import as_text
from analysis.report.build import render
from analysis.report.effects.wording import variances_sentence
from analysis.statistics.moderated import prior_of
from analysis.tables import marginals
from search_spaces.space import Arm
from tests.support.ledgers import append
from tests.support.made_runs import BRIDGES, write_run

jsonschema: Any = import_module("jsonschema")  # has no types

LOST = {
    "span=1.0/1/confirm/0": ("failed", "no_survivor"),
    "span=1.0/1/search/0": ("diverged", "val_loss is nan after epoch 2"),
    "baseline/2/confirm/0": ("pending", None),
}
SHARE = unit_of([0.5], True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("made") / "run", artifacts=True, statuses=LOST, random_search=True)


@pytest.fixture(scope="module")
def document(run: Path) -> dict[str, Any]:
    return findings(run)


def validate(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_findings_keep_to_their_schema(document: dict[str, Any]) -> None:
    validate(document)


@pytest.mark.parametrize("design", ["factorial", "joint"])
def test_findings_of_every_design_keep_to_it_too(tmp_path: Path, design: Any) -> None:
    validate(findings(write_run(tmp_path / "run", design=design)))


def test_the_schema_names_every_field(document: dict[str, Any]) -> None:
    def unnamed(value: Any, schema: dict[str, Any], path: str) -> list[str]:
        if isinstance(value, list):
            return [text for item in value for text in unnamed(item, schema.get("items", {}), path)]
        if not isinstance(value, dict) or "properties" not in schema:
            return []
        known = schema["properties"]
        missing = [f"{path}.{key}" for key in value if key not in known]
        return missing + [
            t for key in value.keys() & known.keys() for t in unnamed(value[key], known[key], f"{path}.{key}")
        ]

    assert unnamed(document, SCHEMA, "findings") == []


def test_findings_are_pure_and_the_same_bytes_again(run: Path, document: dict[str, Any]) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    evidence = gather(run)
    assert as_text(findings(evidence)) == as_text(document) == as_text(findings(evidence))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert json.loads(as_text(document)) == document


def test_comparisons_are_those_of_the_table(run: Path, document: dict[str, Any]) -> None:
    study = load.study(run)
    table = effects.comparisons_table(study, effects.replicates(study, load.trials(run)))
    for row, found in zip(table.to_dict("records"), document["comparisons"], strict=True):
        assert (found["arm"], found["against"], found["n"]) == (row["arm"], row["against"], row["n"])
        tested = ("difference", "low", "high", "sd_moderated", "df", "p", "p_holm", "p_t")
        for name in (*tested, "detectable", "g_z", "improvement"):
            assert found[name] == pytest.approx(row[name], nan_ok=True), name
    lost = next(found for found in document["comparisons"] if found["arm"] == "span=1.0")
    assert (lost["n"], lost["dropped"]) == (2, [1])


def test_how_much_the_variances_scattered_is_said(run: Path, document: dict[str, Any]) -> None:
    rows = document["comparisons"]
    logs = [2 * np.log(row["sd"]) for row in rows]
    # With unequal numbers of pairs each is set against its own expectation: log(χ²/d) has mean psi(d/2) − log(d/2).
    half = np.array([(row["n"] - 1) / 2 for row in rows])
    centred = np.array(logs) - special.psi(half) + np.log(half)
    found = document["variances"]
    assert found["comparisons"] == len(rows) == 4
    assert found["scatter"] == pytest.approx(np.var(centred, ddof=1))
    assert found["expected"] == pytest.approx(special.zeta(2, half).mean())
    prior = gather(run).variances
    assert prior is not None
    sentence = variances_sentence(prior)
    assert f"scatter by {found['scatter']:.2f}, where equal true variances give {found['expected']:.2f}" in sentence
    assert variances_sentence(prior_of([0.1, 0.0, 0.3], [3, 3, 1])) == ""


def _with_margin(root: Path, margin: float) -> Path:
    return write_run(root, BRIDGES.model_copy(update={"smallest_effect": margin}))


def test_what_lies_within_the_smallest_effect_is_practically_equal(tmp_path: Path) -> None:
    document = findings(_with_margin(tmp_path / "run", 0.02))
    validate(document)
    assert document["study"]["smallest_effect"] == 0.02
    kinds = {row["arm"]: row["verdict"]["kind"] for row in document["comparisons"]}
    assert kinds == {"material=wood": "worse", "span=1.0": "equal", "span=100.0": "equal", "baseline": "worse"}
    text = next(row["verdict"]["text"] for row in document["comparisons"] if row["arm"] == "span=1.0")
    assert text.startswith("practically equal to the reference: the true difference lies within ±2.0 percentage points")
    assert document["answer"][1] == (
        "Practically equal, within ±2.0 percentage points: span=1.0 and the reference; span=100.0 and the reference."
    )
    assert document["answer"][2].startswith("The other 2 are practically equal")


def test_a_margin_that_is_too_narrow_for_the_replicates_says_how_many_it_takes(tmp_path: Path) -> None:
    document = findings(_with_margin(tmp_path / "run", 0.0015))
    row = next(row for row in document["comparisons"] if row["arm"] == "span=1.0")
    assert row["verdict"]["kind"] == "undecided" and not row["equivalent"]
    needed = row["verdict"]["replicates_to_equate"]
    assert needed > row["n"]
    assert row["verdict"]["text"].endswith(f"and {needed} show equal arms to be so within ±0.15 percentage points")
    assert "Practically equal" not in " ".join(document["answer"])


def test_a_margin_that_no_number_of_replicates_reaches_is_said_and_costs_nothing_else(tmp_path: Path) -> None:
    document = findings(_with_margin(tmp_path / "run", 1e-6))
    validate(document)
    row = next(row for row in document["comparisons"] if row["arm"] == "span=1.0")
    assert row["verdict"]["replicates_to_equate"] is None
    assert "and no 100\u202f000 show equal arms to be so within ±0.00010 percentage points" in row["verdict"]["text"]


def test_no_share_is_said_to_differ_by_more_than_shares_can(tmp_path: Path) -> None:
    def erratic(arm: Arm, replicate: int, seed: int) -> float:
        return 0.5 + 0.2 * ((len(arm.name) * 7 * (replicate + 1)) % 11 / 5 - 1)

    run = write_run(tmp_path / "run", value=erratic, replicates=2)
    document = findings(run)
    assert all(row["detectable"] > 1 for row in document["comparisons"])
    assert (
        "2 paired replicates and the spread seen here, no possible difference would have been" in document["answer"][1]
    )
    for row in document["comparisons"]:
        assert row["verdict"]["asked"] == 0.5
        assert ": no possible difference would have been found" in row["verdict"]["text"]
        assert row["verdict"]["text"].endswith("replicates would detect 50.0 percentage points")
    assert render(run).page.count("<td>none</td>") == 4


def test_the_answer_speaks_of_luck_only_where_less_was_found_than_the_study_detects(tmp_path: Path) -> None:
    def far_apart(arm: Arm, replicate: int, seed: int) -> float:
        return 0.1 + len(arm.name) * 0.02 + 0.001 * ((len(arm.name) * 7 * (replicate + 1)) % 11)

    found = gather(write_run(tmp_path / "run", value=far_apart, replicates=5))
    assert found.comparisons["significant"].all()
    assert answer(found)[1].endswith("power after the correction.")
    found.comparisons["detectable"] = 0.9
    assert answer(found)[1].endswith("so a smaller one was found with luck.")


def test_a_difference_that_is_real_and_does_not_matter_is_both(tmp_path: Path) -> None:
    document = findings(_with_margin(tmp_path / "run", 0.2))
    row = next(row for row in document["comparisons"] if row["arm"] == "material=wood")
    assert row["verdict"]["kind"] == "worse" and row["equivalent"]
    assert ", which is practically equal: within ±20.0 percentage points" in row["verdict"]["text"]


def test_the_page_and_the_paper_know_the_fourth_verdict(tmp_path: Path) -> None:
    report = render(_with_margin(tmp_path / "run", 0.02))
    page = html.unescape(report.page)
    assert "practically equal" in page and "equivalence p" in page
    assert "p (equivalence)" in report.files["comparisons.tex"]
    assert "p (equivalence)" not in render(write_run(tmp_path / "other")).files["comparisons.tex"]


def test_what_failed_or_waits_is_listed_and_warned_of(document: dict[str, Any]) -> None:
    assert {row["trial_id"]: row["status"] for row in document["not_completed"]} == {
        trial: status for trial, (status, _) in LOST.items()
    }
    assert {"failed", "open", "lost_pairs", "random_search"} <= {warning["code"] for warning in document["warnings"]}
    arms = {arm["arm"]: arm for arm in document["arms"]}
    assert (arms["span=1.0"]["missing"], arms["span=1.0"]["not_completed"]) == ([1], 2)
    assert arms["span=1.0"]["effort"]["search"] == 6
    assert sum(number for status, number in document["accounting"].items() if status != "planned") == 45


def test_every_metric_is_described_and_only_the_primary_tested(document: dict[str, Any]) -> None:
    rows = document["description"]["differences"]
    assert {row["metric"] for row in rows} == {"strength", "beauty"}
    assert not any("p" in row for row in rows)
    wood = next(
        row for row in rows if (row["arm"], row["against"], row["metric"]) == ("material=wood", "reference", "beauty")
    )
    assert wood["difference"] == pytest.approx(-0.0996)
    assert {row["against"] for row in rows} == {"reference", "baseline"}


def test_trials_of_a_run_still_at_work_can_be_given(run: Path) -> None:
    trials = load.trials(run)
    assert as_text(findings(gather(run, load.study(run), trials))) == as_text(findings(run))


def judged(run: Path) -> dict[str, verdicts.Verdict]:
    evidence = gather(run)
    return dict(zip(evidence.comparisons["arm"], evidence.verdicts, strict=True))


def test_an_undecided_comparison_says_how_many_replicates_would_see_half_as_much(run: Path) -> None:
    found = judged(run)["span=100.0"]
    evidence = gather(run)
    row = evidence.comparisons.set_index("arm").loc["span=100.0"]
    assert found.kind == "undecided"
    assert found.asked == pytest.approx(row["detectable"] / 2, rel=0.05)
    assert found.replicates_for_asked == replicates_needed(
        float(found.asked or 0), float(np.asarray(row["sd_moderated"])), 4, prior=evidence.variances
    )
    assert found.text.startswith("cannot be told apart from the reference with 3 replicates: ")
    assert f"{found.replicates_for_asked} replicates would detect " in found.text


def test_only_significance_is_called_better_or_worse(run: Path) -> None:
    found = judged(run)
    assert found["material=wood"].kind == "worse"
    assert "worse than the reference by 10.0 percentage points" in found["material=wood"].text
    significant = dict(zip(gather(run).comparisons["arm"], gather(run).comparisons["significant"], strict=True))
    assert {name for name, verdict in found.items() if verdict.kind in ("better", "worse")} == {
        name for name, is_significant in significant.items() if is_significant
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda arm, replicate, seed: 0.5 + 0.1 * len(arm.name) / 9, "the same difference in every replicate"),
        (lambda arm, replicate, seed: 0.5 if replicate == 0 else float("nan"), "1 of the 2 replicates"),
    ],
)
def test_without_noise_nothing_is_tested(tmp_path: Path, value: Callable[[Arm, int, int], float], reason: str) -> None:
    found = judged(write_run(tmp_path / "run", value=value))
    assert {verdict.kind for verdict in found.values()} == {"untested"}
    assert all(reason in verdict.text for verdict in found.values())


def test_a_significant_but_small_difference_is_said_to_be_lucky(run: Path) -> None:
    study = load.study(run)
    row = {"arm": "a", "against": "b", "n": 5, "p": 0.01, "p_holm": 0.04, "significant": True, "sd": 0.01}
    row["sd_moderated"] = 0.01
    row |= {"difference": 0.02, "low": 0.01, "high": 0.03, "detectable": 0.025}
    prior = prior_of([0.01, 0.02], [5, 5])
    found = verdicts.verdict(row, study, SHARE, prior)
    assert found.kind == "better"
    assert "interval 1.0 to 3.0" in found.text
    assert found.text.endswith("the true one is probably smaller")
    assert "probably" not in verdicts.verdict({**row, "detectable": 0.015}, study, SHARE, prior).text


def test_small_differences_are_spelled_with_two_digits() -> None:
    assert verdicts.formatted(0.00042, SHARE) == "0.042 percentage points"
    assert verdicts.formatted(-0.012, SHARE) == "1.2 percentage points"
    assert verdicts.formatted(12.34, Unit(1.0, "", "", 1)) == "12.3"


def test_a_study_that_grew_says_so_and_counts_what_it_is_now(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", replicates=5)
    whole = json.loads((run / "study.json").read_text())
    started = json.loads(json.dumps(whole))
    started["plan"]["budget"]["replicates"] = 3
    (run / "study.json").write_text(json.dumps(started))
    with Ledger(run / "ledger") as ledger:
        append(ledger, "session_opened", process=0, resources={})
        append(ledger, "grown", plan=whole["plan"], confirmed_before=4)
    study = load.study(run)
    assert study.plan.budget.replicates == 5
    assert [dict(growth) for growth in study.growths] == [
        {"arms": 5, "replicates": 3, "trials": 2, "confirmed_before": 4, "arms_added": []}
    ]
    document = findings(run)
    validate(document)
    (said,) = [warning["text"] for warning in document["warnings"] if warning["code"] == "grew"]
    assert (
        "after it was started, from 5 arms and 3 replicates to 5 arms and 5 replicates, with 4 confirm results" in said
    )
    assert html.escape(said).split(",")[0] in render(run).page
    unseen = replace(study, growths=({"arms": 5, "replicates": 3, "confirmed_before": 0},))
    assert str(caveats.growth(unseen)).endswith("before any confirm trial had a result.")
    assert caveats.growth(load.study(write_run(tmp_path / "other"))) is None


def test_the_page_and_findings_say_the_same_weakens_the_claims(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shaky = {f"span=1.0/{replicate}/search/0": ("diverged", "nan") for replicate in range(8)}
    one_left = {f"baseline/{replicate}/confirm/0": ("failed", "lost") for replicate in range(7)}
    shaken = write_run(tmp_path / "run", replicates=8, statuses={**shaky, **one_left})
    few = write_run(tmp_path / "few", replicates=5)
    seen: set[str] = set()
    for shown in (run, shaken, few):
        if shown == few:
            monkeypatch.setattr(marginals, "marginals", lambda *_: 1 // 0)
        report = render(shown)
        said = json.loads(report.findings)["warnings"]
        answer = report.page.partition('<section class="answer"')[2].partition("</section>")[0]
        assert [html.unescape(text) for text in re.findall("<li>(.*)</li>", answer)] == [row["text"] for row in said]
        seen |= {row["code"] for row in said}
    assert seen >= {
        "failed",
        "open",
        "lost_pairs",
        "random_search",
        "unequal_survival",
        "too_few_pairs",
        "not_computed",
    }
    assert seen >= {"sign_flip_floor"}


def test_unequal_survival_is_flagged(tmp_path: Path) -> None:
    shaky = {f"span=1.0/{replicate}/search/0": ("diverged", "nan") for replicate in range(8)}
    document = findings(write_run(tmp_path / "run", replicates=8, statuses=shaky))
    assert document["unequal_survival"]["is_unequal"]
    assert [arm["arm"] for arm in document["arms"] if arm["survival"]["flagged"]] == ["span=1.0"]
    (said,) = [warning["text"] for warning in document["warnings"] if warning["code"] == "unequal_survival"]
    assert "% of span=1.0. Arms that lose more" in said.replace(THIN, " ")


def test_numbers_that_are_not_there_are_null(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    trials = pd.read_parquet(run / "trials.parquet")
    trials.loc[trials["phase"] == "confirm", "status"] = "pending"
    trials.drop(columns=["metric.test_strength", "metric.test_beauty"]).to_parquet(run / "trials.parquet")
    document = findings(run)
    validate(document)
    assert {row["p"] for row in document["comparisons"]} == {None}
    assert {arm["metrics"]["strength"]["mean"] for arm in document["arms"]} == {None}
    assert not np.isnan(document["study"]["alpha"])
