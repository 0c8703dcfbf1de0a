"""Train the model under study: ``run_trial`` yields one record an epoch. Knows nothing of Ray: a ``for`` loop runs it.

Nothing random is drawn from a global generator, and order and augmentation of an epoch are functions of (seed,
epoch), so a checkpoint at an epoch's end needs no generator state to repeat the rest bit for bit.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from ablation import checkpoint
from ablation.arrays import Float, Int
from ablation.seeds import derive_seed
from ablation.tcl.artifacts import write_artifacts, write_faces
from ablation.tcl.attention import effective_dimensions
from ablation.tcl.config import TclConfig
from ablation.tcl.data.batches import Augmentation, Batches, split_validation
from ablation.tcl.data.dataset import Dataset, open_dataset
from ablation.tcl.evaluate import outputs, scores
from ablation.tcl.initial import start_network
from ablation.tcl.loss import TripletCenterLoss
from ablation.tcl.network import build_network
from ablation.tcl.optimizer import MomentumSGD
from ablation.tcl.schedule import SCHEDULES
from ablation.trial import EpochRecord, TrialContext


def run_trial(config: TclConfig, context: TrialContext) -> Iterator[EpochRecord]:
    """Train for ``context.epochs`` epochs, yielding a record after each; see ``ablation.trial`` for the contract.

    Metrics: ``val_*`` over the validation share of train; ``train_loss`` (the objective), ``ce_loss``,
    ``metric_loss`` (before λ), ``active_hinge_fraction``, ``d_pos``, ``d_neg`` (half squared distances) and
    ``effective_dimensions``, means over the epoch's batches, NaN if the configuration has no such thing; ``lr`` of
    the last step; ``test_*`` in a confirm trial's last record.
    """
    torch.set_num_threads(context.cpu_threads)
    assert context.data is not None, "the space names a dataset, so every study has data"
    dataset = open_dataset(
        context.data,
        config.data.size_px,
        fingerprint=context.data_fingerprint,
        decoding=context.data_decoding,
    )
    training = Training(config, context, dataset)
    try:
        yield from training.resume()
        cadence = checkpoint.Cadence(context, config.train.checkpoint_every_s)
        while training.epoch < context.epochs:
            record = training.run_epoch()
            if cadence.is_due(record):
                training.save()
            yield record
    finally:
        on_gpu = training.device.type == "cuda"
        del training
        if on_gpu:
            # The process goes on to trials of other sizes, beside processes that need the memory.
            torch.cuda.empty_cache()


class Training:
    """One trial's network, loss, optimisers and data, at the end of some epoch."""

    def __init__(self, config: TclConfig, context: TrialContext, dataset: Dataset) -> None:
        self.config, self.context, self.dataset = config, context, dataset
        self.device = torch.device(_device(context.device))
        if self.device.type == "cuda":
            _use_repeatable_kernels()
        # What is left for the report changes no training.
        trained = config.model_dump(exclude={"artifacts"})
        self.identity = checkpoint.identity(trained, context.seed, context.epochs, dataset.fingerprint)
        self.records: list[EpochRecord] = []
        num_classes = len(dataset.class_names)
        generator = torch.Generator().manual_seed(derive_seed(context.seed, "initial weights"))
        self.network = build_network(config.model, num_classes, generator).to(self.device)
        if context.init_from is not None:
            start_network(self.network, config.model, context.init_from, tuple(dataset.class_names))
        self.network.to(memory_format=torch.channels_last)
        self.metric_loss = _metric_loss(config, num_classes, self.network.dim, generator, self.device)
        self.optimizer = MomentumSGD(
            self.network, momentum=config.optim.momentum, weight_decay=config.optim.weight_decay
        )
        # The centers have plain SGD at their own rate α, and no weight decay.
        self.center_optimizer = None if self.metric_loss is None else MomentumSGD(self.metric_loss)
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=_use_bfloat16(config, self.device))
        self._load_data()

    def _load_data(self) -> None:
        data = self.config.data
        train_T, validation_V = split_validation(
            self.dataset.train.labels_N, data.validation_share, self.context.replicate_seed
        )
        train, labels_N = self.dataset.train, self.dataset.train.labels_N
        self.batches = Batches(
            train.images_NHWC[train_T],
            labels_N[train_T],
            batch_size=self.config.train.batch_size,
            seed=derive_seed(self.context.seed, "batches"),
            augmentation=Augmentation.of(data),
            sampling=data.sampling,
            device=self.device,
        )
        self.validation_images = torch.from_numpy(train.images_NHWC[validation_V]).to(self.device)
        self.validation_labels = torch.from_numpy(labels_N[validation_V])
        self.class_weights = _class_weights(self.batches.labels_N, self.config, len(self.dataset.class_names))

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return len(self.records)

    def resume(self) -> Iterator[EpochRecord]:
        """Go on from the newest checkpoint of this very trial, if there is one, yielding its records again."""
        found = checkpoint.newest(self.context.checkpoint_dir, self.identity)
        if found is None:
            if self.metric_loss is not None and self.config.loss.center_init == "class-means":
                self._start_centers()
            return
        self._restore(found)
        print(f"resumed {self.context.trial_id} after epoch {found.epoch}")
        yield from found.records

    def run_epoch(self) -> EpochRecord:
        """Train one epoch, score validation, and after the last epoch of a confirm trial score test, once."""
        began = time.monotonic()
        epoch = self.epoch + 1
        metrics = self._train_epoch(epoch)
        validation = outputs(self.network, self.validation_images, self.autocast)
        found = scores(validation.logits_NK, self.validation_labels)
        metrics |= {f"val_{name}": value for name, value in found.items()}
        epoch_s = time.monotonic() - began
        if self.context.phase == "confirm" and epoch == self.context.epochs:
            metrics |= self._score_test()
        record = EpochRecord(epoch=epoch, epoch_s=epoch_s, metrics=metrics, images=len(self.batches.labels_N))
        self.records.append(record)
        return record

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        sums: defaultdict[str, Tensor | float] = defaultdict(float)
        self.network.train()
        steps = len(self.batches)
        lr = 0.0
        for step, (images_BCHW, labels_B) in enumerate(self.batches.epoch(epoch)):
            progress = (epoch - 1 + step / steps) / self.context.epochs
            lr = self.config.optim.lr * SCHEDULES[self.config.optim.schedule](progress)
            for name, value in self._step(images_BCHW, labels_B, lr).items():
                sums[name] = sums[name] + value
        return {name: float(total) / steps for name, total in sums.items()} | {"lr": lr}

    def _step(
        self, images_BCHW: Float[Tensor, "B C H W"], labels_B: Int[Tensor, " B"], lr: float
    ) -> dict[str, Float[Tensor, ""]]:
        with self.autocast:
            out = self.network(images_BCHW)
        logits_BK = out.logits_BK.float()
        ce = functional.cross_entropy(logits_BK, labels_B, weight=self.class_weights)
        nan = torch.full((), torch.nan, device=self.device)
        logged = {"metric_loss": nan, "active_hinge_fraction": nan, "d_pos": nan, "d_neg": nan}
        objective, total = ce, ce
        if self.metric_loss is not None:
            terms = self.metric_loss.two_sided(out.features_BD, labels_B, logits_BK, out.attention_BD)
            metric = terms.network_terms_B.mean()
            objective = ce + self.config.loss.weight * metric
            # The centers' side is added for its gradient only: λ must not scale the centers' step.
            total = objective + terms.center_terms_B.mean()
            logged = {"metric_loss": metric.detach(), **terms.diagnostics}
        if out.attention_BD is not None:
            logged["effective_dimensions"] = effective_dimensions(out.attention_BD.detach())
        else:
            logged["effective_dimensions"] = nan
        self.optimizer.zero_grad()
        if self.center_optimizer is not None:
            self.center_optimizer.zero_grad()
        torch.autograd.backward(total)
        self.optimizer.step(lr)
        if self.center_optimizer is not None:
            self.center_optimizer.step(self.config.optim.center_lr)
        return {"train_loss": objective.detach(), "ce_loss": ce.detach(), **logged}

    def _score_test(self) -> dict[str, float]:
        # Copied out of the memory map, which is read-only; torch wants to own what it shares.
        images_NHWC = torch.from_numpy(self.dataset.test.images_NHWC.copy()).to(self.device)
        labels_N = torch.from_numpy(self.dataset.test.labels_N.copy())
        test = outputs(self.network, images_NHWC, self.autocast)
        if self.context.artifact_dir is not None:
            centers = None if self.metric_loss is None else self.metric_loss.centers_KD
            write_artifacts(self.context.artifact_dir, test, labels_N, self.dataset.test.names, centers)
            write_faces(self.context.artifact_dir, test, self.dataset.test, self.config.artifacts.faces)
        found = scores(test.logits_NK, labels_N)
        return {f"test_{name}": value for name, value in found.items()}

    def _start_centers(self) -> None:
        assert self.metric_loss is not None
        features_ND = outputs(self.network, self.batches.images_NHWC, self.autocast).features_ND
        self.metric_loss.start_from_class_means(features_ND.to(self.device), self.batches.labels_N)

    def save(self) -> None:
        """Write a checkpoint of everything the rest of the trial depends on."""
        tensors = checkpoint.with_prefix("network", self.network.state_dict())
        if self.metric_loss is not None:
            tensors |= checkpoint.with_prefix("metric_loss", self.metric_loss.state_dict())
        tensors |= checkpoint.with_prefix("momentum", self.optimizer.state_dict())
        checkpoint.save(
            self.context.checkpoint_dir,
            checkpoint.Checkpoint(
                epoch=self.epoch,
                identity=self.identity,
                records=tuple(self.records),
                tensors=tensors,
                about={
                    "trial_id": self.context.trial_id,
                    "config": self.config.model_dump(),
                    "class_names": self.dataset.class_names,
                },
            ),
        )

    def _restore(self, found: checkpoint.Checkpoint) -> None:
        self.network.load_state_dict(checkpoint.without_prefix("network", found.tensors))
        if self.metric_loss is not None:
            self.metric_loss.load_state_dict(checkpoint.without_prefix("metric_loss", found.tensors))
        self.optimizer.load_state_dict(checkpoint.without_prefix("momentum", found.tensors))
        self.records = list(found.records)


