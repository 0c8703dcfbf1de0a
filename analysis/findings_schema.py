"""The schema of findings.json (JSON Schema 2020-12): what each number is, for whoever reads it by machine.

A version only ever gains fields; a field that changes its meaning or goes makes a new version. Version 2: comparisons
are tested with variance that they borrow from each other, so interval, p and what follows from them are another test's;
p_t is what p was.
"""

from __future__ import annotations

from typing import Any

VERSION = 2

Schema = dict[str, Any]


def _number(about: str) -> Schema:
    return {"type": ["number", "null"], "description": about}


def _count(about: str) -> Schema:
    return {"type": "integer", "minimum": 0, "description": about}


def _text(about: str) -> Schema:
    return {"type": "string", "description": about}


def _maybe_text(about: str) -> Schema:
    return {"type": ["string", "null"], "description": about}


def _flag(about: str) -> Schema:
    return {"type": "boolean", "description": about}


def _object(about: str, fields: Schema, *, nullable: bool = False) -> Schema:
    kind = ["object", "null"] if nullable else "object"
    return {"type": kind, "description": about, "properties": fields, "required": list(fields)}


def _rows(about: str, fields: Schema) -> Schema:
    return {"type": "array", "description": about, "items": _object("one row", fields)}


def _counts(about: str) -> Schema:
    return {"type": "object", "description": about, "additionalProperties": {"type": "number"}}


_LIST_OF_NUMBERS = {"type": "array", "items": {"type": "integer"}}
_INTERVAL = {"low": _number("lower end of the 95 % interval"), "high": _number("upper end of the 95 % interval")}
_ESTIMATE = {"difference": _number("arm minus against, in the metric's unit"), **_INTERVAL}
_PAIR = {"arm": _text("arm"), "against": _text("arm that it is compared with")}

_VERDICT = {
    "kind": {"enum": ["better", "worse", "equal", "undecided", "untested"]},
    "text": _text("the comparison in words that follow the evidence"),
    "asked": _number("half of the smallest difference that this study could have found or that there can be, rounded"),
    "replicates_for_asked": {"type": ["integer", "null"], "description": "replicates that find it with 80 % power"},
    "replicates_to_equate": {
        "type": ["integer", "null"],
        "description": "replicates that show equal arms to be so within study.smallest_effect; null without one, or if "
        "100,000 do not",
    },
}

_SAMPLING = {
    "metric": _text("the primary metric, or 'share correct' where predictions do not give it"),
    "n": _count("replicates paired"),
    "images": _count("test images"),
    **_ESTIMATE,
    "se_replicates": _number("standard error from replicates alone"),
    "se_images": _number("standard error from test images alone"),
    "se_both": _number("standard error from both, by two-way bootstrap"),
}

_MCNEMAR = {
    "trial_id": _text("the arm's best model by validation"),
    "against_trial_id": _text("the other arm's"),
    "images": _count("test images scored by both"),
    "only_arm": _count("images that only the first has right"),
    "only_against": _count("images that only the second has right"),
    "p": _number("exact two-sided p; of two models, not of two arms, and not corrected"),
}

