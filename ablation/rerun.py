"""Command: ``python -m ablation.rerun RUN_DIR TRIAL_ID`` runs one trial again, in the foreground and without Ray."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ablation import reruns, study_file
from ablation.agreement import Agreement, Difference, differences, in_words
from ablation.checkpoint import newest_path
from ablation.engine.process_state import ProcessState
from ablation.faults import FaultsError
from ablation.ledger.events import Event, SessionOpened, Started
from ablation.ledger.log import LedgerError, read_events
from ablation.ledger.records import ConflictError, EpochRow, TrialState, fold
from ablation.paths import RunPaths
from ablation.plan import PlannedTrial
from ablation.store import AnyPath, as_typed, located, put_all
from ablation.study.contract import refusal_of
from ablation.study_file import StudyFile
from ablation.terminal import console, exit_on_errors
from ablation.trial import EpochRecord, TrialContext, build_config, import_object
from ablation.trust import allow_code

NEAREST_SHOWN = 5


@dataclass(frozen=True)
class Recorded:
    """A trial as a run directory has it, and the share of hardware that its session gave a trial."""

    file: StudyFile
    trial: PlannedTrial
    state: TrialState
    resources: Mapping[str, Any]


Tell = Callable[[EpochRow, EpochRecord], None]


def rerun(
    run: AnyPath | str,
    trial_id: str,
    *,
    device: str | None = None,
    threads: int | None = None,
    epochs: int | None = None,
    say: Tell | None = None,
    trust: bool = False,
    keep: bool = False,
) -> Agreement:
    """Run a trial again from its recorded configuration, seeds and data, in a temporary folder, and compare.

    The study's own code is imported only if it is a shipped study's, or with ``trust``. With ``keep``, the checkpoint
    of a confirm trial that comes out the same is put into the run directory, if the trial has none there.

    Only recorded epochs are run, the first ``epochs`` of them where given, and of a failed trial what failed. Device
    and threads are the recorded session's unless given. ``say`` is called with each epoch as recorded and as it is
    now. Reads the ledger alone, so it works while a sweep is running, and writes nothing else into the run. Raises
    FaultsError on bad input: no run, an unknown trial, one that has nothing to compare, data that have changed.
    """
    paths = RunPaths(located(run).absolute())
    recorded = _recorded(paths, trial_id, threads, epochs)
    folder = allow_code(recorded.file, paths, trust=trust)
    # Relative paths in a trial start where its study was started.
    with nullcontext() if folder is None else chdir(folder):
        return _run_again(recorded, paths, device, threads, epochs, say, keep=keep)


def _run_again(
    recorded: Recorded,
    paths: RunPaths,
    device: str | None,
    threads: int | None,
    epochs: int | None,
    say: Tell | None,
    *,
    keep: bool,
) -> Agreement:
    state = recorded.state
    rows = state.epochs[:epochs]
    does_fail = state.outcome == "failed" and (epochs is None or epochs > len(rows))
    differing: list[Difference] = []
    compared = 0
    with tempfile.TemporaryDirectory(prefix="ablation-rerun-") as scratch:
        records = _records(recorded, _context(recorded, paths, Path(scratch), device, threads))
        failure_again: str | None = None
        try:
            for row in rows:
                record = next(records)
                compared += 1
                differing += differences(row, record)
                if say is not None:
                    say(row, record)
            if does_fail:
                plan = recorded.file.plan
                failure_again = refusal_of(next(records), recorded.trial, state, plan.primary, plan.rungs)
        except StopIteration:
            failure_again = f"run_trial ended before epoch {recorded.trial.epochs}"
        except (Exception, SystemExit) as error:  # whatever a model under study does
            failure_again = f"{type(error).__name__}: {error}"
            if isinstance(error, FaultsError) and failure_again != state.reason:
                raise
            traceback.print_exc()
        finally:
            records.close()
        if keep and not differing and failure_again is None and compared == recorded.trial.epochs:
            _keep(Path(scratch) / "checkpoints", paths.checkpoint_dir(state.trial_id))
    failure = state.reason if does_fail else None
    return Agreement(state.trial_id, compared, len(rows), tuple(differing), failure, failure_again)


def _keep(made: Path, directory: AnyPath) -> None:
    """Put the last checkpoint beside what is there: other bytes, since its records say how long epochs took now."""
    newest = newest_path(made)
    if newest is not None:
        put_all({directory / newest.name: newest.read_bytes()})


def _records(recorded: Recorded, context: TrialContext) -> Generator[EpochRecord, None, None]:
    """Begin the trial when its first record is asked for: what goes wrong before that is its failure, too."""
    run_trial = import_object(recorded.file.plan.space.trial)
    state = ProcessState()
    state.seed(context.seed)
    try:
        yield from run_trial(build_config(run_trial, recorded.state.config), context)
    finally:
        state.restore()


def _recorded(paths: RunPaths, trial_id: str, threads: int | None, epochs: int | None) -> Recorded:
    """Find the trial; raise FaultsError with all that stands against running it again."""
    faults = [
        f"{option} is {given}, but must be >= 1"
        for option, given in (("--threads", threads), ("--epochs", epochs))
        if given is not None and given < 1
    ]
    try:
        file = study_file.read(paths)
        events = read_events(paths.ledger)
        plan = study_file.plan_now(file, events)
        state = fold(events).get(trial_id, TrialState(trial_id))
    except (FileNotFoundError, LedgerError, ConflictError, ValueError) as error:
        raise FaultsError([*faults, str(error)]) from error
    trials = {trial.trial_id: trial for trial in plan.trials()}
    if trial_id not in trials:
        raise FaultsError([*faults, _unknown(trial_id, trials, paths)])
    faults += _faults(state)
    if faults:
        raise FaultsError(faults)
    return Recorded(file.model_copy(update={"plan": plan}), trials[trial_id], state, _resources(events, trial_id))


def _unknown(trial_id: str, trials: Mapping[str, PlannedTrial], paths: RunPaths) -> str:
    known = sorted(trials, key=lambda name: SequenceMatcher(None, trial_id, name).ratio(), reverse=True)
    return f"{trial_id!r} is no trial of {paths.root}; nearest: {', '.join(known[:NEAREST_SHOWN])}"


def _faults(state: TrialState) -> Iterator[str]:
    if not state.is_proposed:
        why = f" (it ended as {state.outcome}: {state.reason})" if state.has_ended else ""
        yield f"{state.trial_id} has no proposal yet{why}; choose a trial that has run"
    elif not state.epochs and state.outcome != "failed":
        yield f"{state.trial_id} has no recorded epoch yet; wait for its first, or choose another trial"


def _resources(events: Sequence[Event], trial_id: str) -> Mapping[str, Any]:
    """Return the resources of the session in which a trial last started."""
    found: Mapping[str, Any] = {}
    current: Mapping[str, Any] = {}
    for event in events:
        if isinstance(event.what, SessionOpened):
            current = event.what.resources
        elif isinstance(event.what, Started) and event.trial_id == trial_id:
            found = current
    return found


def _context(
    recorded: Recorded, paths: RunPaths, scratch: Path, device: str | None, threads: int | None
) -> TrialContext:
    trial, resources, start = recorded.trial, recorded.resources, recorded.file.plan.init_from
    return trial.context(
        scratch / "checkpoints",
        scratch / "artifacts",
        data=recorded.file.data_uri,
        data_fingerprint=recorded.file.data_fingerprint,
        data_decoding=recorded.file.data_decoding,
        init_from=None if start is None else as_typed(paths.initial(start.name)),
        device=device or ("cpu" if resources.get("gpus_per_trial") == 0 else "auto"),
        cpu_threads=threads or max(1, int(resources.get("cpus_per_trial", 1))),
        checkpoint_epochs=recorded.file.plan.rungs,
    )


def show(
    run: Annotated[str, typer.Argument(help="A run directory, or its address.")],
    trial_id: Annotated[
        str | None, typer.Argument(metavar="TRIAL", help="A trial_id, such as reference/0/search/0.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="A torch device, or auto; default: as recorded.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Only the first so many recorded epochs.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads to compute with; default: as recorded.")] = None,
    sample: Annotated[int | None, typer.Option(help="Instead of TRIAL: so many trials, over all arms.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Put a lost checkpoint back, if all comes out the same.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Import code that the run names, if it is no shipped study.")
    ] = False,
) -> None:
    """Run one trial again, without Ray, and compare its metrics with the recorded ones, bit for bit.

    Exit code 0: all the same; 1: not; 2: bad input.
    """
    out = console()
    with exit_on_errors():
        paths = RunPaths(located(run))
        chosen = _chosen(paths, trial_id, sample)
        _say_where(out, paths)
        agreements = []
        for one in chosen:
            reported = None if sample else lambda *both: _say(out, *both)
            agreement = rerun(
                run, one, device=device, threads=threads, epochs=epochs, say=reported, trust=trust, keep=keep
            )
            agreements.append(agreement)
            for line in in_words(agreement):
                out.print(f"{one}: {line}" if sample else line)
            if (device, threads, epochs) == (None, None, None):
                reruns.note(paths, agreement)
    exact = sum(agreement.is_exact for agreement in agreements)
    if sample:
        out.print(f"{exact} of {len(agreements)} trials came out the same, bit for bit")
    raise typer.Exit(0 if exact == len(agreements) else 1)


def _chosen(paths: RunPaths, trial_id: str | None, sample: int | None) -> list[str]:
    """Return the trials to run again; raise FaultsError unless either one or a number is given."""
    if (trial_id is None) == (sample is None):
        raise FaultsError(["give either a TRIAL or --sample N"])
    if trial_id is not None:
        return [trial_id]
    if sample is None or sample < 1:
        raise FaultsError([f"--sample is {sample}, but must be >= 1"])
    try:
        file, events = study_file.read(paths), read_events(paths.ledger)
        chosen = reruns.sample(study_file.plan_now(file, events), fold(events), sample)
    except (FileNotFoundError, LedgerError, ConflictError, ValueError) as error:
        raise FaultsError([str(error)]) from error
    if not chosen:
        raise FaultsError([f"{paths.root} has no trial yet that ended with a result; let the sweep go on"])
    return chosen


def _say_where(out: Console, paths: RunPaths) -> None:
    """Say where this machine is another than the recorded one, since floating point may then be, too."""
    try:
        file = study_file.read(paths)
    except (FileNotFoundError, ValueError):
        return  # reported by what comes next, with all other faults
    here = study_file.describe(file.name, file.plan, file.budget_name, file.data, [])
    for before, now in ((file.hardware, here.hardware), (file.versions, here.versions)):
        # Only what both know: this process may not have imported what knows the version of a library.
        other = [
            f"{name} {before[name]} → {now[name]}" for name in before if now.get(name, before[name]) != before[name]
        ]
        if other:
            out.print(f"recorded elsewhere, so the last digits may differ: {', '.join(other)}")


def _say(out: Console, row: EpochRow, record: EpochRecord) -> None:
    differing = {difference.metric for difference in differences(row, record)}
    width = max(map(len, row.metrics), default=0)
    for index, metric in enumerate(dict.fromkeys((*row.metrics, *record.metrics))):
        before, now = row.metrics.get(metric), record.metrics.get(metric)
        label = f"epoch {row.epoch}" if index == 0 else ""
        relation = "≠" if metric in differing else "="
        out.print(f"{label:<10} {metric:<{width}}  {_format(before)} {relation} {_format(now)}")


def _format(value: float | None) -> str:
    return f"{'missing' if value is None else f'{value:.9g}':>16}"


if __name__ == "__main__":
    typer.run(show)
