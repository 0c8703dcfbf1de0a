"""What a worker of a cluster holds its node to as it starts, since the node may have joined after the last look."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from ablation.engine.node_facts import Needs, NodeFacts, look_around
from ablation.engine.node_faults import faults_of
from ablation.engine.travel import arrived


class UnfitNodeError(RuntimeError):
    """A node cannot run the study's trials."""


@dataclass(frozen=True)
class Fitness:
    """What trials need, and the facts of the driver's machine."""

    needs: Needs
    driver: NodeFacts

    def check(self) -> None:
        """Raise UnfitNodeError if this process's machine cannot run the trials."""
        # GPUs are not counted: Ray shows a worker those that are its own.
        needs = replace(self.needs, user_code=arrived(self.needs.user_code))
        facts = look_around(needs, f"worker-{secrets.token_hex(4)}", lambda: 0)
        faults = faults_of(self.driver, facts, self.needs.run_dir, self.needs.marker, 0.0)
        if faults:
            raise UnfitNodeError(f"{facts.host} cannot run this trial: {'; '.join(map(str, faults))}")
