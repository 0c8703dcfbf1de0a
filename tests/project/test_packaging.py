"""The distribution: typed packages, and one version in all that names one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from ablation.version import VERSION

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = tuple(pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"])


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_that_it_is_typed_and_the_distribution_has_it(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"][package]


def test_the_newest_section_of_the_changelog_is_this_version() -> None:
    sections = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == VERSION


def test_the_citation_has_this_version_and_all_that_the_format_demands() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # schema 1.2.0, required
    assert citation["authors"]
    assert PROJECT["project"]["name"] in citation["title"]
