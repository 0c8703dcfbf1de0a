"""The README of an exported model: where it comes from, how good it is and how sure that is, and how to load it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from ablation.best import values_in_words
from ablation.exportable import Exportable
from ablation.reuse import BestModel

USE = {
    "safetensors": (
        ("import torch", "from model import load"),
        ("with torch.no_grad():", "    outputs = load('.')(torch.from_numpy(inputs))"),
    ),
    "torch-export": (
        ("import torch",),
        ("with torch.no_grad():", "    outputs = torch.export.load('model.pt2').module()(torch.from_numpy(inputs))"),
    ),
    "onnx": (
        ("import onnxruntime",),
        ("outputs = onnxruntime.InferenceSession('model.onnx').run(None, {'inputs': inputs})",),
    ),
}
PACKAGES = {"safetensors": ("torch", "safetensors"), "torch-export": ("torch",), "onnx": ("onnxruntime",)}


def hyperparameters(model: BestModel) -> str:
    """Format the best trial's configuration as YAML, grouped by the parts of dotted names."""
    tree: dict[str, Any] = {}
    for dotted, value in sorted(model.config.items()):
        *groups, leaf = dotted.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = value
    return str(yaml.safe_dump(tree, sort_keys=True))


def model_card(
    model: BestModel,
    exported: Exportable,
    facts: Mapping[str, Any],
    findings: Mapping[str, Any],
    verified: Sequence[str],
    formats: Iterable[str],
    command: str,
) -> str:
    """Write the card; ``facts`` are of ``ablation.best``, ``findings`` the report's, empty if there is none."""
    head = {
        "library_name": "pytorch",
        "pipeline_tag": exported.task,
        "license": "other",
        "tags": [str(model.provenance["study"]), str(model.provenance["arm"])],
    }
    data = model.provenance["data"] or {}
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n",
        f"# {model.provenance['study']}: {model.provenance['arm']}\n",
        *_scores(model, facts),
        *_compared(findings, str(model.provenance["arm"]), str(facts["metric"])),
        *_data(data, exported.licence(data)),
        "## How to use it\n",
        f"Class {', '.join(f'{index} is {name}' for index, name in enumerate(exported.class_names))}.\n",
        *(_use(exported, name) for name in formats),
        "## Verified\n",
        *(f"- {line}" for line in verified),
        "\n## How it was made\n",
        f"```console\n$ {shlex.join(model.provenance['command'])}\n$ {command}\n```\n",
        f"Run {model.provenance['run']}, {model.provenance['created_utc']}, commit {model.provenance['git_commit']}; "
        f"versions {', '.join(f'{name} {number}' for name, number in model.provenance['versions'].items())}. "
        "Hyperparameters are in hyperparameters.yaml.\n",
    ]
    return "\n".join(parts)


def _scores(model: BestModel, facts: Mapping[str, Any]) -> list[str]:
    score = model.trials[0].score  # the best one's, of which facts are, may be lost
    what = f"Trial {model.provenance['trial_id']}, chosen by validation {facts['metric']} ({score:.4g})."
    if len(model.trials) > 1:
        what = f"The mean of {len(model.trials)} replicates' probabilities: {', '.join(model.provenance['trials'])}."
    interval = "" if facts["low"] is None else f", 95 % interval {facts['low']:.4g} to {facts['high']:.4g}"
    found = ""
    if facts["test"] is not None:
        average = " on average" if facts["n"] > 1 else ""
        mean = f"{facts['test']:.4g}{average}{interval}, over {values_in_words(facts)}"
        found = f" Its arm's test {facts['metric']} is {mean}: what the procedure gives, of which this is one outcome."
        if facts["unit"] == "seed":  # of one configuration: nothing is known of what another search would find
            whose = "Its" if facts["config"] == model.config else "The best"
            found = f" {whose} configuration's test {facts['metric']} is {mean}."
    rows = [f"| {name} | {value:.4g} |" for name, value in sorted(model.scores.items()) if "_" in name]
    return [f"{what}{found}\n", "| the best trial's metric | value |", "|---|---|", *rows, ""]


def _compared(findings: Mapping[str, Any], arm: str, metric: str) -> list[str]:
    """Say how the arm compares with others, in the report's numbers."""
    found = [one for one in findings.get("comparisons", ()) if arm in (one["arm"], one["against"])]
    if not found:
        return ["No declared comparison has this arm, or the study has no report yet.\n"]
    rows = [
        f"| {one['arm']} against {one['against']} | {one['difference']:+.4g} | {one['low']:+.4g} to {one['high']:+.4g} "
        f"| {one['p_holm']:.3g} | {one['n']} |"
        for one in found
        if one.get("difference") is not None and one.get("low") is not None
    ]
    return [
        f"## Compared, by test {metric}\n",
        "| arms | difference | 95 % interval | p (Holm) | paired replicates |",
        "|---|---|---|---|---|",
        *rows,
        "",
        *(f"{sentence}" for sentence in findings.get("answer", ())),
        "",
    ]


def _data(data: Mapping[str, Any], licence: str) -> list[str]:
    if not data:
        return ["## Data\n", "The study takes no data.\n"]
    scheme = str(data["uri"]).partition(":")[0]  # the rest is a path of the machine that trained
    lines = ["## Data\n", f"`{scheme}`, fingerprint `{data['fingerprint']}`. {licence}\n"]
    train, test = data.get("train_per_class"), data.get("test_per_class")
    if train and test:
        lines += ["| class | train | test |", "|---|---|---|"]
        lines += [f"| {name} | {count} | {test.get(name, 0)} |" for name, count in train.items()]
        lines += [""]
    return lines


def _use(exported: Exportable, name: str) -> str:
    imports, run = USE[name]
    packages = [*PACKAGES[name], *exported.input_packages, *(exported.source_packages if name == "safetensors" else ())]
    lines = [f"# pip install {' '.join(packages)}", *exported.imports, *imports, ""]
    lines += [f"files = [{exported.file_name!r}]", *exported.read_inputs, *run]
    return "\n".join([f"{name}:\n", "```python", *lines, f"probabilities = outputs[0]  # of {name}", "```\n"])
