"""Checkpoints and study.json that a stranger made: a clear error or a whole model, no code, little memory."""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ablation.best_trial import best_trial
from ablation.checkpoint import DamagedCheckpointError, load, parse
from ablation.faults import FaultsError
from ablation.reuse import load_best, load_checkpoint
from ablation.study_file import DIGEST
from tests.support.tiny_faces import make_pictures, run_tiny

# Beside what the file takes: the parser's own, a message.
SLACK_BYTES = 2**18
RUNS_CODE = ("pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "ctypes.dlopen")
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**70, 1e308, float("nan"), "", "x" * 999, "os:system", "../../etc/passwd", [], {}, [[]],
    {"a": 1}, [1, "a"], "float32", "\u0000", -0.5, 10**9,
)  # fmt: skip
ran: list[str] = []
is_watching = False


def note(event: str, _: tuple[Any, ...]) -> None:
    if is_watching and event in RUNS_CODE:
        ran.append(event)


sys.addaudithook(note)


@pytest.fixture
def nothing_runs() -> Iterator[None]:
    """Fail where anything is unpickled, or another program started."""
    global is_watching
    ran.clear()
    is_watching = True
    try:
        yield
    finally:
        is_watching = False
    assert ran == []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABLATION_CACHE", str(folder / "cache"))
        run = run_tiny(folder / "tiny", make_pictures(folder / "pictures"), replicates=2, epochs=1)
        load_best(run.root)  # imports what loading imports
        yield run.root


def flipped(content: bytes, chooser: random.Random) -> bytes:
    """Change, cut, repeat or insert some bytes, most of them where the header is."""
    changed = bytearray(content)
    for _ in range(chooser.randint(1, 4)):
        at = chooser.randrange(min(len(changed), chooser.choice((8, 400, len(changed)))))
        match chooser.randrange(4):
            case 0:
                changed[at] = chooser.randrange(256)
            case 1:
                changed[at:at] = chooser.randbytes(chooser.randint(1, 9))
            case 2:
                del changed[at : at + chooser.randint(1, 200)]
            case _:
                changed[at] ^= 1 << chooser.randrange(8)
        if not changed:
            return b""
    return bytes(changed)


def edited(tree: Any, chooser: random.Random) -> Any:
    """Replace, remove or add something somewhere in a JSON value, in place where that can be."""
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chooser.choice(keys)
        inner = node[key]
        if isinstance(inner, dict | list) and inner and chooser.random() < 0.85:
            node = inner
            continue
        if chooser.random() < 0.2:
            del node[key]
        else:
            node[key] = chooser.choice(ODD)
        return tree


def restructured(content: bytes, chooser: random.Random) -> bytes:
    """Edit the header's JSON, or the JSON within its metadata, and put the file together again."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    inner = chooser.choice(("about", "records", None, None))
    if inner is None:
        edited(header, chooser)
    else:
        header["__metadata__"][inner] = json.dumps(edited(json.loads(header["__metadata__"][inner]), chooser))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (flipped, restructured)


@pytest.mark.usefixtures("nothing_runs")
def test_a_checkpoint_with_any_changed_byte_is_known_by_its_name(root: Path) -> None:
    kept, chooser = best_trial(root).checkpoint, random.Random(1)
    assert kept is not None
    content = kept.read_bytes()
    for _ in range(200):
        damaged = chooser.choice(MUTATIONS)(content, chooser)
        if damaged != content:
            with pytest.raises(DamagedCheckpointError, match="does not match its name"):
                parse(damaged, str(kept))


@pytest.mark.usefixtures("nothing_runs")
def test_a_forged_checkpoint_gives_a_clear_error_or_a_model_and_takes_little_memory(root: Path, tmp_path: Path) -> None:
    kept, chooser = best_trial(root).checkpoint, random.Random(2)
    assert kept is not None
    content, refused = kept.read_bytes(), 0
    path = tmp_path / "forged.safetensors"
    for index in range(300):
        forged = MUTATIONS[index % 2](content, chooser)
        path.write_bytes(forged)
        tracemalloc.start()
        try:
            with suppress(DamagedCheckpointError):
                load(path, "numpy")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak <= 4 * len(forged) + SLACK_BYTES
        try:
            load_checkpoint(path)
        except ValueError as error:  # FaultsError and DamagedCheckpointError among them
            assert str(path) in str(error)
            refused += 1
    assert refused > 150


def test_a_header_that_claims_too_much_is_refused_before_it_is_read() -> None:
    for length, said in ((2**63, "header would have"), (2**24 + 1, "may have 16777216 at most")):
        with pytest.raises(DamagedCheckpointError, match=said):
            parse(length.to_bytes(8, "little") + b" " * (0 if length > 2**30 else length), "claims")
    deep = b"[" * 100_000
    with pytest.raises(DamagedCheckpointError, match="nested too deeply"):
        parse(len(deep).to_bytes(8, "little") + deep, "deep")


@pytest.mark.usefixtures("nothing_runs")
def test_a_forged_study_json_gives_a_clear_error_or_a_model(root: Path) -> None:
    study = root / "study.json"
    whole, chooser, refused = study.read_bytes(), random.Random(3), 0
    try:
        for index in range(200):
            if index % 4 == 0:
                forged = flipped(whole, chooser)
            else:
                content = edited({key: value for key, value in json.loads(whole).items() if key != DIGEST}, chooser)
                if index % 4 < 3:  # sealed again, as a stranger would
                    content[DIGEST] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
                forged = json.dumps(content).encode()
            study.write_bytes(forged)
            try:
                load_best(root)
            except (FaultsError, ValueError, FileNotFoundError) as error:
                assert str(error)
                refused += 1
    finally:
        study.write_bytes(whole)
    assert refused > 100
