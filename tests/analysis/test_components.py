"""Components, paths, marginals and interactions of made studies are those planted, on complete sub-grids only."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import effects, load
from analysis.tables import components, marginals
from search_spaces.space import Arm, Budget, Choice, Comparison, Float, Space, When
from tests.support.made_runs import BRIDGES, write_run

# A boat without sail has no cut of sail, and a deck that is merged then.
BOATS = Space(
    name="boats",
    trial="made.boats:run_trial",
    factors={
        "rig.sail": Choice(values=("none", "gaff", "lug")),
        "rig.cut": Choice(values=(1, 2)),
        "hull.deck": Choice(values=("open", "half", "whole")),
    },
    reference={"rig.sail": "lug", "rig.cut": 2, "hull.deck": "whole"},
    baseline={"rig.sail": "none", "rig.cut": 2, "hull.deck": "open"},
    conditions=(
        When(
            factor="rig.sail",
            among=("none",),
            drops=("rig.cut",),
            replaces={"hull.deck": (("whole", "half"),)},
            reason="no sail, no cut",
        ),
    ),
    comparisons=(Comparison(against="reference"),),
    nuisance={"build.rate": Float(low=0.01, high=1.0, default=0.1, log=True)},
    metrics=("speed",),
    budgets={"quick": Budget(replicates=3, trials=2, epochs=4, grace_epochs=2, reduction_factor=2)},
)
SAIL = {"none": 0.0, "gaff": 0.10, "lug": 0.20}
DECK = {"open": 0.0, "half": 0.01, "whole": 0.03}


def speed(arm: Arm, replicate: int, seed: int) -> float:
    """Plant sail + deck + cut, a bonus of 0.05 for cut 2 on a gaff, and a replicate's common share."""
    sail, deck, cut = arm.levels["rig.sail"], arm.levels["hull.deck"], arm.levels.get("rig.cut", 0)
    bonus = 0.05 * (1 + 0.1 * replicate) if (sail, cut) == ("gaff", 2) else 0.0
    return 0.5 + SAIL[str(sail)] + DECK[str(deck)] + 0.002 * float(cut) + bonus + 0.01 * replicate


def tables(run: Path) -> tuple[load.PlannedStudy, pd.DataFrame]:
    study = load.study(run)
    return study, effects.replicates(study, load.trials(run))


def rows_by(table: pd.DataFrame, *columns: str) -> dict[Any, dict[Any, Any]]:
    """Return a table's rows by the values of one or more columns."""
    rows = table.to_dict("records")
    return {row[columns[0]] if len(columns) == 1 else tuple(row[name] for name in columns): row for row in rows}


def test_a_component_is_added_to_the_baseline_and_taken_from_the_reference(tmp_path: Path) -> None:
    study, table = tables(write_run(tmp_path / "run", BOATS, value=speed))
    found = rows_by(components.components_table(study, table), "component")
    sail, deck = found["rig.sail"], found["hull.deck"]
    assert list(found) == ["rig.sail", "hull.deck"]  # the cut is the same in both
    # Without sail a whole deck stands as half, so "reference without sail" is also "baseline with deck".
    assert (sail["added"], sail["removed"]) == ("deck=open", "sail=none")
    assert (deck["added"], deck["removed"]) == ("sail=none", "deck=open")
    assert sail["added_difference"] == pytest.approx(0.20 + 0.004)
    assert sail["removed_difference"] == pytest.approx(-0.20 - 0.004 - 0.02)
    assert [deck["added_difference"], deck["removed_difference"]] == pytest.approx([0.01, -0.03])
    assert [sail["added_n"], deck["removed_n"]] == [3, 3]


def test_components_carry_the_paired_interval(tmp_path: Path) -> None:
    def noisy(arm: Arm, replicate: int, seed: int) -> float:
        return speed(arm, replicate, seed) + 0.003 * replicate**2 * len(arm.name)

    study, table = tables(write_run(tmp_path / "run", BOATS, value=noisy))
    found = rows_by(components.components_table(study, table), "component")["rig.sail"]
    alone, start = (effects.values(table, name, study.metric).to_numpy() for name in ("deck=open", "baseline"))
    interval = stats.ttest_rel(alone, start).confidence_interval(0.95)
    assert [found["added_low"], found["added_high"]] == pytest.approx([interval.low, interval.high])


def test_components_that_are_tested_carry_the_tests_interval(tmp_path: Path) -> None:
    study, table = tables(write_run(tmp_path / "run"))
    found = rows_by(components.components_table(study, table), "component")["deck.material"]
    tested = effects.comparisons_table(study, table).set_index("arm").loc["material=wood"]
    assert [found["removed_low"], found["removed_high"]] == [tested["low"], tested["high"]]


def test_the_path_takes_the_larger_gain_first_and_ends_at_the_reference(tmp_path: Path) -> None:
    study, table = tables(write_run(tmp_path / "run", BOATS, value=speed))
    path = components.ablation_path(study, table)
    assert path["arm"].tolist() == ["baseline", "deck=open", "reference"]
    assert path["component"].tolist() == ["", "rig.sail", "hull.deck"]
    assert path["difference"].tolist()[1:] == pytest.approx([0.204, 0.03])
    gain = path["mean"].iloc[-1] - path["mean"].iloc[0]
    assert path["difference"].sum() == pytest.approx(gain)


