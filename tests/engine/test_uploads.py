"""What is on its way into a store: the newest of each object, removals last, and no end before it is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from ablation.engine import trial_files
from ablation.engine import uploads as module
from ablation.engine.uploads import TRIES, StoreError, Uploads
from ablation.paths import RunPaths
from ablation.store import StorePath

FOLDER = StorePath("store://", PurePosixPath("runs/one"))


class Store:
    """A store that notes what is done with it, one thing after the other, when it is let."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bytes | None]] = []
        self.gate = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.refusals = 0

    def put(self, path: StorePath, content: bytes | None) -> None:
        self.asked.release()
        self.gate.acquire()
        if self.refusals:
            self.refusals -= 1
            raise OSError("AWS Error NETWORK_CONNECTION")
        self.done.append((path.name, content))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    made = Store()
    monkeypatch.setattr(module, "put_whole", made.put)
    monkeypatch.setattr(StorePath, "unlink", lambda path, missing_ok: made.put(path, None))
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    yield made
    made.gate.release(1000)


def test_the_newest_content_goes_and_removals_come_last(store: Store) -> None:
    uploads = Uploads()
    uploads.put(FOLDER / "a", b"1")
    store.asked.acquire()  # under way
    uploads.remove(FOLDER / "old")
    uploads.put(FOLDER / "b", b"1")
    uploads.put(FOLDER / "b", b"2")
    uploads.put(FOLDER / "a", b"2")
    store.gate.release(4)
    uploads.wait()
    assert sorted(store.done[1:3]) == [("a", b"2"), ("b", b"2")]
    assert (store.done[0], store.done[3:]) == (("a", b"1"), [("old", None)])


def test_a_store_that_is_away_for_a_while_gets_everything(store: Store) -> None:
    uploads = Uploads()
    store.refusals = TRIES - 1
    store.gate.release(TRIES + 1)
    uploads.put(FOLDER / "a", b"1")
    uploads.put(FOLDER / "b", b"1")
    uploads.wait()
    assert sorted(store.done) == [("a", b"1"), ("b", b"1")]


def test_a_store_that_stays_away_is_said_and_tried_again(store: Store) -> None:
    uploads = Uploads()
    store.refusals = TRIES
    store.gate.release(TRIES)
    uploads.put(FOLDER / "a", b"1")
    with pytest.raises(StoreError, match="NETWORK_CONNECTION"):
        uploads.wait()
    store.gate.release()
    uploads.wait()
    uploads.check()
    assert store.done == [("a", b"1")]


def test_what_is_forgotten_is_not_put(store: Store) -> None:
    uploads = Uploads()
    uploads.put(FOLDER / "a", b"1")
    store.asked.acquire()
    uploads.put(FOLDER / "checkpoints" / "trial" / "c", b"1")
    uploads.put(FOLDER / "b", b"1")
    uploads.forget(FOLDER / "checkpoints")
    store.gate.release(2)
    uploads.wait()
    assert store.done == [("a", b"1"), ("b", b"1")]


def test_a_checkpoint_reaches_the_store_after_the_artifacts_that_its_trial_wrote_before_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is killed in between would leave a last epoch whose artifacts nobody makes again."""
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path))
    monkeypatch.setattr(trial_files, "files_below", lambda folder, deep: [])
    monkeypatch.setattr(trial_files, "_read", lambda path: b"")
    files = trial_files.TrialFiles(RunPaths(FOLDER))
    files.begin("arm/0/confirm/0")
    for folder, name in ((files.checkpoint_dir, "epoch-1"), (files.artifact_dir, "predictions")):
        folder("arm/0/confirm/0").mkdir(parents=True)
        (folder("arm/0/confirm/0") / name).write_bytes(b"1")
    store.gate.release(10)
    files.send("arm/0/confirm/0", is_awaited=True)
    files.finish()
    assert [name for name, _ in store.done if name in ("epoch-1", "predictions")] == ["predictions", "epoch-1"]
