"""A study that goes on, grows by whole replicates and arms, starts warm, or is refused."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from ablation import study_file, tables
from ablation.faults import FaultsError
from ablation.ledger.log import Ledger, read_events
from ablation.paths import RunPaths
from ablation.plan import Plan, WarmStart
from ablation.planning.planned_run import plan_run
from ablation.planning.request import Request, check_request
from ablation.planning.warm_start import warm_start_from
from ablation.resources import Resources
from ablation.study.growth import open_study
from analysis import caveats, load
from analysis.audit.checks import audit
from search_spaces.metrics import Metric
from search_spaces.space import Choice, Float, Int, Level, Space, When
from tests.support.plain_loop import carry_out, run_study
from tests.support.spaces import with_direction
from tests.toy_study import SPACE

ASKED = {"space": SPACE, "budget": "quick", "arms": ("baseline",), "trials": 2}


def asked(**changes: object) -> Plan:
    return check_request(Request(**{**ASKED, **changes}), gpus=0).plan  # type: ignore[arg-type]


def faults(out: Path, **changes: object) -> tuple[str, ...]:
    """Ask to go on with the run ``small`` otherwise than it was started."""
    with pytest.raises(FaultsError) as error:
        plan_run(Request(**{**ASKED, **changes}), "small", out, Resources(), resume=True)  # type: ignore[arg-type]
    return error.value.faults


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    run_study(asked(), folder / "small")
    return folder


@pytest.fixture
def small(out: Path, tmp_path: Path) -> RunPaths[Path]:
    """Run the small study again: a test may grow it."""
    return run_study(asked(), tmp_path / "small")


def grow(paths: RunPaths[Path], plan: Plan) -> None:
    with Ledger(paths.ledger) as ledger:
        carry_out(open_study(study_file.read(paths), ledger, plan), paths)
    tables.materialise(paths)


@pytest.mark.parametrize("change", [{"replicates": 5}, {"arms": ("baseline", "speed=*")}])
def test_a_study_grows_and_nothing_finished_is_touched(small: RunPaths[Path], change: dict[str, object]) -> None:
    before = pd.read_parquet(small.trials).set_index("trial_id")
    written = small.study.read_bytes()
    larger = asked(**change)
    grow(small, larger)
    after = pd.read_parquet(small.trials).set_index("trial_id")
    assert list(after.index) == [trial.trial_id for trial in larger.trials()]
    assert set(after["status"]) == {"completed", "stopped"}
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    assert small.study.read_bytes() == written
    assert audit(small.root) == []


def test_growing_says_how_much_had_been_seen(small: RunPaths[Path]) -> None:
    grow(small, asked(replicates=4))
    (event,) = (event for event in read_events(small.ledger) if event.kind == "grown")
    assert event.payload["confirmed_before"] == 6  # two arms of three replicates
    assert study_file.plan_now(study_file.read(small), [event]).budget.replicates == 4


def test_what_grew_goes_on_as_it_grew(small: RunPaths[Path]) -> None:
    grow(small, asked(replicates=4))
    with Ledger(small.ledger) as ledger:
        study = open_study(study_file.read(small), ledger)
    assert study.plan == asked(replicates=4) and study.is_finished


def test_the_same_request_goes_on(out: Path) -> None:
    plan_run(Request(**ASKED), "small", out, Resources(), resume=True)  # type: ignore[arg-type]


def reworded(space: Space) -> Space:
    """Say everything about a space in other words: description, sources, and how its metric is printed."""
    nuisance = {name: domain.model_copy(update={"source": "a guess"}) for name, domain in space.nuisance.items()}
    factors = {name: choice.model_copy(update={"source": "a paper"}) for name, choice in space.factors.items()}
    metrics = (Metric(name="score", unit="number", of="curves"),)
    changes = {"description": "curves", "nuisance": nuisance, "factors": factors, "metrics": metrics}
    return space.model_copy(update=changes)


def test_a_study_said_in_other_words_is_the_same_and_does_not_grow(small: RunPaths[Path]) -> None:
    plan = gone_on(small, space=reworded(SPACE))
    before = read_events(small.ledger)
    with Ledger(small.ledger) as ledger:
        study = open_study(study_file.read(small), ledger, plan)
    assert study.is_finished and study.plan.space == SPACE
    assert read_events(small.ledger) == before


def test_a_study_grows_in_other_words(small: RunPaths[Path]) -> None:
    grow(small, gone_on(small, space=reworded(SPACE), replicates=4))
    assert audit(small.root) == []
    with Ledger(small.ledger) as ledger:
        assert open_study(study_file.read(small), ledger).plan.space.description == "curves"


def with_levels(name: str, *levels: Level) -> Space:
    return SPACE.model_copy(update={"factors": {**SPACE.factors, name: Choice(values=levels)}})


WIDER = with_levels("toy.speed", 8.0, 3.0, 5.0)  # wherever the new level stands


def test_a_level_that_a_factor_has_gained_is_a_further_arm(small: RunPaths[Path]) -> None:
    before, plan = pd.read_parquet(small.trials).set_index("trial_id"), study_file.read(small).plan
    wider = gone_on(small, space=WIDER, arms=("baseline", "speed=8.0"))
    assert [arm.name for arm in wider.arms] == ["reference", "speed=8.0", "baseline"]
    assert wider.comparisons == (("speed=8.0", "reference"), ("baseline", "reference"))
    assert [trial for trial in wider.trials() if trial.arm != "speed=8.0"] == list(plan.trials())
    grow(small, wider)
    after = pd.read_parquet(small.trials).set_index("trial_id")
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    assert set(after[after["arm"] == "speed=8.0"]["status"]) == {"completed", "stopped"}
    assert audit(small.root) == []
    (growth,) = load.study(small.root).growths
    assert growth["arms_added"] == ["speed=8.0"] and growth["arms"] == 2 and growth["confirmed_before"] == 6
    assert "(speed=8.0 came later), with 6 confirm results" in str(caveats.growth(load.study(small.root)))


def test_a_reason_in_other_words_is_the_same_study(tmp_path: Path) -> None:
    def with_reason(reason: str) -> Space:
        when = When(factor="toy.speed", among=(5.0,), replaces={"toy.bonus": ((-0.05, 0.0),)}, reason=reason)
        return SPACE.model_copy(update={"conditions": (when,)})

    old = asked(space=with_reason("too fast"))
    paths = run_study(old, tmp_path / "run", most_epochs=5)
    assert any("too fast" in note for arm in old.arms for note in arm.notes)
    assert gone_on(paths, space=with_reason("too quick")).without_wording() == old.without_wording()


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"space": with_direction(SPACE, "minimize")}, "the space's metrics differs"),
        ({"space": with_levels("toy.speed", 3.0, 5)}, "the space's factor toy.speed lacks 5.0, which the run has"),
        ({"replicates": 2}, "the run has 3 replicates, 2 are asked for"),
        ({"arms": ("speed=*",)}, "arms baseline are not among those asked for"),
        ({"epochs": 5}, "--resume: epochs is 5, but the run has "),
        ({"trials": 3}, "--resume: trials is 3, but the run has 2"),
        ({"seed": 1}, "seed is 1, but the run has 0"),
        ({"settings": ("toy.offset=0.5",)}, "the space's fixed differs"),
        ({"design": "factorial", "arms": ()}, "design is factorial, but the run has one-at-a-time"),
    ],
)
def test_any_other_change_is_refused_with_the_way_to_a_warm_start(
    out: Path, change: dict[str, object], reported: str
) -> None:
    found = faults(out, **change)
    assert any(reported in fault for fault in found)
    assert all(f"another --name with --warm-start {out / 'small'}" in fault for fault in found)


def test_a_damaged_study_file_is_a_fault_by_name(small: RunPaths[Path]) -> None:
    small.study.write_text(small.study.read_text().replace('"seed": 0', '"seed": 1'))
    assert any("study.json is damaged" in fault for fault in faults(small.root.parent))


def test_a_ledger_that_cannot_be_listed_is_a_fault(small: RunPaths[Path]) -> None:
    shutil.rmtree(small.ledger)
    small.ledger.write_bytes(b"no folder")
    (fault,) = faults(small.root.parent)
    assert f"--resume cannot read the run {small.root}" in fault and "make that possible and try again" in fault


def test_a_warm_start_is_the_median_of_what_was_confirmed_in_every_arm(out: Path) -> None:
    trials = pd.read_parquet(out / "small/trials.parquet")
    confirmed = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
    median = confirmed["config.toy.offset"].median()
    plan = asked(warm_start=out / "small")
    assert plan.warm_start == WarmStart(run="small", defaults={"toy.offset": median})
    offset = SPACE.nuisance["toy.offset"]
    assert plan.space.nuisance == {"toy.offset": offset.model_copy(update={"default": median})}


@pytest.fixture
def source(out: Path, tmp_path: Path) -> Path:
    """Copy the small study, which confirms something else than the defaults there: a test may change or remove it."""
    copy = RunPaths(shutil.copytree(out / "small", tmp_path / "source"))
    trials = pd.read_parquet(copy.trials)
    trials["config.toy.offset"] = 0.5
    trials.to_parquet(copy.trials)
    return copy.root


@pytest.fixture
def warm(source: Path) -> RunPaths[Path]:
    """Start a study from ``source`` and interrupt it."""
    return run_study(asked(warm_start=source), source.parent / "warm", most_epochs=5)


def gone_on(paths: RunPaths[Path], **changes: object) -> Plan:
    """Ask to go on with a run as it was started, but for the changes."""
    request = Request(**{**ASKED, **changes})  # type: ignore[arg-type]
    return plan_run(request, paths.root.name, paths.root.parent, Resources(), resume=True).checked.plan


@pytest.mark.parametrize("fate", ["as it was", "gone", "confirmed otherwise"])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_warm_study_goes_on_whatever_became_of_its_source(
    source: Path, warm: RunPaths[Path], fate: str, is_named: bool
) -> None:
    if fate == "gone":
        shutil.rmtree(source)
    if fate == "confirmed otherwise":
        trials = pd.read_parquet(RunPaths(source).trials)
        trials["config.toy.offset"] += 0.25
        trials.to_parquet(RunPaths(source).trials)
        assert asked(warm_start=source).space != study_file.read(warm).plan.space
    changes = {"warm_start": source} if is_named else {}
    recorded = study_file.read(warm).plan
    assert recorded.space.nuisance != SPACE.nuisance
    assert gone_on(warm, **changes) == recorded
    larger = gone_on(warm, **changes, replicates=4)
    assert larger == recorded.model_copy(update={"budget": larger.budget}) and larger.budget.replicates == 4


def test_a_warm_study_goes_on_from_no_other_source_and_other_faults_are_told_too(
    warm: RunPaths[Path], out: Path
) -> None:
    with pytest.raises(FaultsError) as error:
        gone_on(warm, warm_start=out / "small", seed=1)
    first, second = error.value.faults
    assert "was started from source" in first and f"--warm-start is {out / 'small'}" in first
    assert "seed is 1, but the run has 0" in second


def test_a_study_that_was_not_started_warm_does_not_become_so(small: RunPaths[Path], out: Path) -> None:
    with pytest.raises(FaultsError, match="was not started warm; leave --warm-start out"):
        gone_on(small, warm_start=out / "small")


def test_a_warm_study_said_in_other_words_stays_warm(warm: RunPaths[Path]) -> None:
    recorded = study_file.read(warm).plan
    plan = gone_on(warm, space=reworded(SPACE))
    assert plan.warm_start == recorded.warm_start is not None
    assert plan.space.nuisance["toy.offset"].default == recorded.space.nuisance["toy.offset"].default


def test_a_warm_study_whose_range_has_moved_since_is_refused(warm: RunPaths[Path]) -> None:
    moved = SPACE.nuisance["toy.offset"].model_copy(update={"high": 2.5})
    space = SPACE.model_copy(update={"nuisance": {"toy.offset": moved}})
    with pytest.raises(FaultsError, match="the space's nuisance differs"):
        gone_on(warm, space=space)


def write_confirmed(root: Path, **columns: Sequence[object]) -> Path:
    count = len(next(iter(columns.values())))
    config = {f"config.{name}": values for name, values in columns.items()}
    root.mkdir()
    frame = pd.DataFrame({"phase": ["confirm"] * count, "status": ["completed"] * count, **config})
    frame.to_parquet(RunPaths(root).trials)
    return root


def test_a_warm_start_heeds_logarithms_ranges_and_kinds(tmp_path: Path) -> None:
    run = write_confirmed(
        tmp_path / "run", rate=[1e-4, 1e-3, 1e-2, 1e-1], width=[3, 4, 4, 9], kind=["b", "c", "c", "a"], far=[9.0] * 4
    )
    nuisance = {
        "rate": Float(low=1e-5, high=1.0, default=0.5, log=True),
        "width": Int(low=1, high=16, default=2),
        "kind": Choice(values=("a", "b", "c")),
        "far": Float(low=0.0, high=1.0, default=0.5),
        "new": Float(low=0.0, high=1.0, default=0.5),
    }
    space = Space(
        name="s", trial="a:b", factors={"f": Choice(values=(1, 2))}, reference={"f": 1}, baseline={"f": 2},
        nuisance=nuisance, metrics=("m",), budgets=SPACE.budgets,
    )  # fmt: skip
    found = dict(warm_start_from(space, run).defaults)
    assert found["rate"] == pytest.approx(10**-2.5)
    assert {name: value for name, value in found.items() if name != "rate"} == {
        "width": 4, "kind": "c", "far": 1.0,
    }  # fmt: skip


TURNED = Choice(values=(False, True, "ema"), default="ema")


@pytest.mark.parametrize(
    ("domain", "values", "default"),
    [
        (Choice(values=("a", "b"), default="b"), ["c", "c", "d"], None),
        (Choice(values=("a", "b"), default="b"), ["c", "c", "a"], "a"),
        (TURNED, ["False", "ema", "False"], False),  # a column of several kinds is stored as text
        (TURNED, [False, True, True], True),
        (Choice(values=(1, 2, 4), default=4), [2.0, 2.0, 1.0], 2),
        (Choice(values=(1, 2), default=2), [True, True, True], None),
        (Float(low=1e-3, high=1.0, default=0.1, log=True), [0.0, 0.01, 0.04], 0.02),
        (Float(low=1e-3, high=1.0, default=0.1, log=True), [0.0, -1.0, 0.0], None),
        (Float(low=0.0, high=1.0, default=0.1), ["True", "ema", "0.3"], None),
        (Float(low=0.0, high=1.0, default=0.1), [True, False, True], None),
        (Float(low=0.0, high=1.0, default=0.1), [float("nan"), 0.5, float("inf")], 0.5),
        (Int(low=1, high=8, default=3, log=True), [0, 4, 4], 4),
        (Int(low=1, high=8, default=3), [True, True, True], None),
    ],
)
def test_a_warm_start_takes_what_a_range_can_hold_and_marks_nothing_else(
    tmp_path: Path, domain: Float | Int | Choice, values: Sequence[object], default: object
) -> None:
    run = write_confirmed(tmp_path / "run", **{"asked": values, "toy.offset": [1.5] * 3})
    nuisance = {**SPACE.nuisance, "asked": domain}
    found = warm_start_from(SPACE.model_copy(update={"nuisance": nuisance}), run).defaults
    assert found.pop("toy.offset") == 1.5
    if default is None:
        assert found == {}
    else:
        assert found == {"asked": pytest.approx(default)} and isinstance(found["asked"], type(default))


@pytest.mark.parametrize("content", ["nothing", "pending", "stranger", "of no use"])
def test_a_warm_start_from_a_run_that_has_nothing_to_give_is_refused(tmp_path: Path, content: str) -> None:
    run = tmp_path / "run"
    if content == "pending":
        run.mkdir()
        pd.DataFrame({"phase": ["confirm"], "status": ["pending"]}).to_parquet(RunPaths(run).trials)
    if content == "stranger":
        write_confirmed(run, elsewhere=[1.0])
    if content == "of no use":
        write_confirmed(run, **{"toy.offset": ["soon"]})
    with pytest.raises(FaultsError, match=f"--warm-start {run}"):
        warm_start_from(SPACE, run)
