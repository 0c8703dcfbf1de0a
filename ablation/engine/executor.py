"""What runs a study's trials: Ray, on a machine or a cluster, or a plain loop in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ablation.engine.node_facts import Needs
from ablation.engine.node_faults import CheckedNode
from ablation.engine.results import Results
from ablation.engine.slots import Slots
from ablation.engine.stop import StopReason
from ablation.engine.worker import TrialEnvironment
from ablation.paths import RunPaths
from ablation.resources import Resources
from ablation.study.study import Study

TellNodes = Callable[[Sequence[CheckedNode]], None]
Look = Callable[[Slots], None]
Lost = Callable[[ConnectionError], object]


class NoStartError(ConnectionError):
    """An executor could not be started, or has no room for a trial."""


@dataclass(frozen=True)
class Sweep:
    """A study's trials to run, and who takes what comes of it.

    Attributes:
        environment: what all trials share.
        results: takes what workers report.
        look: hears how many trials run at once, about once a second if that may change.
    """

    study: Study
    paths: RunPaths
    environment: TrialEnvironment
    stop: StopReason
    results: Results
    look: Look


class NoHeadError(ConnectionError):
    """The head of the cluster is gone, and with it the cluster."""


class Executor(Protocol):
    """Run trials where there is room for them."""

    def started(self, needs: Needs, tell: TellNodes, lost: Lost) -> AbstractContextManager[Slots]:
        """Start whatever runs trials, and leave it at the end.

        On a cluster each node is asked for what trials ``need``, and ``tell`` hears what it says; if its head
        is lost, ``lost`` is called in a thread, and this process ends. Raises NoStartError,
        FaultsError if no node has what they need, UnwritableError if nothing can be written where the run lies.
        """
        ...

    def run(self, sweep: Sweep) -> None:
        """Run what the study hands out until nothing is left or ``stop`` is due."""
        ...


def executor_for(resources: Resources) -> Executor:
    """Return the executor that was asked for; Ray is imported only for its own."""
    if resources.executor == "in-process":
        from ablation.engine.in_process import InProcess

        return InProcess(resources)
    from ablation.engine.on_ray import OnRay

    return OnRay(resources)
