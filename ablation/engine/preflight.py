"""Every node of a cluster is asked whether it can run the study's trials: before the first, and when one joins.

A task a node, which takes no CPU and so reaches busy nodes, too. One that cannot run them gets none, the others go on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import ray
from ray._private.accelerators import get_accelerator_manager_for_resource
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ablation.engine.executor import TellNodes
from ablation.engine.fitness import Fitness
from ablation.engine.node_facts import Needs, NodeFacts, look_around
from ablation.engine.node_faults import CheckedNode, NodeFault, clock_difference_s, faults_of
from ablation.engine.placement import avoid, forget_avoided
from ablation.engine.travel import arrived
from ablation.faults import FaultsError
from ablation.ledger.storage import UnwritableError
from ablation.paths import RunPaths
from ablation.store import AnyPath, make_folder, put_whole, remove_folder

ANSWER_MOST_S = 60.0  # for a worker to start on a node that is busy
LOOK_EVERY_S = 2.0
GONE = (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError)  # while it was asked, or before


class Preflight:
    """Check nodes, and keep trials from those that fail."""

    def __init__(self, needs: Needs, is_on_gpu: bool, tell: TellNodes) -> None:
        self._needs = replace(needs, marker=secrets.token_hex(8))
        self._paths = RunPaths(needs.run_dir)
        self._is_on_gpu = is_on_gpu
        self._tell = tell
        self._known: set[str] = set()
        self._driver: NodeFacts | None = None

    @contextmanager
    def kept_up(self) -> Iterator[None]:
        """Check the nodes that are there, and those that join later until the end.

        Raises FaultsError if there are nodes and none can run trials, UnwritableError if the marker cannot be written.
        """
        forget_avoided()
        try:
            remove_folder(self._paths.preflight)  # a driver that was killed left it
            make_folder(self._paths.preflight)
            put_whole(self._paths.preflight_marker, self._needs.marker.encode())
        except OSError as error:
            raise UnwritableError(self._needs.run_dir, str(error)) from error
        try:
            checked = self.look()
            if checked and not any(node.is_fit for node in checked):
                raise FaultsError(
                    ["no node of the cluster can run trials; mend what is said of them, then go on with --resume"]
                )
            with self._looking():
                yield
        finally:
            remove_folder(self._paths.preflight)

    @property
    def fitness(self) -> Fitness:
        """What a worker holds its node to."""
        return Fitness(self._needs, self._driver_facts())

    def look(self) -> list[CheckedNode]:
        """Check the nodes that have joined since the last look, tell of them, and avoid those that fail."""
        new = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in self._known and _has_room(node)]
        if not new:
            return []
        checked = self._check(new)
        self._known.update(node.node_id for node in checked)
        avoid(node.node_id for node in checked if not node.is_fit)
        if checked:
            self._tell(checked)
        return checked

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Look again and again, in a thread."""
        is_over = Event()

        def look_on() -> None:
            while not is_over.wait(LOOK_EVERY_S):
                # The connection to a head that is lost ends the sweep by itself.
                with suppress(Exception):
                    self.look()

        thread = Thread(target=look_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(ANSWER_MOST_S)

    def _check(self, nodes: Sequence[dict[str, Any]]) -> list[CheckedNode]:
        driver = self._driver_facts()
        asked_s = time.time()
        asked = {node["NodeID"]: _ask(self._needs, node["NodeID"]) for node in nodes}
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_MOST_S)
        judged = (self._judge(node, asked[node["NodeID"]], asked_s, driver) for node in nodes)
        return [node for node in judged if node is not None]

    def _driver_facts(self) -> NodeFacts:
        if self._driver is None:
            self._driver = look_around(self._needs, "driver-too", _gpus)
        return self._driver

    def _judge(self, node: dict[str, Any], answer: Any, asked_s: float, driver: NodeFacts) -> CheckedNode | None:
        """Return what is wrong with a node; None if it is gone before it could say."""
        node_id, address = node["NodeID"], node["NodeManagerAddress"]
        try:
            facts: NodeFacts = ray.get(answer, timeout=0)
        except GONE:
            return None
        # Whatever a node's environment lets the task end with; all of it means that trials would end there, too.
        except Exception as error:
            return CheckedNode(node_id, address, faults=(_no_answer(error),))
        gpus = float(node["Resources"].get("GPU", 0)) if self._is_on_gpu else 0.0
        faults = faults_of(driver, facts, self._needs.run_dir, _text(self._paths.preflight / node_id), gpus)
        clock_s = clock_difference_s(asked_s, facts.unix_s, time.time())
        return CheckedNode(node_id, address, facts, tuple(faults), clock_s)


def _has_room(node: dict[str, Any]) -> bool:
    """Return whether any trial could ever run on a node; heads often have no CPUs to give."""
    return bool(node["Resources"].get("CPU", 0))


def _ask(needs: Needs, node_id: str) -> Any:
    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    task = ray.remote(num_cpus=0, max_retries=0)(_look_there)
    return task.options(scheduling_strategy=there).remote(needs, node_id)


def _look_there(needs: Needs, name: str) -> NodeFacts:
    return look_around(replace(needs, user_code=arrived(needs.user_code)), name, _gpus)


def _gpus() -> int:
    manager = get_accelerator_manager_for_resource("GPU")
    return 0 if manager is None else manager.get_current_node_num_accelerators()


def _no_answer(error: Exception) -> NodeFault:
    if isinstance(error, ray.exceptions.GetTimeoutError):
        return NodeFault(f"it does not answer within {ANSWER_MOST_S:g} s", "see its load, and its Ray's logs")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return NodeFault(f"it cannot be asked: {lines[-1] if lines else type(error).__name__}", "see its environment")


def _text(path: AnyPath) -> str | None:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
