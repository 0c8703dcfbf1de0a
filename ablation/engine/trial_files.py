"""Where a trial's files are written: in the run directory, or on the worker's own disk if the run lies in a store.

The author of a model writes plain files either way. After each epoch those that changed go into the store in the
background; a trial that starts again, here or on another machine, begins with what the store has. Checkpoints and
artifacts lie in a folder of the process's own until then; logs in one for all, since who reads a log after its writer
was killed is another process.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ablation.checkpoint import newest_path
from ablation.engine.uploads import StoreError, Uploads
from ablation.engine.work_folder import WorkFolder, sweep
from ablation.node_cache import cache_folder
from ablation.paths import RunPaths
from ablation.store import AnyPath, StorePath, files_below, name_in, put_whole, read_all

Version = tuple[int, int, int]


def local_side(paths: RunPaths) -> RunPaths[Path]:
    """Return a run directory here: itself, or what this machine keeps of one in a store while trials run."""
    if isinstance(paths.root, Path):
        return RunPaths(paths.root)
    digest = hashlib.sha256(paths.root.uri.encode()).hexdigest()[:16]
    return RunPaths(cache_folder() / "runs" / digest)


def newest_log(paths: RunPaths, trial_id: str) -> AnyPath:
    """Return a trial's log: this machine's if the trial ran here, since it may be ahead of the store's."""
    here = local_side(paths).log(trial_id)
    return here if here.is_file() else paths.log(trial_id)


def hand_over(paths: RunPaths, written: Path) -> None:
    """Put a file of a run's local side into its store, if it lies in one; for people, so that losing it is no fault."""
    if isinstance(paths.root, StorePath) and written.is_file():
        with suppress(OSError):
            put_whole(paths.root / name_in(local_side(paths).root, written), written.read_bytes())


def remove_local_side(paths: RunPaths) -> None:
    """Remove what this machine kept of a run in a store; a process that is still at work on it keeps its own."""
    if isinstance(paths.root, StorePath):
        here = local_side(paths)
        shutil.rmtree(here.logs, ignore_errors=True)
        sweep(here.root)
        with suppress(OSError):
            here.root.rmdir()


class TrialFiles:
    """The files of the trials that a process runs, one trial after the other. Nothing to do for a run on this disk."""

    def __init__(self, run: RunPaths) -> None:
        self.run = run
        self._here = local_side(run)
        self._work: WorkFolder | None = None
        self._uploads = Uploads()
        self._sent: dict[Path, Version] = {}  # files of this trial as the store has them, or soon will

    def checkpoint_dir(self, trial_id: str) -> Path:
        """Return where a trial writes its checkpoints."""
        return self._own.checkpoint_dir(trial_id)

    def artifact_dir(self, trial_id: str) -> Path:
        """Return where a confirm trial leaves its artifacts."""
        return self._own.artifact_dir(trial_id)

    def log(self, trial_id: str) -> Path:
        """Return where a trial's output goes."""
        return self._here.log(trial_id)

    def newest_checkpoint(self, trial_id: str) -> str | None:
        """Return where in the run a trial's newest checkpoint lies, or will lie soon; None if it has none."""
        newest = newest_path(self.checkpoint_dir(trial_id))
        return None if newest is None else name_in(self._own.root, newest)

    @property
    def _is_stored(self) -> bool:
        return isinstance(self.run.root, StorePath)

    @property
    def _own(self) -> RunPaths[Path]:
        return self._here if self._work is None else RunPaths(self._work.path)

    def begin(self, trial_id: str) -> None:
        """Fetch what an earlier attempt left; raises StoreError if the store stays away."""
        if not self._is_stored:
            return
        self._work = self._work or WorkFolder(self._here.root)
        self._sent = {}
        self._clear(trial_id)
        try:
            with ThreadPoolExecutor(1) as other:  # two requests take as long as one
                log = other.submit(_read, self.run.log(trial_id))
                stored = self.run.checkpoint_dir(trial_id)
                found = read_all(files_below(stored, deep=True))
        except OSError as error:
            raise StoreError(" ".join(str(error).split())) from error
        for path, content in found.items():
            here = self.checkpoint_dir(trial_id) / name_in(stored, path)
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_bytes(content)
            self._sent[here] = _version(here)
        here = self.log(trial_id)
        # An attempt that ended here abruptly may have written more than it sent.
        if not here.is_file() or here.stat().st_size < len(log.result()):
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_bytes(log.result())

    def send(self, trial_id: str, *, is_awaited: bool = False) -> None:
        """Send what has changed on its way; ``is_awaited``: until it is there. Raises StoreError if it stays away."""
        if not self._is_stored:
            return
        self._uploads.check()
        present = {path: _version(path) for path in self._present(trial_id)}
        for path, version in present.items():
            if self._sent.get(path) != version:
                self._uploads.put(self._stored(path), path.read_bytes())
        for path in self._sent.keys() - present.keys():
            self._uploads.remove(self._stored(path))
        self._sent = present
        if is_awaited:
            self._uploads.wait()

    def end(self, trial_id: str, *, is_sent: bool) -> None:
        """Send the rest of a trial that this process is through with; its checkpoints if ``is_sent``.

        Those that do not stay in the run are removed from the store by the driver.
        """
        if not self._is_stored:
            return
        # What is left is tried again, and a store that stays away is said by the next trial, which fetches from it.
        with suppress(StoreError):
            stored = self.run.checkpoint_dir(trial_id)
            if not is_sent and isinstance(stored, StorePath):
                self._uploads.forget(stored)
                shutil.rmtree(self.checkpoint_dir(trial_id), ignore_errors=True)
                self._sent = {path: version for path, version in self._sent.items() if path.exists()}
            self.send(trial_id)
        self._clear(trial_id)
        self.log(trial_id).unlink(missing_ok=True)

    def finish(self) -> None:
        """Wait until all is in the store; what a store that stays away lacks is trained again."""
        if self._is_stored:
            try:
                self._uploads.wait()
            except StoreError as error:
                print(f"the store lacks the newest checkpoints: {error}")
        if self._work is not None:
            self._work.remove()
            self._work = None

    def _clear(self, trial_id: str) -> None:
        for folder in (self.checkpoint_dir(trial_id), self.artifact_dir(trial_id)):
            shutil.rmtree(folder, ignore_errors=True)

    def _present(self, trial_id: str) -> Iterator[Path]:
        """Yield a trial's files, checkpoints after artifacts, which who goes on from one does not make again."""
        for folder in (self.artifact_dir(trial_id), self.checkpoint_dir(trial_id)):
            yield from (path for path in folder.rglob("*") if path.is_file())
        log = self.log(trial_id)
        if log.is_file():
            yield log

    def _stored(self, path: Path) -> StorePath:
        root = self.run.root
        assert isinstance(root, StorePath)
        return root / name_in(self._own.root if path.is_relative_to(self._own.root) else self._here.root, path)


def _version(path: Path) -> Version:
    about = path.stat()
    return about.st_ino, about.st_mtime_ns, about.st_size


def _read(path: AnyPath) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
