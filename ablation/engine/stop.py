"""Why a sweep should end before its plan does, if it should."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ablation.ledger.log import Ledger
from ablation.study.study import Study


class OtherCodeError(RuntimeError):
    """A worker runs other code than the driver: what it trains is not this study's."""


class StopReason:
    """Signal, deadline, fault or equal failures: what ends a sweep early, if anything does.

    Args:
        deadline: when --max-hours are over, by ``time.monotonic``; None: never.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.fault: BaseException | None = None
        self.signal: int | None = None
        self.ledger: Ledger | None = None
        self.study: Study | None = None
        self._deadline = deadline

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
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def is_paused(self) -> bool:
        """Return whether so many trials failed alike that the others would."""
        return self.study is not None and self.study.equal_failures.are_enough

    @property
    def is_due(self) -> bool:
        """Return whether to end now."""
        if self.ledger is not None and self.ledger.failure is not None:
            self.fault = self.fault or self.ledger.failure
        return self.fault is not None or self.signal is not None or self.is_out_of_time or self.is_paused
