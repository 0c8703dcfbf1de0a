"""What a trial takes of the device it gives back, and running out of memory is known as such."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ablation.engine.worker import _breaks_the_process
from ablation.tcl.train import run_trial
from tests.gpu.device import needs_cuda
from tests.gpu.made_training import config, context, made_dataset, use_made_dataset

pytestmark = needs_cuda


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "stopped"])
def test_a_trial_gives_its_memory_back_to_the_device(
    finished: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_made_dataset(monkeypatch, made_dataset())
    list(run_trial(config(), context(tmp_path / "warm")))  # libraries take workspaces that they keep
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    large = config(**{"model.backbone": "resnet18", "train.batch_size": 112})
    records = run_trial(large, context(tmp_path / "large"))
    next(records)
    assert torch.cuda.memory_reserved() > before + (32 << 20)
    if finished:
        list(records)
    records.close()  # type: ignore[attr-defined]
    assert torch.cuda.memory_reserved() <= before + (32 << 20)


def test_running_out_of_memory_ends_the_process_and_the_next_trial_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(1 << 42, dtype=torch.uint8, device="cuda")
    assert _breaks_the_process(caught.value)
    use_made_dataset(monkeypatch, made_dataset())
    assert len(list(run_trial(config(), context(tmp_path)))) == 3


@pytest.mark.parametrize("named_by", ["index", "uuid", "none"])
def test_visible_devices_count_as_the_environment_says(named_by: str) -> None:
    uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
    visible = {"index": "0", "uuid": uuid, "none": ""}[named_by]
    code = "from ablation.engine.slots import visible_gpus; print(visible_gpus(None))"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": visible}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == (0 if named_by == "none" else 1)