def _metric_loss(
    config: TclConfig, num_classes: int, dim: int, generator: torch.Generator, device: torch.device
) -> TripletCenterLoss | None:
    if config.loss.negatives == "none":
        return None
    return TripletCenterLoss(
        num_classes,
        dim,
        negatives=config.loss.negatives,
        margin=config.loss.margin,
        hinge=config.loss.hinge,
        synthesis_ratio=config.loss.synthesis_ratio,
        normalize_embedding=config.loss.normalize_embedding,
        center_step=config.loss.center_step,
        generator=generator,
    ).to(device)


def _class_weights(labels_N: Int[Tensor, " N"], config: TclConfig, num_classes: int) -> Float[Tensor, " K"] | None:
    """Return inverse class frequencies, one on average over images, where asked for."""
    if not config.loss.class_weighted:
        return None
    counts_K = torch.bincount(labels_N, minlength=num_classes).clamp(min=1)
    return len(labels_N) / (num_classes * counts_K.float())


def _use_bfloat16(config: TclConfig, device: torch.device) -> bool:
    """Choose bfloat16 if the hardware gains: on GPUs since Ampere; on CPUs only when asked."""
    if config.train.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return config.train.precision == "bfloat16"


def _use_repeatable_kernels() -> None:
    """Let this process's GPU repeat sums in one order: two trials of a seed differed without."""
    # cuBLAS reads it when the process first multiplies matrices on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # As use_deterministic_algorithms(True), which would also import torch's compiler, for seconds.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
