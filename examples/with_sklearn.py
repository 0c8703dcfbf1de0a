"""scikit-learn: which loss suits a linear classifier of handwritten digits, and does scaling help? No torch.

$ ablation run --space examples/with_sklearn.py
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from ablation import Budget, Choice, Float, Space
from ablation.reporting import ReportingContext
from ablation.trial import reporting


class Config(BaseModel, extra="forbid"):
    loss: Literal["hinge", "log_loss", "modified_huber"] = "hinge"
    scaled: bool = True
    alpha: float = 1e-4
    eta0: float = 0.01


def train(config: Config, context: ReportingContext) -> None:
    images, labels = load_digits(return_X_y=True)
    rest, test, rest_labels, test_labels = train_test_split(
        images, labels, test_size=0.25, random_state=0, stratify=labels
    )
    # All trials of a replicate are validated on the same images.
    training, validation, training_labels, validation_labels = train_test_split(
        rest, rest_labels, test_size=0.2, random_state=context.replicate_seed % 2**32, stratify=rest_labels
    )
    if config.scaled:
        scaler = StandardScaler().fit(training)
        training, validation, test = map(scaler.transform, (training, validation, test))
    random = np.random.RandomState(context.seed % 2**32)
    model = SGDClassifier(
        loss=config.loss, alpha=config.alpha, eta0=config.eta0, learning_rate="constant", random_state=random
    )
    for epoch in range(1, context.epochs + 1):
        order = random.permutation(len(training))
        model.partial_fit(training[order], training_labels[order], classes=np.arange(10))
        metrics = {"val_accuracy": model.score(validation, validation_labels)}
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_accuracy"] = model.score(test, test_labels)
        context.report(metrics, images=len(training))


run_trial = reporting(train)

SPACE = Space(
    name="digits-sklearn",
    trial="with_sklearn:run_trial",
    factors={"loss": Choice(values=("hinge", "log_loss", "modified_huber")), "scaled": Choice(values=(True, False))},
    reference={"loss": "hinge", "scaled": True},
    baseline={"loss": "hinge", "scaled": False},
    nuisance={
        "alpha": Float(low=1e-6, high=0.1, default=1e-4, log=True),
        "eta0": Float(low=1e-4, high=0.1, default=0.01, log=True),
    },
    metrics=("accuracy",),
    budgets={"quick": Budget(replicates=4, trials=6, epochs=9, grace_epochs=1, reduction_factor=3)},
)
