"""What a table of results comes to: its effects, in the words of its own arms, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from analysis import answer, caveats, effect_findings
from analysis.attempts import Attempts
from analysis.caveats import Caveat
from analysis.effect_evidence import EffectEvidence, compare
from analysis.elsewhere.reading import rows_in_words
from analysis.elsewhere.results import Results, scores_by_seed
from analysis.findings_schema import VERSION
from analysis.numbers import count
from analysis.plain_json import plain, records
from analysis.tables.variance_sources import split


@dataclass(frozen=True, kw_only=True)
class TableEvidence(EffectEvidence):
    """The effects of a table of results, and the table."""

    results: Results
    variance_sources: pd.DataFrame


def gather(results: Results) -> TableEvidence:
    """Compute a table's evidence: a function of the file and of what was asked alone."""
    compared = compare(results.question, results.replicates, Attempts())
    attempts, question = Attempts(compared.failures), results.question
    pairs = question.comparisons if question.is_paired else ()
    sources = attempts.make("variance_sources", lambda: split(scores_by_seed(results), pairs), pd.DataFrame())
    known = {**vars(compared), "failures": tuple(attempts.failures)}
    return TableEvidence(**known, results=results, variance_sources=sources)


def table_answer(found: TableEvidence) -> tuple[str, ...]:
    """Say in two sentences what the comparisons showed and what they could not show."""
    if found.comparisons["p"].isna().all():
        reasons = [text for _, text in caveats.untested(found)]
        return ("Nothing can be said of these arms.", *reasons)
    return answer.claims(found)


def table_caveats(found: TableEvidence) -> list[Caveat]:
    """List what weakens the claims: what a table cannot say of an experiment, and what its rows lack."""
    said = [*_unsaid(found), *_lost(found), *caveats.untested(found)]
    floor = caveats.floor(found.comparisons)
    said += [("sign_flip_floor", floor)] if floor else []
    said += [("not_computed", f"{one.name} could not be computed: {one.error}") for one in found.failures]
    return [Caveat(code, text) for code, text in said]


def _unsaid(found: TableEvidence) -> Iterator[tuple[str, str]]:
    score = found.study.score
    yield (
        "search_unknown",
        "A table of results does not say how each arm was tuned: an arm that got more trials, or better ones, looks "
        "better than it is, and no test of these numbers can see that.",
    )
    yield (
        "split_unknown",
        f"It does not say whether {score} comes from test data that guided nothing: neither the choice of "
        "hyperparameters nor the epoch at which training stopped.",
    )
    yield (
        "accounting_unknown",
        "It does not say which runs were left out: failed, stopped early or not reported. Only what is in it counts.",
    )
    asked = "metric" if found.study.smallest_effect is None else "metric, smallest effect"
    yield (
        "plan_unknown",
        f"It does not say whether arms, comparisons, {asked} and number of replicates were fixed before the results "
        "were seen; the p values hold if they were.",
    )


def _lost(found: TableEvidence) -> Iterator[tuple[str, str]]:
    runs = found.results.runs
    lost = runs[runs["score"].isna()]
    if len(lost):
        whose = f"{count(len(lost), 'run')} without a score ({rows_in_words(lost['row'])})"
        yield "failed", f"{whose} {'is' if len(lost) == 1 else 'are'} left out, with the replicate."
    short = int((found.comparisons["dropped"] != "").sum())
    if short:
        yield "lost_pairs", f"{count(short, 'comparison')} lost replicates that one arm has no score of."


def table_findings(found: TableEvidence, lacking: Mapping[str, str]) -> dict[str, Any]:
    """Collect what a table shows as plain JSON values, in the form of a run's findings; null if a table cannot say it.

    ``lacking`` holds the sections that the page could not make, and why.
    """
    study, results = found.study, found.results
    nothing = {"effort": {}, "not_completed": 0, "survival": None, "calibration": None}
    document = {
        "schema": "findings",
        "schema_version": VERSION,
        "study": {
            "name": results.file.name,
            "title": results.heading,
            **dict.fromkeys(("created_utc", "git_commit", "design", "seed")),
            "budget": {},
            "data": {"uri": None, "fingerprint": None},
            **effect_findings.levels(),
            "smallest_effect": found.study.smallest_effect,
            "table": _about(results),
        },
        "metric": effect_findings.metric(study),
        "answer": list(table_answer(found)),
        "best": None,
        "accounting": {},
        "arms": [{**row, **nothing} for row in effect_findings.arms(found)],
        "comparisons": [{**row, "sampling": None, "mcnemar": None} for row in effect_findings.comparisons(found)],
        "variances": effect_findings.variances(found),
        "description": {
            **effect_findings.description(found),
            **{"recall": [], "reliability": [], "variance_sources": records(found.variance_sources)},
        },
        "unequal_survival": None,
        "not_completed": [],
        "code": [],
        "reruns": dict.fromkeys(("exact", "rounding", "different"), 0),
        "growths": [],
        "warnings": [caveat._asdict() for caveat in table_caveats(found)],
        "lacking": [{"section": name, "reason": reason} for name, reason in lacking.items()],
    }
    whole: dict[str, Any] = plain(document)
    return whole


def _about(results: Results) -> dict[str, Any]:
    columns = {name: value for name, value in asdict(results.columns).items() if name != "guessed"}
    return {
        "sha256": results.file.sha256,
        "about": results.file.about,
        "rows": len(results.file.cells),
        "columns": columns,
        "reference": results.question.reference_arm,
        "is_paired": results.question.is_paired,
        "understood": list(results.said),
    }
