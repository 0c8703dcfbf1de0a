"""What a sweep says while it runs: a live table in a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ablation.console.json_lines import print_json_line
from ablation.console.overview import EPOCHS_BEFORE_ESTIMATE, Overview
from ablation.console.stderr import Stderr, stderr_console
from ablation.engine.slots import Slots
from ablation.failures import alike, first_line
from ablation.ledger.events import Ended, Event, Retried
from ablation.paths import RunPaths
from ablation.planning.effort import effort
from ablation.resources import Resources
from ablation.study.counts import Counts

if TYPE_CHECKING:
    from ablation.study.study import Study  # which takes long to import

PLAIN_EVERY_S = 20.0
MISHAPS_SAID = 10  # kinds of retries and failures


class Progress:
    """Follow a study's events; use as a context manager. If nobody reads it any more it goes silent.

    A table is drawn again in a terminal, unless trials print there, too.
    """

    def __init__(
        self,
        study: Study,
        slots: Slots,
        resources: Resources | None = None,
        clock: Callable[[], float] = time.monotonic,
        console: Console | None = None,
        paths: RunPaths | None = None,
    ) -> None:
        self._study = study
        self._slots = slots
        resources = resources or Resources()
        is_apart = resources.executor == "ray"
        self._is_json = resources.log_format == "json"
        self._clock = clock
        self._stderr = Stderr()
        self._console = console or stderr_console(self._stderr)
        self._is_live = is_apart and self._console.is_terminal and not self._is_json
        self._began = clock()
        self._reported = self._began
        self._epochs_here = 0
        self._slots_since = self._began, 0  # with how many epochs
        self._counts = Counts(study.plan, study.state.trials, study.records)
        self._trials = study.plan.trial_count
        self._epochs_expected = effort(study.plan).epochs_expected
        self._has_ended = False
        self._paths = paths
        self._retries = 0
        self._mishaps: set[tuple[str, str]] = set()  # kinds that were reported
        self._live = Live(console=self._console, refresh_per_second=2, get_renderable=self.screen)

    def __enter__(self) -> Progress:
        if self._is_live:
            self._live.start()
        elif self._is_json:
            self._say()
        else:
            self._console.print(f"{self._trials} trials, {self._slots}")
        return self

    def __exit__(self, *exception: object) -> None:
        self._has_ended = True
        if self._is_live:
            self._live.stop()
        else:
            self._say()

    def note(self, event: Event) -> None:
        """Count an event; print it as JSON if asked for, and how far the sweep is when it is time to."""
        self._epochs_here += event.kind == "epoch"
        self._counts.note(event)
        if self._is_json:
            about = {"trial_id": event.trial_id, "seq": event.seq, "session": event.session, "unix_s": event.unix_s}
            print_json_line(self._stderr, event.kind, {**about, **event.payload})
        else:
            self._say_mishap(event)
        self._say_if_due()

    def look(self, slots: Slots) -> None:
        """Take how many slots there are now; say so when it is time to."""
        if slots.count != self._slots.count:
            self._slots_since = self._clock(), self._epochs_here
        self._slots = slots
        self._say_if_due()

    def _say_if_due(self) -> None:
        if not self._is_live and self._clock() - self._reported >= PLAIN_EVERY_S:
            self._reported = self._clock()
            self._say()

    def _say_mishap(self, event: Event) -> None:
        """Print why a trial starts again or failed, once for each kind of reason; counts stand in the line."""
        match event.what:
            case Retried(reason):
                self._retries += 1
            case Ended("failed", str(reason)):
                pass
            case _:
                return
        kind = event.kind, alike(reason)
        if kind in self._mishaps or len(self._mishaps) >= MISHAPS_SAID:
            return
        self._mishaps.add(kind)
        log = None if self._paths is None else self._paths.log(str(event.trial_id))
        where = f" (log: {log})" if log is not None and log.is_file() else ""
        what = "starts again" if isinstance(event.what, Retried) else "failed"
        self._console.print(Text(f"{event.trial_id} {what}: {first_line(reason)}{where}"))

    def _say(self) -> None:
        if not self._is_json:
            self._console.print(self._overview().line())
            return
        fields = {
            "planned": self._trials,
            **self._counts.facts(),
            "slots": self._slots.count,
            "slots_limit": self._slots.limit,
            "slots_wait": self._slots.wait,
        }
        print_json_line(self._stderr, "progress", fields | self._overview().facts())

    @property
    def _epochs_per_s(self) -> float:
        """Return the rate since there are as many slots as now, once it can be known; at the end, of all the time."""
        began, before = self._slots_since
        if self._has_ended or self._epochs_here - before < EPOCHS_BEFORE_ESTIMATE:
            began, before = self._began, 0
        return (self._epochs_here - before) / max(self._clock() - began, 1e-9)

    def _overview(self) -> Overview:
        return Overview(
            self._study.plan, self._counts, self._epochs_expected, self._epochs_here, self._clock() - self._began,
            self._epochs_per_s, self._retries, self._slots.wait, is_going_on=not self._has_ended,
        )  # fmt: skip

    def screen(self) -> Group:
        """Draw the arms that fit on the screen, and a line for all."""
        return self._overview().screen(self._console.height)
