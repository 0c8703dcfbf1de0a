"""Remove the checkpoints of search trials that a study does not keep, once the log says so.

Until it does, a crash would open the trial again, and a row must never point to what is gone. What was to go when a
driver was killed goes when the next one begins.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ablation.ledger.events import Event, SessionOpened
from ablation.ledger.log import Ledger
from ablation.paths import RunPaths
from ablation.resources import Keep
from ablation.store import AnyPath, StorePath, files_below, remove_folder, remove_folders
from ablation.study.study import Study


def keep_as_before(history: list[Event]) -> Keep:
    """Return what the last session kept; ``confirmed`` for a new run, and for one of an earlier version."""
    kept = [event.what.resources.get("keep") for event in history if isinstance(event.what, SessionOpened)]
    return (kept[-1] if kept else None) or "confirmed"


class CheckpointRemoval:
    """Follow what a study does not keep; files go in the background, since a store may be far away."""

    def __init__(self, study: Study, paths: RunPaths, ledger: Ledger) -> None:
        self._study = study
        self._paths = paths
        self._ledger = ledger
        self._remover = ThreadPoolExecutor(1, "remove-checkpoints")
        self._begun: list[tuple[str, Future[None]]] = []
        # Trials, and how many events are recorded when their checkpoints may go.
        self._left: deque[tuple[int, str]] = deque()

    def begin(self) -> None:
        """Remove what earlier sessions left, and what they kept and this one does not."""
        self._ledger.flush()
        remove_folders(self._paths.checkpoint_dir(trial_id) for trial_id in self._still_there())

    def go_on(self) -> None:
        """Remove what is not kept any more, as far as the log says so by now."""
        while self._study.unkept:
            self._left.append((self._ledger.appended, self._study.unkept.popleft()))
        while self._left and self._left[0][0] <= self._ledger.written:
            _, trial_id = self._left.popleft()
            self._begun.append((trial_id, self._remover.submit(remove_folder, self._paths.checkpoint_dir(trial_id))))

    def close(self) -> None:
        """Wait until what is being removed is gone; raises what a removal raised."""
        self._remover.shutdown()
        for _, removal in self._begun:
            removal.result()

    def finish(self) -> None:
        """Remove the rest; the log has to be written by then.

        From a store, too, what is there although it was removed: a request that came while the store was away may have
        been in vain, and an upload may have ended after it.
        """
        rest = [*(trial_id for _, trial_id in self._left), *self._study.unkept]
        if isinstance(self._paths.root, StorePath):
            rest += [trial_id for trial_id, _ in self._begun]
        remove_folders(map(self._paths.checkpoint_dir, rest))

    def _still_there(self) -> Iterator[str]:
        """Take the trials that are not kept; leave out those whose removal was done, also if they were made again.

        What ``rerun --keep`` makes again is of the removed one's epoch and has another digest; a file of another epoch
        is one that could not be removed, or came too late.
        """
        unkept = [self._study.records[trial_id] for trial_id in self._study.unkept]
        self._study.unkept.clear()
        there: defaultdict[AnyPath, set[str]] = defaultdict(set)
        if any(state.removed_checkpoint for state in unkept):
            for file in files_below(self._paths.checkpoints, deep=True):
                there[file.parent].add(file.name)
        for state in unkept:
            if state.removed_checkpoint is None:
                yield state.trial_id
                continue
            removed = self._paths.root / state.removed_checkpoint
            names = there[removed.parent]
            if removed.name in names or (names and _epoch(removed.name) not in map(_epoch, names)):
                yield state.trial_id


def _epoch(checkpoint: str) -> str:
    return checkpoint.rpartition("-")[0]
