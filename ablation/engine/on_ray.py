"""Trials as Ray Tune's: as many at a time as a machine or a cluster has room for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

# First, since it sets what Ray reads when it is imported.
from ablation.engine.cluster import connected, connected_head, places

# isort: split
from ray import tune

from ablation.engine.executor import Lost, Sweep, TellNodes
from ablation.engine.head_watch import head_watched
from ablation.engine.node_facts import Needs
from ablation.engine.placement import FitNodes
from ablation.engine.preflight import Preflight
from ablation.engine.scheduler import StopWhenDue, StudyCallback, StudyScheduler, StudySearcher
from ablation.engine.slots import Slots
from ablation.engine.trainable import TrialActor
from ablation.engine.travel import travelling
from ablation.engine.trial_files import hand_over, local_side
from ablation.engine.tune_here import tuner_here
from ablation.engine.watchdog import remove_empty_traces
from ablation.engine.worker_losses import worker_losses_in
from ablation.engine.workers import Workers
from ablation.resources import Resources


class OnRay:
    """Let Ray Tune find places for workers, start them, and say which are lost."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @contextmanager
    def started(self, needs: Needs, tell: TellNodes, lost: Lost) -> Iterator[Slots]:
        """Start Ray on this machine, or join a cluster, whose nodes are checked."""
        with ExitStack() as self._until_ray_ends:
            address, code, self._preflight = self._resources.address, None, None
            if address is not None:
                code = self._until_ray_ends.enter_context(travelling(needs))
            self._until_ray_ends.enter_context(connected(address, code))
            if address is not None:
                if (head := connected_head()) is not None:
                    self._until_ray_ends.enter_context(head_watched(head, lost))
                self._preflight = Preflight(needs, self._resources.gpus_per_trial != 0, tell)
                self._until_ray_ends.enter_context(self._preflight.kept_up())
            self._places = places(self._resources)
            yield self._places.slots

    def run(self, sweep: Sweep) -> None:
        """Run what the study hands out until nothing is left or ``stop`` is due."""
        environment, stop = sweep.environment, sweep.stop
        if self._preflight is not None:
            environment = replace(environment, fitness=self._preflight.fitness)
        here = local_side(sweep.paths)
        remove_empty_traces(here.logs)  # a driver that was killed left them
        self._until_ray_ends.callback(remove_empty_traces, here.logs)
        self._until_ray_ends.callback(hand_over, sweep.paths, here.worker_losses)
        self._until_ray_ends.enter_context(worker_losses_in(here.worker_losses))
        workers = Workers(sweep.study, sweep.results, stop, self._places)
        with tempfile.TemporaryDirectory(prefix="ablation-tune-") as scratch:
            tuner_here(
                Path(scratch),
                tune.with_resources(TrialActor, FitNodes(self._places.slots.per_trial)),
                tune_config=tune.TuneConfig(
                    search_alg=StudySearcher(sweep.study, workers, environment, stop),
                    scheduler=StudyScheduler(workers, lambda: workers.look(sweep.look)),
                    num_samples=-1,
                    trial_dirname_creator=lambda trial: str(trial.trial_id),
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=scratch,
                    callbacks=[StudyCallback(workers, sweep.paths)],
                    stop=StopWhenDue(stop),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            ).fit()
