"""What ``--data`` may name: a scheme for each format, and what follows its colon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ablation.faults import FaultsError, nearest
from ablation.tcl.data.bucket import copied
from ablation.tcl.data.fer2013 import open_fer2013
from ablation.tcl.data.folder import open_folder
from ablation.tcl.data.rafdb import open_rafdb
from ablation.tcl.data.source import Source
from ablation.tcl.data.synthetic import open_synthetic

# What follows the scheme's colon → what is there. A new format is a module and a line here.
SOURCES: dict[str, Callable[[str], Source]] = {
    "synthetic": open_synthetic,
    "rafdb": open_rafdb,
    "folder": open_folder,
    "fer2013": open_fer2013,
}
WITH_PATHS = ("rafdb", "folder", "fer2013")


def open_source(uri: str) -> Source:
    """Look at what a URI names, without decoding; raise FaultsError for an unknown scheme or an unusable argument."""
    scheme, _, argument = uri.partition(":")
    if scheme not in SOURCES:
        raise FaultsError([f"data is {uri!r}, but {scheme!r} is no kind of data; {nearest(scheme, SOURCES)}"])
    return SOURCES[scheme](str(copied(argument)) if _is_address(argument) else argument)


def absolute(uri: str) -> str:
    """Return a URI that means the same in every folder."""
    scheme, _, argument = uri.partition(":")
    is_path = scheme in WITH_PATHS and argument and not _is_address(argument)
    return f"{scheme}:{Path(argument).expanduser().absolute()}" if is_path else uri


def _is_address(argument: str) -> bool:
    return "://" in argument
