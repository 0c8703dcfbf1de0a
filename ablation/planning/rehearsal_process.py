"""A rehearsal in a process of its own: what ends or hangs it is a fault in a line, and nothing it writes meets ours."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablation.engine.slots import Slots
from ablation.engine.watchdog import watched
from ablation.faults import FaultsError
from ablation.plan import Plan
from ablation.planning.probe import Probe, RehearsalError, probe
from ablation.planning.request import CheckedStudy
from ablation.store import put_whole
from ablation.user_code import OUR_ROOT, UserCode
from search_spaces.space import IS_RECORDED

SHOWN_BYTES = 20_000  # of what it wrote, the end


@dataclass(frozen=True)
class _Outcome:
    """What came of a rehearsal: its probe, or faults, with those that break the contract, and what was written."""

    probe: dict[str, Any] | None
    faults: tuple[str, ...]
    broken: tuple[str, ...]
    written: str


def probe_apart(checked: CheckedStudy, slots: Slots, epoch_most_s: float) -> Probe:
    """Do what ``probe`` does; raises FaultsError, too, if a trial ends its process or an epoch takes too long.

    What was written in there, by whatever means, goes to standard error if something failed, and nowhere otherwise.
    """
    outcome = _rehearse_apart(checked, slots, epoch_most_s)
    if outcome.probe is None:
        sys.stderr.write(outcome.written)
        raise FaultsError(outcome.faults)
    return Probe(**outcome.probe)


def try_confirm_trial(checked: CheckedStudy, slots: Slots, epoch_most_s: float, most_s: float) -> str | None:
    """Rehearse a confirm trial before a sweep, whose own come last; return what went wrong, in words, if anything did.

    Raises FaultsError with what breaks the contract. What a trial raises may be that trial's alone, and the sweep
    counts it.
    """
    try:
        outcome = _rehearse_apart(checked, slots, min(epoch_most_s, most_s), only_confirm=True, most_s=most_s)
    except subprocess.TimeoutExpired:
        return f"two epochs take longer than {most_s:g} s, so no confirm trial was tried"
    if outcome.broken:
        raise FaultsError(outcome.broken)
    return "; ".join(outcome.faults) or None


def _rehearse_apart(
    checked: CheckedStudy, slots: Slots, epoch_most_s: float, *, only_confirm: bool = False, most_s: float | None = None
) -> _Outcome:
    """Rehearse in another process; raises subprocess.TimeoutExpired where all takes longer than ``most_s``."""
    asked = {
        "plan": checked.plan.model_dump(mode="json"),
        "data": checked.data,
        "slots": asdict(slots),
        "user_code": UserCode.here().model_dump(mode="json"),
        "epoch_most_s": epoch_most_s,
        "only_confirm": only_confirm,
    }
    # -P and our folder first, as for the report's process.
    search_path = os.pathsep.join(filter(None, (str(OUR_ROOT), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory(prefix="ablation-rehearsal-") as name:
        scratch = _Scratch(Path(name))
        with scratch.output.open("wb") as output:
            done = subprocess.run(
                [sys.executable, "-P", "-m", __name__, name],
                input=json.dumps(asked).encode(), stdout=output, stderr=output, check=False, timeout=most_s,
                env={**os.environ, "PYTHONPATH": search_path},
            )  # fmt: skip
        found = scratch.found()
        if found is None:
            reason = scratch.reason(done.returncode, checked.plan, epoch_most_s)
            return _Outcome(None, (reason,), (), scratch.written())
        return _Outcome(found["probe"], tuple(found["faults"]), tuple(found["broken"]), scratch.written())


class _Scratch:
    """The files by which the two processes know of each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output"
        self._under_way = folder / "under_way"
        self._hang = folder / "hang"
        self._found = folder / "found.json"

    @contextmanager
    def at(self, what: str, most_s: float) -> Iterator[None]:
        """Note what is under way, and end this process if it takes too long."""
        self._under_way.write_text(what, "utf-8")
        with watched(self._hang, most_s):
            yield

    def note(self, found: dict[str, Any]) -> None:
        """Leave what was found, whole or not at all."""
        put_whole(self._found, json.dumps(found).encode(), is_synced=False)

    def found(self) -> dict[str, Any] | None:
        """Return what was found; None if the process ended before."""
        return json.loads(self._found.read_text("utf-8")) if self._found.is_file() else None

    def written(self) -> str:
        """Return the end of what was written, and the traceback of a hang."""
        texts = (path.read_bytes()[-SHOWN_BYTES:] for path in (self.output, self._hang) if path.is_file())
        return b"".join(texts).decode("utf-8", "backslashreplace")

    def reason(self, code: int, plan: Plan, epoch_most_s: float) -> str:
        """Say what ended the process."""
        what = self._under_way.read_text("utf-8") if self._under_way.is_file() else "a rehearsal"
        if self._hang.is_file() and self._hang.stat().st_size:
            return (
                f"{what}: no epoch within {epoch_most_s:g} s, see the traceback; mend {plan.space.trial}, or give "
                "epochs longer by --watchdog-minutes"
            )
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{what}: its process {how}; mend {plan.space.trial} (docs/own_model.md has the contract)"


def _rehearse_here(scratch: _Scratch) -> None:
    """Rehearse what standard input asks for, and leave what came of it."""
    asked = json.load(sys.stdin)
    faulthandler.enable()  # of a crash, the output has the stack
    UserCode.model_validate(asked["user_code"]).enter()
    plan = Plan.model_validate(asked["plan"], context={IS_RECORDED: True})

    @contextmanager
    def noted(what: str, epochs: int) -> Iterator[None]:
        with scratch.at(what, epochs * asked["epoch_most_s"]):
            yield

    try:
        study, slots = CheckedStudy(plan, "", "", asked["data"]), Slots(**asked["slots"])
        measured = probe(study, slots, noted, scratch.folder, only_confirm=asked["only_confirm"])
    except RehearsalError as error:
        scratch.note({"faults": error.faults, "broken": error.broken, "probe": None})
        return
    scratch.note({"faults": [], "broken": [], "probe": asdict(measured)})


if __name__ == "__main__":
    _rehearse_here(_Scratch(Path(sys.argv[1])))
