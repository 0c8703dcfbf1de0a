"""The two lines of Python that load what a study found, for all who print them."""

from __future__ import annotations

from ablation.study_file import StudyFile
from ablation.trust import is_shipped


def how_to_load(file: StudyFile, run: str, checkpoint: str | None, arm: str | None = None) -> tuple[str, ...]:
    """Return two lines that load a study's best model, or its checkpoint if the space names no predictor.

    ``run`` is the run's folder or address, ``checkpoint`` that of the best trial's file; without one there is nothing
    to load, and no line. ``arm`` is for the best model of that arm alone.
    """
    if checkpoint is None:
        return ()
    if file.plan.space.predictor is None:
        return "from ablation import checkpoint, store", f"saved = checkpoint.load(store.located({checkpoint!r}))"
    named = "" if arm is None else f", arm={arm!r}"
    trusted = "" if is_shipped(file) else ", trust=True"  # whoever reads this made the study
    return "from ablation import load_best", f"model = load_best({run!r}{named}{trusted})"
