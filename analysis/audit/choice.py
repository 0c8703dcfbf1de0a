"""Each search's best once more, from trials alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from analysis.audit.cells import columns, same
from analysis.audit.source import KEY, AuditedRun


def confirmed(run: AuditedRun) -> Iterator[str]:
    """Choose each replicate's best again and compare it with what was confirmed."""
    configs = columns(run.trials, "config.")
    for (arm, replicate), members in run.trials.groupby(KEY):
        confirm = members[(members["phase"] == "confirm") & members["status"].isin(["completed", "diverged"])]
        if not run.plan["budget"]["trials"]:
            yield from _at_defaults(run, confirm.to_dict("records"))
            continue
        search = members[(members["phase"] == "search") & (members["status"] == "completed")].sort_values("index")
        for row in confirm.to_dict("records"):
            stage = run.stages[row["index"] // run.plan["budget"]["seeds"]]
            among = search[search["index"] < stage]
            if among.empty:
                yield f"trials: {row['trial_id']} confirms a search without survivor"
                continue
            best = among.to_dict("records")[int(np.argmax(run.sign * among[run.validation].to_numpy()))]
            if not all(same(row[name], best[name]) for name in configs):
                yield f"trials: {row['trial_id']} does not confirm {best['trial_id']}, the best of {arm}/{replicate}"


def _at_defaults(run: AuditedRun, confirm: list[dict[Any, Any]]) -> Iterator[str]:
    """Hold the configurations of a study without search against the defaults of its hyperparameters."""
    searched = {arm["name"]: arm["searched"] for arm in run.plan["arms"]}
    defaults = {name: domain["default"] for name, domain in run.plan["space"]["nuisance"].items()}
    for row in confirm:
        for name in searched[row["arm"]]:
            if not same(row[f"config.{name}"], defaults[name]):
                yield f"trials: {row['trial_id']}'s {name} is not the default, and nothing was searched"
