"""Code, docs and messages use the field's words, and one name means one thing (docs/architecture.md, glossary)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("ablation", "analysis", "search_spaces", "benchmarks", "docs", "README.md", "Makefile", "cluster.yaml")
# What was said here once, and what is said now.
OLD_WORDS = {
    r"told(?! apart)": "reported, recorded",
    r"spell(s|ed|ing)?": "format, write",
    r"begun": "started, existing",
    r"heed\w*": "handle, respect",
    r"for good": "permanently",
    r"anew": "again",
    r"c[oa]me to it": "reach",
    r"where there (is|are) (none|no|one)": "if there is none",
}
OLD_NAMES = (
    *("Standing", "Teller", "Ending", "EndingStopper", "LeftOutOfSnapshots", "Workplace", "Stretch", "counting_parts"),
    *("Prepared", "PreparedRun", "Begun", "prepare_run", "warmed", "rewarmed", "hand_out_again", "epoch_reports"),
    "_heed_signals",
)


def texts() -> list[Path]:
    """List what is read by people: code, docs, templates; not the example's recorded files, nor tests."""
    listed = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=True)
    suffixes = (".py", ".md", ".j2", ".yaml", "")
    return [ROOT / name for name in listed.stdout.splitlines() if Path(name).suffix in suffixes]


@pytest.mark.parametrize("word", OLD_WORDS, ids=OLD_WORDS.values())
def test_old_words_are_gone(word: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(rf"\b{word}\b", line, re.IGNORECASE)
    ]
    assert found == []


def test_old_names_are_gone() -> None:
    code = [path for path in texts() if path.suffix == ".py"]
    assert len(code) > 100
    pattern = re.compile(rf"\b({'|'.join(OLD_NAMES)})\b")
    assert [f"{path.relative_to(ROOT)}: {name}" for path in code for name in pattern.findall(path.read_text())] == []
