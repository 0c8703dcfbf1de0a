"""Hugging Face's Trainer: does a tiny BERT need positions to tell sorted sequences? A callback reports.

$ ablation run --space examples/with_transformers.py
"""

from typing import Any

import torch
from pydantic import BaseModel
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from ablation import Budget, Choice, Float, Space, checkpoint
from ablation.reporting import ReportingContext
from ablation.seeds import derive_seed
from ablation.trial import reporting

LENGTH, SYMBOLS = 6, 16


class Config(BaseModel, extra="forbid"):
    positions: bool = True
    layers: int = 2
    lr: float = 0.003


class Sequences(Dataset):
    """Sequences of which half are sorted (label 1), and half are shuffled (label 0); no two symbols are equal."""

    def __init__(self, size: int, seed: int) -> None:
        source = torch.Generator().manual_seed(seed)
        shuffled = torch.rand(size, SYMBOLS, generator=source).argsort(1)[:, :LENGTH]
        self.labels = torch.arange(size) % 2
        self.symbols = torch.where(self.labels[:, None] == 1, shuffled.sort(1).values, shuffled)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.symbols[index], "labels": self.labels[index]}


class Reporting(TrainerCallback):
    """Report each evaluation; a trial that is stopped leaves ``trainer.train`` from in here."""

    trainer: Trainer

    def __init__(self, context: ReportingContext) -> None:
        self.context, self.epoch, self.is_testing = context, 0, False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kept: Any) -> None:
        self.epoch = checkpoint.load_model(
            self.context, kept["model"], kept["optimizer"], scheduler=kept["lr_scheduler"]
        )

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kept: Any) -> None:
        if self.is_testing:
            return
        self.epoch += 1
        reported = {"val_accuracy": metrics["eval_accuracy"], "val_loss": metrics["eval_loss"]}
        if self.context.phase == "confirm" and self.epoch == self.context.epochs:
            self.is_testing = True
            reported["test_accuracy"] = self.trainer.evaluate(Sequences(512, derive_seed("test")))["eval_accuracy"]
        checkpoint.save_model(
            self.context, kept["model"], kept["optimizer"], self.epoch, scheduler=kept["lr_scheduler"]
        )
        self.context.report(reported, epoch=self.epoch)


def accuracy(predicted: Any) -> dict[str, float]:
    return {"accuracy": (predicted.predictions.argmax(1) == predicted.label_ids).mean()}


def train(config: Config, context: ReportingContext) -> None:
    torch.set_num_threads(context.cpu_threads)
    about = BertConfig(
        vocab_size=SYMBOLS, hidden_size=32, intermediate_size=64, num_attention_heads=2,
        num_hidden_layers=config.layers, max_position_embeddings=LENGTH,
    )  # fmt: skip
    model = BertForSequenceClassification(about)
    if not config.positions:
        positions = model.bert.embeddings.position_embeddings
        positions.requires_grad_(False)
        positions.weight.zero_()
    arguments = TrainingArguments(
        output_dir=str(context.checkpoint_dir / "trainer"),
        num_train_epochs=context.epochs,
        learning_rate=config.lr,
        per_device_train_batch_size=64,
        per_device_eval_batch_size=512,
        seed=context.seed % 2**32,
        # The order of examples comes from torch's global generator, which a checkpoint holds.
        accelerator_config={"use_seedable_sampler": False},
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=not context.device.startswith("cuda"),
    )
    callback = Reporting(context)
    callback.trainer = Trainer(
        model,
        arguments,
        train_dataset=Sequences(1024, context.seed),
        eval_dataset=Sequences(512, context.replicate_seed),
        compute_metrics=accuracy,
        callbacks=[callback],
    )
    callback.trainer.remove_callback(PrinterCallback)  # it would print each evaluation of every trial
    callback.trainer.train()


run_trial = reporting(train)

SPACE = Space(
    name="sorted-transformers",
    trial="with_transformers:run_trial",
    factors={"positions": Choice(values=(True, False)), "layers": Choice(values=(2, 1))},
    reference={"positions": True, "layers": 2},
    baseline={"positions": False, "layers": 1},
    nuisance={"lr": Float(low=3e-4, high=0.03, default=0.003, log=True)},
    metrics=("accuracy",),
    budgets={"quick": Budget(replicates=3, trials=4, epochs=9, grace_epochs=1, reduction_factor=3)},
)
