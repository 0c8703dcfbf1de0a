"""Stochastic gradient descent with momentum, over ``torch.optim.sgd.sgd``.

Not ``torch.optim.SGD``: its constructor imports torch's compiler and sympy, seconds of start-up in every worker
(docs/experiments.md), and its state is keyed by position where checkpoints want names.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class MomentumSGD:
    """Update a module's parameters in place.

    v ← μ·v + g + w·θ, θ ← θ − lr·v, with v = g + w·θ in the first step, as in torch.optim.SGD.
    """

    def __init__(self, module: nn.Module, *, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        """Take all parameters of ``module``; momentum in [0, 1), weight_decay ≥ 0."""
        self._parameters = dict(module.named_parameters())
        self._momentum_buffers: list[Tensor | None] = [None] * len(self._parameters)
        self._momentum = momentum
        self._weight_decay = weight_decay

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Descend along the gradients at rate ``lr``; every parameter must have one."""
        parameters: list[Tensor] = list(self._parameters.values())
        gradients = [parameter.grad for parameter in parameters]
        missing = [name for name, gradient in zip(self._parameters, gradients, strict=True) if gradient is None]
        if missing:
            raise RuntimeError(f"no gradient has reached {', '.join(missing)}: is it part of the loss?")
        sgd(
            parameters,
            [gradient for gradient in gradients if gradient is not None],
            self._momentum_buffers,
            fused=True,  # one kernel for all parameters, on CPU and CUDA
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Return momentum by parameter name; empty before the first step or without momentum."""
        named = zip(self._parameters, self._momentum_buffers, strict=True)
        return {name: buffer for name, buffer in named if buffer is not None}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take momentum by parameter name, in each parameter's own memory format."""
        self._momentum_buffers = [
            torch.empty_like(parameter, requires_grad=False).copy_(state[name]) if name in state else None
            for name, parameter in self._parameters.items()
        ]
