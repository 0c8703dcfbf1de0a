"""What ``benchmarks.slots`` compares with: the same sleeping trials through Ray Tune's own loop, workers reused."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray
from ray import tune

from benchmarks.slots import EPOCH_S


class Sleeper(tune.Trainable):
    """Sleep away each epoch, and note the process and when it slept."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial."""
        self._config = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial into the same process."""
        self._config = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Sleep, and say whether that was the last epoch."""
        began = time.time()
        time.sleep(EPOCH_S)
        line = {"process": os.getpid(), "began": began, "ended": time.time(), "trial": self.trial_id}
        with (Path(self._config["folder"]) / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return {"score": 0.5, "done": self.iteration + 1 >= self._config["epochs"]}


def main(folder: str, slots: int, trials: int, epochs: int, cpus_per_trial: float) -> None:
    """Run the trials, as many at a time as there are slots."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as scratch:
        tune.Tuner(
            tune.with_resources(Sleeper, {"CPU": cpus_per_trial}),
            param_space={"folder": folder, "epochs": epochs},
            tune_config=tune.TuneConfig(num_samples=trials, max_concurrent_trials=slots, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                # At its end a trial would be saved, which these cannot be, and their workers ended with them.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
