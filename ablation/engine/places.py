"""Where a study's workers may be: on the nodes that are there now, and on those that may still join.

No Ray in here: nodes come as what each of them has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from ablation.engine.sharing import Claim, share_if_short
from ablation.engine.slots import Slots, slots_on
from ablation.resources import Resources

LOOK_EVERY_S = 1.0

Nodes = Sequence[Mapping[str, float]]


class Places:
    """Count places as nodes join and leave.

    Args:
        resources: what a trial takes, and how many trials and nodes there may be at most.
        nodes: returns the CPUs and GPUs of each node on which trials may be placed.
        others: returns what each other study there has and waits for.
        cpu_limit: why there are no more CPUs, if there is a reason.
    """

    def __init__(
        self,
        resources: Resources,
        nodes: Callable[[], Nodes],
        others: Callable[[], Sequence[Claim]] = tuple,
        cpu_limit: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes
        self._others = others
        self._cpu_limit = cpu_limit
        self._clock = clock
        self._most_on_a_node = 0
        self._resources = resources
        self._look()
        # A quarter of a GPU, or none, for the whole session: workers are for the same device.
        self._resources = resources.model_copy(update={"gpus_per_trial": self.slots.gpus})

    def look(self) -> bool:
        """Look at the nodes if a second has passed since the last look; return whether it has."""
        is_time = self._clock() - self._looked >= LOOK_EVERY_S
        if is_time:
            self._look()
        return is_time

    def _look(self) -> None:
        self._looked = self._clock()
        on_one = self._resources.model_copy(update={"max_concurrent": None})
        counted = [(slots_on([node], on_one).count, node) for node in self._nodes()]
        largest = sorted(counted, key=itemgetter(0), reverse=True)[: self._resources.max_nodes]
        counts, nodes = [count for count, _ in largest], [node for _, node in largest]
        self._most_on_a_node = max([self._most_on_a_node, *counts])
        self._in_use = sum(count > 0 for count in counts)
        self.slots: Slots = slots_on(nodes, self._resources, self._cpu_limit)
        self.others = self._others()
        # While another study has less than its share, this one has no more than its own.
        self.share = share_if_short(sum(counts), self.others)

    @property
    def most(self) -> int:
        """How many workers there may be, on nodes that are to come, too: as large as the largest so far.

        While there was no node, as many are waited for as may run at a time; if that is not said, one for each node.
        """
        if self.share is not None:
            return min(self.share, self._most)
        return self._most

    @property
    def _most(self) -> int:
        resources = self._resources
        if resources.max_nodes is None:
            return self.slots.count
        if not self._most_on_a_node:
            return resources.max_concurrent or resources.max_nodes
        most = self.slots.count + (resources.max_nodes - self._in_use) * self._most_on_a_node
        return min(filter(None, (most, resources.max_concurrent)))