_COMPARISON = {
    **_PAIR,
    "n": _count("replicates paired"),
    "dropped": {**_LIST_OF_NUMBERS, "description": "replicates without a pair"},
    **_ESTIMATE,
    "sd": _number("standard deviation of single differences"),
    "sd_moderated": _number("the same with what is borrowed from other comparisons: what interval and p rest on"),
    "df": _number("degrees of freedom, own and borrowed"),
    "p": _number("two-sided p of the moderated paired t test, of Welch's t if replicates are no pairs"),
    "p_holm": _number("the same, adjusted over the declared comparisons by Holm's steps"),
    "p_t": _number("two-sided p of the plain paired t test, which borrows nothing; not adjusted"),
    "significant": _flag("p_holm is at most alpha"),
    "p_flip": _number("two-sided p of the exact sign-flip test"),
    "p_flip_floor": _number("the smallest p that this test can reach with n pairs"),
    "detectable": _number("smallest true difference found with 80 % power at alpha / number of comparisons"),
    "d_z": _number("mean difference divided by sd (Cohen's d_z)"),
    "g_z": _number("d_z with Hedges' small-sample correction"),
    "g_low": _number("lower end of the 95 % interval of the true standardised difference"),
    "g_high": _number("upper end of it"),
    "improvement": _number("chance that a replicate of arm is better than one of against (Mann-Whitney, 0..1)"),
    "improvement_low": _number("lower end of its 95 % interval (Newcombe)"),
    "improvement_high": _number("upper end of it"),
    "wins": {"type": ["integer", "null"], "minimum": 0, "description": "pairs in which arm is better"},
    "p_equivalent": _number("p of two one-sided tests within study.smallest_effect, adjusted by Holm's steps"),
    "equivalent": _flag("p_equivalent is at most alpha"),
    "verdict": _object("what it showed", _VERDICT),
    "sampling": _object("test-sampling uncertainty; null without predictions", _SAMPLING, nullable=True),
    "mcnemar": _object("best model against best model; null without predictions", _MCNEMAR, nullable=True),
}

_VARIANCES = {
    "comparisons": _count("comparisons that have a variance"),
    "scatter": _number("sample variance of their log variances; null with fewer than two"),
    "expected": _number("what equal true variances would give on average"),
    "prior_sd": _number("standard deviation of single differences that they scatter around"),
    "prior_df": _number("what it weighs, in degrees of freedom; null if chance alone explains the scatter"),
}

_ARM = {
    "arm": _text("name"),
    "role": {"enum": ["reference", "baseline", ""]},
    "levels": {"type": "object", "description": "level of each factor that has a meaning in this arm"},
    "replicates_planned": _count("replicates with a row in trials.parquet"),
    "n": _count("replicates whose confirm trials all completed"),
    "missing": {**_LIST_OF_NUMBERS, "description": "replicates without a value"},
    "metrics": {
        "type": "object",
        "description": "by metric, on the test split: mean over replicates with interval, of a share within its range",
        "additionalProperties": _object("one metric", {"mean": _number("mean"), **_INTERVAL}),
    },
    "effort": _counts("trials planned by phase and counted by phase and status, epochs trained, wall_s"),
    "not_completed": _count("trials that failed, diverged, were interrupted or are pending"),
    "survival": _object(
        "search trials that reached the full budget",
        {
            "ended": _count("search trials that ended"),
            "survived": _count("of these, at the full budget"),
            "share": _number("survived / ended"),
            "residual": _number("Pearson's adjusted residual, in standard deviations"),
            "flagged": _flag("shares differ between arms by more than chance, and this arm's by more than 2 residuals"),
        },
        nullable=True,
    ),
    "calibration": _object(
        "expected calibration error; null without predictions",
        {
            "n": _count("replicates"),
            "error": _number("mean over replicates, 15 bins of equal mass, 0..1"),
            **_INTERVAL,
            "confidence": _number("mean confidence"),
            "accuracy": _number("share correct"),
        },
        nullable=True,
    ),
}

_TABLE = {
    "sha256": _text("of the file"),
    "about": _text("comment lines at its head"),
    "rows": _count("of the file"),
    "columns": {"type": "object", "description": "which column is read as what; null if there is none"},
    "reference": _text("the arm that the others are compared with"),
    "is_paired": _flag("equal replicates of two arms are pairs; else p is Welch's, and what needs pairs is null"),
    "understood": {"type": "array", "items": _text("a sentence"), "description": "how it was read"},
}

_SCORE = {
    "mean": _number("mean"),
    "sd": _number("standard deviation of single values"),
    **_INTERVAL,
    "n": _count("values"),
    "planned": _count("values planned"),
    "unit": {"enum": ["replicate", "seed"], "description": "what one value is; a replicate's seeds are averaged"},
}

