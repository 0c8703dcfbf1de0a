"""Training code that pushes its results, as training loops of other libraries do, run as a study's ``run_trial``.

``train(config, context)`` calls ``context.report({...})`` after each epoch. It runs in a thread of its own, and is
asleep while the study decides; if the study stops the trial, ``report`` raises TrialStopped and ``train`` unwinds.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any

from ablation.trial import EpochRecord, RunTrial, TrialContext

REPORTED = "reported.jsonl"  # beside the checkpoints: what an interrupted attempt has reported


class TrialStopped(BaseException):  # no error, and not for `except Exception` to catch
    """The study needs no more of this trial; let it pass."""


@dataclass(frozen=True)
class ReportingContext(TrialContext):
    """A trial's context that takes reports.

    Attributes:
        config: the trial's flat or typed configuration.
    """

    config: Any = None
    _exchange: _Exchange = field(default_factory=lambda: _Exchange(), repr=False)

    def report(
        self,
        metrics: Mapping[str, Any],
        *,
        epoch: int | None = None,
        epoch_s: float | None = None,
        images: int = 0,
    ) -> None:
        """Report an epoch and wait for the study's answer.

        Args:
            metrics: as in ``EpochRecord``; scalars of numpy and torch are fine.
            epoch: 1-based; default: the one after the last. After a resume from a checkpoint of epoch e it is e + 1,
                and what the interrupted attempt reported until then counts.
            epoch_s: wall time in seconds; default: since the last report, or the start.
            images: training examples of the epoch.

        Raises: TrialStopped if the trial should train no further.
        """
        self._exchange.report(metrics, epoch, epoch_s, images)

    @property
    def reported(self) -> int:
        """How many epochs were reported, by this attempt or by the one that was interrupted."""
        return self._exchange.known


class _Exchange:
    """Between the thread that trains and the generator that the study draws from: one of them runs at a time."""

    def __init__(self) -> None:
        self._reports: queue.SimpleQueue[EpochRecord | BaseException | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._began = time.perf_counter()
        self._epoch = 0
        self.is_stopped = False
        self.known = 0

    def report(self, metrics: Mapping[str, Any], epoch: int | None, epoch_s: float | None, images: int) -> None:
        if self.is_stopped:
            raise TrialStopped
        self._epoch = self._epoch + 1 if epoch is None else epoch
        took_s = time.perf_counter() - self._began if epoch_s is None else epoch_s
        self._reports.put(EpochRecord(self._epoch, took_s, {k: _scalar(v) for k, v in metrics.items()}, images))
        if not self._answers.get():
            raise TrialStopped
        self._began = time.perf_counter()

    def end(self, error: BaseException | None) -> None:
        self._reports.put(error)

    def next_record(self) -> EpochRecord | None:
        """Wait for the next report; None when training has returned; raises what training raised."""
        report = self._reports.get()
        if isinstance(report, BaseException):
            raise report
        return report

    def answer(self, goes_on: bool) -> None:
        self.is_stopped = not goes_on
        self._answers.put(goes_on)


def reporting(train: Callable[[Any, ReportingContext], None]) -> RunTrial:
    """Make a ``run_trial`` of a function that reports; its first parameter's annotation stays the config's schema.

    See ``ablation.trial.reporting``.
    """

    @wraps(train)
    def run_trial(config: Any, context: TrialContext) -> Iterator[EpochRecord]:
        exchange, kept = _Exchange(), _Reported(context.checkpoint_dir / REPORTED)
        exchange.known = len(kept.records)
        given = {part.name: getattr(context, part.name) for part in fields(TrialContext)}
        reporter = ReportingContext(**given, config=config, _exchange=exchange)
        thread = threading.Thread(target=_train, args=(train, config, reporter, exchange), name="train", daemon=True)
        thread.start()
        try:
            while (record := exchange.next_record()) is not None:
                if exchange.known and record.epoch > 1 and not kept.is_replayed:
                    yield from kept.records[: record.epoch - 1]
                kept.add(record)
                exchange.known = record.epoch
                yield record
                exchange.answer(goes_on=True)
            if not kept.is_replayed and len(kept.records) == context.epochs:
                yield from kept.records  # the checkpoint is of the last epoch: there was nothing left to train
        finally:
            exchange.answer(goes_on=False)
            thread.join()

    return run_trial


def _train(
    train: Callable[[Any, ReportingContext], None], config: Any, context: ReportingContext, exchange: _Exchange
) -> None:
    try:
        train(config, context)
    except TrialStopped:
        exchange.end(None)
    except BaseException as error:  # raised again where the study draws the next record
        exchange.end(error)
    else:
        exchange.end(None)


class _Reported:
    """What was reported so far, on disk: an attempt that resumes in mid-trial has it to show."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.records = [EpochRecord(**json.loads(line)) for line in _whole_lines(path)]
        self.is_replayed = False

    def add(self, record: EpochRecord) -> None:
        """Add a record in its place; later ones are another curve's."""
        if not self.is_replayed:
            self.is_replayed = True
            del self.records[max(0, record.epoch - 1) :]
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Replaced as a whole: a worker that is killed in here must not lose what it has to show next time.
            rewritten = self._path.with_suffix(".new")
            rewritten.write_text("".join(map(_line, self.records)))
            rewritten.replace(self._path)
        self.records.append(record)
        with self._path.open("a") as file:
            file.write(_line(record))


def _line(record: EpochRecord) -> str:
    """Format a record as a line; what is no number is kept as text, and the contract refuses it by name."""
    return json.dumps(asdict(record), default=str) + "\n"


def _whole_lines(path: Path) -> list[str]:
    """Return a file's lines but one that was torn; none if there is no file."""
    text = path.read_text() if path.is_file() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def _scalar(value: Any) -> Any:
    """Turn a scalar of numpy or torch into Python's own; anything else is left for the contract to refuse."""
    if not isinstance(value, int | float) and callable(getattr(value, "item", None)) and getattr(value, "ndim", 0) == 0:
        return value.item()
    return value
