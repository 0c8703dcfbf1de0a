"""The network: parts fit for every backbone and attention, and an image's logits are its own.

Shapes: B images, K classes, D dimensions.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from ablation.faults import FaultsError
from ablation.tcl.attention import ATTENTION
from ablation.tcl.backbones import BACKBONES, initialise
from ablation.tcl.config import Loss, Model
from ablation.tcl.loss import CENTER_STEPS, HINGES
from ablation.tcl.negatives import NEGATIVES
from ablation.tcl.network import Network, build_network

every_variant = pytest.mark.parametrize("attention", list(ATTENTION))


def build(seed: int = 0, **options: Any) -> Network:
    return build_network(Model(**{"width": 8, **options}), 7, torch.Generator().manual_seed(seed))


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 48, 48, generator=torch.Generator().manual_seed(seed))


def test_config_and_registries_name_the_same_things() -> None:
    def choices(group: type[Loss] | type[Model], field: str) -> set[str]:
        return set(get_args(group.model_fields[field].annotation))

    assert choices(Model, "backbone") == set(BACKBONES)
    assert choices(Model, "attention") == set(ATTENTION)
    assert choices(Loss, "negatives") == {"none", "center", *NEGATIVES}
    assert choices(Loss, "hinge") == set(HINGES)
    assert choices(Loss, "center_step") == set(CENTER_STEPS)


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_parts_fit_for_every_backbone(backbone: Any) -> None:
    network = build(backbone=backbone, attention="selective").eval()
    output = network(images(2))
    assert output.features_BD.shape == (2, network.dim)
    assert output.logits_BK.shape == (2, network.num_classes)
    assert output.attention_BD.shape == (2, network.dim)
    assert output.pixel_map_BHW.sum((1, 2)).tolist() == pytest.approx([1, 1])


@every_variant
def test_every_parameter_has_a_finite_value_and_the_global_generator_is_left_alone(attention: Any) -> None:
    before = torch.get_rng_state()
    network = build(attention=attention)
    assert torch.equal(before, torch.get_rng_state())
    for value in network.state_dict().values():
        assert value.device.type == "cpu"
        assert value.isfinite().all()
    torch.testing.assert_close(build(attention=attention).state_dict(), network.state_dict(), rtol=0, atol=0)


@every_variant
def test_training_departs_from_the_plain_network(attention: Any) -> None:
    plain, attended = build(attention="none")(images(4)), build(attention=attention)(images(4))
    torch.testing.assert_close(attended.logits_BK, plain.logits_BK)
    assert attended.attention_BD is None or attended.attention_BD.eq(1).all()


def test_element_attention_enters_the_distance_and_not_the_logits() -> None:
    network = build(attention="element").eval()
    plain = network(images(4))
    initialise(network.pooling, torch.Generator().manual_seed(1))
    attended = network(images(4))
    assert not attended.attention_BD.eq(1).any()
    assert torch.equal(attended.features_BD, plain.features_BD)
    assert torch.equal(attended.logits_BK, plain.logits_BK)


def test_pixel_attention_enters_the_logits() -> None:
    network = build(attention="pixel").eval()
    plain = network(images(4))
    initialise(network.pooling, torch.Generator().manual_seed(1))
    assert not torch.allclose(network(images(4)).logits_BK, plain.logits_BK)


@every_variant
def test_logits_do_not_depend_on_the_batch_in_eval_mode(attention: Any) -> None:
    network = build(attention=attention)
    for seed in range(2):
        network(images(16, seed))
    network.eval()
    with torch.no_grad():
        together = network(images(9)).logits_BK
        alone = torch.cat([network(image[None]).logits_BK for image in images(9)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-4)


@every_variant
def test_outputs_are_float32_under_bfloat16_autocast(attention: Any) -> None:
    network = build(attention=attention)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images(4))
    for part in vars(output).values():
        assert part is None or (part.dtype == torch.float32 and part.isfinite().all())


def test_channels_last_computes_the_same() -> None:
    network = build(attention="selective").eval()
    plain = network(images(4))
    network.to(memory_format=torch.channels_last)
    channels_last = network(images(4).contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(channels_last.logits_BK, plain.logits_BK, rtol=0, atol=1e-4)


def test_cross_entropy_trains_it() -> None:
    network = build(attention="selective", width=4)
    sgd = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    labels_B = torch.arange(14) % 7
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(network(images(14)).logits_BK, labels_B)
        sgd.zero_grad()
        torch.autograd.backward(loss)
        sgd.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_bad_arguments_are_told_at_once() -> None:
    model = Model().model_copy(update={"attention": "pixels"})
    with pytest.raises(FaultsError) as caught:
        build_network(model, 1, torch.Generator())
    assert len(caught.value.faults) == 2
    assert "did you mean 'pixel'" in str(caught.value)
