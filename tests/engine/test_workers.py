"""How many workers a sweep asks for as nodes come and go, and which trial each of them gets, when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ablation.engine.checkpoint_removal import CheckpointRemoval
from ablation.engine.places import Places
from ablation.engine.results import Results
from ablation.engine.sharing import Claim, fair_share
from ablation.engine.slots import Slots
from ablation.engine.stop import NoWorkerError, StopReason
from ablation.engine.worker import StepReport
from ablation.engine.workers import MOST_RETRIES, Workers
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.resources import Resources
from ablation.study.study import Assignment, Study
from ablation.trial import EpochRecord
from tests.toy_study import toy_plan

FAILED = StepReport(None, 1.0, failure="asked to")


class Cluster:
    """Nodes and a clock that the test sets, and a sweep on them."""

    def __init__(self, ledger: Ledger, root: Path, **resources: Any) -> None:
        self.nodes: list[Mapping[str, float]] = []
        self.now_s = 100.0
        self.study = Study(toy_plan(), ledger)
        self.study.open_session(process=0, resources={})
        self.stop = StopReason(self.study, ledger)
        paths = RunPaths(root)
        removal = CheckpointRemoval(self.study, paths, ledger)
        results = Results(self.study, paths, self.stop, removal)
        self.resources = Resources(**resources)
        self.others: list[Claim] = []
        self.places = Places(self.resources, lambda: self.nodes, lambda: self.others, clock=lambda: self.now_s)
        self.workers = Workers(self.study, results, self.stop, self.places, clock=lambda: self.now_s)
        self.has: dict[str, Assignment | None] = {}
        self.asked = 0

    def set_nodes(self, *nodes: Mapping[str, float]) -> Slots:
        """Let other nodes be there, a second later."""
        self.nodes, self.now_s = list(nodes), self.now_s + 1.0
        told: list[Slots] = []
        self.workers.look(told.append)
        return told[0]

    def ask(self) -> list[str]:
        """Ask for workers until no more are wanted; return their names."""
        names = []
        while self.workers.wants_another:
            names.append(f"w{self.asked}")
            self.asked += 1
            self.workers.asked_for(names[-1])
        return names

    def report(self, worker: str, report: StepReport | None = None) -> bool:
        """Let a worker report; it keeps what it is given."""
        return self.workers.reported(worker, report, f"host of {worker}", lambda got: self.has.update({worker: got}))

    def train(self, worker: str) -> None:
        """Let a worker train the trial it has to its end."""
        assignment = self.has[worker]
        assert assignment is not None
        trial = assignment.trial
        for epoch in range(1, trial.epochs + 1):
            test = {"test_score": 0.5} if trial.phase == "confirm" and epoch == trial.epochs else {}
            self.report(worker, StepReport(EpochRecord(epoch, 0.1, {"val_score": 0.5, **test}), 1.0))
            if self.has[worker] is not assignment:
                return


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger") as opened:
        yield opened


def test_no_trial_begins_before_its_worker_is_ready(ledger: Ledger, tmp_path: Path) -> None:
    cluster = Cluster(ledger, tmp_path, max_nodes=3)
    assert cluster.ask() == ["w0", "w1", "w2"]  # one for each node, since none is known
    assert not cluster.study.records
    cluster.set_nodes({"CPU": 2})
    assert cluster.report("w1")
    (state,) = cluster.study.records.values()
    assert cluster.has["w1"] is not None and state.trial_id == cluster.has["w1"].trial.trial_id
    assert state.attempts == 1


def test_workers_follow_the_nodes_up_to_what_may_join(ledger: Ledger, tmp_path: Path) -> None:
    cluster = Cluster(ledger, tmp_path, max_nodes=3, cpus_per_trial=2.0)
    cluster.ask()
    assert cluster.set_nodes({"CPU": 3}, {"CPU": 3}, {"CPU": 1}).count == 2
    assert cluster.places.most == 3 and cluster.ask() == []
    cluster.set_nodes({"CPU": 3}, {"CPU": 4})  # a larger one: the third may be as large
    assert cluster.places.most == 5 and len(cluster.ask()) == 2
    cluster.set_nodes(*[{"CPU": 4}] * 4)
    assert cluster.places.most == 6


def test_without_more_nodes_to_come_no_worker_waits_for_a_place_that_is_not_there(
    ledger: Ledger, tmp_path: Path
) -> None:
    cluster = Cluster(ledger, tmp_path)
    assert cluster.ask() == []
    cluster.set_nodes({"CPU": 2}, {"CPU": 2})
    first = cluster.ask()
    assert len(first) == 4
    for worker in first[:3]:
        cluster.report(worker)
    cluster.set_nodes({"CPU": 2})
    assert cluster.workers.withdrawn() == [first[3]] and cluster.ask() == []
    cluster.workers.lost(first[0], "its node is gone")
    cluster.workers.lost(first[1], "its node is gone")
    cluster.set_nodes({"CPU": 2}, {"CPU": 2})
    assert len(cluster.ask()) == 3


def test_every_trial_ends_once_while_nodes_and_workers_come_and_go(ledger: Ledger, tmp_path: Path) -> None:
    cluster = Cluster(ledger, tmp_path, max_nodes=4)
    alive, step = cluster.ask(), 0
    while not cluster.study.is_finished:
        step += 1
        cluster.set_nodes(*[{"CPU": 1}] * (1 + step % 4))
        withdrawn = cluster.workers.withdrawn()
        alive = [worker for worker in alive if worker not in withdrawn] + cluster.ask()
        worker = alive[step % len(alive)]
        if step % 7 == 0:
            alive.remove(worker)
            cluster.has.pop(worker, None)
            cluster.workers.lost(worker, "killed")
        elif cluster.has.get(worker) is not None:
            cluster.train(worker)
        elif not cluster.report(worker):
            alive.remove(worker)
        assert cluster.stop.fault is None
    assert {state.outcome for state in cluster.study.records.values()} == {"completed"}
    busy = [worker for worker, assignment in cluster.has.items() if assignment is not None and worker in alive]
    assert busy == []


def test_a_worker_ends_when_fewer_trials_than_workers_are_left(ledger: Ledger, tmp_path: Path) -> None:
    cluster = Cluster(ledger, tmp_path)
    cluster.set_nodes({"CPU": 3})
    for worker in cluster.ask():
        cluster.report(worker)
    while cluster.has["w0"] is not None:
        assert cluster.report("w0", FAILED)
    # Two searches are not over, and whether their confirm trials will come is open: w0 waits for them.
    assert len(cluster.study.state.unended) == 4 and cluster.report("w0")
    assert not cluster.report("w1", FAILED)  # they will not: two trials are left for three workers
    assert cluster.ask() == [] and cluster.report("w0")
    assert not cluster.report("w2", FAILED) and cluster.study.is_finished
    assert not cluster.report("w0")


def test_a_trial_that_loses_its_worker_goes_to_the_next_that_is_ready_and_fails_in_the_end(
    ledger: Ledger, tmp_path: Path
) -> None:
    cluster = Cluster(ledger, tmp_path)
    cluster.set_nodes({"CPU": 2})
    for worker in cluster.ask():
        cluster.report(worker)
    taken = cluster.has["w0"]
    assert taken is not None
    victim = "w0"
    for _ in range(MOST_RETRIES):
        cluster.workers.lost(victim, "killed")
        (victim,) = cluster.ask()
        cluster.report(victim)
        assert cluster.has[victim] == taken
    cluster.workers.lost(victim, "killed")
    state = cluster.study.records[taken.trial.trial_id]
    assert (state.outcome, state.reason) == ("failed", "worker lost 4 times: killed")


def test_a_sweep_in_which_no_worker_starts_says_so(ledger: Ledger, tmp_path: Path) -> None:
    cluster = Cluster(ledger, tmp_path)
    cluster.set_nodes({"CPU": 1})
    while cluster.stop.fault is None:
        (worker,) = cluster.ask()
        cluster.workers.lost(worker, "no module named 'model'")
    assert isinstance(cluster.stop.fault, NoWorkerError) and "no module named 'model'" in str(cluster.stop.fault)
    assert cluster.asked == MOST_RETRIES + 1 and not cluster.study.records


def test_an_unfit_node_that_joins_does_not_end_what_trains_elsewhere(ledger: Ledger, tmp_path: Path) -> None:
    cluster = Cluster(ledger, tmp_path)
    cluster.set_nodes({"CPU": 2})
    for worker in cluster.ask():
        cluster.report(worker)
    cluster.set_nodes({"CPU": 2}, {"CPU": 8})
    asked = cluster.ask()
    assert len(asked) == 8
    cluster.set_nodes({"CPU": 2})  # the preflight refuses it, and each worker that had begun there has ended
    for worker in asked:
        cluster.workers.lost(worker, "the node cannot run this trial")
    assert cluster.stop.fault is None and not cluster.stop.is_due


def test_what_is_waited_for_is_said_once_it_takes_long(ledger: Ledger, tmp_path: Path) -> None:
    cluster = Cluster(ledger, tmp_path, max_nodes=4, gpus_per_trial=0.25)
    cluster.ask()
    assert cluster.set_nodes().wait == ""
    cluster.now_s += 39.0
    assert cluster.set_nodes().wait == "0 of 4 places; asked the cluster for 4 × 1 CPU + 0.25 GPU, 41 s"
    full = cluster.set_nodes(*[{"CPU": 8, "GPU": 1}] * 4)
    assert full.wait == "4 of 16 places are taken or not ready, 42 s"
    for number in range(4):
        cluster.report(f"w{number}")
    assert cluster.set_nodes(*cluster.nodes).wait == ""


def test_a_study_gives_up_what_is_anothers_share_when_trials_end_and_takes_it_back(
    ledger: Ledger, tmp_path: Path
) -> None:
    cluster = Cluster(ledger, tmp_path)
    cluster.set_nodes({"CPU": 4})
    for worker in cluster.ask():
        cluster.report(worker)
    cluster.others = [Claim(has=0, waits=4)]
    told = cluster.set_nodes({"CPU": 4})
    assert told.wait == "another study has 0 and waits for 4"
    trained = cluster.has["w0"]
    assert cluster.report("w0", StepReport(EpochRecord(1, 0.1, {"val_score": 0.5}), 1.0))  # not before its trial ends
    assert cluster.has["w0"] is trained
    assert not cluster.report("w0", FAILED) and not cluster.report("w1", FAILED)
    assert cluster.report("w2", FAILED) and cluster.report("w3", FAILED)
    assert cluster.ask() == []
    cluster.others = [Claim(has=2, waits=2)]  # both have half, and wait for more
    cluster.set_nodes({"CPU": 4})
    assert cluster.report("w2", FAILED) and len(cluster.ask()) == 2
    cluster.others = [Claim(has=1, waits=0)]
    cluster.set_nodes({"CPU": 4})
    assert cluster.workers.withdrawn() == []


@pytest.mark.parametrize("places", range(1, 12))
def test_shares_are_what_handing_out_one_place_after_the_other_gives(places: int) -> None:
    for first in range(1, 12):
        for second in range(1, 12):
            has, left = [0, 0, 0], places
            while left:  # the study that asks wants all, and has its turn first
                for study, wants in enumerate((places, first, second)):
                    if left and has[study] < wants:
                        has[study], left = has[study] + 1, left - 1
            assert fair_share(places, [Claim(first, 0), Claim(0, second)]) == has[0]
