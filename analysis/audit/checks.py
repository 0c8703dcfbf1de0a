"""All checks of a run directory against itself."""

from __future__ import annotations

from ablation.paths import RunPaths
from ablation.store import AnyPath
from analysis.audit.choice import confirmed
from analysis.audit.epochs import epochs, sequence, test_scores
from analysis.audit.rungs import rungs
from analysis.audit.search import search
from analysis.audit.source import read
from analysis.audit.trials import checkpoints, last_metrics, outcomes, plan, proposals

CHECKS = (plan, sequence, outcomes, checkpoints, epochs, last_metrics, proposals, search, rungs, confirmed, test_scores)


def audit(run: AnyPath) -> list[str]:
    """Return everything in which plan, ledger, trials and epochs disagree; nothing if all is well."""
    paths = RunPaths(run)
    missing = [path for path in (paths.study, paths.trials, paths.epochs, paths.ledger) if not path.exists()]
    if missing:
        return [f"{path} is missing" for path in missing]
    try:
        found, faults = read(paths)
    except (OSError, ValueError) as error:
        return [str(error)]
    for check in CHECKS:
        try:
            faults += check(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            faults.append(f"{check.__name__}: not even readable ({type(error).__name__}: {error})")
    return faults
