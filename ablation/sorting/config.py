"""The configuration of a sorting trial: frozen, nested, and every fault reported at once."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Group(BaseModel):
    """Refuse unknown keys, later changes and silent conversions such as ``True`` for 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Data(Group):
    """What is to be sorted, and how much of it is seen."""

    length: int = Field(default=10, ge=2, le=1024, description="L, symbols of a sequence")
    symbols: int = Field(default=10, ge=2, le=65536, description="V, different symbols")
    train_sequences: int = Field(default=2048, ge=1, description="fresh ones, in every epoch")
    validation_sequences: int = Field(default=1024, ge=1)
    test_sequences: int = Field(default=2048, ge=1)


class Model(Group):
    """A transformer encoder, of which every part can be taken out."""

    positions: Literal["none", "learned", "sinusoidal", "rotary"] = "learned"
    attention: Literal["none", "average", "softmax"] = "softmax"
    normalisation: Literal["none", "post", "pre"] = "pre"
    residual: bool = True
    width: int = Field(default=32, ge=2, le=4096, description="D, the embedding's")
    layers: int = Field(default=2, ge=1, le=64)
    heads: int = Field(default=4, ge=1, le=256, description="H; D/H must be whole and even")

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"model.heads is {self.heads} and model.width {self.width}, but a head must have an even number of "
                f"dimensions; make the width a multiple of {2 * self.heads}"
            )
        return self

    @model_validator(mode="after")
    def _rotary_has_a_use(self) -> Self:
        if self.positions == "rotary" and self.attention != "softmax":
            raise ValueError(
                f"model.positions is 'rotary', but model.attention {self.attention!r} has no queries and keys to turn; "
                "use 'softmax', or other positions"
            )
        return self


class Optim(Group):
    """AdamW, a linear warm-up, then half a cosine down to zero."""

    lr: float = Field(default=1e-2, gt=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0, le=10, description="decoupled: times lr, not in the gradient")
    warmup_steps: int = Field(default=10, ge=1, le=100_000)
    clip_norm: float = Field(default=1.0, gt=0, description="largest Euclidean norm of a step's gradient")


class Train(Group):
    """How training runs."""

    batch_size: int = Field(default=64, ge=1, le=65536)
    checkpoint_every_s: float = Field(default=30.0, gt=0, description="longest training between two checkpoints")


class SortingConfig(Group):
    """Everything that defines a trial but its seed and its length."""

    data: Data = Data()
    model: Model = Model()
    optim: Optim = Optim()
    train: Train = Train()
