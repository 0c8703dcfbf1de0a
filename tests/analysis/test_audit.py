"""The audit agrees with a sound run and finds each kind of damage made to a copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablation.paths import RunPaths
from ablation.trial import EpochRecord, TrialContext
from analysis.audit.checks import audit
from search_spaces.space import Choice
from tests import toy_study
from tests.support.plain_loop import run_study
from tests.toy_study import ToyConfig, ToyModel, toy_plan

Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> RunPaths[Path]:
    return run_study(toy_plan(), tmp_path_factory.mktemp("runs") / "sound")


def test_a_sound_run_agrees_with_itself(sound: RunPaths[Path]) -> None:
    assert audit(sound.root) == []


def test_levels_of_several_kinds_are_what_was_proposed(tmp_path: Path) -> None:
    plan = toy_plan()
    factors = {**plan.space.factors, "toy.speed": Choice(values=(3.0, "slow"))}
    levels = {"toy.bonus": -0.05, "toy.speed": "slow"}
    space = plan.space.model_copy(
        update={"trial": "tests.analysis.test_audit:run_trial", "factors": factors, "baseline": levels}
    )
    plan = plan.model_copy(update={"space": space, "arms": space.arms(), "comparisons": space.declared(space.arms())})
    paths = run_study(plan, tmp_path / "run")
    assert set(pd.read_parquet(paths.trials)["config.toy.speed"]) == {"3.0", "slow"}
    assert audit(paths.root) == []
    edit_trials(set_cell(0, "config.toy.speed", "slow"))(paths)
    assert any("config.toy.speed is not what was proposed" in fault for fault in audit(paths.root))


def run_trial(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
    """Train the toy, whose speed may be a word here."""
    speed = 5.0 if config["toy.speed"] == "slow" else config["toy.speed"]
    model = ToyModel(bonus=config["toy.bonus"], speed=speed, offset=config["toy.offset"])
    yield from toy_study.run_trial(ToyConfig(toy=model), context)


def edit_trials(change: Change) -> Callable[[RunPaths[Path]], None]:
    return lambda paths: change(pd.read_parquet(paths.trials)).to_parquet(paths.trials)


def edit_epochs(change: Change) -> Callable[[RunPaths[Path]], None]:
    return lambda paths: change(pd.read_parquet(paths.epochs)).to_parquet(paths.epochs)


def set_cell(row: int, column: str, value: Any) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        assert table[column].iloc[row] != value
        return table.assign(**{column: [value if n == row else old for n, old in enumerate(table[column])]})

    return change


def edit_study(change: Callable[[dict[str, Any]], None]) -> Callable[[RunPaths[Path]], None]:
    def damage(paths: RunPaths[Path]) -> None:
        study = json.loads(paths.study.read_text())
        change(study["plan"])
        paths.study.write_text(json.dumps(study))

    return damage


def drop_part(paths: RunPaths[Path]) -> None:
    sorted(paths.ledger.glob("*.parquet"))[-1].unlink()


def flip_byte(paths: RunPaths[Path]) -> None:
    part = sorted(paths.ledger.glob("*.parquet"))[0]
    content = bytearray(part.read_bytes())
    content[-100] ^= 4
    part.write_bytes(content)


def forge_part(paths: RunPaths[Path]) -> None:
    """Change an outcome in the ledger and give the part a digest that fits."""
    import hashlib

    part = sorted(paths.ledger.glob("*.parquet"))[-1]
    table = pd.read_parquet(part)
    forged = table["payload"].str.replace('"outcome": "stopped"', '"outcome": "completed"', n=1)
    assert (forged != table["payload"]).any()
    table.assign(payload=forged).to_parquet(part)
    stem = part.stem.rpartition("-")[0]
    part.rename(part.with_name(f"{stem}-{hashlib.sha256(part.read_bytes()).hexdigest()[:12]}.parquet"))


def tear_table(paths: RunPaths[Path]) -> None:
    paths.trials.write_bytes(paths.trials.read_bytes()[:500])


def stop_a_survivor(table: pd.DataFrame) -> pd.DataFrame:
    survivor = int(((table["phase"] == "search") & (table["status"] == "completed")).to_numpy().argmax())
    return set_cell(survivor, "stopped_at_rung", 3)(table)


def swap_confirmed(table: pd.DataFrame) -> pd.DataFrame:
    confirm = int((table["phase"] == "confirm").to_numpy().argmax())
    return set_cell(confirm, "config.toy.offset", 1.25)(table)


DAMAGES: dict[str, tuple[Callable[[RunPaths[Path]], None], str]] = {
    "a trial left out": (edit_trials(lambda table: table.drop(index=7)), "is planned, but not listed"),
    "a trial listed twice": (edit_trials(lambda table: pd.concat([table, table.tail(1)])), "there twice"),
    "a status changed": (edit_trials(set_cell(0, "status", "failed")), "is failed, but the ledger says"),
    "an epoch left out": (edit_epochs(lambda table: table.drop(index=3)), "in one of epochs and ledger only"),
    "an epoch's metric changed": (edit_epochs(set_cell(5, "metric.val_score", 0.9)), "differs from the ledger"),
    "an epoch renumbered": (edit_epochs(set_cell(8, "epoch", 20)), "in one of epochs and ledger only"),
    "a trial's metric changed": (edit_trials(set_cell(2, "metric.val_score", 0.9)), "is not its last epoch's"),
    "a proposal changed": (edit_trials(set_cell(1, "config.toy.offset", 0.123)), "is not what was proposed"),
    "a seed changed": (edit_trials(set_cell(4, "seed", 1)), "arms do not share seeds"),
    "a stop invented": (edit_trials(stop_a_survivor), "but the rungs say"),
    "another configuration confirmed": (edit_trials(swap_confirmed), "does not confirm"),
    "an arm taken from the plan": (edit_study(lambda plan: plan["arms"].pop()), "is listed, but not planned"),
    "a replicate added to the plan": (
        edit_study(lambda plan: plan["budget"].update(replicates=4)),
        "is planned, but not listed",
    ),
    "a ledger part lost": (drop_part, "but the ledger says"),
    "a ledger byte flipped": (flip_byte, "not what its digest says"),
    "a ledger outcome forged": (forge_part, "but the ledger says completed"),
    "a table lost": (lambda paths: paths.epochs.unlink(), "is missing"),
    "a table torn": (tear_table, "trials.parquet is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(sound: RunPaths[Path], tmp_path: Path, damage: str) -> None:
    copy = RunPaths(tmp_path / "copy")
    shutil.copytree(sound.root, copy.root)
    make, reported = DAMAGES[damage]
    make(copy)
    faults = audit(copy.root)
    assert any(reported in fault for fault in faults), faults
