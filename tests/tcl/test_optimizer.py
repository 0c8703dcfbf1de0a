"""Descent by hand: momentum and weight decay, state by name, and the learning-rate schedules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ablation.tcl.optimizer import MomentumSGD
from ablation.tcl.schedule import SCHEDULES


class Point(nn.Module):
    """Two numbers whose gradient is their value less (1, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor([4.0, -2.0]))

    def descend(self, optimizer: MomentumSGD, lr: float) -> None:
        optimizer.zero_grad()
        torch.autograd.backward((self.place - torch.tensor([1.0, 2.0])).square().sum() / 2)
        optimizer.step(lr)


def by_hand(steps: int, lr: float, momentum: float, weight_decay: float) -> list[float]:
    place, velocity = [4.0, -2.0], [0.0, 0.0]
    for _ in range(steps):
        for d, target in enumerate((1.0, 2.0)):
            velocity[d] = momentum * velocity[d] + (place[d] - target) + weight_decay * place[d]
            place[d] -= lr * velocity[d]
    return place


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_descent_agrees_with_loops(momentum: float, weight_decay: float) -> None:
    point = Point()
    optimizer = MomentumSGD(point, momentum=momentum, weight_decay=weight_decay)
    for _ in range(4):
        point.descend(optimizer, 0.1)
    assert point.place.tolist() == pytest.approx(by_hand(4, 0.1, momentum, weight_decay), rel=1e-5)


def test_momentum_goes_on_from_its_state() -> None:
    whole, halves = Point(), Point()
    optimizer, first = MomentumSGD(whole, momentum=0.9), MomentumSGD(halves, momentum=0.9)
    for _ in range(4):
        whole.descend(optimizer, 0.1)
    for _ in range(2):
        halves.descend(first, 0.1)
    second = MomentumSGD(halves, momentum=0.9)
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        halves.descend(second, 0.1)
    assert list(first.state_dict()) == ["place"]
    assert torch.equal(whole.place, halves.place)


def test_a_parameter_without_gradient_is_named() -> None:
    with pytest.raises(RuntimeError, match="no gradient has reached place"):
        MomentumSGD(Point()).step(0.1)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("one-cycle", {0: 0.04, 0.125: 0.52, 0.25: 1, 0.625: 0.5, 1: 0}),
        ("cosine", {0: 1, 0.5: 0.5, 2 / 3: 0.25, 1: 0}),
        ("step", {0: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 1: 0.01}),
        ("constant", {0: 1, 1: 1}),
    ],
)
def test_schedules_have_the_values_of_their_formulas(name: str, values: dict[float, float]) -> None:
    for progress, share in values.items():
        assert SCHEDULES[name](progress) == pytest.approx(share, abs=1e-12)


def test_every_schedule_is_tested() -> None:
    assert set(SCHEDULES) == {"one-cycle", "cosine", "step", "constant"}
