"""Which trials of a run were run again, and how they compared: chosen for it, and kept for the report."""

from __future__ import annotations

import json
import random
from itertools import chain, zip_longest
from typing import Any

from ablation.agreement import Agreement
from ablation.faults import FaultsError
from ablation.ledger.records import Records
from ablation.paths import RunPaths
from ablation.plan import Plan
from ablation.seeds import derive_seed
from ablation.store import put_whole


def sample(plan: Plan, records: Records, count: int) -> list[str]:
    """Choose trials that trained and did not fail, spread over arms and phases: the same ones for the same study."""
    chooser = random.Random(derive_seed(plan.seed, "sample of trials to run again"))
    groups: dict[tuple[str, str], list[str]] = {}
    for trial in plan.trials():
        state = records.get(trial.trial_id)
        if state is not None and state.epochs and state.outcome in ("completed", "stopped"):
            groups.setdefault((trial.arm, trial.phase), []).append(trial.trial_id)
    shuffled = [chooser.sample(trials, len(trials)) for trials in groups.values()]
    chooser.shuffle(shuffled)
    in_turn = chain.from_iterable(zip_longest(*shuffled))
    return [trial for trial in in_turn if trial is not None][:count]


def note(paths: RunPaths, agreement: Agreement) -> None:
    """Keep how a trial compared, in the run's reruns.json; the latest comparison of a trial counts.

    Raises FaultsError if the file is damaged or cannot be written.
    """
    try:
        known: dict[str, Any] = json.loads(paths.reruns.read_bytes()) if paths.reruns.is_file() else {}
    except ValueError as error:
        raise FaultsError([f"{paths.reruns} is no JSON ({error}); delete it, and run trials again"]) from error
    kind = "exact" if agreement.is_exact else "rounding" if agreement.is_rounding else "different"
    known[agreement.trial_id] = {"agreement": kind, "epochs": agreement.epochs}
    try:
        put_whole(paths.reruns, (json.dumps(dict(sorted(known.items())), indent=1) + "\n").encode())
    except OSError as error:
        raise FaultsError([f"{paths.reruns} cannot be written ({error}); the comparison is not kept"]) from error
