"""How a trial that was run again compares with what was recorded of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real

from ablation.ledger.records import EpochRow
from ablation.trial import EpochRecord

ROUNDING = 1e-5  # relative: what float32 sums in another order come to over a short training; no bound


@dataclass(frozen=True)
class Difference:
    """A metric that came out otherwise; None if it was not there."""

    epoch: int
    metric: str
    recorded: float | None
    again: float | None

    @property
    def relative(self) -> float:
        """The difference in relation to the larger of both values; infinite if one is missing or not finite."""
        if self.recorded is None or self.again is None:
            return math.inf
        share = abs(self.recorded - self.again) / max(abs(self.recorded), abs(self.again))
        return share if math.isfinite(share) else math.inf


@dataclass(frozen=True)
class Agreement:
    """How a trial run again compares with what the ledger has of it.

    Attributes:
        trial_id: the trial.
        epochs: recorded epochs that were run again and compared.
        wanted: recorded epochs that were to be run again; fewer were where the trial failed before.
        differing: every metric that is not the same bit for bit, in order; NaN is the same as NaN.
        failure: why the recorded trial failed, where it failed and was run that far.
        failure_again: why it failed this time; None if it did not.
    """

    trial_id: str
    epochs: int
    wanted: int
    differing: tuple[Difference, ...]
    failure: str | None = None
    failure_again: str | None = None

    @property
    def does_fail_alike(self) -> bool:
        """Return whether it failed for the same reason after the same epochs, or not at all, as before."""
        return self.failure == self.failure_again and self.epochs == self.wanted

    @property
    def is_exact(self) -> bool:
        """Return whether everything came out the same, bit for bit."""
        return self.does_fail_alike and not self.differing

    @property
    def worst(self) -> Difference | None:
        """The largest relative difference."""
        return max(self.differing, key=lambda difference: difference.relative, default=None)

    @property
    def is_rounding(self) -> bool:
        """Return whether there are differences, all of them as small as rounding may leave: 1e-5 of the value."""
        return self.does_fail_alike and self.worst is not None and self.worst.relative <= ROUNDING


def differences(row: EpochRow, record: EpochRecord) -> Iterator[Difference]:
    """Compare all that an epoch gave but its wall time; what is no number now counts as missing."""
    before: dict[str, float] = {"epoch": row.epoch, "images": row.images, **row.metrics}
    now: dict[str, object] = {"epoch": record.epoch, "images": record.images, **record.metrics}
    for metric in dict.fromkeys((*before, *now)):
        value = now.get(metric)
        recorded, again = before.get(metric), float(value) if isinstance(value, Real) else None
        if not _is_same(recorded, again):
            yield Difference(row.epoch, metric, recorded, again)


def _is_same(recorded: float | None, again: float | None) -> bool:
    if recorded is None or again is None:
        return recorded is again
    return recorded == again or (math.isnan(recorded) and math.isnan(again))


def in_words(agreement: Agreement) -> list[str]:
    """Say in words how a trial run again compares: failures first, then metrics."""
    lines = []
    failure, again = agreement.failure, agreement.failure_again
    if failure is not None and agreement.does_fail_alike:
        lines.append(f"agrees: it fails again, for the same reason: {failure}")
    elif failure is not None and failure == again:
        lines.append(f"differs: it fails for the same reason, but after epoch {agreement.epochs}: {failure}")
    elif failure is not None:
        lines.append(f"differs: the recorded failure was {failure!r}, now it is {again or 'none'!r}")
    elif again is not None:
        lines.append(f"differs: it fails now, and did not before: {again}")
    worst, epochs = agreement.worst, f"{agreement.epochs} epoch{'s' * (agreement.epochs != 1)}"
    if worst is None:
        return [*lines, f"agrees: {epochs}, all metrics bit for bit"] if agreement.epochs else lines
    where = f"the largest relative difference is {worst.relative:.1e}, in {worst.metric} of epoch {worst.epoch}"
    kind = "agrees within float rounding, not bit for bit" if agreement.is_rounding else "differs"
    return [*lines, f"{kind}: {epochs}, {len(agreement.differing)} values differ; {where}"]
