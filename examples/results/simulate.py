"""Writes published_models.csv beside this file: figures simulated from published means and standard deviations.

Papers print "87.4 ± 0.6" and keep the ten numbers behind it. To show what a report makes of such a table, they are
drawn again: normal, one random stream a model, moved and scaled so that each model has its printed mean and standard
deviation exactly. They are no measurements, and which repetition is which means nothing: models share no seeds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SEED = 20240611
REPETITIONS = 10
# RAF-DB test accuracy in percent. A to E are published; F and G are made up: F repeats the figures of A, as a model
# that differs from it in nothing would, and G those of B with twice the spread.
MODELS = {
    "model A": (87.4, 0.6),
    "model B": (86.7, 0.7),
    "model C": (88.9, 0.6),
    "model D": (82.9, 1.9),
    "model E": (79.7, 1.1),
    "model F": (87.4, 0.6),
    "model G": (86.7, 1.4),
}
ABOUT = (
    f"Test accuracy on RAF-DB of seven models, {REPETITIONS} repetitions each: figures simulated from means and "
    f"standard deviations, by examples/results/simulate.py with seed {SEED}.",
    "Those of models A to E are published; F and G are made up: F has A's figures, G has B's with twice the spread.",
)


def table() -> str:
    """Return the text of the file."""
    lines = [*(f"# {sentence}" for sentence in ABOUT), "model,repetition,test_accuracy"]
    for index, (model, (mean, sd)) in enumerate(MODELS.items()):
        drawn = np.random.default_rng([SEED, index]).normal(size=REPETITIONS)
        scores = mean + sd * (drawn - drawn.mean()) / drawn.std(ddof=1)
        lines += [f"{model},{repetition},{score:.3f}" for repetition, score in enumerate(scores, start=1)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("published_models.csv").write_text(table(), encoding="utf-8")
