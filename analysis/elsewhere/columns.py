"""Which column of a table says what: as the user names them, else guessed from the names that people give."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from ablation.faults import nearest
from analysis.elsewhere.asked import Asked
from analysis.elsewhere.reading import MISSING

# In the order of preference. What comes before a name in exports of W&B, MLflow and Optuna is left away.
PREFIXES = ("config.", "summary.", "params.", "params_", "metrics.", "user_attrs_", "tags.")
ARM_NAMES = (
    "arm",
    "ablation",
    "model",
    "method",
    "variant",
    "configuration",
    "condition",
    "treatment",
    "system",
    "group",
)
REPLICATE_NAMES = ("replicate", "repetition", "repeat", "rep")
SEED_NAMES = ("seed", "random_seed", "random_state")
OTHER_REPLICATE_NAMES = ("fold", "split", "run", "trial")
SCORES = ("accuracy", "acc", "macro_recall", "f1", "macro_f1", "auc", "score", "value", "loss")
SCORE_NAMES = (
    *(f"test_{name}" for name in SCORES),
    *SCORES,
    *(f"{part}_{name}" for part in ("val", "valid", "eval") for name in SCORES),
)
STATUS_NAMES = ("status", "state")
ENDED = frozenset(("finished", "completed", "complete", "succeeded", "success", "done"))
NOT_ENDED = frozenset(
    (
        *("failed", "fail", "crashed", "error", "errored", "killed", "aborted", "cancelled", "canceled", "timeout"),
        *("running", "pruned", "stopped", "interrupted", "preempted", "preempting"),
        *("pending", "queued", "scheduled", "waiting"),
    )
)
# What pandas makes of an index: a file's row numbers, and no arm.
INDEX_NAME = re.compile(r"|unnamed: \d+|__index_level_\d+__", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """The columns that a table is read by; None if it has no such column.

    Attributes:
        arm: names arms; None if factors do.
        replicate: names repetitions; None if rows are counted.
        seed: names runs within a replicate, which are averaged.
        score: holds the scores.
        status: says how a run ended.
        factors: hold the levels of factors.
        arms: in a wide table, the columns that are arms, their cells scores; then ``arm`` and ``score`` are None.
        guessed: what was guessed, in words.
    """

    arm: str | None
    replicate: str | None
    seed: str | None
    score: str | None
    status: str | None
    factors: tuple[str, ...]
    arms: tuple[str, ...]
    guessed: tuple[str, ...]


def choose(asked: Asked, cells: pd.DataFrame) -> tuple[Columns, list[str]]:
    """Choose a table's columns; return them, and what is wrong with them."""
    names = [name for name in cells.columns if not INDEX_NAME.fullmatch(name)]
    unnamed = len(cells.columns) - len(names)
    cells = cells[names]
    faults = list(_unknown(asked, names))
    taken = {name for name in (asked.arm, asked.replicate, asked.seed, asked.score, *asked.factors) if name}
    guesses: dict[str, str] = {}

    def guess(role: str, given: str | None, candidates: Iterable[str]) -> str | None:
        found = given or _first(candidates, [name for name in names if name not in taken])
        if found is not None and given is None:
            guesses[role] = found
            taken.add(found)
        return found

    arm = guess("arm", asked.arm, ARM_NAMES)
    replicate = guess("replicate", asked.replicate, REPLICATE_NAMES)
    seed = guess("seed", asked.seed, SEED_NAMES)
    if replicate is None and asked.seed is None:
        replicate, seed = seed, None
        guesses = {("replicate" if role == "seed" else role): name for role, name in guesses.items()}
    if replicate is None:
        replicate = guess("replicate", None, OTHER_REPLICATE_NAMES)
    if replicate is None and seed is not None:
        rule = "its runs are averaged within replicates, and no column names these; name it with --replicate-column"
        faults.append(f"--seed-column is {seed!r}, but {rule}, or --replicate-column {seed} if each is one")
    status, status_faults = _status(cells, taken)
    faults += status_faults
    wide = _wide(cells, taken) if arm is None and not asked.factors and asked.score is None else ()
    score = None if wide else guess("score", asked.score, SCORE_NAMES)
    if score is None and not wide and len(left := _numeric(cells, taken)) == 1:
        score = guesses["score"] = left[0]
    if wide:
        said = [f"one column for each arm: {', '.join(wide)}"]
    else:
        said, lacking = [], list(_lacking(asked, arm, score, cells, taken))
        faults += lacking
    said += ["columns without a name, such as a written index, are left out"] if unnamed else []
    said += [f"{role}: column {name!r} (--{role}-column names another)" for role, name in guesses.items()]
    columns = Columns(arm, replicate, seed, score, status, asked.factors, wide, tuple(said))
    return columns, faults


