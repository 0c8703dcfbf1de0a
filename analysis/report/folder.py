"""A report's folder: only files that a report wrote there are ever replaced or removed, and links are not followed.

``manifest.json`` in the folder lists them with the digests of their content. A file that is not on it, or whose
content is another by now, is somebody else's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.faults import FaultsError
from ablation.run_dir import RunDir
from ablation.store import (
    AnyPath,
    files_below,
    located,
    make_folder,
    name_in,
    put_all,
    put_whole,
    read_all,
    remove_files,
)

MANIFEST = "manifest.json"
ABOUT = "files that python -m analysis.report wrote here, with the SHA-256 of their content; no others are touched"
# In a run's own folder nobody edits these, and a torn one must not keep the next report from being written.
MACHINES = ("index.html", "findings.json")
SIGNATURE = "Made from the run directory alone by <code>python -m analysis.report</code>"  # every page ends with it
REMEDY = "move it away, or give another folder with --out"
Digests = dict[str, list[str]]  # by path below the folder; two of a file that is being replaced


@dataclass(frozen=True)
class ReportFolder:
    """Where a report goes.

    Attributes:
        path: the folder.
        is_own: whether it is the run's own ``report/``, and no folder of the user's. A page that lies there without a
            manifest, from before there were any, is ours by its signature, and with it what it links to.
    """

    path: AnyPath
    is_own: bool = False

    def check(self, names: Iterable[str]) -> None:
        """Raise FaultsError, with every fault, where files of these names cannot be written without touching others."""
        faults = list(self._faults(sorted(names)))
        if faults:
            raise FaultsError(faults)

    def put(self, files: Mapping[str, str | bytes], stale: str) -> None:
        """Write files by their paths below the folder, each whole or not at all, and remove our own older ones.

        Args:
            files: content by path; text is written as UTF-8.
            stale: pattern of whole paths: what was written earlier, matches it and is not in ``files`` is removed.

        Raises:
            FaultsError: a file that is not ours is in the way, or nothing can be written there.
        """
        contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
        self.check(contents)
        known = self._known()
        try:
            make_folder(self.path)
            new = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
            # Whoever is cut off between two files finds both contents listed, and goes on next time.
            self._list({name: [*known.get(name, []), *([new[name]] if name in new else [])] for name in {*known, *new}})
            put_all({self.path / name: content for name, content in contents.items()}, is_synced=False)
            old = [name for name in sorted(known.keys() - new.keys()) if re.fullmatch(stale, name)]
            remove_files(self.path / name for name in self._ours(old, known))
            known = {name: digests for name, digests in known.items() if name not in old}
            self._list({**known, **{name: [digest] for name, digest in new.items()}})
        except OSError as error:
            where = f"{self.path} cannot be written ({error.strerror or error})"
            raise FaultsError([f"{where}; make that possible, or give another folder with --out"]) from error

    def _faults(self, names: list[str]) -> Iterable[str]:
        if self.is_own and self.path.is_symlink():
            yield f"{self.path} is a link, which a report does not follow; {REMEDY}"
            return
        if not self.path.is_dir():
            if self.path.exists():
                yield f"{self.path} is no folder; give another one with --out"
            return
        known = self._known()
        for parent in dict.fromkeys((self.path / name).parent for name in sorted({*names, MANIFEST})):
            if parent != self.path and (parent.is_symlink() or (parent.exists() and not parent.is_dir())):
                yield f"{parent} is {'a link' if parent.is_symlink() else 'no folder'}; {REMEDY}"
                return
        files, ours = self._files(), set(self._ours(names, known))
        for name in names:
            path = self.path / name
            if isinstance(path, Path) and (path.is_symlink() or (path.exists() and not path.is_file())):
                yield f"{path} is {'a link' if path.is_symlink() else 'no file'}; {REMEDY}"
            elif name in files and name not in ours:
                why = "was changed since a report wrote it" if name in known else "was not written by a report"
                yield f"{path} {why}, and is not replaced; {REMEDY}"

    def _files(self) -> set[str]:
        """List the files that are there by their paths below the folder, at once, since a store may be far away."""
        return {name_in(self.path, path) for path in files_below(self.path, deep=True)}

    def _ours(self, names: Sequence[str], known: Digests) -> list[str]:
        """Choose those of some files that are there and that a report wrote."""
        there = self._files()
        candidates = [name for name in names if name in known and name in there and not self._is_linked(name)]
        contents = read_all([self.path / name for name in candidates])
        return [name for name in candidates if self._is_as_written(name, contents[self.path / name], known[name])]

    def _is_as_written(self, name: str, content: bytes, digests: Sequence[str]) -> bool:
        if self.is_own and (name in MACHINES or not content):
            return True
        return hashlib.sha256(content).hexdigest() in digests

    def _is_linked(self, name: str) -> bool:
        path = self.path / name
        return isinstance(path, Path) and (path.is_symlink() or path.parent.is_symlink())

    def _known(self) -> Digests:
        """Read the manifest; raises FaultsError if it is not one of ours."""
        path = self.path / MANIFEST
        if not path.is_symlink() and not path.exists():
            return self._adopted() if self.is_own else {}
        try:
            if path.is_symlink():
                raise ValueError("it is a link")
            document = json.loads(path.read_bytes())
            if document["about"] != ABOUT:
                raise ValueError("it is of something else")
            return {str(name): [str(digest) for digest in digests] for name, digests in document["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FaultsError([f"{path} is no list of a report's files ({error}); {REMEDY}"]) from error

    def _adopted(self) -> Digests:
        """List what an earlier page, from before there were manifests, brought with it: what it has links to."""
        page = self.path / "index.html"
        if not isinstance(self.path, Path) or not isinstance(page, Path):
            return {}  # those were of this machine only
        if self.path.is_symlink() or page.is_symlink() or not page.is_file():
            return {}
        text = page.read_text(encoding="utf-8", errors="replace")
        if SIGNATURE not in text:
            return {}
        names = {"index.html", "findings.json", *re.findall(r'href="(tables/[^"/\\]+\.(?:csv|md|tex))"', text)}
        for figure in re.findall(r'id="figure-([^"/\\]+)"', text):
            drawn = re.compile(rf"{re.escape(figure)}(-\d+)?\.(svg|png)")
            names |= {f"figures/{path.name}" for path in self.path.glob("figures/*") if drawn.fullmatch(path.name)}
        plain = [name for name in names if not (self.path / name).is_symlink() and (self.path / name).is_file()]
        plain = [name for name in plain if not (self.path / name).parent.is_symlink()]
        return {name: [hashlib.sha256((self.path / name).read_bytes()).hexdigest()] for name in plain}

    def _list(self, digests: Mapping[str, list[str]]) -> None:
        files = {name: list(dict.fromkeys(digests[name])) for name in sorted(digests)}
        put_whole(
            self.path / MANIFEST,
            (json.dumps({"about": ABOUT, "files": files}, indent=1) + "\n").encode(),
            is_synced=False,
        )


def report_folders(runs: Sequence[RunDir], out: AnyPath | str | None) -> list[ReportFolder]:
    """Choose the folder of each run's report: ``out``, in it one by name for each of several, else in the run.

    Raises FaultsError if two runs would share one, or what is there already is not ours to replace.
    """
    folders = [run.paths.report for run in runs]
    if out is not None:
        short, chosen = [run.name for run in runs], located(out)
        twice = sorted({name for name in short if short.count(name) > 1})
        if twice:
            raise FaultsError([f"--out would write {name!r} twice; report these runs one at a time" for name in twice])
        folders = [chosen] if len(runs) == 1 else [chosen / name for name in short]
    found = [ReportFolder(path, _is_own(path, run)) for run, path in zip(runs, folders, strict=True)]
    for folder in found:  # what is in the way is said before anything is computed
        folder.check(("index.html", "findings.json", "tables/arms.csv"))
    return found


def _is_own(path: AnyPath, run: RunDir) -> bool:
    own = run.paths.report
    return path.parent.resolve() / path.name == own.parent.resolve() / own.name
