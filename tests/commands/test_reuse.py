"""The best model: whose checkpoint is whole, with a word about better ones that are lost, and how they come back."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from ablation.best_trial import LostCheckpointWarning, best_available, best_trials, lost_checkpoints
from ablation.checkpoint import load
from ablation.paths import RunPaths
from ablation.planning.request import Request, check_request
from ablation.rerun import rerun
from ablation.reuse import load_best
from ablation.store import remove_folder
from tests.support.plain_loop import run_study


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    asked = Request("tests.chaos.trial:SPACE", arms=("baseline",), replicates=2, trials=2, epochs=2)
    return run_study(check_request(asked, gpus=0).plan, tmp_path_factory.mktemp("runs") / "mine")


def test_a_lost_or_damaged_best_gives_way_to_the_next_and_comes_back_when_made_again(swept: RunPaths[Path]) -> None:
    best, second, third, *_ = best_trials(swept.root)
    assert best.score >= second.score >= third.score
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert best_available(swept.root)[0] == best
    assert isinstance(best.checkpoint, Path) and isinstance(second.checkpoint, Path)
    original = load(best.checkpoint, "numpy").tensors
    best.checkpoint.unlink()  # the one of the epoch before stays, and is no stand-in
    assert list(best.checkpoint.parent.iterdir())
    second.checkpoint.write_bytes(second.checkpoint.read_bytes()[:-1])
    assert lost_checkpoints(swept.root) == [best.trial_id]
    with pytest.warns(LostCheckpointWarning) as reported:
        assert best_available(swept.root)[0] == third
    missing, damaged = (str(warning.message) for warning in reported)
    assert (
        f"{best.trial_id} is missing; python -m ablation.rerun" in missing
        and f"{best.trial_id} --keep --trust" in missing
    )
    assert f"{second.trial_id} cannot be used" in damaged and f"{third.trial_id} is used instead" in damaged
    assert rerun(swept.root, best.trial_id, trust=True, keep=True).is_exact
    again, _ = best_available(swept.root)
    assert again.checkpoint is not None
    made = load(again.checkpoint, "numpy").tensors
    assert made.keys() == original.keys() and all(made[name].tobytes() == original[name].tobytes() for name in made)
    assert again.trial_id == best.trial_id and again.checkpoint.parent == best.checkpoint.parent
    assert lost_checkpoints(swept.root) == []


def test_with_every_checkpoint_lost_all_commands_that_make_them_are_named(
    swept: RunPaths[Path], tmp_path: Path
) -> None:
    trials = best_trials(swept.root)
    for trial in trials:
        assert trial.checkpoint is not None
        remove_folder(trial.checkpoint.parent)
    with pytest.raises(FileNotFoundError) as reported:
        best_available(swept.root)
    assert str(reported.value).count("--keep --trust makes it again") == len(trials)
    with pytest.raises(FileNotFoundError):
        load_best(swept.root, trust=True)
