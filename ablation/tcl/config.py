"""The configuration of a trial of the model under study: frozen, nested, and every fault reported at once."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Group(BaseModel):
    """Refuse unknown keys, later changes and silent conversions such as ``True`` for 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Loss(Group):
    """Cross-entropy fortified by a metric term on the embedding (docs/method.md)."""

    negatives: Literal["none", "center", "nearest", "prediction", "semi-synthesized", "fully-synthesized"] = (
        "fully-synthesized"
    )
    margin: float = Field(default=5.0, ge=0, description="m, in units of squared distance")
    weight: float = Field(default=0.01, ge=0, description="λ")
    hinge: Literal["embedding", "element"] = "embedding"
    synthesis_ratio: float = Field(default=0.5, ge=0, le=1, description="ρ, for semi-synthesized negatives")
    normalize_embedding: bool = False
    center_init: Literal["normal", "class-means"] = "normal"
    center_step: Literal["batch-mean", "class-mean"] = "batch-mean"
    class_weighted: bool = Field(default=False, description="weigh cross-entropy by inverse class frequency")


class Model(Group):
    """Backbone and attention."""

    backbone: Literal["small", "resnet18", "resnet50"] = "small"
    width: int = Field(default=16, ge=4, le=256, description="channels of the small backbone's first stage")
    attention: Literal["none", "pixel", "element", "selective"] = "selective"
    weights: str = Field(default="none", description="none, imagenet or a checkpoint's path")


class Data(Group):
    """What a batch is made of."""

    size_px: int = Field(default=48, ge=16, le=512)
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    crop_px: int = Field(default=4, ge=0, le=64, description="largest shift of the random crop, per side")
    flip: bool = True
    rotate_degrees: float = Field(default=0.0, ge=0, le=180)
    scale_share: float = Field(default=0.0, ge=0, lt=1)
    erase_probability: float = Field(default=0.0, ge=0, le=1)
    sampling: Literal["shuffled", "class-balanced"] = "shuffled"


class Optim(Group):
    """SGD for the network, plain SGD for the centers."""

    lr: float = Field(default=0.1, gt=0, le=10)
    center_lr: float = Field(default=0.5, ge=0, le=10, description="α")
    weight_decay: float = Field(default=5e-4, ge=0, le=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["one-cycle", "cosine", "step", "constant"] = "one-cycle"


class Train(Group):
    """How training runs."""

    batch_size: int = Field(default=64, ge=2, le=8192)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_every_s: float = Field(default=30.0, gt=0, description="longest training between two checkpoints")


class Artifacts(Group):
    """What confirm trials leave for the report beside tables."""

    faces: int = Field(default=0, ge=0, description="test photographs of each class, the first in the data's order")


class TclConfig(Group):
    """Everything that defines a trial but its seed, its length and its data."""

    loss: Loss = Loss()
    model: Model = Model()
    data: Data = Data()
    optim: Optim = Optim()
    train: Train = Train()
    artifacts: Artifacts = Artifacts()

    @model_validator(mode="after")
    def _attention_has_a_use(self) -> Self:
        if self.loss.negatives == "none" and self.model.attention in ("element", "selective"):
            raise ValueError(
                f"model.attention is {self.model.attention!r}, but with loss.negatives 'none' there is no distance "
                "for element attention to weigh; use 'none' or 'pixel'"
            )
        return self
