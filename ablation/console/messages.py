"""What a command says before and after its sweep: to people in words, to programs in JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from ablation.console.best_text import best_in_words
from ablation.console.huge_difference import huge_in_words
from ablation.console.json_lines import print_json_line
from ablation.console.nodes_text import node_facts, print_nodes
from ablation.console.plan_facts import header_facts
from ablation.console.plan_text import print_header
from ablation.console.stderr import Stderr, stderr_console
from ablation.engine.node_faults import CheckedNode
from ablation.failures import Failures, in_words, last_lines, retry_in_words
from ablation.paths import RunPaths
from ablation.planning.request import CheckedStudy
from ablation.store import AnyPath
from ablation.tables import STATUSES
from ablation.terminal import print_errors


@dataclass(frozen=True)
class Account:
    """What became of a run.

    Attributes:
        root: the run directory.
        ended: how the sweep ended, as the driver says it.
        exit_code: what the command ends with.
        summary: summary.json.
        page: the report, if it was built.
        failures: trials that failed or diverged, by their reasons.
        retry: the command that runs failed ones again, if there are any.
        answer: the report's first sentences.
        best: the best confirm trial, as ``best_facts`` has it.
    """

    root: AnyPath
    ended: str
    exit_code: int
    summary: Mapping[str, Any]
    page: AnyPath | None
    failures: tuple[Failures, ...] = ()
    retry: str | None = None
    answer: tuple[str, ...] = ()
    best: Mapping[str, Any] | None = None

    @property
    def traceback(self) -> list[str]:
        """Return the last lines of the log of a trial that failed as most did."""
        return last_lines(RunPaths(self.root).log(self.failures[0].trial_id)) if self.failures else []


class Messages(Protocol):
    """Say what happens to a study before and after its sweep; none of this raises if nobody listens any more.

    ``console`` is where text goes, also a sweep's own; None if there is none.
    """

    @property
    def console(self) -> Console | None:
        """Return it."""
        ...

    def faults(self, faults: Iterable[str]) -> None:
        """Say all that is wrong with what was asked for."""

    def step(self, what: str) -> None:
        """Say what is being done that takes seconds, to somebody who waits for it."""

    def header(self, checked: CheckedStudy, root: AnyPath, is_resumed: bool) -> None:
        """Say what is about to run."""

    def rehearsed(self, fault: str) -> None:
        """Say what went wrong in a confirm trial that was tried before the sweep, which goes on."""

    def nodes(self, nodes: Sequence[CheckedNode]) -> None:
        """Say which of a cluster's nodes can run trials, and what is wrong with the others."""

    def halted(self, error: Exception, root: AnyPath) -> None:
        """Say what keeps the sweep from going on."""

    def tables_stale(self, error: Exception, root: AnyPath) -> None:
        """Say why, after that, the tables do not have all that the ledger has."""

    def report_failed(self, error: str, again: str, page: AnyPath | None = None) -> None:
        """Say why there is no report, or what ``page`` lacks, and the command that builds it."""

    def accounting(self, account: Account) -> None:
        """Say what became of every planned trial."""

    def lost_checkpoints(self, commands: Sequence[str]) -> None:
        """Say which models are gone, by the commands that make them again."""

    def go_on(self, command: str) -> None:
        """Say how an interrupted run goes on."""


def messages_for(log_format: str) -> Messages:
    """Return messages in a form; text for a form that does not exist, to say just that."""
    return JsonMessages(Stderr()) if log_format == "json" else TextMessages(stderr_console())


