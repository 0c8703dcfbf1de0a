"""The fault suite, cut short: one kill, files damaged, one resume. ``make chaos`` is the rest."""

from __future__ import annotations

import random
from pathlib import Path

from tests.chaos import checks, damage
from tests.chaos.processes import start_driver


def test_a_killed_study_loses_nothing_and_no_damage_to_its_files_goes_unnoticed(tmp_path: Path) -> None:
    paths = damage.half_a_run(tmp_path, seed=1)
    assert checks.rung_faults(paths) == []
    outcomes, faults = damage.read_damaged(paths, tmp_path, damage.damages_of(paths, random.Random(1)))
    assert faults == []
    assert set(outcomes) == {"refused", "recovered"}
    resumed = start_driver(paths, "--seed", "1")
    assert resumed.wait() == 0, resumed.reported
    assert checks.final_faults(paths) == []
    count, differing = checks.rerun_faults(paths, 2, seed=1)
    assert count and differing == []
