"""What can happen in a study: one frozen class a kind, and how each is written as JSON and read back.

Readers ignore keys that they do not know, so a newer version may add some; a field that older versions did not write
has a default. A change that defaults cannot bridge raises the class's ``version`` and adds a function to ``UPCASTS``
that makes the newer payload of an older one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, get_args

from ablation.plan_versions import of_version_1
from search_spaces.space import Level, Levels


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A driver begins to work on the run: its process, resources, searcher and code."""

    kind: ClassVar[str] = "session_opened"
    version: ClassVar[int] = 1

    process: int
    resources: Mapping[str, Any]
    searcher: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Grown:
    """The plan becomes a larger one; so many confirm trials were completed by then."""

    kind: ClassVar[str] = "grown"
    version: ClassVar[int] = 2

    plan: Mapping[str, Any]
    confirmed_before: int


@dataclass(frozen=True, slots=True)
class Proposed:
    """A trial gets its hyperparameters."""

    kind: ClassVar[str] = "proposed"
    version: ClassVar[int] = 1

    proposal: Mapping[str, Level]
    config: Levels


@dataclass(frozen=True, slots=True)
class Started:
    """A trial begins to run, or begins again; ``code`` is the digest of what it runs, ``node`` where it runs."""

    kind: ClassVar[str] = "started"
    version: ClassVar[int] = 1

    attempt: int
    code: str | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True)
class EpochTrained:
    """A trial yields the record of an epoch."""

    kind: ClassVar[str] = "epoch"
    version: ClassVar[int] = 1

    epoch: int
    epoch_s: float
    metrics: Mapping[str, float]
    images: int = 0
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Decided:
    """A trial goes on at a rung or stops there; ``value`` is larger if better, ``among`` counts the values so far."""

    kind: ClassVar[str] = "decided"
    version: ClassVar[int] = 1

    rung: int
    value: float
    goes_on: bool
    among: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial is over: completed, stopped, diverged or failed."""

    kind: ClassVar[str] = "ended"
    version: ClassVar[int] = 1

    outcome: Any
    reason: str | None
    wall_s: float
    checkpoint: str | None


@dataclass(frozen=True, slots=True)
class Retried:
    """A trial lost its worker and will start again."""

    kind: ClassVar[str] = "retried"
    version: ClassVar[int] = 1

    reason: str


@dataclass(frozen=True, slots=True)
class Reopened:
    """A failed trial is to run again."""

    kind: ClassVar[str] = "reopened"
    version: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class CheckpointRemoved:
    """The checkpoint that a trial ended with is not kept: from now on it may be gone."""

    kind: ClassVar[str] = "checkpoint_removed"
    version: ClassVar[int] = 1

    checkpoint: str


Happening = (
    SessionOpened | Grown | Proposed | Started | EpochTrained | Decided | Ended | Retried | Reopened | CheckpointRemoved
)
KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in get_args(Happening)}
Payload = Mapping[str, Any]
# By kind and the version that is made newer.
UPCASTS: dict[tuple[str, int], Callable[[Payload], Payload]] = {
    ("grown", 1): lambda old: {**old, "plan": of_version_1(old["plan"])},
}
VERSION_KEY = "version"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, at which index of the log, in whose session, to which trial (None: to the study), and when."""

    seq: int
    session: int
    trial_id: str | None
    unix_s: float
    what: Happening

    @property
    def kind(self) -> str:
        """Return the name of its kind, as the log has it."""
        return self.what.kind

    @property
    def payload(self) -> dict[str, Any]:
        """Return what happened as the log has it (docs/results.md): keys that are None are left out if optional."""
        return to_payload(self.what)


def to_payload(what: Happening) -> dict[str, Any]:
    """Return what happened as JSON has it; raises nothing, since every field is JSON's already."""
    payload = {
        part.name: value
        for part in fields(what)
        if (value := getattr(what, part.name)) is not None or part.default is MISSING
    }
    return payload if what.version == 1 else {**payload, VERSION_KEY: what.version}


def from_payload(kind: str, payload: Payload) -> Happening:
    """Read what happened; raises ValueError for a kind that is not known, or a payload that lacks a key.

    >>> from_payload("retried", {"reason": "its worker was killed", "a key of a later version": 1})
    Retried(reason='its worker was killed')
    """
    if kind not in KINDS:
        raise ValueError(f"events of kind {kind!r} are not known here; use the version of ablation that wrote them")
    cls = KINDS[kind]
    for version in range(payload.get(VERSION_KEY, 1), cls.version):
        payload = UPCASTS[kind, version](payload)
    try:
        happening: Happening = cls(**{part.name: payload[part.name] for part in fields(cls) if part.name in payload})
    except TypeError as error:
        raise ValueError(f"an event of kind {kind!r} lacks what it needs ({error})") from error
    return happening
