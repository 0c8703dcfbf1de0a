"""Open a study as its ledger has it, or larger: by whole replicates and arms."""

from __future__ import annotations

from ablation import study_file
from ablation.ledger.events import Grown
from ablation.ledger.log import Ledger
from ablation.plan import Plan
from ablation.study.study import Study
from ablation.study_file import StudyFile


def open_study(file: StudyFile, ledger: Ledger, asked: Plan | None = None) -> Study:
    """Replay what was; if ``asked`` is larger than the plan as it stands, note that the study grows.

    The note says how many confirm trials were completed by then: whoever lets a study grow may have seen them, and the
    report has to say so. Raises ConflictError if the ledger contradicts itself.
    """
    plan = study_file.plan_now(file, ledger.history)
    study = Study(plan, ledger)
    if asked is None or asked.without_wording() == plan.without_wording():
        return study
    larger = Study(asked, ledger)  # raises where what was done is not part of it
    confirmed = sum(
        state.outcome == "completed" and study.state.trials[trial_id].phase == "confirm"
        for trial_id, state in study.records.items()
    )
    ledger.append(Grown(asked.model_dump(mode="json"), confirmed))
    return larger
