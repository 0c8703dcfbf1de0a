"""Plain PyTorch: does a small network for handwritten digits need batch normalisation and shifted copies?

$ ablation run --space examples/with_pytorch.py --name digits
$ ablation export runs/digits --format onnx --out digits-model
"""

import json
from collections.abc import Sequence
from inspect import getsource
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from ablation import Budget, Choice, Float, Space, checkpoint
from ablation.exportable import Exportable
from ablation.reporting import ReportingContext
from ablation.reuse import Prediction
from ablation.trial import reporting

Array = npt.NDArray[np.generic]


class Config(BaseModel, extra="forbid"):
    batch_norm: bool = True
    shifts: bool = True
    lr: float = 0.01


def splits(seed: int) -> list[TensorDataset]:
    """Return train, validation and test: the replicate's seed draws validation, and test is always the same."""
    images, labels = load_digits(return_X_y=True)
    images, labels = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(labels)
    places = torch.arange(len(labels))
    rest, test = train_test_split(places, test_size=0.25, random_state=0, stratify=labels)
    train, validation = train_test_split(rest, test_size=0.2, random_state=seed % 2**32, stratify=labels[rest])
    return [TensorDataset(images[part], labels[part]) for part in (train, validation, test)]


def network(batch_norm: bool) -> nn.Module:
    norm: nn.Module = nn.BatchNorm2d(16) if batch_norm else nn.Identity()
    return nn.Sequential(nn.Conv2d(1, 16, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(16 * 6 * 6, 10))


@torch.no_grad()
def accuracy(model: nn.Module, data: TensorDataset, device: str) -> float:
    images, labels = (tensor.to(device) for tensor in data.tensors)
    model.eval()
    return float((model(images).argmax(1) == labels).double().mean())


def train(config: Config, context: ReportingContext) -> None:
    torch.set_num_threads(context.cpu_threads)
    device = context.device
    training, validation, test = splits(context.replicate_seed)
    model = network(config.batch_norm).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr)
    loader = DataLoader(training, batch_size=64, shuffle=True)
    first = checkpoint.load_model(context, model, optimizer) + 1
    for epoch in range(first, context.epochs + 1):
        model.train()
        images: Tensor
        for images, labels in loader:
            if config.shifts:
                images = torch.roll(images, tuple(torch.randint(-1, 2, (2,)).tolist()), (2, 3))
            loss = functional.cross_entropy(model(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        metrics = {"train_loss": loss, "val_accuracy": accuracy(model, validation, device)}
        if context.phase == "confirm" and epoch == context.epochs:
            metrics["test_accuracy"] = accuracy(model, test, device)
        checkpoint.save_model(context, model, optimizer, epoch)
        context.report(metrics, epoch=epoch, images=len(training))


run_trial = reporting(train)


class Classifier(nn.Module):
    """Members whose probabilities are averaged, for images (N, 8, 8) of 0 to 16."""

    def __init__(self, batch_norm: bool, members: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(network(batch_norm) for _ in range(members))

    def forward(self, images: Tensor) -> tuple[Tensor]:
        pixels = images.float().unsqueeze(1) / 16
        return (torch.stack([member(pixels).softmax(1) for member in self.members]).mean(0),)


def load(folder: str) -> Classifier:
    model = Classifier(**json.loads((Path(folder) / "config.json").read_text()))
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval()


# Whoever gets an exported model has nothing of this project, but these lines and the three above.
CLASSES = tuple("0123456789")
IMPORTS = """import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
"""


class Digits:
    """What load_best gives: takes images (8, 8) of 0 to 16, or .npy files of them."""

    def __init__(self, found: checkpoint.Checkpoint) -> None:
        self.batch_norm = Config(**found.about["config"]).batch_norm
        self.classifier = Classifier(self.batch_norm, 1).eval()
        self.classifier.members[0].load_state_dict(checkpoint.without_prefix("model", found.tensors))

    @torch.no_grad()
    def predict(self, images: Sequence[Path | Array]) -> list[Prediction]:
        paths = [image if isinstance(image, Path) else None for image in images]
        arrays = [np.load(image) if isinstance(image, Path) else image for image in images]
        (probabilities,) = self.classifier(torch.from_numpy(np.stack(arrays)))
        rows = [dict(zip(CLASSES, row, strict=True)) for row in probabilities.tolist()]
        return [Prediction(path, row) for path, row in zip(paths, rows, strict=True)]

    @classmethod
    def exportable(cls, predictors: "Sequence[Digits]") -> Exportable:
        module = Classifier(predictors[0].batch_norm, len(predictors)).eval()
        for member, predictor in zip(module.members, predictors, strict=True):
            member.load_state_dict(predictor.classifier.members[0].state_dict())
        return Exportable(
            module=module,
            source="\n\n".join([IMPORTS, getsource(network), getsource(Classifier), getsource(load)]),
            config={"batch_norm": predictors[0].batch_norm, "members": len(predictors)},
            class_names=CLASSES,
            random_inputs=lambda count, seed: np.random.default_rng(seed).random((count, 8, 8), np.float32) * 16,
            real_inputs=lambda data, count: splits(0)[2].tensors[0][:count, 0].numpy() * 16,
        )


SPACE = Space(
    name="digits-pytorch",
    trial="with_pytorch:run_trial",
    factors={"batch_norm": Choice(values=(True, False)), "shifts": Choice(values=(True, False))},
    reference={"batch_norm": True, "shifts": True},
    baseline={"batch_norm": False, "shifts": False},
    nuisance={"lr": Float(low=1e-3, high=0.1, default=0.01, log=True)},
    metrics=("accuracy",),
    predictor="with_pytorch:Digits",
    budgets={"quick": Budget(replicates=4, trials=6, epochs=9, grace_epochs=1, reduction_factor=3)},
)
