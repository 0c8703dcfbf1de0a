"""A trial's output and its reason are kept, also where they hold what no encoding has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablation.engine.trainable import TrialActor
from ablation.engine.worker import TrialEnvironment
from ablation.paths import RunPaths
from ablation.study.study import Assignment
from ablation.trial import EpochRecord, TrialContext
from ablation.user_code import UserCode
from tests.toy_study import toy_plan

# As Python writes a file name whose bytes are no UTF-8.
PICTURE = "/data/é\udcff.jpg"


def run_trial(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
    """Print a name, and fail with it in the second epoch."""
    print(f"opening {PICTURE}")
    yield EpochRecord(1, 0.1, {"val_score": 0.5}, 1)
    raise ValueError(f"cannot decode {PICTURE}")


def test_a_failure_with_a_name_that_is_no_text_is_told_and_logged(tmp_path: Path) -> None:
    trial = next(toy_plan().trials())
    environment = TrialEnvironment(
        run_dir=tmp_path, run_trial=f"{__name__}:run_trial", data=None, data_fingerprint=None, device="cpu",
        cpu_threads=1, checkpoint_epochs=(), user_code=UserCode.here(), watchdog_s=600.0,
    )  # fmt: skip
    actor = TrialActor({"environment": environment})
    actor.take(Assignment(trial, {}))
    first, second = (actor.step()["report"] for _ in range(2))
    assert first is not None and first.record is not None
    assert second is not None and second.failure == f"ValueError: cannot decode {PICTURE}"
    log = RunPaths(tmp_path).log(trial.trial_id).read_text("utf-8")
    assert log.startswith("opening /data/é\\udcff.jpg\n") and log.endswith("cannot decode /data/é\\udcff.jpg\n")
