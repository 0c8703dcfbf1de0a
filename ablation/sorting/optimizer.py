"""AdamW and its learning-rate schedule, over ``torch.optim.adamw.adamw``.

Not ``torch.optim.AdamW``: its constructor imports torch's compiler and sympy, seconds of start-up in every worker, and
its state is keyed by position where checkpoints want names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from ablation.checkpoint import with_prefix, without_prefix

BETAS = (0.9, 0.98)  # Vaswani et al., NeurIPS 2017, section 5.3
EPSILON = 1e-8


class AdamW:
    """Update a module's parameters in place (Loshchilov and Hutter, ICLR 2019); all of them decay."""

    def __init__(self, module: nn.Module, *, weight_decay: float, clip_norm: float) -> None:
        """Take all parameters of ``module``; weight_decay ≥ 0, clip_norm > 0 bounds the gradient's Euclidean norm."""
        self.parameters = dict(module.named_parameters())
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.first = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.second = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.steps = {name: torch.zeros((), device=parameter.device) for name, parameter in self.parameters.items()}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Descend along the gradients at rate ``lr``; every parameter must have one."""
        parameters: list[Tensor] = list(self.parameters.values())
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if len(gradients) < len(parameters):
            missing = [name for name, parameter in self.parameters.items() if parameter.grad is None]
            raise RuntimeError(f"no gradient has reached {', '.join(missing)}: is it part of the loss?")
        nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        adamw(
            parameters,
            gradients,
            list(self.first.values()),
            list(self.second.values()),
            [],
            list(self.steps.values()),
            fused=True,  # one kernel for all parameters, on CPU and CUDA
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=lr,
            weight_decay=self.weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Return both moments and the count of steps, by parameter name."""
        return {
            **with_prefix("first", self.first),
            **with_prefix("second", self.second),
            **with_prefix("steps", self.steps),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take moments and counts by parameter name."""
        for prefix, mine in (("first", self.first), ("second", self.second), ("steps", self.steps)):
            theirs = without_prefix(prefix, state)
            for name, tensor in mine.items():
                tensor.copy_(theirs[name])


def rate_share(step: int, steps: int, warmup_steps: int) -> float:
    """Return the share of the peak rate at step 0..steps-1: half a cosine to zero, after a linear warm-up."""
    warm_up = min(1.0, (step + 1) / warmup_steps)
    return warm_up * (1 + math.cos(math.pi * step / steps)) / 2
