"""What keeps a machine from running a study's trials: its facts beside the driver's, in words with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ablation.code_record import changes
from ablation.engine.node_facts import NodeFacts
from ablation.store import AnyPath

LEAST_FREE_BYTES = 2**28  # less fills up with a few trials' checkpoints
MOST_CLOCK_S = 30.0
FILES_NAMED = 3


@dataclass(frozen=True)
class NodeFault:
    """What is wrong with a machine, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.what}; {self.remedy}"


@dataclass(frozen=True)
class CheckedNode:
    """A node of the cluster, as the preflight found it.

    Attributes:
        node_id: Ray's id of it.
        address: its IP address.
        facts: what it says of itself; None if it said nothing.
        faults: why it gets no trials; empty if it may have some.
        clock_s: by how much its clock is ahead of the driver's, at least; 0 if it may be right.
    """

    node_id: str
    address: str
    facts: NodeFacts | None = None
    faults: tuple[NodeFault, ...] = ()
    clock_s: float = 0.0

    @property
    def is_fit(self) -> bool:
        """Whether it may have trials."""
        return not self.faults

    @property
    def name(self) -> str:
        """Its address and, if it is known, its host's name."""
        return self.address if self.facts is None else f"{self.address} ({self.facts.host})"

    @property
    def remark(self) -> str:
        """What should be mended, though trials do not mind."""
        if abs(self.clock_s) <= MOST_CLOCK_S:
            return ""
        return f"its clock is {abs(self.clock_s):.0f} s {'ahead' if self.clock_s > 0 else 'behind'}: set it by NTP"


def faults_of(
    driver: NodeFacts, node: NodeFacts, root: AnyPath, mark: str | None, gpus_of_ray: float
) -> list[NodeFault]:
    """List why a node may not have trials.

    ``mark`` is what the driver reads where the node has left its own marker in the run directory ``root``, and
    ``gpus_of_ray`` how many GPUs Ray gives out there.
    """
    return [
        *_location_faults(driver, node, root, mark),
        *(NodeFault(f"no data: {fault}", "bring it there, or mount it") for fault in node.data_faults),
        *_version_faults(driver, node),
        *_code_faults(driver, node),
        *_gpu_faults(node, gpus_of_ray),
    ]


def _location_faults(driver: NodeFacts, node: NodeFacts, root: AnyPath, mark: str | None) -> Iterator[NodeFault]:
    share = "give an --out that all nodes share and may write"
    if node.marker is None:
        yield NodeFault(f"{root} is not the driver's there", share)
    elif node.marker != driver.marker:
        yield NodeFault(f"{root} is another folder there, of another session", share)
    elif node.unwritable is not None:
        yield NodeFault(f"{root} cannot be written ({node.unwritable})", share)
    elif mark != driver.marker:
        yield NodeFault(f"what it writes into {root} does not reach the driver", share)
    elif node.free_bytes < LEAST_FREE_BYTES:
        yield NodeFault(f"{node.writes_in} has {node.free_bytes / 2**20:.0f} MiB left there", "make room")


def _version_faults(driver: NodeFacts, node: NodeFacts) -> Iterator[NodeFault]:
    ours, theirs = _versions(driver), _versions(node)
    differing = [
        f"{name} {theirs.get(name, 'missing')} ({ours.get(name, 'missing')} here)"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    if differing:
        yield NodeFault(", ".join(differing), "install the same there, as by requirements.lock")


def _versions(facts: NodeFacts) -> Mapping[str, str]:
    return {**facts.also_versions, **facts.code.versions}


def _code_faults(driver: NodeFacts, node: NodeFacts) -> Iterator[NodeFault]:
    if node.project != driver.project:
        yield NodeFault(
            f"this project's packages differ (digest {node.project}, {driver.project} here)", "install the same there"
        )
    before = driver.code.model_copy(update={"versions": {}})
    differing = changes(before, node.code.model_copy(update={"versions": {}}))
    if differing:
        more = f" and {len(differing) - FILES_NAMED} more" if len(differing) > FILES_NAMED else ""
        yield NodeFault(f"other code: {', '.join(differing[:FILES_NAMED])}{more}", "bring the driver's files there")


def _gpu_faults(node: NodeFacts, gpus_of_ray: float) -> Iterator[NodeFault]:
    if node.gpus < gpus_of_ray:
        yield NodeFault(
            f"Ray gives out {gpus_of_ray:g} GPUs, but {node.gpus} can be seen", "see `nvidia-smi`, and restart its Ray"
        )


def clock_difference_s(asked_s: float, node_s: float, answered_s: float) -> float:
    """Return by how much a node's clock is ahead, at least; what lies between question and answer is no difference.

    All by the clocks' Unix time, in seconds.

    >>> clock_difference_s(100.0, 160.0, 101.0), clock_difference_s(100.0, 100.5, 101.0)
    (59.0, 0.0)
    """
    return max(node_s - answered_s, 0.0) + min(node_s - asked_s, 0.0)
