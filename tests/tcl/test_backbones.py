"""Backbones: map sizes, drawn values, and checkpoints of every usual shape.

Shapes: B images, C channels, H×W positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ablation.faults import FaultsError
from ablation.tcl.backbones import BACKBONES, Backbone, build_backbone, initialise, load_weights, read_state

# Name: width, channels and positions a side of the last map at 48 px.
CONTRACT = {"small": (4, 16, 3), "resnet18": (16, 512, 2), "resnet50": (16, 2048, 2)}
every_backbone = pytest.mark.parametrize("name", list(BACKBONES))


def build(name: str = "small", seed: int = 0, weights: str = "none") -> Backbone:
    generator = torch.Generator().manual_seed(seed)
    return build_backbone(name, width=CONTRACT[name][0], weights=weights, generator=generator)


def assert_same(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_every_registered_backbone_has_a_contract() -> None:
    assert set(BACKBONES) == set(CONTRACT)


@every_backbone
def test_backbone_gives_the_last_feature_map_with_gradients_everywhere(name: str) -> None:
    backbone = build(name)
    _, channels, side = CONTRACT[name]
    maps_BCHW = backbone(torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)))
    maps_BCHW.square().mean().backward()
    assert backbone.channels == channels
    assert maps_BCHW.shape == (2, channels, side, side)
    assert maps_BCHW.isfinite().all()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@every_backbone
def test_values_come_from_the_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = build(name, seed=1), build(name, seed=1), build(name, seed=2)
    assert torch.equal(before, torch.get_rng_state())
    assert_same(first, again)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_initialise_refuses_a_layer_it_has_no_rule_for() -> None:
    with pytest.raises(TypeError, match="no first values for LayerNorm"):
        initialise(nn.Sequential(nn.LayerNorm(3)), torch.Generator())


def test_convolutions_keep_the_variance_of_gradients() -> None:
    conv = nn.Conv2d(8, 64, 3)
    initialise(conv, torch.Generator().manual_seed(0))
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert conv.bias is not None
    assert conv.bias.eq(0).all()


def test_unknown_backbone_is_told_with_the_known_ones() -> None:
    with pytest.raises(FaultsError, match="did you mean 'resnet18'"):
        build_backbone("resnet19", width=16, weights="none", generator=torch.Generator())


def prefixed(prefix: str) -> Callable[[Mapping[str, Tensor]], dict[str, Any]]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


CHECKPOINTS: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Any]]] = {
    "plain": dict,
    "data-parallel": prefixed("module."),
    "compiled backbone of a network": prefixed("_orig_mod.backbone."),
    "nested encoder": prefixed("module.encoder."),
    "state_dict": lambda state: {"state_dict": dict(state), "epoch": 3},
    "model in a checkpoint": lambda state: {"model": prefixed("module.")(state), "optimizer": {}},
    "net in a state_dict": lambda state: {"state_dict": {"net": dict(state)}},
    "another task's head": lambda state: {**state, "fc.weight": torch.zeros(8631, 16), "fc.bias": torch.zeros(8631)},
    "before num_batches_tracked": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
    "half precision": lambda state: {k: v.half().to(v.dtype).half() for k, v in state.items()},
}


@pytest.mark.parametrize("case", list(CHECKPOINTS))
def test_checkpoint_is_matched(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = build(seed=7)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.copy_(parameter.half())
    path = tmp_path / 'it\'s a "checkpoint".pth'
    torch.save(CHECKPOINTS[case](source.state_dict()), path)
    assert_same(build(seed=8, weights=str(path)), source)
    assert "(100%)" in capsys.readouterr().out


def test_safetensors_file_is_matched(tmp_path: Path) -> None:
    source = build(seed=7)
    save_file(prefixed("module.")(source.state_dict()), tmp_path / "weights.safetensors")
    assert_same(build(seed=8, weights=str(tmp_path / "weights.safetensors")), source)


def test_torchvision_resnet_file_is_matched_without_its_head(tmp_path: Path) -> None:
    from torchvision import models

    with torch.random.fork_rng():
        resnet = models.resnet18(weights=None)
    torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
    backbone = build("resnet18", weights=str(tmp_path / "resnet18.pth")).eval()
    images_BCHW = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    resnet.fc = nn.Identity()
    torch.testing.assert_close(backbone(images_BCHW).mean((2, 3)), resnet.eval()(images_BCHW))


def test_exact_name_wins_over_a_stripped_one() -> None:
    source, decoy = build(seed=7), build(seed=9)
    backbone = build(seed=8)
    load_weights(backbone, {**prefixed("encoder.")(decoy.state_dict()), **source.state_dict()}, source="x")
    assert_same(backbone, source)


def test_nearly_all_matched_is_loaded_and_the_rest_is_named() -> None:
    backbone, source = build(seed=8), build(seed=7)
    state = source.state_dict()
    kept = backbone.stem[0].weight.detach().clone()  # type: ignore[index, union-attr]
    state["stem.0.weight"] = torch.zeros(4, 1, 4, 4)
    del state["stage1.norm1.bias"]
    match = load_weights(backbone, state, source="x")
    assert match.unmatched == (
        "stem.0.weight has shape (4, 1, 4, 4), but must have (4, 3, 4, 4)",
        "stage1.norm1.bias is missing",
    )
    assert 0.9 <= match.share < 1
    assert torch.equal(backbone.stem[0].weight, kept)  # type: ignore[index, union-attr]
    assert torch.equal(backbone.state_dict()["stage1.norm1.weight"], state["stage1.norm1.weight"])


def test_less_than_nine_tenths_is_an_error_that_lists_what_did_not_match(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    torch.save({"vit.patch.weight": torch.zeros(3)}, path)
    with pytest.raises(FaultsError, match=r"matches 0 of \d+, but must match at least 90%") as caught:
        build(weights=str(path))
    assert "vit.patch.weight" in caught.value.faults[0]
    assert "stage2.conv1.weight is missing" in caught.value.faults


def test_refused_weights_leave_the_backbone_unchanged() -> None:
    backbone = build(seed=8)
    state = {name: tensor for name, tensor in build(seed=7).state_dict().items() if name.startswith("stage")}
    with pytest.raises(FaultsError, match="stem"):
        load_weights(backbone, state, source="x")
    assert_same(backbone, build(seed=8))


class Harmful:
    """Stand for an object whose unpickling would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harm"),))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_files_that_are_no_plain_tensors_are_refused(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    if content is None:
        torch.save({"state_dict": Harmful()}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(FaultsError, match=r"cannot be read as plain tensors; save its state_dict\(\)"):
        read_state(path)
    assert not (tmp_path / "harm").exists()


def test_checkpoint_of_a_lone_tensor_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "weights.pth")
    with pytest.raises(FaultsError, match="holds a Tensor, but must hold a state dict"):
        read_state(tmp_path / "weights.pth")


def test_missing_file_is_told_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match="must be none, imagenet or an existing file"):
        build(weights=str(tmp_path / "nothing.pth"))


def test_small_has_no_imagenet_weights() -> None:
    with pytest.raises(FaultsError, match="use resnet18 or resnet50"):
        build(weights="imagenet")


def test_imagenet_weights_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = build("resnet18", seed=7)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(source.state_dict(), tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    assert_same(build("resnet18", weights="imagenet"), source)


def test_imagenet_weights_that_cannot_be_downloaded_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(FaultsError, match=r"cannot be downloaded .*no network.*put the file into .*checkpoints"):
        build("resnet18", weights="imagenet")
