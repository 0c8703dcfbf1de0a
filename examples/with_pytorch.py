"""Plain PyTorch: does a small network for handwritten digits need batch normalisation and shifted copies?

$ ablation run --space examples/with_pytorch.py
"""

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

SPACE = Space(
    name="digits-pytorch",
    trial="with_pytorch:run_trial",
    factors={"batch_norm": Choice(values=(True, False)), "shifts": Choice(values=(True, False))},
    reference={"batch_norm": True, "shifts": True},
    baseline={"batch_norm": False, "shifts": False},
    nuisance={"lr": Float(low=1e-3, high=0.1, default=0.01, log=True)},
    metrics=("accuracy",),
    budgets={"quick": Budget(replicates=4, trials=6, epochs=9, grace_epochs=1, reduction_factor=3)},
)