def test_where_less_is_better_the_path_goes_down_first(tmp_path: Path) -> None:
    fewer = tuple(metric.model_copy(update={"direction": "minimize"}) for metric in BOATS.metrics)
    space = BOATS.model_copy(update={"direction": "minimize", "metrics": fewer})
    study, table = tables(write_run(tmp_path / "run", space, value=speed))
    assert components.ablation_path(study, table)["component"].tolist() == ["", "hull.deck", "rig.sail"]


def test_without_trained_arms_between_there_is_no_path(tmp_path: Path) -> None:
    space = BRIDGES.model_copy(
        update={
            "factors": {**BRIDGES.factors, "deck.rail": Choice(values=(True, False))},
            "reference": {**BRIDGES.reference, "deck.rail": True},
            "baseline": {**BRIDGES.baseline, "deck.rail": False},
        }
    )
    study, table = tables(write_run(tmp_path / "run", space))
    assert components.ablation_path(study, table).empty
    found = components.components_table(study, table)
    assert found["added"].tolist() == ["", "", ""]
    assert found["removed"].tolist() == ["material=wood", "span=1.0", "rail=False"]
    assert found["added_difference"].isna().all()


def test_a_joint_design_has_no_components(tmp_path: Path) -> None:
    study, table = tables(write_run(tmp_path / "run", design="joint"))
    assert components.components_table(study, table).empty
    assert components.ablation_path(study, table).empty


def test_marginals_average_complete_sub_grids_and_name_what_is_left_out(tmp_path: Path) -> None:
    study, table = tables(write_run(tmp_path / "run", BOATS, value=speed, design="factorial"))
    table, left_out = marginals.marginals(study, table)
    found = rows_by(table, "factor", "level")
    # Boats without sail have no cut, so no combination has all three sails: 2 sails in 2 × 3 combinations are left.
    assert [key for key in found if key[0] == "rig.sail"] == [("rig.sail", "gaff"), ("rig.sail", "lug")]
    assert set(left_out["rig.sail"]) == {arm.name for arm in study.arms if arm.levels["rig.sail"] == "none"}
    gaff, lug = found["rig.sail", "gaff"], found["rig.sail", "lug"]
    assert (gaff["home"], gaff["blocks"]) == ("lug", 6)
    assert math.isnan(lug["difference"])
    bonuses = [0.05 * (1 + 0.1 * replicate) / 2 for replicate in range(3)]
    assert gaff["difference"] == pytest.approx(-0.10 + np.mean(bonuses))
    reach = 4.302652729911275 * np.std(bonuses, ddof=1) / 3**0.5
    assert gaff["high"] - gaff["low"] == pytest.approx(2 * reach)
    assert gaff["mean"] - lug["mean"] == pytest.approx(gaff["difference"])
    decks = [found["hull.deck", level] for level in ("open", "half")]
    assert [deck["difference"] for deck in decks] == pytest.approx([-0.03, -0.02])
    assert {deck["blocks"] for deck in decks} == {4}


def test_an_interaction_is_the_difference_of_differences(tmp_path: Path) -> None:
    study, table = tables(write_run(tmp_path / "run", BOATS, value=speed, design="factorial"))
    found = rows_by(marginals.interactions(study, table), "factor", "level", "other", "other_level")
    row = found["rig.sail", "gaff", "rig.cut", "1"]
    # (gaff − lug) with cut 1, minus the same with cut 2, where a gaff has its bonus.
    bonuses = np.array([0.05 * (1 + 0.1 * replicate) for replicate in range(3)])
    expected = stats.ttest_1samp(-bonuses, 0).confidence_interval(0.95)
    assert row["interaction"] == pytest.approx(-bonuses.mean())
    assert (row["blocks"], row["n"]) == (3, 3)
    assert [row["low"], row["high"]] == pytest.approx([expected.low, expected.high])
    assert found["rig.sail", "gaff", "hull.deck", "open"]["interaction"] == pytest.approx(0.0, abs=1e-12)
    assert ("rig.sail", "none", "rig.cut", "1") not in found


def test_one_at_a_time_designs_have_neither(tmp_path: Path) -> None:
    study, table = tables(write_run(tmp_path / "run"))
    assert marginals.interactions(study, table)["blocks"].max() == 1  # the baseline closes a two by two
    one, _ = marginals.marginals(study, table)
    assert set(one["blocks"]) <= {2}


def test_a_replicate_that_one_arm_lost_leaves_the_marginal(tmp_path: Path) -> None:
    lost = {"sail=gaff,cut=1,deck=open/1/confirm/0": ("failed", "planted")}
    study, table = tables(write_run(tmp_path / "run", BOATS, value=speed, design="factorial", statuses=lost))
    found, _ = marginals.marginals(study, table)
    assert set(found.loc[found["factor"] == "rig.sail", "n"]) == {2}
