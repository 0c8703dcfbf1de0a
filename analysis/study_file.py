"""study.json and what a study grew to since: the plan, the space, and where the results came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ablation.faults import FaultsError
from analysis.ledger_parts import columns_of_parts
from analysis.places import Place, Run, patiently, place
from search_spaces.metrics import Metric, whole_metrics

PHASES = ("search", "confirm")
SCHEMA_VERSION = 1
DIGEST = "sha256_of_the_rest"
RESTORE = "restore it from any copy: it is written once and never changed"


@dataclass(frozen=True)
class Arm:
    """One combination of levels of the scientific factors, as planned."""

    name: str
    levels: Mapping[str, Any]
    searched: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A trial's place in the plan."""

    arm: str
    replicate: int
    phase: str
    index: int

    @property
    def trial_id(self) -> str:
        """The name that it goes by."""
        return f"{self.arm}/{self.replicate}/{self.phase}/{self.index}"


@dataclass(frozen=True)
class Study:
    """What study.json says: the plan, the space, and where the results came from."""

    document: Mapping[str, Any]

    @cached_property
    def plan(self) -> Mapping[str, Any]:
        """Arms, budget, comparisons, primary metric, seed."""
        return dict(self.document["plan"])

    @cached_property
    def space(self) -> Mapping[str, Any]:
        """Factors, hyperparameters, metrics and their direction."""
        return dict(self.plan["space"])

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """Planned arms, in the plan's order."""
        return tuple(
            Arm(arm["name"], arm["levels"], tuple(arm["searched"]), tuple(arm.get("notes", ())))
            for arm in self.plan["arms"]
        )

    @cached_property
    def planned(self) -> tuple[Planned, ...]:
        """Every planned trial, in the plan's order of arms, then replicate, phase and index."""
        budget = self.plan["budget"]
        counts = dict(zip(PHASES, (budget["trials"], budget["seeds"]), strict=True))
        return tuple(
            Planned(arm.name, replicate, phase, index)
            for arm in self.arms
            for replicate in range(budget["replicates"])
            for phase in PHASES
            for index in range(counts[phase])
        )

    def start(self, name: str) -> Any:
        """Return where searches start: a factor's reference level, a hyperparameter's default; None if unknown."""
        domain = {**self.space["factors"], **self.space.get("nuisance", {})}.get(name, {})
        level = self.space.get("reference", {}).get(name) if name in self.space["factors"] else None
        return domain.get("default") if level is None else level

    @property
    def comparisons(self) -> tuple[tuple[str, str], ...]:
        """Pairs (arm, against) declared before the study."""
        return tuple((arm, against) for arm, against in self.plan["comparisons"])

    @property
    def metric(self) -> str:
        """Primary metric, without ``val_`` or ``test_``."""
        return str(self.plan["metric"])

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric of the space, the primary one first."""
        return (self.metric, *(name for name in self.declared if name != self.metric))

    @cached_property
    def declared(self) -> Mapping[str, Metric]:
        """The space's metrics by name; a space of version 1 has names alone."""
        whole = whole_metrics(self.space["metrics"], self.space.get("direction", "maximize"))
        return {one["name"]: Metric.model_validate(one) for one in whole}

    @property
    def primary(self) -> Metric:
        """The metric that claims are about."""
        return self.declared[self.metric]

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which a search may stop trials."""
        return tuple(self.document["rungs"])

    @property
    def search_is_random(self) -> bool:
        """Whether searches were too short to learn from their own trials."""
        return bool(self.document["search_is_random"])

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the primary metric is the better one."""
        return self.primary.higher_is_better

    @property
    def growths(self) -> tuple[Mapping[str, Any], ...]:
        """How the study grew, in order: ``arms`` and ``replicates`` before, and what the ledger noted."""
        return tuple(self.document.get("growths", ()))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the data's classes; empty if the study has no classes."""
        return tuple((self.document.get("data") or {}).get("class_names") or ())


def study(run: Run) -> Study:
    """Read study.json, with the plan as it stands now: a study that grew says so in its ledger.

    Raises FaultsError if the directory is no run, or the file cannot be read, is damaged or of another schema.
    """
    where = place(run)
    path = where.formatted(where.paths.study)
    try:
        document = json.loads(where.read_bytes(where.paths.study))
    except FileNotFoundError as error:
        remedy = "give a run directory, as written by python -m ablation.run"
        raise FaultsError([f"{path} does not exist; {remedy}"]) from error
    except OSError as error:
        remedy = "check the address, and that you may read there"
        raise FaultsError([f"{path} cannot be read ({error}); {remedy}"]) from error
    except ValueError as error:
        raise FaultsError([f"{path} is no JSON ({error}); {RESTORE}"]) from error
    if isinstance(document, dict) and not _is_as_written(document):
        raise FaultsError([f"{path} is damaged: its content does not match its digest; {RESTORE}"])
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise FaultsError([f"{path} has schema_version {version!r}, but must be {SCHEMA_VERSION}; update this package"])
    wanted = {"plan": ("space", "metric", "budget", "arms", "comparisons"), "plan.space": ("factors", "metrics")}
    plan = document.get("plan") or {}
    found = {"plan": plan, "plan.space": plan.get("space") or {}}
    faults = [
        f"{path} lacks {group}.{name}; restore the file, it is written once and never changed"
        for group, names in wanted.items()
        for name in names
        if name not in found[group]
    ]
    if faults:
        raise FaultsError(faults)
    return Study(_grown(document, patiently(lambda: _growths(where))))


def _is_as_written(document: dict[str, Any]) -> bool:
    """Compare the digest with the rest, and take it out; a document made by hand may lack one."""
    digest = document.pop(DIGEST, None)
    if digest is None:
        return not any(name.startswith("sha") or name.endswith("rest") for name in document)
    return bool(digest == hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest())


def _growths(where: Place) -> list[Mapping[str, Any]]:
    """Read what the ledger's ``grown`` events say, in order."""
    # Payloads are most of a ledger: they are read only where one is wanted.
    parts = columns_of_parts(where, ("seq", "kind", "payload"), wanted="grown")
    rows = (row for part in parts for row in part.to_pylist())
    return [json.loads(row["payload"]) for row in rows if row["kind"] == "grown"]


def _grown(document: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Replace the plan by what the last ``grown`` event says, and note how large it was before each."""
    plan, growths = document["plan"], []
    for reported in events:
        before = {"arms": len(plan["arms"]), "replicates": plan["budget"].get("replicates")}
        growths.append({**before, **{key: value for key, value in reported.items() if key != "plan"}})
        plan = reported.get("plan", plan)
    return {**document, "plan": plan, "growths": growths} if growths else document
