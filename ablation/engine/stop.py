"""Why a sweep should end before its plan does, if it should."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ablation.engine.signals import Signals
from ablation.ledger.log import Ledger
from ablation.study.study import Study


class OtherCodeError(RuntimeError):
    """A worker runs other code than the driver: what it trains is not this study's."""


class NoWorkerError(RuntimeError):
    """Workers end before they can take a trial, one after the other."""


@dataclass
class StopReason:
    """Signal, deadline, fault or equal failures: what ends a sweep early, if anything does.

    Attributes:
        deadline: when --max-hours are over, by ``time.monotonic``; None: never.
        fault: what went wrong in the study itself, for the driver to raise.
    """

    study: Study
    ledger: Ledger
    signals: Signals = field(default_factory=Signals)
    deadline: float | None = None
    fault: BaseException | None = field(default=None, init=False)

    @contextmanager
    def noting_faults(self) -> Iterator[None]:
        """Keep a hook's exception for the driver to raise, since Tune would swallow it."""
        try:
            yield
        except Exception as error:
            self.fault = self.fault or error

    @property
    def is_out_of_time(self) -> bool:
        """Return whether --max-hours are over."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def is_paused(self) -> bool:
        """Return whether so many trials failed alike that the others would."""
        return self.study.equal_failures.are_enough

    @property
    def is_due(self) -> bool:
        """Return whether to end now."""
        self.fault = self.fault or self.ledger.failure
        return self.fault is not None or self.signals.number is not None or self.is_out_of_time or self.is_paused