@dataclass(frozen=True)
class TextMessages:
    """Print for people."""

    console: Console

    def faults(self, faults: Iterable[str]) -> None:
        """Print one fault a line."""
        print_errors(faults, self.console)

    def step(self, what: str) -> None:
        """Print it in a terminal; a file is read later."""
        if self.console.is_terminal:
            self.console.print(Text(f"{what} …", "dim"))

    def header(self, checked: CheckedStudy, root: AnyPath, is_resumed: bool) -> None:
        """Print budget and data, and that a new study detects little, if so."""
        print_header(self.console, checked)
        for line in [] if is_resumed else huge_in_words(checked.plan):
            self.console.print(Text(line, "yellow"))

    def rehearsed(self, fault: str) -> None:
        """Print it as a note."""
        self.console.print(f"note: tried before the sweep: {fault}")

    def nodes(self, nodes: Sequence[CheckedNode]) -> None:
        """Print a line or a table."""
        print_nodes(self.console, nodes)

    def halted(self, error: Exception, root: AnyPath) -> None:
        """Print the error, which names the run."""
        print_errors([str(error)], self.console)

    def tables_stale(self, error: Exception, root: AnyPath) -> None:
        """Print why the tables stay."""
        self.console.print(f"the tables stay as they were: {error}")

    def report_failed(self, error: str, again: str, page: AnyPath | None = None) -> None:
        """Print what the report's process said, and the command."""
        self.console.print(error.rstrip())
        failed = Text("the report could not be built" if page is None else f"{page} lacks a section", "red")
        self.console.print(failed.append(f"; the results are whole. Try: {again}", "default"))

    def accounting(self, account: Account) -> None:
        """Print counts by status, and where the results are."""
        summary = account.summary
        if account.ended == "nothing left":
            self.console.print("every trial of this study has ended: nothing to do")
        parts = " + ".join(f"{summary[status]} {status}" for status in STATUSES if summary[status])
        self.console.print(f"{summary['planned']} planned = {parts or 'none'}; sweep {summary['sweep_wall_s']:.0f} s")
        for line in in_words(account.failures, RunPaths(account.root)):
            self.console.print(line)
        if account.ended == "paused":
            self.console.print("paused: trials fail alike and none works; the first one's log ends with")
            for line in account.traceback:
                self.console.print(f"  {line}")
        for sentence in account.answer:
            self.console.print(Text(sentence, "bold"))
        for line in best_in_words(account.best):
            self.console.print(line)
        self.console.print(f"results: {account.root}")
        if account.page is not None:
            self.console.print(f"report:  {account.page}")
        for line in retry_in_words(account.failures, account.retry):
            self.console.print(line)

    def lost_checkpoints(self, commands: Sequence[str]) -> None:
        """Print the commands, if there are any."""
        if commands:
            self.console.print(f"checkpoints of {len(commands)} completed confirm trials are missing; made again by:")
        for command in commands:
            self.console.print(f"  {command}")

    def go_on(self, command: str) -> None:
        """Print the command."""
        self.console.print(f"go on with: {command}")


@dataclass(frozen=True)
class JsonMessages:
    """Print for programs: docs/results.md describes each kind of line."""

    stream: Stderr
    console: None = None

    def faults(self, faults: Iterable[str]) -> None:
        """Print a line a fault."""
        for fault in faults:
            print_json_line(self.stream, "fault", {"fault": fault})

    def step(self, what: str) -> None:
        """Print nothing: it is over before a program has read it."""

    def header(self, checked: CheckedStudy, root: AnyPath, is_resumed: bool) -> None:
        """Print the study."""
        print_json_line(self.stream, "study", {**header_facts(checked), "run": str(root), "resume": is_resumed})

    def rehearsed(self, fault: str) -> None:
        """Print a line."""
        print_json_line(self.stream, "rehearsed", {"fault": fault})

    def nodes(self, nodes: Sequence[CheckedNode]) -> None:
        """Print a line a node."""
        for node in nodes:
            print_json_line(self.stream, "node", node_facts(node))

    def halted(self, error: Exception, root: AnyPath) -> None:
        """Print the error."""
        print_json_line(self.stream, "halted", {"error": str(error), "run": str(root)})

    def tables_stale(self, error: Exception, root: AnyPath) -> None:
        """Print why the tables stay."""
        print_json_line(self.stream, "tables_stale", {"error": str(error), "run": str(root)})

    def report_failed(self, error: str, again: str, page: AnyPath | None = None) -> None:
        """Print what the report's process said, and the command."""
        print_json_line(self.stream, "report_failed", {"error": error, "again": again, "page": page and str(page)})

    def accounting(self, account: Account) -> None:
        """Print the summary, how the sweep ended, and where the results are."""
        page = None if account.page is None else str(account.page)
        reported: dict[str, Any] = {
            "ended": account.ended,
            "exit_code": account.exit_code,
            "run": str(account.root),
            "report": page,
        }
        reported |= {
            "failures": [vars(failures) for failures in account.failures],
            "retry": account.retry,
            "answer": account.answer,
            "best": account.best,
        }
        reported |= {"traceback": account.traceback if account.ended == "paused" else None}
        print_json_line(self.stream, "accounting", {**account.summary, **reported})

    def lost_checkpoints(self, commands: Sequence[str]) -> None:
        """Print a line a command."""
        for command in commands:
            print_json_line(self.stream, "lost_checkpoint", {"command": command})

    def go_on(self, command: str) -> None:
        """Print the command."""
        print_json_line(self.stream, "go_on", {"command": command})
