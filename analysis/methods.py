"""The methods section of a paper about a study, as a paragraph to paste: filled from its plan."""

from __future__ import annotations

from analysis.numbers import count
from analysis.study import PlannedStudy


def methods_paragraph(study: PlannedStudy, rule: str) -> str:
    """Say how a study was done, for a paper; ``rule`` is the sentence about its test."""
    budget, metric = study.plan.budget, study.metric.replace("_", " ")
    replicates = count(budget.replicates, "independent replicate")
    whose, what = ("", "the model") if study.is_plain else ("each arm’s ", "each arm")
    searched = (
        f"In every replicate {whose}hyperparameters were searched with {count(budget.trials, 'trial')} of up to "
        f"{count(budget.epochs, 'epoch')}, and the configuration with the best validation {metric} was"
        if budget.trials
        else f"Hyperparameters were not searched; in every replicate {what} was"
    )
    runs = count(budget.seeds, "run")
    seeds = "" if budget.seeds == 1 else ", which were averaged"
    sentences = [
        f"We studied one model in {replicates}."
        if study.is_plain
        else f"We compared {count(len(study.arms), 'arm')} ({study.plan.design} design) in {replicates}; "
        "replicate r used the same seeds in every arm.",
        f"{searched} trained to the full {count(budget.epochs, 'epoch')} in {runs}{seeds}.",
        "Scores are those of the last epoch on test data, which chose nothing.",
    ]
    if study.comparisons:
        were = "was" if len(study.comparisons) == 1 else "were"
        sentences.append(
            f"{count(len(study.comparisons), 'comparison')} of test {metric} {were} declared beforehand and tested on "
            "paired differences, with Holm’s correction at a family-wise level of 5 %."
        )
        sentences.append(rule)
    sentences.append("Intervals are at 95 % confidence, those of mean shares on the scale of log odds.")
    return " ".join(sentences)
