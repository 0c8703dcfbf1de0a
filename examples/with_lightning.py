"""Lightning: does a small network for handwritten digits need dropout and label smoothing? A callback reports.

$ ablation run --space examples/with_lightning.py
"""

import logging
import warnings
from typing import Any

import lightning
import torch
from pydantic import BaseModel
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from ablation import Budget, Choice, Float, Space, checkpoint
from ablation.reporting import ReportingContext
from ablation.trial import reporting

# What Lightning says of its devices and of torch's newest version, it would say in every trial.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)


class Config(BaseModel, extra="forbid"):
    dropout: bool = True
    smoothing: float = 0.1
    lr: float = 0.003


class Classifier(lightning.LightningModule):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        drop = nn.Dropout(0.3) if config.dropout else nn.Identity()
        self.layers = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), drop, nn.Linear(128, 10))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        images, labels = batch
        loss = functional.cross_entropy(self.layers(images), labels, label_smoothing=self.config.smoothing)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.log("val_accuracy", self.accuracy(*batch))

    def accuracy(self, images: Tensor, labels: Tensor) -> Tensor:
        right: Tensor = self.layers(images).argmax(1) == labels
        return right.float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.config.lr)


class Reporting(lightning.Callback):
    """Report each epoch; a trial that is stopped leaves ``trainer.fit`` from in here."""

    def __init__(self, context: ReportingContext, test: TensorDataset) -> None:
        self.context, self.test, self.epoch = context, test, 0

    def on_fit_start(self, trainer: lightning.Trainer, model: Any) -> None:
        self.epoch = checkpoint.load_model(self.context, model, trainer.optimizers[0])

    def on_train_epoch_end(self, trainer: lightning.Trainer, model: Any) -> None:
        self.epoch += 1
        metrics = {name: value for name, value in trainer.callback_metrics.items() if not name.endswith("_step")}
        if self.context.phase == "confirm" and self.epoch == self.context.epochs:
            model.eval()
            with torch.no_grad():
                metrics["test_accuracy"] = model.accuracy(*(part.to(model.device) for part in self.test.tensors))
            model.train()
        checkpoint.save_model(self.context, model, trainer.optimizers[0], self.epoch)
        self.context.report(metrics, epoch=self.epoch)


def splits(seed: int) -> list[TensorDataset]:
    """Return train, validation and test: the replicate's seed draws validation, and test is always the same."""
    images, labels = load_digits(return_X_y=True)
    images, labels = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    places = torch.arange(len(labels))
    rest, test = train_test_split(places, test_size=0.25, random_state=0, stratify=labels)
    train, validation = train_test_split(rest, test_size=0.2, random_state=seed % 2**32, stratify=labels[rest])
    return [TensorDataset(images[part], labels[part]) for part in (train, validation, test)]


def train(config: Config, context: ReportingContext) -> None:
    torch.set_num_threads(context.cpu_threads)
    training, validation, test = splits(context.replicate_seed)
    trainer = lightning.Trainer(
        max_epochs=context.epochs,
        accelerator="gpu" if context.device.startswith("cuda") else "cpu",
        devices=1,
        callbacks=[Reporting(context, test)],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loaders = DataLoader(training, batch_size=64, shuffle=True), DataLoader(validation, batch_size=len(validation))
    trainer.fit(Classifier(config), *loaders)


run_trial = reporting(train)

SPACE = Space(
    name="digits-lightning",
    trial="with_lightning:run_trial",
    factors={"dropout": Choice(values=(True, False)), "smoothing": Choice(values=(0.1, 0.0))},
    reference={"dropout": True, "smoothing": 0.1},
    baseline={"dropout": False, "smoothing": 0.0},
    nuisance={"lr": Float(low=3e-4, high=0.03, default=0.003, log=True)},
    metrics=("accuracy",),
    budgets={"quick": Budget(replicates=4, trials=6, epochs=9, grace_epochs=1, reduction_factor=3)},
)
