"""A model card says of which values its score is, which model it speaks of, and commands that can be typed."""

from __future__ import annotations

from typing import Any, cast

from ablation.best_trial import BestTrial
from ablation.exportable import Exportable
from ablation.model_card import model_card
from ablation.reuse import BestModel

FACTS: dict[str, Any] = {
    **{"metric": "accuracy", "validation": 0.91, "test": 0.9, "low": 0.85, "high": 0.93},
    **{"n": 3, "unit": "seed", "replicates": 1, "config": {"lr": 0.1}},
}


def card(facts: dict[str, Any], config: dict[str, Any] | None = None, score: float = 0.91) -> str:
    """Write the card of a model of trial reference/0/confirm/0."""
    trial_id = "reference/0/confirm/0"
    provenance = {
        **{"study": "made", "arm": "reference", "trial_id": trial_id, "trials": [trial_id], "data": None},
        **{"command": ["ablation", "run", "--arms", "*"], "run": "runs/made", "created_utc": "2030-01-02T03:04:05Z"},
        **{"git_commit": "0123", "versions": {"python": "3.12"}},
    }
    trial = BestTrial(trial_id, "reference", 0, 0, score, "accuracy", None)
    model = BestModel((trial,), (), {"lr": 0.1} if config is None else config, {}, provenance)
    exported = Exportable(
        module=cast(Any, None), source="", config={}, class_names=("calm",), random_inputs=cast(Any, None)
    )
    return model_card(model, exported, facts, {}, (), (), "ablation export runs/made --out DIR")


def test_a_score_over_seeds_is_not_called_what_the_procedure_gives() -> None:
    text = card(FACTS)
    said = "Its configuration's test accuracy is 0.9 on average, 95 % interval 0.85 to 0.93, over 3 seeds."
    assert said in text and "procedure" not in text and "replicate" not in text
    other = card(FACTS, config={"lr": 0.2})  # the best one's checkpoint is lost
    assert "The best configuration's test accuracy is 0.9 on average" in other


def test_a_score_over_replicates_is_what_the_procedure_gives() -> None:
    text = card({**FACTS, "n": 4, "unit": "replicate", "replicates": 4})
    said = "0.9 on average, 95 % interval 0.85 to 0.93, over 4 replicates"
    assert f"Its arm's test accuracy is {said}: what the procedure gives" in text
    one = {**FACTS, "n": 1, "unit": "replicate", "replicates": 1, "low": None, "high": None}
    assert "Its arm's test accuracy is 0.9, over 1 replicate: what" in card(one)


def test_the_validation_score_is_that_of_the_model_that_is_exported() -> None:
    assert "Trial reference/0/confirm/0, chosen by validation accuracy (0.88)." in card(FACTS, score=0.88)


def test_the_cards_command_can_be_typed() -> None:
    assert "$ ablation run --arms '*'\n" in card(FACTS)
