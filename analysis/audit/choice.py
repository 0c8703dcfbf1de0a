"""Each search's best once more, from trials alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.audit.cells import columns, same
from analysis.audit.source import KEY, Run


def confirmed(run: Run) -> Iterator[str]:
    """Choose each replicate's best again and compare it with what was confirmed."""
    configs = columns(run.trials, "config.")
    for (arm, replicate), members in run.trials.groupby(KEY):
        search = members[(members["phase"] == "search") & (members["status"] == "completed")].sort_values("index")
        confirm = members[(members["phase"] == "confirm") & members["status"].isin(["completed", "diverged"])]
        if search.empty:
            yield from (f"trials: {trial} confirms a search without survivor" for trial in confirm["trial_id"])
            continue
        best = search.to_dict("records")[int(np.argmax(run.sign * search[run.validation].to_numpy()))]
        for row in confirm.to_dict("records"):
            if not all(same(row[name], best[name]) for name in configs):
                yield f"trials: {row['trial_id']} does not confirm {best['trial_id']}, the best of {arm}/{replicate}"
