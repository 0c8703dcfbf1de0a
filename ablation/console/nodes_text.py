"""The nodes of a cluster as the preflight found them: a line if all can run trials, else a table with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ablation.engine.node_faults import CheckedNode


def print_nodes(console: Console, nodes: Sequence[CheckedNode]) -> None:
    """Print what the preflight found."""
    fit = [node for node in nodes if node.is_fit]
    joined = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
    if len(fit) == len(nodes) and not any(node.remark for node in nodes):
        console.print(f"preflight: {joined}, fit for trials")
        return
    console.print(f"preflight: {len(fit)} of {joined} can run trials")
    table = Table(box=None, pad_edge=False)
    for heading in ("node", "", "what is wrong there", "what to do"):
        table.add_column(heading, overflow="fold")
    for node in sorted(nodes, key=lambda node: node.address):
        for number, (what, remedy) in enumerate(_rows(node)):
            first = (node.name, "ok" if node.is_fit else "no trials") if number == 0 else ("", "")
            style = "" if node.is_fit else "red"
            table.add_row(Text(first[0]), Text(first[1], style), Text(what), Text(remedy))
    console.print(table, soft_wrap=False)


def _rows(node: CheckedNode) -> Iterator[tuple[str, str]]:
    for fault in node.faults:
        yield fault.what, fault.remedy
    if node.remark or node.is_fit:
        yield node.remark, ""


def node_facts(node: CheckedNode) -> dict[str, Any]:
    """Return a checked node for programs."""
    facts = node.facts
    found = {"node": node.address, "node_id": node.node_id, "is_fit": node.is_fit, "clock_s": node.clock_s}
    found |= {"faults": [{"what": fault.what, "remedy": fault.remedy} for fault in node.faults]}
    if facts is None:
        return found
    versions = {**facts.also_versions, **facts.code.versions}
    code = {"code": facts.code.digest, "project": facts.project}
    return {
        **found,
        "host": facts.host,
        "versions": versions,
        **code,
        "gpus": facts.gpus,
        "free_bytes": facts.free_bytes,
    }
