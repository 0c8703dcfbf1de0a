"""Trials as Ray Tune's: as many at a time as a machine or a cluster has room for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

# First, since it sets what Ray reads when it is imported.
from ablation.engine.cluster import connected, slots

# isort: split
from ray import tune

from ablation.engine.executor import TellNodes
from ablation.engine.node_facts import Needs
from ablation.engine.placement import FitNodes
from ablation.engine.preflight import Preflight
from ablation.engine.results import Results
from ablation.engine.scheduler import MOST_RETRIES, StopWhenDue, StudyCallback, StudyScheduler, StudySearcher
from ablation.engine.slots import Slots
from ablation.engine.stop import StopReason
from ablation.engine.trainable import TrialActor
from ablation.engine.travel import travelling
from ablation.engine.trial_files import hand_over, local_side
from ablation.engine.tune_here import tuner_here
from ablation.engine.warm_workers import kept_warm
from ablation.engine.watchdog import remove_empty_traces
from ablation.engine.worker import TrialEnvironment
from ablation.engine.worker_losses import worker_losses_in
from ablation.paths import RunPaths
from ablation.resources import Resources
from ablation.study.study import Study


class OnRay:
    """Let Ray Tune schedule the trials."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @contextmanager
    def started(self, needs: Needs, tell: TellNodes) -> Iterator[Slots]:
        """Start Ray on this machine, or join a cluster, whose nodes are checked."""
        with ExitStack() as self._until_ray_ends:
            address, code, self._preflight = self._resources.address, None, None
            if address is not None:
                code = self._until_ray_ends.enter_context(travelling(needs))
            self._until_ray_ends.enter_context(connected(address, code))
            if address is not None:
                self._preflight = Preflight(needs, self._resources.gpus_per_trial != 0, tell)
                self._until_ray_ends.enter_context(self._preflight.kept_up())
            self._slots = slots(self._resources)
            yield self._slots

    def run(
        self, study: Study, paths: RunPaths, environment: TrialEnvironment, stop: StopReason, results: Results
    ) -> None:
        """Run what the study hands out until nothing is left or ``stop`` is due."""
        count = self._slots.count
        if self._preflight is not None:
            environment = replace(environment, fitness=self._preflight.fitness)
        here = local_side(paths)
        remove_empty_traces(here.logs)  # a driver that was killed left them
        self._until_ray_ends.callback(remove_empty_traces, here.logs)
        self._until_ray_ends.callback(hand_over, paths, here.worker_losses)
        self._until_ray_ends.enter_context(worker_losses_in(here.worker_losses))
        with tempfile.TemporaryDirectory(prefix="ablation-tune-") as scratch, kept_warm() as workers:
            tuner_here(
                Path(scratch),
                tune.with_resources(TrialActor, FitNodes(self._slots.per_trial)),
                tune_config=tune.TuneConfig(
                    search_alg=StudySearcher(study, count, environment, stop),
                    scheduler=StudyScheduler(results),
                    num_samples=-1,
                    max_concurrent_trials=count,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: str(trial.trial_id),
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=scratch,
                    callbacks=[StudyCallback(study, paths, stop, workers.distrust)],
                    stop=StopWhenDue(stop),
                    failure_config=tune.FailureConfig(max_failures=MOST_RETRIES),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            ).fit()
