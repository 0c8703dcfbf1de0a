"""Look at what there is to run on, and rehearse a study on it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from ablation.checkpoint import newest_path
from ablation.engine.slots import Slots
from ablation.faults import FaultsError
from ablation.planning.rehearsal import Around, alone, confirm_checkpoints, faults_in_words, rehearse
from ablation.planning.request import CheckedStudy


@dataclass(frozen=True)
class Probe:
    """What a study's rehearsal took, alone on this machine.

    Attributes:
        epoch_s: wall time of an epoch of the first arm at its defaults without start-up, in seconds; a mean where not
            every epoch is validated.
        checkpoint_bytes: size of the checkpoint at the end; 0 if the model writes none.
        took_s: wall time of the whole, in seconds.
        arms_tried: how many arms' first epochs there was time for.
    """

    epoch_s: float
    checkpoint_bytes: int
    took_s: float
    arms_tried: int


class RehearsalError(FaultsError):
    """All that fails or breaks the contract; ``broken`` is what breaks it."""

    def __init__(self, faults: Sequence[str], broken: Sequence[str]) -> None:
        super().__init__(faults)
        self.broken = tuple(broken)


def probe(
    checked: CheckedStudy,
    slots: Slots,
    around: Around = alone,
    folder: Path | None = None,
    *,
    only_confirm: bool = False,
) -> Probe:
    """Rehearse a study as in one of ``slots``; raises RehearsalError with all that fails or breaks the contract.

    ``around`` is entered for each trial; what trials write lies in ``folder``, or in the usual one, until the end.
    """
    began = time.monotonic()
    plan, data = checked.plan, checked.data
    with tempfile.TemporaryDirectory(prefix="ablation-probe-", dir=folder) as scratch:
        found = rehearse(
            plan,
            Path(scratch),
            around,
            only_confirm=only_confirm,
            data=None if data is None else data["uri"],
            data_fingerprint=None if data is None else data["fingerprint"],
            data_decoding=None if data is None else data.get("decoding"),
            init_from=None if plan.init_from is None else plan.init_from.checkpoint,
            device="cuda" if slots.gpus else "cpu",
            cpu_threads=max(1, int(slots.cpus)),
        )
        checkpoint = newest_path(confirm_checkpoints(Path(scratch)))
        size = 0 if checkpoint is None else checkpoint.stat().st_size
    faults = faults_in_words(found, plan)
    if faults:
        raise RehearsalError(faults, faults_in_words(found, plan, only_broken=True))
    # The shortest: the first has the start-up, and the last may have the scoring of test data. Where validation comes
    # now and then, each epoch has its share of it.
    took_s = [record.epoch_s for record in found.epochs]
    epoch_s = min(took_s) if found.validated_every == 1 else fmean([min(took_s), *took_s[1:]])
    return Probe(epoch_s, size, time.monotonic() - began, len(found.arms))
