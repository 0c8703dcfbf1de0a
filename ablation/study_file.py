"""study.json: the plan and where it comes from; written once, never changed."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ablation.git import Repository, repository_of
from ablation.ledger.events import Event, Grown
from ablation.machine import hardware, onednn_version
from ablation.paths import RunPaths, no_run
from ablation.plan import Plan
from ablation.plan_versions import of_version_1
from ablation.store import make_folder, put_whole
from ablation.user_code import UserCode, study_module
from ablation.version import VERSION
from search_spaces.space import IS_RECORDED, Frozen, Levels

SCHEMA_VERSIONS = (1, 2)
DIGEST = "sha256_of_the_rest"
RECORDED_PACKAGES = ("ray", "optuna", "cmaes", "torch", "torchvision", "numpy", "pandas", "pyarrow", "scipy")


class DamagedStudyError(ValueError):
    """study.json is not as it was written."""


class UnknownVersionError(ValueError):
    """study.json is of a version that is not known here."""


class StudyFile(Frozen):
    """Everything needed to know what was run: also to run it again."""

    schema_version: Literal[2] = 2
    name: str
    created_utc: str
    command: tuple[str, ...]
    versions: dict[str, str]
    git_commit: str | None  # of the repository that the trial's module lies in, as the next two
    git_is_dirty: bool | None = None
    git_diff: str | None = None
    hardware: dict[str, Any]
    budget_name: str
    data: dict[str, Any] | None
    user_code: UserCode | None = None
    settings: Levels | None = None  # what --set fixed, within the plan's space; None: from before it was recorded
    title: str | None = None  # of its report; None: the name
    plan: Plan
    # What follows from the plan, written out for readers of the file.
    rungs: tuple[int, ...]
    search_is_random: bool

    @property
    def heading(self) -> str:
        """What its report is headed with: its title, else its name."""
        return self.title or self.name

    @property
    def data_uri(self) -> str | None:
        """The data's URI, if the study has data."""
        return None if self.data is None else str(self.data["uri"])

    @property
    def data_fingerprint(self) -> str | None:
        """The data's content when the study was planned."""
        return None if self.data is None else str(self.data["fingerprint"])

    @property
    def data_decoding(self) -> int | None:
        """The version of the rules by which pictures were decoded when the study was planned.

        Records from before it was recorded are of version 1, or of 2 if they have remarks, which came with it.
        """
        if self.data is None:
            return None
        return int(self.data.get("decoding", 2 if "remarks" in self.data else 1))

    @property
    def planned_data(self) -> dict[str, Any] | None:
        """The data's record with its decoding, for whoever goes on with the study."""
        return None if self.data is None else {**self.data, "decoding": self.data_decoding}

    def with_data_at(self, uri: str | None) -> StudyFile:
        """Return the study as it goes on where its data lies now."""
        return self if self.data is None or uri is None else self.model_copy(update={"data": {**self.data, "uri": uri}})


def describe(
    name: str,
    plan: Plan,
    budget_name: str,
    data: dict[str, Any] | None,
    command: list[str],
    settings: Levels | None = None,
    title: str | None = None,
) -> StudyFile:
    """Put a plan together with its provenance; the trial's module has been imported."""
    repository = _repository(plan.space.trial)
    return StudyFile(
        name=name,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        command=tuple(command),
        versions=_versions(),
        git_commit=None if repository is None else repository.commit,
        git_is_dirty=None if repository is None else repository.is_dirty,
        git_diff=None if repository is None else repository.diff,
        hardware=hardware(),
        budget_name=budget_name,
        data=data,
        user_code=UserCode.here(),
        settings=settings,
        title=title,
        plan=plan,
        rungs=plan.rungs,
        search_is_random=plan.search_is_random,
    )


def title_faults(title: str | None) -> list[str]:
    """Say why a title cannot head a page."""
    if title is None or (title.strip() and title.isprintable()):
        return []
    return [f"--title is {title!r}, but must be one line of text that can be printed"]


def write(file: StudyFile, paths: RunPaths) -> None:
    """Write study.json into a new run directory, with a digest of its content in its last line."""
    make_folder(paths.root)
    content = file.model_dump(mode="json")
    put_whole(paths.study, (json.dumps({**content, DIGEST: _digest(content)}, indent=1) + "\n").encode())


def read(paths: RunPaths) -> StudyFile:
    """Read a run directory's study.json.

    Raises FileNotFoundError naming what a run directory is, DamagedStudyError if the file is not as it was written
    or of a version that is not known here.
    """
    try:
        return parse(paths.study.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(no_run(paths.root)) from error
    except UnknownVersionError as error:
        raise DamagedStudyError(f"{paths.study}: {error}") from error
    except ValueError as error:
        raise DamagedStudyError(
            f"{paths.study} is damaged ({error}); restore it from a copy, it never changes"
        ) from error


def parse(text: bytes, *, is_sealed: bool = True) -> StudyFile:
    """Read the text of a study.json; raises ValueError saying all that is wrong with it.

    ``is_sealed`` refuses one that has no digest, as if it had been made by hand.
    """
    try:
        content = json.loads(text)
        version = content["schema_version"]  # every version has had it
        if version not in SCHEMA_VERSIONS:
            known = " or ".join(map(str, SCHEMA_VERSIONS))
            raise UnknownVersionError(f"schema_version is {version}, but must be {known}; update this package")
        digest = content.pop(DIGEST, None)
        is_handmade = digest is None and not any(name.startswith("sha") or name.endswith("rest") for name in content)
        if is_sealed and is_handmade:
            raise ValueError(f"it has no {DIGEST}")
        if not is_handmade and digest != _digest(content):
            raise ValueError("its content does not match its digest")
        if version == 1:
            content = {**content, "schema_version": 2, "plan": of_version_1(content["plan"])}
        return StudyFile.model_validate(content, context={IS_RECORDED: True})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ValueError("; ".join(faults)) from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no study: {type(error).__name__}: {error}") from error


def plan_now(file: StudyFile, events: list[Event]) -> Plan:
    """Return the plan as it stands: study.json's, or what the study has grown to since."""
    grown = [event.what.plan for event in events if isinstance(event.what, Grown)]
    return Plan.model_validate(grown[-1], context={IS_RECORDED: True}) if grown else file.plan


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "ablation": VERSION}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # a study of another model need not have torch
    onednn = onednn_version()
    return found if onednn is None else {**found, "onednn": onednn}


def _repository(trial: str) -> Repository | None:
    name = trial.partition(":")[0]
    module = study_module(name) or sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return None if file is None else repository_of(Path(file))