_BEST = {
    "trial_id": _text("the confirm trial with the best validation score of the primary metric"),
    "arm": _text("its arm"),
    "replicate": _count("its replicate"),
    "validation": _number("its validation score at the last epoch"),
    "configuration": {"type": "object", "description": "value of each hyperparameter and factor"},
    "own": _object("test score of this configuration over the confirm runs that trained it", _SCORE),
    "procedure": _object("test score of its arm over replicates, each with a search of its own", _SCORE),
    "scores": _rows(
        "both for every metric; empty if there are several arms",
        {
            "metric": _text("metric"),
            "of": {"enum": ["configuration", "procedure"], "description": "the latter if replicates search again"},
            **_SCORE,
        },
    ),
    "checkpoint": _maybe_text("its file in the run directory"),
}

_SIDES = {
    f"{side}{key}": kind
    for side in ("added", "removed")
    for key, kind in {
        "": _text("arm; empty if none was planned"),
        "_difference": _number("to the baseline where added, to the reference where removed"),
        "_low": _INTERVAL["low"],
        "_high": _INTERVAL["high"],
        "_n": _count("pairs"),
    }.items()
}

_FACTOR = {"factor": _text("factor"), "level": _text("level"), "home": _text("level that it is compared with")}
_BLOCKS = {"blocks": _count("combinations of the other factors averaged over"), "n": _count("replicates")}

_DESCRIPTION = {
    "differences": _rows(
        "every metric's difference of every arm to reference and baseline",
        {
            **_PAIR,
            "metric": _text("metric"),
            "n": _count("pairs"),
            **_ESTIMATE,
            "declared": _flag("in the plan's list"),
        },
    ),
    "components": _rows(
        "each component added alone to the baseline, and taken alone from the reference",
        {
            "component": _text("factor in which the two differ"),
            "level": _text("the reference's"),
            "instead": _text("the baseline's"),
            **_SIDES,
        },
    ),
    "ablation_path": _rows(
        "from baseline to reference through trained arms, the largest gain first",
        {
            "step": _count("from 0, the baseline"),
            "component": _text("added in this step"),
            "arm": _text("arm"),
            "mean": _number("mean of the primary metric"),
            **_ESTIMATE,
            "n": _count("pairs"),
        },
    ),
    "marginals": _rows(
        "means of the primary metric at a factor's levels, balanced over the others",
        {
            **_FACTOR,
            **_BLOCKS,
            "mean": _number("mean"),
            "mean_low": _INTERVAL["low"],
            "mean_high": _INTERVAL["high"],
            **_ESTIMATE,
        },
    ),
    "marginals_left_out": {
        "type": "object",
        "description": "by factor, arms outside the complete sub-grid that its marginals average",
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
    },
    "interactions": _rows(
        "two-way interactions of the primary metric",
        {
            **_FACTOR,
            "other": _text("second factor"),
            "other_level": _text("its level"),
            "other_home": _text("level that it is compared with"),
            **_BLOCKS,
            "interaction": _number("(level − home) at other_level minus (level − home) at other_home"),
            **_INTERVAL,
        },
    ),
    "recall": _rows(
        "recall of each class",
        {
            "arm": _text("arm"),
            "label": _count("class, from 0"),
            "class_name": _text("its name"),
            "n": _count("replicates"),
            "mean": _number("mean recall, 0..1"),
            **_INTERVAL,
            "difference": _number("paired difference to the reference"),
            "difference_low": _INTERVAL["low"],
            "difference_high": _INTERVAL["high"],
        },
    ),
    "reliability": _rows(
        "reliability tables",
        {
            "arm": _text("arm"),
            "bin": _count("from 0, in rising confidence"),
            "count": _count("predictions"),
            "confidence": _number("mean confidence"),
            "accuracy": _number("share correct"),
        },
    ),
    "variance_sources": _rows(
        "where the variance of a confirm run's score comes from; no rows if replicates have one confirm run each",
        {
            "of": {"enum": ["score", "difference"]},
            "source": {"enum": ["replicate", "seed", "test images"]},
            "variance": _number("component, in the square of the metric's unit"),
            "sd": _number("its root"),
            "share": _number("of the sum over sources, 0..1"),
            "df": _number("degrees of freedom; null for images"),
            "is_clipped": _flag("a negative estimate, for which 0 stands"),
        },
    ),
}

SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "findings",
    **_object(
        "What a study found. Claims are in comparisons alone; everything under description claims nothing.",
        {
            "schema": {"const": "findings"},
            "schema_version": {"const": VERSION},
            "study": _object(
                "where this comes from",
                {
                    "name": _maybe_text("name"),
                    "title": _text("heading of the page: as asked for, else the name"),
                    "created_utc": _maybe_text("when it was planned"),
                    "git_commit": _maybe_text("code that planned it"),
                    "design": _maybe_text("design"),
                    "seed": {"type": ["integer", "null"], "description": "study seed"},
                    "budget": {"type": "object", "description": "effort that every arm gets alike"},
                    "data": _object("data", {"uri": _maybe_text("uri"), "fingerprint": _maybe_text("content")}),
                    "alpha": _number("family-wise level"),
                    "confidence": _number("of all intervals"),
                    "power": _number("for detectable differences"),
                    "table": _object("if it is no run: the table of results that was read", _TABLE, nullable=True),
                    "smallest_effect": _number("smallest difference that matters; null if none was declared"),
                },
            ),
            "metric": _object(
                "metrics",
                {
                    "primary": _text("the only one that is tested"),
                    "all": {"type": "array", "items": {"type": "string"}},
                    "higher_is_better": _flag("direction"),
                },
            ),
            "answer": {
                "type": "array",
                "items": _text("a sentence"),
                "description": "what the page says first: what was found, and what could not have been",
            },
            "best": _object("the best configuration; null before a confirm trial has completed", _BEST, nullable=True),
            "accounting": _counts("planned trials by status"),
            "arms": _rows("arms in the plan's order", _ARM),
            "comparisons": _rows("declared comparisons of the primary metric, in the plan's order", _COMPARISON),
            "variances": _object(
                "of the comparisons, from which each borrows; null if replicates are no pairs",
                _VARIANCES,
                nullable=True,
            ),
            "description": _object("everything else, with intervals and without tests", _DESCRIPTION),
            "unequal_survival": _object(
                "do arms' shares of search trials that reached the full budget differ by more than chance?",
                {
                    "chi2": _number("Pearson's statistic over arms"),
                    "p": _number("Monte Carlo exact p given both margins; description"),
                    "is_unequal": _flag("p is below 0.05"),
                },
                nullable=True,
            ),
            "not_completed": _rows(
                "trials that neither completed nor were stopped by the search",
                {
                    "trial_id": _text("trial"),
                    "arm": _text("its arm"),
                    "phase": {"enum": ["search", "confirm"]},
                    "status": {"enum": ["diverged", "failed", "interrupted", "pending"]},
                    "epochs_trained": _count("epochs"),
                    "epochs_planned": _count("epochs"),
                    "attempts": _count("starts"),
                    "reason": _text("why; empty if unknown"),
                },
            ),
            "code": _rows(
                "versions of the code that ran, in order; empty if none was recorded",
                {
                    "code": _text("digest; the column of trials.parquet"),
                    "first_session": _count("session that brought it"),
                    "trials": _count("trials that ran last with it"),
                    "arms": _text("their arms, by comma"),
                    "changed": _text("files and versions that differ from the row before, by comma"),
                },
            ),
            "reruns": _object(
                "trials that were run again after the study, by how they agreed",
                {kind: _count("trials") for kind in ("exact", "rounding", "different")},
            ),
            "growths": {
                "type": "array",
                "items": {"type": "object"},
                "description": "size before, arms that came",
            },
            "warnings": _rows("what weakens the claims", {"code": _text("stable name"), "text": _text("sentence")}),
            "lacking": _rows(
                "sections of the page that could not be made; with findings among them, nothing else is here",
                {"section": _text("its name"), "reason": _text("the error's last line")},
            ),
        },
    ),
}
_ALL = SCHEMA.pop("required")
_IS_LOST = {"contains": {"properties": {"section": {"const": "findings"}}}}
SCHEMA |= {
    "required": ["schema", "schema_version", "lacking"],
    "if": {"properties": {"lacking": _IS_LOST}},
    "else": {"required": _ALL},
}
