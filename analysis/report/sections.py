"""What the page is made of: parts, and in them sections, each made by itself so that a fault in one costs no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd

from analysis.effect_evidence import EffectEvidence
from analysis.numbers import Unit
from analysis.question import Question
from analysis.report.figures import View


class EffectInputs(Protocol):
    """What the sections about effects are made of, whether a run's or those of a table of results."""

    @property
    def study(self) -> Question:
        """What is compared with what."""

    @property
    def evidence(self) -> EffectEvidence:
        """What that came to; raises LostError if what claims rest on cannot be computed."""

    @property
    def has_evidence(self) -> bool:
        """Whether there is evidence."""

    @property
    def unit(self) -> Unit:
        """How values of the primary metric are printed."""

    @property
    def looks(self) -> Mapping[str, tuple[str, str]]:
        """Colour and dash of each arm."""

    def shown(self, table: pd.DataFrame) -> pd.DataFrame:
        """Keep the rows of arms that figures show."""


@dataclass(frozen=True)
class Section:
    """One section of the page. It is filled by the block of its name in its part's template, with its view's facts.

    Attributes:
        name: its id on the page; also what it is called where it is lacking.
        title: its heading.
        make: computes what it shows of its part's inputs. A section whose block comes to nothing is not on the page.
        shows: what it shows beside that can fail for itself, such as tables of the evidence: title by name.
        link: what the contents call it, if the title is too long for that.
        is_half: whether it may stand beside another half.
    """

    name: str
    title: str
    make: Callable[[Any], View]
    shows: Mapping[str, str] = field(default_factory=dict)
    link: str = ""
    is_half: bool = False

    @property
    def titles(self) -> dict[str, str]:
        """Titles of all that can be lacking in its place, itself first."""
        return {self.name: self.title, **self.shows}


def every_study(_: Any) -> bool:
    """Say that a part is for every study."""
    return True


@dataclass(frozen=True)
class Part:
    """A part of the page: sections under one title, or under none; ``folder`` of this package has its template.

    ``is_for`` says of which studies; a study of one arm has none of what compares arms.
    """

    folder: str
    title: str
    sections: tuple[Section, ...]
    is_for: Callable[[Any], bool] = every_study

    @property
    def template(self) -> str:
        """The file whose blocks fill the sections; its block ``lead`` comes first."""
        return f"{self.folder}/section.html.j2"


@dataclass(frozen=True)
class Filled:
    """A section as it stands on the page: its text, and what could not be made in it, as title and reason by name."""

    section: Section
    text: Any
    lacking: Mapping[str, tuple[str, str]]

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to show or to say."""
        return bool(self.lacking) or bool(str(self.text).strip())


def nothing(_: object) -> View:
    """Make nothing: for a section that needs no more than what every section is given."""
    return View()


def beside(sections: list[Filled]) -> list[list[Filled]]:
    """Group sections into rows: two halves that follow each other share one."""
    rows: list[list[Filled]] = []
    for filled in sections:
        if rows and filled.section.is_half and len(rows[-1]) == 1 and rows[-1][0].section.is_half:
            rows[-1].append(filled)
        else:
            rows.append([filled])
    return rows
