"""Where a study stands, as people see it while it runs: a table of arms, and a line for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ablation.plan import Plan
from ablation.study.counts import Counts

EPOCHS_BEFORE_ESTIMATE = 20  # the first ones come with the start-up of their workers
LINES_BESIDE_ARMS = 5  # heading, the arms left out, up to two lines of summary, the cursor


@dataclass(frozen=True)
class Overview:
    """A study at a moment.

    Attributes:
        plan: the plan as it stands.
        counts: what has become of its trials.
        epochs_expected: how many the whole plan takes.
        epochs_here: how many this session has trained.
        elapsed_s: for so long it has been at work.
        epochs_per_s: how many it trains in a second.
        retries: how often this session started a trial again.
        wait: for which slots it waits, if for any.
        is_going_on: whether a driver is at work.
    """

    plan: Plan
    counts: Counts
    epochs_expected: float
    epochs_here: int
    elapsed_s: float
    epochs_per_s: float
    retries: int = 0
    wait: str = ""
    is_going_on: bool = True

    @property
    def is_done(self) -> bool:
        """Whether every planned trial has ended."""
        return self.counts.ended == self.plan.trial_count

    @property
    def left_s(self) -> float | None:
        """Expect so many more seconds; None while too little was seen."""
        if self.is_done:
            return 0.0
        if self.epochs_here < EPOCHS_BEFORE_ESTIMATE:
            return None
        return max(0.0, self.epochs_expected - self.counts.epochs) / self.epochs_per_s

    def facts(self) -> dict[str, Any]:
        """Return how fast it goes, for programs."""
        return {"epochs_per_s": self.epochs_per_s, "elapsed_s": self.elapsed_s, "left_s": self.left_s}

    def line(self) -> str:
        """Say it in a line."""
        counts = self.counts
        outcomes = ", ".join(
            f"{counts.outcomes[outcome]} {outcome}"
            for outcome in ("completed", "stopped", "diverged", "failed")
            if counts.outcomes[outcome]
        )
        retried = f"{self.retries} retried, " if self.retries else ""
        running = f"{counts.running} running, " if self.is_going_on else ""
        left = self._left()
        wait = f"; {self.wait}" if self.wait and self.is_going_on else ""
        return (
            f"{counts.ended}/{self.plan.trial_count} trials ({outcomes or 'none ended'}), {running}{retried}"
            f"{self.epochs_per_s:.1f} epochs/s, {_format_s(self.elapsed_s)} so far{left and f', {left}'}{wait}"
        )

    def _left(self) -> str:
        left_s = self.left_s
        if self.is_done:
            return "done"
        if not self.is_going_on:
            return ""
        if left_s is None:
            return "time left not known yet"
        return f"about {_format_s(left_s)} left" if left_s else "nearly done"

    def screen(self, most_lines: int) -> Group:
        """Draw the arms that fit into so many lines while it goes on, all of them at the end, and the line for all."""
        budget, shown = self.plan.budget, self._shown(most_lines)
        table = Table(box=None, pad_edge=False)
        table.add_column("arm", no_wrap=True, overflow="ellipsis")
        for heading in ("searched", "confirmed", "running", f"best val {self.plan.metric}"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name in shown:
            arm = self.counts.arms[name]
            table.add_row(
                Text(name),
                f"{arm.searched}/{budget.replicates * budget.trials}",
                f"{arm.confirmed}/{budget.replicates * self.plan.confirm_trials}",
                str(len(arm.running) or ""),
                "" if arm.best is None else f"{arm.best:.4g}",
            )
        left_out = len(self.counts.arms) - len(shown)
        rest = [Text(f"… and {left_out} more arms")] if left_out else []
        return Group(table, *rest, Text(self.line()))

    def _shown(self, most_lines: int) -> list[str]:
        """Choose the arms that fit on the screen: the reference, those at work, then the best; all at the end."""
        arms, places = self.counts.arms, max(1, most_lines - LINES_BESIDE_ARMS)
        names = list(arms)
        if not self.is_going_on or len(names) <= places:
            return names
        by_interest = sorted(names[1:], key=lambda name: (not arms[name].running, self.counts.rank(name)))
        chosen = {names[0], *by_interest[: places - 1]}
        return [name for name in names if name in chosen]


def _format_s(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
