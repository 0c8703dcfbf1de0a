"""Failed trials run again, all or those of one kind, as far as that changes nothing that was confirmed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from ablation.failures import Kind, kind_of
from ablation.ledger.records import TrialState
from ablation.plan import Plan
from ablation.retry_option import WithRetry, kinds_asked, retry_option
from ablation.study.retry import reopenable
from tests.toy_study import toy_plan

KILLED = "worker lost 4 times: its process ended without an exception (killed, out of memory, crashed, or os._exit)"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (KILLED, "lost"),
        ("worker lost 4 times: unknown", "lost"),
        ("worker lost 4 times: Ray killed it when the machine ran low on memory (30 GB, above the limit)", "memory"),
        ("worker lost 4 times: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "memory"),
        ("RuntimeError: CUDA error: out of memory", "memory"),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory", "memory"),
        ("MemoryError: ", "memory"),
        ("OSError: [Errno 12] Cannot allocate memory", "memory"),
        ("ValueError: lr is 3", "error"),
        ("KeyError: 'memory'", "error"),
        ("no epoch within 3600 s (the watchdog ended it; its log has the traceback)", "error"),
        ("no_survivor", None),
    ],
)
def test_a_reason_says_of_which_kind_a_failure_is(reason: str, kind: Kind | None) -> None:
    assert kind_of(reason) == kind


def plan() -> Plan:
    whole = toy_plan()
    budget = whole.budget.model_copy(update={"replicates": 1, "trials": 2})
    return whole.model_copy(update={"budget": budget, "arms": whole.arms[:1], "comparisons": ()})


def again(kinds: Collection[Kind], **ends: str) -> list[str]:
    """Say which trials may run again, given how the first, the second and the confirm trial ended, if they did."""
    places = {"first": "search/0", "second": "search/1", "confirm": "confirm/0"}
    records: dict[str, TrialState] = {}
    for name, end in ends.items():
        outcome = end if end in ("completed", "stopped", "diverged") else "failed"
        trial_id = f"reference/0/{places[name]}"
        state = TrialState(trial_id, is_proposed=end != "no_survivor")
        state.outcome, state.reason = outcome, end  # type: ignore[assignment]
        records[trial_id] = state
    by_id = {f"reference/0/{place}": name for name, place in places.items()}
    return [by_id[trial.trial_id] for trial in reopenable(plan(), records, kinds)]


ALL: tuple[Kind, ...] = ("lost", "memory", "error")


@pytest.mark.parametrize(
    ("kinds", "ends", "expected"),
    [
        (ALL, {"first": "MemoryError", "second": KILLED}, ["first", "second"]),
        (("memory",), {"first": "MemoryError", "second": KILLED}, ["first"]),
        (
            ("lost", "error"),
            {"first": "MemoryError", "second": KILLED, "confirm": "no_survivor"},
            ["second", "confirm"],
        ),
        # Nothing would come of it: its search is over, and left nothing.
        (("error",), {"first": "MemoryError", "second": KILLED, "confirm": "no_survivor"}, []),
        (ALL, {"first": "diverged", "second": "stopped", "confirm": "no_survivor"}, []),
        # A driver was killed between the two events: the search has gone on, and its confirm trial goes on, too.
        (("lost",), {"first": "completed", "second": "MemoryError", "confirm": "no_survivor"}, ["confirm"]),
        (("lost",), {"first": "MemoryError", "confirm": "no_survivor"}, ["confirm"]),
        # What was confirmed stays what it was.
        (ALL, {"first": "completed", "second": KILLED, "confirm": "completed"}, []),
        (ALL, {"first": "completed", "second": KILLED, "confirm": "MemoryError"}, ["confirm"]),
        (("lost",), {"first": "completed", "second": KILLED, "confirm": "MemoryError"}, []),
        ((), {"first": "MemoryError", "second": KILLED}, []),
    ],
)
def test_failures_of_the_kinds_that_were_asked_for_may_run_again(
    kinds: Collection[Kind], ends: Mapping[str, str], expected: list[str]
) -> None:
    assert again(kinds, **ends) == expected


APP = typer.Typer()


@APP.command(cls=WithRetry)
def shown(run: str, retry_failed: Annotated[str | None, retry_option()] = None, plan: bool = False) -> None:
    """Print what was understood."""
    faults: list[str] = []
    typer.echo(f"{run} {' '.join(kinds_asked(retry_failed, faults))} {plan} {' '.join(faults)}")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("RUN", "RUN  False "),
        ("RUN --retry-failed", "RUN lost memory error False "),
        ("--retry-failed RUN", "RUN lost memory error False "),
        ("RUN --retry-failed --plan", "RUN lost memory error True "),
        ("RUN --retry-failed memory --plan", "RUN memory True "),
        ("--retry-failed lost,error RUN", "RUN lost error False "),
        ("RUN --retry-failed=error", "RUN error False "),
        (
            "RUN --retry-failed=mem",
            "RUN  False --retry-failed is 'mem', but must be one of lost, memory, error, or left out for all",
        ),
    ],
)
def test_the_kind_may_be_left_out_wherever_the_option_stands(typed: str, expected: str) -> None:
    done = CliRunner().invoke(APP, typed.split())
    assert done.exit_code == 0, done.output
    assert done.output == f"{expected}\n"
