"""A run directory of version 1, written before study.json had version 2: it opens, goes on, grows, reports, audits."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ablation import study_file, tables
from ablation.faults import FaultsError
from ablation.ledger.events import Grown
from ablation.ledger.log import Ledger, read_events
from ablation.paths import RunPaths
from ablation.plan import Plan, WarmStart
from ablation.plan_versions import of_version_1
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request
from ablation.resources import Resources
from ablation.study.growth import open_study
from analysis.audit.checks import audit
from analysis.report.build import render
from tests.support.plain_loop import carry_out, run_study
from tests.toy_study import SPACE

# Started warm from a run "earlier" with 2 replicates, grown to 3, and interrupted there.
KEPT = Path(__file__).parents[1] / "fixtures" / "run-version-1"


@pytest.fixture
def old(tmp_path: Path) -> RunPaths[Path]:
    return RunPaths(shutil.copytree(KEPT, tmp_path / "version-1"))


def asked(paths: RunPaths[Path], **changes: object) -> Plan:
    """Ask to go on with the run, whose trials' code may have changed since."""
    settings = {"budget": "quick", "arms": ("baseline",), "trials": 2, "replicates": 3, **changes}
    request = Request(SPACE, **settings)  # type: ignore[arg-type]
    name, out = paths.root.name, paths.root.parent
    return plan_run(request, name, out, Resources(), resume=True, accept_changes=True).checked.plan


def go_on(paths: RunPaths[Path], plan: Plan) -> None:
    with Ledger(paths.ledger) as ledger:
        carry_out(open_study(study_file.read(paths), ledger, plan), paths)
    tables.materialise(paths)


def results(paths: RunPaths[Path]) -> pd.DataFrame:
    return pd.read_parquet(paths.trials).set_index("trial_id").filter(regex=r"^(status|config\..*|metric\..*)$")


@pytest.mark.parametrize("replicates", [3, 4])
def test_it_goes_on_and_grows_to_what_an_uninterrupted_study_finds(
    old: RunPaths[Path], tmp_path: Path, replicates: int
) -> None:
    plan = asked(old, replicates=replicates)
    assert plan.warm_start == WarmStart(run="earlier", defaults={"toy.offset": 0.25})
    assert plan.space.nuisance["toy.offset"].source == ""
    assert plan.space.nuisance["toy.offset"].default == 0.25  # what the run that it was started from had confirmed
    go_on(old, plan)
    grown = [event for event in read_events(old.ledger) if isinstance(event.what, Grown)]
    assert [event.session for event in grown] == ([2] if replicates == 3 else [2, 3])
    whole = run_study(plan, tmp_path / "whole")
    pd.testing.assert_frame_equal(results(old), results(whole))
    assert audit(old.root) == []


def test_it_goes_on_from_no_other_run(old: RunPaths[Path]) -> None:
    with pytest.raises(FaultsError, match="was started from earlier; leave --warm-start out"):
        asked(old, warm_start=old.root.parent / "another")
    assert asked(old, warm_start=old.root.parent / "earlier").warm_start is not None


def test_a_mark_is_taken_out_of_a_source_and_the_rest_stays() -> None:
    plan = json.loads((KEPT / "study.json").read_text())["plan"]
    plan["space"]["nuisance"]["toy.offset"]["source"] = "a guess; default: warm start from earlier"
    new = Plan.model_validate(of_version_1(plan))
    assert new.space.nuisance["toy.offset"].source == "a guess"
    plan["space"]["nuisance"]["toy.offset"]["source"] = "a guess"
    assert Plan.model_validate(of_version_1(plan)).warm_start is None


def test_a_version_to_come_is_named(old: RunPaths[Path]) -> None:
    document = json.loads(old.study.read_text()) | {"schema_version": 3}
    del document["sha256_of_the_rest"]
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    old.study.write_text(json.dumps({**document, "sha256_of_the_rest": digest}))
    with pytest.raises(study_file.DamagedStudyError, match="schema_version is 3, but must be 1 or 2; update"):
        study_file.read(old)


def test_it_reports_and_audits_as_it_stands(old: RunPaths[Path]) -> None:
    assert audit(old.root) == []
    report = render(old.root)
    assert report.failures == () and not report.is_whole
    assert report.inputs.counts["interrupted"] == 2
    tested = pd.read_parquet(old.trials).pivot_table(index="replicate", columns="arm", values="metric.test_score")
    (difference,) = report.tables["comparisons"]["difference"]
    assert difference == pytest.approx((tested["baseline"] - tested["reference"]).mean())
