"""A planned study, carried out: swept, accounted for, reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from ablation import study_file, tables
from ablation.best_trial import again, lost_checkpoints
from ablation.console.best_text import best_facts
from ablation.console.go_on import go_on_with
from ablation.console.messages import Account, Messages, messages_for
from ablation.console.progress import Progress
from ablation.engine.slots import local_slots
from ablation.failures import Kind
from ablation.faults import FaultsError
from ablation.interrupts import INTERRUPTED
from ablation.ledger.log import LedgerError, OvertakenError, read_events
from ablation.ledger.records import ConflictError, fold
from ablation.ledger.storage import UnwritableError
from ablation.paths import RunPaths
from ablation.planning.planned_run import PlannedRun, create_run
from ablation.planning.rehearsal_process import try_confirm_trial
from ablation.report_process import is_reported, write_report
from ablation.resources import Resources
from ablation.retry_option import OPTION
from ablation.run_dir import run_dir
from ablation.study.retry import reopenable
from ablation.study_file import DamagedStudyError

FAILED_SHARE_TOLERATED = 0.1
CONFIRM_TRIED_MOST_S = 60.0


def run_prepared(study: PlannedRun, report: bool = True, *, retry: Collection[Kind] = ()) -> int:
    """Sweep, account and report; return the exit code. Raises FaultsError if the study cannot start after all.

    ``retry`` are the kinds of failures whose trials run again.
    """
    # Here and not before, since they take long to import: whatever can be wrong with the input has been reported.
    from ablation.engine.executor import NoStartError
    from ablation.engine.stop import NoWorkerError, OtherCodeError

    say = messages_for(study.resources.log_format)
    try:
        ended, summary = _sweep(study, retry, say)
        return _account(study, ended, summary, report, say)
    except (NoStartError, NoWorkerError, OtherCodeError) as error:
        return _halt_and_go_on(error, study, say)
    except (LedgerError, UnwritableError, ConflictError) as error:
        return _halt(error, study.paths, say)
    except OSError as error:
        return _halt(UnwritableError(study.paths.root, str(error)), study.paths, say)


def _sweep(study: PlannedRun, retry: Collection[Kind], say: Messages) -> tuple[str, dict[str, Any]]:
    """Start a run, or go on with it; return how its sweep ended, and the summary."""
    from ablation.engine.driver import sweep

    if not study.resume:
        _try_confirm_trial(study, say)
        create_run(study)
    paths = study.paths
    say.header(study.checked, paths.root, study.resume)
    file = study_file.read(paths).with_data_at((study.checked.data or {}).get("uri"))
    ended = sweep(
        file, paths, study.resources, study.checked.plan, retry=retry,
        begin=partial(_say_what_starts, study.resources, say),
        watch=partial(Progress, resources=study.resources, paths=paths, console=say.console), tell=say.nodes,
        lost=partial(_halt_and_go_on, study=study, say=say),
    )  # fmt: skip
    return ended, tables.materialise(paths)


def _say_what_starts(resources: Resources, say: Messages) -> None:
    if resources.executor == "ray":
        say.step("starting Ray" if resources.address is None else f"joining the cluster at {resources.address}")


def _account(study: PlannedRun, ended: str, summary: Mapping[str, Any], report: bool, say: Messages) -> int:
    """Write the report if it is due, say what became of every trial, and return the exit code."""
    paths = study.paths
    # An interrupted driver has little time, a paused one no results, and one with nothing to do may have its report.
    has_nothing_new = ended == "nothing left" and is_reported(paths, summary)
    is_due = report and ended not in ("interrupted", "paused") and not has_nothing_new
    page = None
    try:
        if is_due:
            say.step("writing the report")
        page = write_report(paths, say) if is_due else None
    except KeyboardInterrupt:
        ended = "interrupted"
    say.lost_checkpoints([again(paths.root, trial_id) for trial_id in lost_checkpoints(paths.root)])
    code = _exit_code(ended, summary, is_reported=page is not None or not is_due)
    if ended == "nothing left" and not is_due and paths.page.is_file():
        page = paths.page
    may_retry = summary["failed"] and reopenable(study.checked.plan, fold(read_events(paths.ledger)))
    retried = go_on_with(study, OPTION) if may_retry else None
    try:
        found = () if page is None else run_dir(paths.root).answer()
        best = None if ended == "interrupted" else best_facts(paths.root)
    except FaultsError as error:  # of what was written, not of what was asked
        say.faults(error.faults)
        found, best, code = (), None, code or 1
    say.accounting(Account(paths.root, ended, code, summary, page, tables.failures(paths), retried, found, best))
    return code


def _try_confirm_trial(study: PlannedRun, say: Messages) -> None:
    """Raise FaultsError if a sweep's confirm trials, which come last, would break the contract.

    Not for a cluster, whose data and GPUs this machine need not have, nor where trials run in this process, in which
    somebody may wait for breakpoints.
    """
    if study.resources.address is None and study.resources.executor == "ray":
        say.step("trying a confirm trial")
        slots, epoch_most_s = local_slots(study.resources), 60 * study.resources.watchdog_minutes
        fault = try_confirm_trial(study.checked, slots, epoch_most_s, CONFIRM_TRIED_MOST_S)
        if fault is not None:
            say.rehearsed(fault)


def _halt_and_go_on(error: Exception, study: PlannedRun, say: Messages) -> int:
    code = _halt(error, study.paths, say)
    say.go_on(go_on_with(study))
    return code


def _halt(error: Exception, paths: RunPaths, say: Messages) -> int:
    """Say what keeps the sweep from going on; what the ledger holds by then is put into the tables if possible."""
    say.halted(error, paths.root)
    if not isinstance(error, OvertakenError):
        try:
            tables.materialise(paths)
        except (OSError, LedgerError, ConflictError, DamagedStudyError) as also:
            say.tables_stale(also, paths.root)
    return 1


def _exit_code(ended: str, summary: Mapping[str, int], is_reported: bool) -> int:
    if ended == "interrupted":
        return INTERRUPTED
    failed = summary["failed"] + summary["diverged"]
    is_accounted = summary["pending"] + summary["interrupted"] == 0
    is_whole = (
        is_accounted and ended in ("finished", "nothing left") and failed <= FAILED_SHARE_TOLERATED * summary["planned"]
    )
    return 0 if is_whole and is_reported else 1
