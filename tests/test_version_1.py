"""A run directory of version 1, written before study.json had version 2: it opens, goes on, grows, reports, audits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from ablation import study_file, tables
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request
from ablation.resources import Resources
from ablation.study.growth import open_study
from analysis.audit.checks import audit
from analysis.report.build import render
from tests.plain_loop import carry_out, run_study
from tests.toy_study import SPACE

# Started warm from a run "earlier" with 2 replicates, grown to 3, and interrupted there.
KEPT = Path(__file__).parent / "fixtures" / "run-version-1"


@pytest.fixture
def old(tmp_path: Path) -> RunPaths:
    return RunPaths(shutil.copytree(KEPT, tmp_path / "version-1"))


def asked(paths: RunPaths, **changes: object) -> Plan:
    """Ask to go on with the run, whose trials' code may have changed since."""
    settings = {"budget": "quick", "arms": ("baseline",), "trials": 2, "replicates": 3, **changes}
    request = Request(SPACE, **settings)  # type: ignore[arg-type]
    name, out = paths.root.name, paths.root.parent
    return plan_run(request, name, out, Resources(), resume=True, accept_changes=True).checked.plan


def go_on(paths: RunPaths, plan: Plan) -> None:
    with Ledger(paths.ledger) as ledger:
        carry_out(open_study(study_file.read(paths), ledger, plan), paths)
    tables.materialise(paths)


def results(paths: RunPaths) -> pd.DataFrame:
    return pd.read_parquet(paths.trials).set_index("trial_id").filter(regex=r"^(status|config\..*|metric\..*)$")


@pytest.mark.parametrize("replicates", [3, 4])
def test_it_goes_on_and_grows_to_what_an_uninterrupted_study_finds(
    old: RunPaths, tmp_path: Path, replicates: int
) -> None:
    plan = asked(old, replicates=replicates)
    assert plan.space.nuisance["toy.offset"].default == 0.25  # what the run that it was started from had confirmed
    go_on(old, plan)
    whole = run_study(plan, tmp_path / "whole")
    pd.testing.assert_frame_equal(results(old), results(whole))
    assert audit(old.root) == []


def test_it_reports_and_audits_as_it_stands(old: RunPaths) -> None:
    assert audit(old.root) == []
    report = render(old.root)
    assert report.failures == () and not report.is_whole
    assert report.inputs.counts["interrupted"] == 2
    tested = pd.read_parquet(old.trials).pivot_table(index="replicate", columns="arm", values="metric.test_score")
    (difference,) = report.tables["comparisons"]["difference"]
    assert difference == pytest.approx((tested["baseline"] - tested["reference"]).mean())
