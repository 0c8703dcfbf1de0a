"""Text of a user's stands in every output as it was given, whatever brackets and colons are in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from ablation.cli import COMMANDS
from ablation.console import plan_text
from ablation.console.messages import Account, TextMessages
from ablation.console.plan_text import show_plan
from ablation.console.progress import Progress
from ablation.engine.slots import Slots
from ablation.faults import FaultsError
from ablation.ledger.log import Ledger
from ablation.plan import Plan
from ablation.planning.probe import probe
from ablation.planning.request import CheckedStudy, Request, check_request
from ablation.resources import Resources
from ablation.study.study import Study
from ablation.terminal import console, exit_on_errors
from ablation.trial import EpochRecord, TrialContext
from search_spaces.space import Budget, Choice, Float, Space, When

NAME, ABOUT, FACTOR, METRIC, REASON = "[bold]s", "[red]what :smile: [/nope] is it\\", "[a]", "[m]", "see [link=x] :x:"
LEVELS = ("adam[w]", "[@click=x]", "[bold]", ":skull:", "a\\")
DATA = {"uri": "folder:[/pics]", "fingerprint": "0", "class_names": ["[happy]", "[/sad]"]}
HOSTILE = "[/runs]"


def run_trial(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
    for epoch in range(1, context.epochs + 1):
        is_last = context.phase == "confirm" and epoch == context.epochs
        yield EpochRecord(epoch, 0.01, {f"val_{METRIC}": 0.5} | ({f"test_{METRIC}": 0.5} if is_last else {}))


SPACE = Space(
    name=NAME,
    description=ABOUT,
    trial="tests.console.test_hostile_names:run_trial",
    factors={FACTOR: Choice(values=LEVELS), "b": Choice(values=(1, 2))},
    nuisance={"lr": Float(low=0.1, high=1.0, default=0.5)},
    reference={FACTOR: LEVELS[0], "b": 1},
    baseline={FACTOR: LEVELS[1], "b": 1},
    conditions=(When(factor=FACTOR, among=(LEVELS[2],), replaces={"b": ((1, 2),)}, reason=REASON),),
    metrics=(METRIC,),
    budgets={"[/b]": Budget(replicates=2, trials=1, epochs=2, grace_epochs=1, reduction_factor=2)},
)
ARMS = tuple(f"{FACTOR}={level}" for level in LEVELS[2:])


@pytest.fixture(scope="module")
def plan() -> Plan:
    return check_request(Request(SPACE, budget="[/b]"), 0).plan


@pytest.fixture
def checked(plan: Plan) -> CheckedStudy:
    return CheckedStudy(plan, "[/b]", "[why]", DATA)


def test_the_plan_shows_every_name(checked: CheckedStudy, capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(checked, Resources(), as_json=False)
    shown = capsys.readouterr().out
    for text in (
        NAME,
        ABOUT,
        REASON,
        METRIC,
        FACTOR,
        *LEVELS,
        *ARMS,
        "[/b] ([why])",
        "folder:[/pics]: [happy], [/sad]",
    ):
        assert text in shown


def test_a_fault_in_a_trial_shows_every_name(checked: CheckedStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: dict[str, Any], context: TrialContext) -> Iterator[EpochRecord]:
        raise ValueError(f"{config[FACTOR]} :x:")
        yield

    monkeypatch.setattr("tests.console.test_hostile_names.run_trial", refuse)
    # Another process would not find what is patched here.
    monkeypatch.setattr(plan_text, "probe_apart", lambda checked, slots, most_s: probe(checked, slots))
    with pytest.raises(FaultsError) as caught:
        show_plan(checked, Resources(), as_json=False)
    file = io.StringIO()
    TextMessages(console(file=file)).faults(caught.value.faults)
    for level in LEVELS:
        assert f"it raised ValueError: {level} :x:" in file.getvalue()


def test_progress_shows_every_name(plan: Plan, tmp_path: Path) -> None:
    file = io.StringIO()
    with Ledger(tmp_path / "ledger") as ledger:
        study = Study(plan, ledger)
        with Progress(
            study, Slots(2, 1.0, 0.0), console=console(file=file, force_terminal=True, width=200, color_system=None)
        ):
            pass
    for text in (METRIC, *ARMS):
        assert text in file.getvalue()


def test_what_is_told_before_and_after_a_sweep_shows_every_name(checked: CheckedStudy) -> None:
    file, root = io.StringIO(), Path(HOSTILE) / "[x]"
    say = TextMessages(console(file=file))
    summary = {"planned": 1, "completed": 1, "sweep_wall_s": 1.0}
    summary |= dict.fromkeys(("stopped", "diverged", "failed", "interrupted", "pending"), 0)
    say.header(checked, root, is_resumed=False)
    say.halted(OSError("[/halted]"), root)
    say.tables_stale(OSError("[/stale]"), root)
    say.report_failed("[/traceback]", "again [/x]")
    say.accounting(Account(root, "finished", 0, summary, root / "[page].html"))
    say.go_on("python '[/x]'")
    for text in (NAME, ABOUT, "[/halted]", "[/stale]", "[/traceback]", "again [/x]", f"results: {root}", "[page].html"):
        assert text in file.getvalue()
    assert "go on with: python '[/x]'" in file.getvalue()


ARGUMENTS = {
    "ablation run": ("--space", "[/x].py"),
    "ablation plan": ("--space", "[/x].py", "--plan"),
    "ablation predict": ("[/x]", "[/x].png"),
    "ablation export": ("[/x]", "--out", "[/x]-out"),
    "ablation rerun": ("[/x]", "[/x]/0/search/0"),
}


@pytest.mark.parametrize("name", [*(f"ablation {name}" for name in COMMANDS), "ablation.tables"])
def test_every_command_says_its_error_as_it_is_and_ends_with_2(name: str) -> None:
    path, _ = COMMANDS.get(name.removeprefix("ablation "), ("ablation.tables:main", ""))
    app = typer.Typer()
    app.command()(resolve_name(path))
    result = CliRunner().invoke(app, ARGUMENTS.get(name, ("[/x]",)))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ") and "[/x]" in result.stderr
    assert result.stdout == "" and result.stderr.count("\n") == result.stderr.count("error: ")


@pytest.mark.parametrize(
    "error", [FaultsError(["[/x] is :x:", "[red]y[/]"]), ValueError("[/x] is :x:"), OSError("[/x]")]
)
def test_an_error_ends_a_command_in_its_own_words(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, exit_on_errors(ValueError, OSError):
        raise error
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err == "".join(f"error: {line}\n" for line in str(error).splitlines())


def test_an_error_that_is_no_users_to_mend_goes_on() -> None:
    with pytest.raises(KeyError), exit_on_errors(ValueError):
        raise KeyError("[/x]")


def test_no_console_reads_markup() -> None:
    root = Path(__file__).parents[2]
    for path in (*(root / "ablation").rglob("*.py"), *(root / "analysis").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "Console(" not in text, f"{path}: take ablation.terminal.console"
    file = io.StringIO()
    console(file=file).print("[red]:x:[/nope]")
    assert file.getvalue() == "[red]:x:[/nope]\n" and isinstance(console(), Console)
