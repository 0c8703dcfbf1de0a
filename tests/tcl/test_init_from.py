"""``--init-from``: all weights start at an earlier run's best checkpoint, also when that run is gone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ablation.best_trial import Selection, best_available, best_trial
from ablation.checkpoint import without_prefix
from ablation.execution import run_prepared
from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.planning.planned_run import create_run, plan_run
from ablation.planning.request import Request, check_request
from ablation.rerun import rerun
from ablation.resources import Resources
from ablation.run_dir import run_dir
from ablation.tcl.config import TclConfig
from ablation.tcl.data.dataset import open_dataset
from ablation.tcl.train import Training, run_trial
from ablation.trial import TrialContext, build_config
from tests.support.tiny_faces import SETTINGS, make_pictures, run_tiny


@pytest.fixture(scope="module", autouse=True)
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABLATION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, uri: str) -> RunPaths[Path]:
    return run_tiny(tmp_path_factory.mktemp("runs") / "source", uri)


def asked(uri: str, start: str, *settings: str) -> Request:
    return Request(
        "tcl", uri, arms=("baseline",), budget="quick", replicates=2, trials=0, epochs=1,
        settings=(*SETTINGS, *settings), init_from=start,
    )  # fmt: skip


def begun(uri: str, checkpoint: Path, folder: Path) -> Training:
    """Return a trial before its first step."""
    config = build_config(run_trial, {"model.width": 4, "data.size_px": 16, "train.batch_size": 8})
    assert isinstance(config, TclConfig)
    context = TrialContext("t", "search", 1, 1, 2, folder, data=uri, device="cpu", init_from=str(checkpoint))
    return Training(config, context, open_dataset(uri, 16))


def test_backbone_and_head_are_the_checkpoints_and_with_other_classes_the_head_is_new(
    source: RunPaths[Path], uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial, read = best_available(source.root)
    assert isinstance(trial.checkpoint, Path)
    kept = without_prefix("network", read.tensors)
    same = begun(uri, trial.checkpoint, tmp_path).network.state_dict()
    assert "tensors of small matched (100%), and the head" in capsys.readouterr().out
    for name, tensor in same.items():
        if name.startswith(("backbone.", "head.")):
            torch.testing.assert_close(tensor, kept[name], rtol=0, atol=0)
    renamed = make_pictures(tmp_path / "renamed", ("glad", "sad", "cross"))
    other = begun(renamed, trial.checkpoint, tmp_path).network.state_dict()
    assert "and the head" not in capsys.readouterr().out
    torch.testing.assert_close(other["backbone.stem.0.weight"], kept["backbone.stem.0.weight"], rtol=0, atol=0)
    assert not torch.equal(other["head.weight"], kept["head.weight"])


def test_a_study_records_its_start_and_keeps_it_when_the_run_it_came_from_is_gone(
    source: RunPaths[Path], uri: str, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(source.root, moved)
    planned = plan_run(
        asked(uri, f"{moved}:baseline"), "new", tmp_path / "runs", Resources(executor="in-process"), resume=False
    )
    create_run(planned)
    shutil.rmtree(moved)
    planned.resume = True
    assert run_prepared(planned, report=False) == 0
    start = run_dir(planned.paths.root).study().plan.init_from
    assert start is not None and start.run == "moved"
    assert start.trial_id == best_trial(source.root, Selection("baseline")).trial_id
    assert set(start.matched) == {"reference", "baseline"}
    assert all(said.endswith("of small matched (100%)") for said in start.matched.values())
    assert rerun(planned.paths.root, "reference/0/confirm/0").is_exact


def test_what_does_not_match_or_start_is_refused_with_all_that_differs(source: RunPaths[Path], uri: str) -> None:
    with pytest.raises(FaultsError) as reported:
        check_request(asked(uri, str(source.root), "model.width=8"), gpus=0)
    assert "baseline: --init-from matches 0 of" in str(reported.value) and "must have (8, 3, 4, 4)" in str(
        reported.value
    )
    with pytest.raises(FaultsError, match="arm is 'none'"):
        check_request(asked(uri, f"{source.root}:none"), gpus=0)
    with pytest.raises(FaultsError, match="the study sorting starts from no checkpoint"):
        check_request(Request("sorting", budget="quick", init_from=str(source.root)), gpus=0)
