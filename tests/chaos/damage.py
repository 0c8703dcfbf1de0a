"""Files cut short or with a flipped byte: recovered, or refused loudly by name; never a short end with exit code 0."""

from __future__ import annotations

import logging
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ablation import checkpoint, study_file
from ablation.faults import FaultsError
from ablation.ledger.log import LedgerError, read_events
from ablation.paths import RunPaths
from analysis import load
from tests.chaos import checks
from tests.chaos.processes import event_count, start_driver, wait_until

SHARES = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Damage:
    """One file of a run, cut to a share of its length or, without a share, with the byte at a place flipped."""

    file: str
    share: float | None
    place: float = 0.5

    def inflict(self, root: Path) -> Path:
        """Damage the file in a copy of a run."""
        path = root / self.file
        content = bytearray(path.read_bytes())
        if self.share is None:
            content[int(self.place * (len(content) - 1))] ^= 1
        path.write_bytes(content if self.share is None else content[: int(self.share * len(content))])
        return path

    def __str__(self) -> str:
        return f"{self.file} {'with a flipped byte' if self.share is None else f'cut to {self.share:.0%}'}"


def damage_files(folder: Path, resumed: int, seed: int) -> dict[str, Any]:
    """Damage every kind of file of a run in mid-sweep, in all ways at the readers, and some through ``--resume``."""
    paths = half_a_run(folder, seed)
    rng = random.Random(seed)
    damages = damages_of(paths, rng)
    outcomes, faults = read_damaged(paths, folder, damages)
    ends: Counter[str] = Counter()
    for number, damage in enumerate(rng.sample(damages, min(resumed, len(damages)))):
        copy = RunPaths(folder / f"resumed-{number}")
        shutil.copytree(paths.root, copy.root)
        path = damage.inflict(copy.root)
        end = _resume(copy, path, seed)
        ends[end.partition(":")[0]] += 1
        faults += [f"{damage}, resumed: {end}"] if end.startswith("wrong") else []
    return {"files_damaged": len(damages), "read": dict(outcomes), "resumed": dict(ends), "faults": faults}


def read_damaged(paths: RunPaths[Path], folder: Path, damages: list[Damage]) -> tuple[Counter[str], list[str]]:
    """Damage files in copies of a run, one by one, and let their own readers judge; return outcomes and faults."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    for number, damage in enumerate(damages):
        copy = RunPaths(folder / f"damaged-{number}")
        shutil.copytree(paths.root, copy.root)
        outcome = _read(copy, damage.inflict(copy.root))
        outcomes[outcome.partition(":")[0]] += 1
        faults += [f"{damage}: {outcome}"] if outcome.startswith("unnoticed") else []
        shutil.rmtree(copy.root)
    return outcomes, faults


def half_a_run(folder: Path, seed: int) -> RunPaths[Path]:
    """Run a study until it has a few parts and checkpoints, and kill it with its Ray."""
    paths = RunPaths(folder / "half")
    driver = start_driver(paths, "--seed", str(seed))
    if not wait_until(lambda: event_count(paths) >= 120 and len(list(paths.ledger.glob("*.parquet"))) >= 4, driver):
        raise RuntimeError(f"the driver ended before it could be killed: {driver.reported}")
    driver.kill_all()
    checks.rung_faults(paths)  # writes the tables
    return paths


def damages_of(paths: RunPaths[Path], rng: random.Random) -> list[Damage]:
    """List what is done to each kind of file: four cuts and two flipped bytes."""
    parts = sorted(paths.ledger.glob("*.parquet"))
    checkpoints = sorted((paths.root / "checkpoints").glob("*/*.safetensors"))
    files = [*parts, paths.study, *rng.sample(checkpoints, min(3, len(checkpoints))), paths.trials, paths.epochs]
    names = [path.relative_to(paths.root).as_posix() for path in files]
    cuts = [Damage(name, share) for name in names for share in SHARES]
    return cuts + [Damage(name, None, place) for name in names for place in (rng.random(), rng.random())]


def _read(paths: RunPaths[Path], path: Path) -> str:
    """Say what a file's own reader makes of the damage: refused, recovered, or unnoticed."""
    logging.getLogger("ablation.ledger.parts").setLevel(logging.ERROR)
    try:
        if path.parent == paths.ledger:
            whole = sum(int(part.name.split("-")[2]) - int(part.name.split("-")[1]) + 1 for part in
                        paths.ledger.glob("*.parquet"))  # fmt: skip
            reported = len(read_events(paths.ledger))
            return "recovered" if reported < whole else "unnoticed: the ledger read as if nothing had happened"
        if path == paths.study:
            study_file.read(paths)
        elif path.suffix == ".safetensors":
            checkpoint.load(path, "numpy")
        else:
            (load.trials if path == paths.trials else load.epochs)(paths.root)
    except (LedgerError, study_file.DamagedStudyError, checkpoint.DamagedCheckpointError, FaultsError) as error:
        return "refused" if path.name in str(error) else f"unnoticed: refused without its name ({error})"
    return "unnoticed"


def _resume(paths: RunPaths[Path], path: Path, seed: int) -> str:
    driver = start_driver(paths, "--seed", str(seed))
    code = driver.wait()
    if code:
        return (
            "refused"
            if path.name in driver.reported
            else f"wrong: exit code {code} without its name: {driver.reported[-400:]}"
        )
    faults = checks.final_faults(paths)
    statuses = set(pd.read_parquet(paths.trials)["status"])
    return f"wrong: exit code 0 with {faults}" if faults or statuses - {"completed", "stopped"} else "recovered"
