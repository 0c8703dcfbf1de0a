"""Nodes are held to the driver's facts before they get trials: what differs is named, with what to do."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from rich.console import Console

from ablation.console.nodes_text import node_facts, print_nodes
from ablation.engine import placement, preflight
from ablation.engine.fitness import Fitness, UnfitNodeError
from ablation.engine.node_facts import Needs, NodeFacts, look_around
from ablation.engine.node_faults import CheckedNode, NodeFault, clock_difference_s, faults_of
from ablation.engine.placement import FitNodes
from ablation.faults import FaultsError
from ablation.paths import RunPaths
from ablation.store import StorePath
from ablation.tcl.config import TclConfig
from ablation.tcl.data.dataset import look_for_data, prepare_dataset
from ablation.user_code import UserCode

STUDY = "def run_trial(config, context):\n    yield\n"
LOOKING = """
from ablation.faults import FaultsError

def look_for_data(uri, planned):
    raise FaultsError([f"no {uri}"])
"""


@pytest.fixture
def needs(tmp_path: Path) -> Needs:
    """Needs of a study whose driver has left its marker."""
    folder, paths = tmp_path / "study", RunPaths(tmp_path / "run")
    folder.mkdir()
    (folder / "a_study.py").write_text(STUDY)
    paths.preflight.mkdir(parents=True)
    paths.preflight_marker.write_text("marker")
    code = UserCode(folder=str(folder), import_path=(str(folder),), study_file=None)
    return Needs(paths.root, "marker", "a_study:run_trial", code)


def no_gpus() -> int:
    return 0


def facts(needs: Needs, name: str = "node") -> NodeFacts:
    return look_around(needs, name, no_gpus)


def whats(needs: Needs, node: NodeFacts, mark: str | None = "marker", gpus: float = 0.0) -> list[str]:
    return [fault.what for fault in faults_of(facts(needs, "driver-too"), node, needs.run_dir, mark, gpus)]


def test_a_machine_like_the_drivers_is_fit_and_leaves_its_mark(needs: Needs) -> None:
    assert whats(needs, facts(needs)) == []
    assert (RunPaths(needs.run_dir).preflight / "node").read_bytes() == b"marker"


def test_a_folder_that_is_not_the_drivers_gets_nothing_written(needs: Needs, tmp_path: Path) -> None:
    private = facts(replace(needs, run_dir=tmp_path / "private"))
    assert whats(needs, private) == [f"{needs.run_dir} is not the driver's there"]
    assert not (tmp_path / "private").exists()


def test_a_node_of_a_run_in_a_store_needs_room_where_its_trials_write(
    needs: Needs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "not made yet" / "cache"))
    asked: list[Path] = []

    def nearly_full(folder: Path) -> Any:
        asked.append(folder)
        return SimpleNamespace(free=2**20)

    in_a_store = StorePath("mock://store", PurePosixPath("runs/first"))
    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    monkeypatch.setattr("ablation.engine.node_facts._leave_mark", lambda *arguments: ("marker", None))
    driver, node = facts(needs, "driver-too"), facts(replace(needs, run_dir=in_a_store))
    asked.remove(Path(str(needs.run_dir)))
    assert asked == [tmp_path]
    (fault,) = faults_of(driver, node, in_a_store, "marker", 0.0)
    assert fault.what == f"{tmp_path / 'not made yet' / 'cache'} has 1 MiB left there"


def test_each_way_of_not_sharing_a_folder_is_told_apart(needs: Needs) -> None:
    node = facts(needs)
    assert whats(needs, replace(node, marker="old")) == [f"{needs.run_dir} is another folder there, of another session"]
    assert whats(needs, node, mark=None) == [f"what it writes into {needs.run_dir} does not reach the driver"]
    assert whats(needs, replace(node, free_bytes=2**20)) == [f"{needs.run_dir} has 1 MiB left there"]
    Path(str(RunPaths(needs.run_dir).preflight), "blocked").mkdir()
    assert whats(needs, facts(needs, "blocked")) == [f"{needs.run_dir} cannot be written (Is a directory)"]


def test_other_code_is_named_by_file_whatever_was_imported_here(needs: Needs, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a_study.py").write_text(STUDY + "import helper\n")
    (other / "helper.py").write_text("")
    code = UserCode(folder=str(other), import_path=(str(other),), study_file=None)
    assert whats(needs, facts(replace(needs, user_code=code))) == [
        "other code: a_study.py has changed, helper.py was added"
    ]


def test_other_versions_are_named_with_the_drivers(needs: Needs) -> None:
    node = facts(needs)
    versions = {**node.code.versions, "torch": "1.0"}
    node = replace(node, code=node.code.model_copy(update={"versions": versions}), also_versions={"numpy": "1.0"})
    [what] = whats(needs, node)
    mine = facts(needs)
    assert what == f"numpy 1.0 ({mine.also_versions['numpy']} here), torch 1.0 ({mine.code.versions['torch']} here)"


def test_packages_of_this_project_that_differ_are_named_by_digest(needs: Needs) -> None:
    node = facts(needs)
    [what] = whats(needs, replace(node, project="0123"))
    assert what == f"this project's packages differ (digest 0123, {node.project} here)"


def test_gpus_that_ray_gives_out_must_be_seen(needs: Needs) -> None:
    assert whats(needs, facts(needs), gpus=2.0) == ["Ray gives out 2 GPUs, but 0 can be seen"]
    assert whats(needs, replace(facts(needs), gpus=2), gpus=2.0) == []


def test_data_is_looked_for_where_its_module_can_and_the_process_stays_as_it_was(needs: Needs) -> None:
    (Path(needs.user_code.folder) / "data_of_a_study.py").write_text(LOOKING)
    asked = replace(needs, dataset="data_of_a_study:prepare", data={"uri": "pictures", "fingerprint": "0"})
    before = Path.cwd(), list(sys.path)
    try:
        assert whats(needs, facts(asked)) == ["no data: no pictures"]
        assert (Path.cwd(), list(sys.path)) == before
        assert whats(needs, facts(replace(asked, dataset="a_study:prepare"))) == []  # which cannot
    finally:
        for name in ("data_of_a_study", "a_study"):
            sys.modules.pop(name, None)


def test_planned_data_is_seen_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FaultsError):
        look_for_data(f"folder:{tmp_path / 'nothing'}", {"fingerprint": "0"})
    planned = prepare_dataset("synthetic", TclConfig()).model_dump()
    look_for_data(f"folder:{tmp_path / 'moved'}", planned)  # decoded here
    monkeypatch.setenv("ABLATION_CACHE", str(tmp_path / "empty"))
    look_for_data("synthetic", planned)
    with pytest.raises(FaultsError, match="has other content here"):
        look_for_data("synthetic:1", planned)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("node_s", "ahead_s"), [(100.0, 0.0), (101.0, 0.0), (100.7, 0.0), (161.0, 60.0), (40.0, -60.0)]
)
def test_a_clock_is_wrong_only_outside_of_question_and_answer(node_s: float, ahead_s: float) -> None:
    assert clock_difference_s(100.0, node_s, 101.0) == pytest.approx(ahead_s)


@pytest.mark.parametrize(
    "gone", [ray.exceptions.NodeDiedError("its raylet crashed"), ray.exceptions.TaskUnschedulableError("no such node")]
)
@pytest.mark.parametrize("is_alone", [False, True])
def test_a_node_that_is_gone_before_it_could_answer_is_neither_fit_nor_unfit(
    needs: Needs, monkeypatch: pytest.MonkeyPatch, gone: Exception, is_alone: bool
) -> None:
    answers: dict[str, Any] = {"gone": gone} if is_alone else {"there": facts(needs), "gone": gone}

    def answer(node_id: str, timeout: float) -> NodeFacts:
        if isinstance(found := answers[node_id], NodeFacts):
            return found
        raise found

    said: list[Sequence[CheckedNode]] = []
    nodes = [{"NodeID": name, "NodeManagerAddress": "", "Alive": True, "Resources": {"CPU": 1.0}} for name in answers]
    monkeypatch.setattr(preflight, "_ask", lambda needs, node_id: node_id)
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "wait", lambda *asked, **how: None)
    monkeypatch.setattr(ray, "get", answer)
    checked = preflight.Preflight(needs, is_on_gpu=False, tell=said.append).look()
    assert [node.node_id for node in checked] == ([] if is_alone else ["there"])
    assert said == ([] if is_alone else [checked])


def test_a_worker_on_a_node_that_is_unfit_refuses(needs: Needs, tmp_path: Path) -> None:
    driver = facts(needs, "driver-too")
    Fitness(needs, driver).check()
    RunPaths(needs.run_dir).preflight_marker.unlink()
    with pytest.raises(UnfitNodeError, match="is not the driver's there; give an --out that all nodes share"):
        Fitness(needs, driver).check()


@pytest.fixture
def asked_places(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(placement, "placement_group", lambda *arguments, **options: asked.append(options))
    placement.forget_avoided()
    yield asked
    placement.forget_avoided()


def test_places_avoid_unfit_nodes_and_warm_workers_stay_of_use(asked_places: list[dict[str, object]]) -> None:
    before = FitNodes({"CPU": 1.0})
    before.to_placement_group()
    placement.avoid(["b", "a"])
    after = FitNodes({"CPU": 1.0})
    for place in (before, after):
        place.to_placement_group()
    avoiding = {"bundle_label_selector": [{placement.NODE_ID: "!in(a,b)"}]}
    assert asked_places == [{}, avoiding, avoiding]
    assert before == after
    assert hash(before) == hash(after)
    assert before != FitNodes({"CPU": 2.0})


@pytest.fixture
def printed() -> Callable[[list[CheckedNode]], str]:
    def print_all(nodes: list[CheckedNode]) -> str:
        out = io.StringIO()
        print_nodes(Console(file=out, width=160), nodes)
        return out.getvalue()

    return print_all


def test_the_table_says_what_is_wrong_where_and_what_to_do(
    needs: Needs, printed: Callable[[list[CheckedNode]], str]
) -> None:
    fit = CheckedNode("id-1", "192.0.2.1", replace(facts(needs), host="one"))
    faults = (NodeFault("no data", "bring it"), NodeFault("torch 1.0 (2.0 here)", "install it"))
    lines = printed([CheckedNode("id-2", "192.0.2.2", faults=faults), fit]).splitlines()
    assert lines[0] == "preflight: 1 of 2 nodes can run trials"
    assert [" ".join(line.split()) for line in lines[2:]] == [
        "192.0.2.1 (one) ok",
        "192.0.2.2 no trials no data bring it",
        "torch 1.0 (2.0 here) install it",
    ]
    assert printed([fit]) == "preflight: 1 node, fit for trials\n"
    late = replace(fit, clock_s=-90.0)
    assert "its clock is 90 s behind: set it by NTP" in printed([late])


def test_programs_get_the_facts_of_a_node(needs: Needs) -> None:
    node = facts(needs)
    said = node_facts(CheckedNode("id", "192.0.2.1", node, (NodeFault("no data", "bring it"),)))
    assert said["faults"] == [{"what": "no data", "remedy": "bring it"}]
    assert said["is_fit"] is False
    assert said["versions"]["numpy"] == node.also_versions["numpy"]
    assert node_facts(CheckedNode("id", "192.0.2.1"))["node"] == "192.0.2.1"
