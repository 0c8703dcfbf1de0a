"""What people watch while a sweep runs: a live table in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from ablation.engine.study import Study
from ablation.ledger import Event
from ablation.plan import effort

PLAIN_EVERY_S = 20.0
EPOCHS_BEFORE_ESTIMATE = 20  # the first ones come with the start-up of their workers


class Progress:
    """Follow a study's events; use as a context manager."""

    def __init__(self, study: Study, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._study = study
        self._slots = slots
        self._clock = clock
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._began = clock()
        self._told = self._began
        self._epochs = 0
        self._epochs_expected = effort(study.plan).epochs_expected
        self._live = Live(console=self._console, refresh_per_second=2, get_renderable=self._table)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._console.print(f"{self._study.plan.trial_count} trials, {self._slots} at a time")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
        else:
            self._console.print(self._line())

    def note(self, event: Event) -> None:
        """Count an event and print a line where it is time for one."""
        self._epochs += event.kind == "epoch"
        if not self._console.is_terminal and self._clock() - self._told >= PLAIN_EVERY_S:
            self._told = self._clock()
            self._console.print(self._line())

    def _line(self) -> str:
        states = list(self._study.records.values())
        ended = [state for state in states if state.has_ended]
        counts = ", ".join(
            f"{count} {outcome}"
            for outcome in ("completed", "stopped", "diverged", "failed")
            if (count := sum(state.outcome == outcome for state in ended))
        )
        elapsed_s = max(self._clock() - self._began, 1e-9)
        rate = self._epochs / elapsed_s
        return (
            f"{len(ended)}/{self._study.plan.trial_count} trials ({counts or 'none ended'}), "
            f"{rate:.1f} epochs/s, {elapsed_s:.0f} s so far, {self._left(rate)}"
        )

    def _left(self, epochs_per_s: float) -> str:
        done = sum(len(state.epochs) for state in self._study.records.values())
        left = self._epochs_expected - done
        if self._study.is_finished:
            return "done"
        if left <= 0:
            return "nearly done"
        if self._epochs < EPOCHS_BEFORE_ESTIMATE:
            return "time left not known yet"
        return f"about {_spell_s(left / epochs_per_s)} left"

    def _table(self) -> Group:
        plan = self._study.plan
        table = Table(box=None, pad_edge=False)
        for heading in ("arm", "searched", "confirmed", "running", f"best val {plan.metric}"):
            table.add_column(heading, justify="left" if heading == "arm" else "right")
        for arm in plan.arms:
            states = {key: state for key, state in list(self._study.records.items()) if key.startswith(f"{arm.name}/")}
            ended = {key for key, state in states.items() if state.has_ended}
            searched = sum("/search/" in key for key in ended)
            values = [state.last(f"val_{plan.metric}") for state in states.values() if state.outcome == "completed"]
            best = (max if plan.space.direction == "maximize" else min)(values) if values else None
            table.add_row(
                arm.name,
                f"{searched}/{plan.budget.replicates * plan.budget.trials}",
                f"{len(ended) - searched}/{plan.budget.replicates * plan.budget.seeds}",
                str(len(states) - len(ended)),
                "" if best is None else f"{best:.4g}",
            )
        return Group(table, self._line())


def _spell_s(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