def _unknown(asked: Asked, names: list[str]) -> Iterator[str]:
    given = [("--arm-column", asked.arm), ("--replicate-column", asked.replicate), ("--seed-column", asked.seed)]
    given += [("--score-column", asked.score), *(("--factor-columns", factor) for factor in asked.factors)]
    for option, name in given:
        if name is not None and name not in names:
            yield f"{option} is {name!r}, but the table has no such column; {nearest(name, names)}"
    for name in dict.fromkeys(name for _, name in given if name):
        options = [option for option, other in given if other == name]
        if len(options) > 1 and options != ["--arm-column", "--factor-columns"]:
            yield f"{' and '.join(options)} both name {name!r}; keep one"


def _lacking(asked: Asked, arm: str | None, score: str | None, cells: pd.DataFrame, taken: set[str]) -> Iterator[str]:
    known = f"columns are {', '.join(cells.columns)}"
    if arm is None and not asked.factors:
        yield f"no column names the arms; name it with --arm-column, or the factors with --factor-columns; {known}"
    if score is None:
        numeric = _numeric(cells, taken)
        which = f"those with numbers are {', '.join(numeric)}" if numeric else known
        yield f"which column holds the scores is not clear; name it with --score-column; {which}"


def _first(candidates: Iterable[str], names: list[str]) -> str | None:
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(plain_name(name), name)
    return next((plain[candidate] for candidate in candidates if candidate in plain), None)


def plain_name(name: str) -> str:
    """Write a column's name as the lists here do: in lower case, with underscores, without an export's prefix."""
    lower = name.strip().lower()
    lower = next((lower.removeprefix(prefix) for prefix in PREFIXES if lower.startswith(prefix)), lower)
    return re.sub(r"[\s/.\-]+", "_", lower)


def _status(cells: pd.DataFrame, taken: set[str]) -> tuple[str | None, list[str]]:
    """Find the column that says how runs ended; return it, and what is wrong with it. A state may be a place, too."""
    for name in cells.columns:
        values = {text.lower() for text in cells[name]} - {""}
        if name not in taken and plain_name(name) in STATUS_NAMES and values & (ENDED | NOT_ENDED):
            unknown = ", ".join(map(repr, sorted(values - ENDED - NOT_ENDED)))
            rule = "write finished or failed, or rename the column if it says nothing about how runs ended"
            fault = f"column {name!r} has {unknown}, which is no known end of a run; {rule}"
            return str(name), [fault] if unknown else []
    return None, []


def _numeric(cells: pd.DataFrame, taken: set[str]) -> tuple[str, ...]:
    """List the columns that hold numbers and have no other part."""
    return tuple(name for name in cells.columns if name not in taken and _holds_numbers(cells[name]))


def _wide(cells: pd.DataFrame, taken: set[str]) -> tuple[str, ...]:
    """List the columns of a table in which each arm has one: all that are left, two at least, hold numbers."""
    left = tuple(str(name) for name in cells.columns if name not in taken)
    is_wide = len(left) > 1 and all(_holds_numbers(cells[name]) for name in left)
    return left if is_wide and not any(plain_name(name) in SCORE_NAMES for name in left) else ()


def _holds_numbers(column: pd.Series[str]) -> bool:
    known = [text for text in column if text.lower() not in MISSING]
    return bool(known) and all(re.fullmatch(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", text) for text in known)
