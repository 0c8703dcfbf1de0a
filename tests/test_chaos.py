"""The fault suite, cut short: a driver killed with its Ray, and files damaged. ``make chaos`` is the rest."""

from __future__ import annotations

from pathlib import Path

from tests.chaos import damage, kills


def test_a_study_whose_driver_and_ray_are_killed_loses_nothing(tmp_path: Path) -> None:
    found = kills.kill_with_ray(tmp_path, kills=2, seed=1, options=("--replicates", "2", "--trials", "3"))
    assert found["faults"] == []
    assert found["kills"] == 2


def test_damaged_files_are_recovered_or_refused_by_name(tmp_path: Path) -> None:
    found = damage.damage_files(tmp_path, resumed=1, seed=1)
    assert found["faults"] == []
    assert found["read"].keys() == {"refused", "recovered"}
