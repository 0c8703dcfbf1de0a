"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = (
    *("search_spaces.domains", "search_spaces.conditions", "search_spaces.metrics", "search_spaces.space"),
    *("search_spaces.budget", "ablation.planning.options", "ablation.console.huge_difference"),
    *("ablation.faults", "ablation.plan", "ablation.power", "ablation.seeds", "ablation.torch_state"),
    *("ablation.mean_interval", "ablation.moderation", "ablation.trial", "ablation.variance_components"),
    *("ablation.ledger.events", "ablation.ledger.records", "ablation.study.rungs", "ablation.engine.slots"),
    *("ablation.failures", "ablation.retry_option"),
    "ablation.engine.address",
    *("ablation.engine.node_faults", "ablation.engine.sharing"),
    *("analysis.effects", "analysis.inference", "analysis.statistics.effect_sizes", "analysis.statistics.welch"),
)


def examples(module: str) -> list[doctest.DocTest]:
    """List the docstrings of a module that have examples."""
    return [found for found in doctest.DocTestFinder().find(import_module(module)) if found.examples]


@pytest.mark.parametrize("module", MODULES)
def test_examples_print_what_they_show(module: str) -> None:
    found = examples(module)
    assert found, f"{module} has no examples; leave it out of the list"
    runner, printed = doctest.DocTestRunner(), list[str]()
    for example in found:
        runner.run(example, out=printed.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(printed)


def test_no_example_is_left_out() -> None:
    shown = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("search_spaces", "ablation", "analysis")
        for path in (ROOT / room).rglob("*.py")
        if ">>> " in path.read_text()
    }
    assert shown == set(MODULES)
