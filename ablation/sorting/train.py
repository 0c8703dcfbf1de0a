"""Train a transformer to sort: ``run_trial`` yields one record an epoch. Knows nothing of Ray.

Nothing random is drawn from a global generator, and an epoch's sequences are a function of (seed, epoch), so a
checkpoint at an epoch's end needs no generator state to repeat the rest bit for bit.

Shapes: N sequences of a split, B of a batch, L positions, V symbols.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from ablation import checkpoint
from ablation.arrays import Int
from ablation.sorting import sequences
from ablation.sorting.config import SortingConfig
from ablation.sorting.network import Network, build_network
from ablation.sorting.optimizer import AdamW, rate_share
from ablation.trial import EpochRecord, TrialContext

EVALUATION_BATCH = 1024


def run_trial(config: SortingConfig, context: TrialContext) -> Iterator[EpochRecord]:
    """Train for ``context.epochs`` epochs, yielding a record after each; see ``ablation.trial`` for the contract.

    Metrics: ``train_loss``, the mean over the epoch's batches; ``val_*`` and, in a confirm trial's last record,
    ``test_*``, as ``scores`` has them.
    """
    torch.set_num_threads(context.cpu_threads)
    training = Training(config, context)
    yield from training.resume()
    cadence = checkpoint.Cadence(context, config.train.checkpoint_every_s)
    while training.epoch < context.epochs:
        record = training.run_epoch()
        if cadence.is_due(record):
            training.save()
        yield record


class Training:
    """One trial's network, optimiser and records, at the end of some epoch."""

    def __init__(self, config: SortingConfig, context: TrialContext) -> None:
        self.config, self.context = config, context
        self.device = torch.device(_device(context.device))
        self.identity = checkpoint.identity(
            config.model_dump(), context.seed, context.replicate_seed, context.epochs, context.phase
        )
        self.records: list[EpochRecord] = []
        self.network = build_network(config.model, config.data.length, config.data.symbols, context.seed)
        self.network.to(self.device)
        self.optimizer = AdamW(self.network, weight_decay=config.optim.weight_decay, clip_norm=config.optim.clip_norm)
        self.validation = sequences.validation(config.data, context.replicate_seed)

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return len(self.records)

    def resume(self) -> Iterator[EpochRecord]:
        """Go on from the newest checkpoint of this very trial, if there is one, yielding its records again."""
        found = checkpoint.newest(self.context.checkpoint_dir, self.identity)
        if found is None:
            return
        self.network.load_state_dict(checkpoint.without_prefix("network", found.tensors))
        self.optimizer.load_state_dict(checkpoint.without_prefix("optimizer", found.tensors))
        self.records = list(found.records)
        print(f"resumed {self.context.trial_id} after epoch {found.epoch}")
        yield from found.records

    def run_epoch(self) -> EpochRecord:
        """Train one epoch, score validation, and after the last epoch of a confirm trial score test, once."""
        began = time.monotonic()
        epoch = self.epoch + 1
        metrics = {"train_loss": self._train_epoch(epoch)}
        metrics |= {f"val_{name}": value for name, value in scores(self.network, *self.validation).items()}
        epoch_s = time.monotonic() - began
        if self.context.phase == "confirm" and epoch == self.context.epochs:
            tested = scores(self.network, *sequences.test(self.config.data))
            metrics |= {f"test_{name}": value for name, value in tested.items()}
        record = EpochRecord(epoch, epoch_s, metrics, images=self.config.data.train_sequences)
        self.records.append(record)
        return record

    def _train_epoch(self, epoch: int) -> float:
        optim, batch_size = self.config.optim, self.config.train.batch_size
        shuffled_NL, sorted_NL = sequences.train_epoch(self.config.data, self.context.seed, epoch)
        batches = list(zip(torch.split(shuffled_NL, batch_size), torch.split(sorted_NL, batch_size), strict=True))
        first_step, steps = (epoch - 1) * len(batches), self.context.epochs * len(batches)
        total = torch.zeros((), device=self.device)
        for step, (shuffled_BL, sorted_BL) in enumerate(batches, first_step):
            logits_BLV = self.network(shuffled_BL.to(self.device))
            loss = functional.cross_entropy(logits_BLV.flatten(0, 1), sorted_BL.flatten().to(self.device))
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step(optim.lr * rate_share(step, steps, optim.warmup_steps))
            total += loss.detach()
        return total.item() / len(batches)

    def save(self) -> None:
        """Write a checkpoint of everything the rest of the trial depends on."""
        tensors = checkpoint.with_prefix("network", self.network.state_dict())
        tensors |= checkpoint.with_prefix("optimizer", self.optimizer.state_dict())
        about = {"trial_id": self.context.trial_id, "config": self.config.model_dump()}
        checkpoint.save(
            self.context.checkpoint_dir,
            checkpoint.Checkpoint(self.epoch, self.identity, tuple(self.records), tensors, about),
        )


@torch.no_grad()
def scores(network: Network, shuffled_NL: Int[Tensor, "N L"], sorted_NL: Int[Tensor, "N L"]) -> dict[str, float]:
    """Return loss (nats a symbol), token_accuracy and exact_match, the share of sequences without a fault."""
    device = network.head.weight.device
    logits = [network(shuffled_BL.to(device)).cpu() for shuffled_BL in torch.split(shuffled_NL, EVALUATION_BATCH)]
    logits_NLV = torch.cat(logits)
    right_NL = logits_NLV.argmax(2) == sorted_NL
    return {
        "loss": functional.cross_entropy(logits_NLV.flatten(0, 1), sorted_NL.flatten()).item(),
        "token_accuracy": right_NL.double().mean().item(),
        "exact_match": right_NL.all(1).double().mean().item(),
    }


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
