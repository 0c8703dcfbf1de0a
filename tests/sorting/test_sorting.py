"""The second study: its task, its network against what is known of it, and its trials in a plain loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ablation.faults import FaultsError
from ablation.planning.request import Request, check_request
from ablation.sorting import sequences
from ablation.sorting.config import Data, Model, SortingConfig
from ablation.sorting.network import Network, SoftmaxAttention, build_network, initialise
from ablation.sorting.optimizer import AdamW, rate_share
from ablation.sorting.positions import angles, rotate, sinusoidal
from ablation.sorting.train import run_trial, scores
from ablation.spaces import find_space, known_spaces
from ablation.trial import EpochRecord, TrialContext, build_config
from search_spaces.sorting import SPACE
from search_spaces.space import Arm

LENGTH, SYMBOLS = 6, 5
EPOCHS = 3
TINY: Mapping[str, Any] = {
    "data.length": LENGTH,
    "data.symbols": SYMBOLS,
    "data.train_sequences": 150,
    "data.validation_sequences": 100,
    "data.test_sequences": 120,
    "model.width": 16,
}
ATTENTIONS = ("none", "average", "softmax")


def config(**settings: object) -> SortingConfig:
    built = build_config(run_trial, {**TINY, **settings})
    assert isinstance(built, SortingConfig)
    return built


def context(directory: Path, **changes: object) -> TrialContext:
    base = TrialContext(
        trial_id="t/0/search/0",
        phase="search",
        epochs=EPOCHS,
        seed=1,
        replicate_seed=2,
        checkpoint_dir=directory / "checkpoints",
        device="cpu",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def metrics(records: Iterator[EpochRecord]) -> list[dict[str, float]]:
    return [dict(record.metrics) for record in records]


def network(**parts: object) -> Network:
    model = Model.model_validate({"width": 16, **parts})
    return build_network(model, LENGTH, SYMBOLS, seed=0).eval()


def symbols(count: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, SYMBOLS, (count, LENGTH)))


# The task


def test_targets_are_the_sorted_symbols() -> None:
    shuffled_NL, sorted_NL = sequences.draw(3, 200, Data(length=7, symbols=4))
    assert sorted_NL.tolist() == [sorted(row) for row in shuffled_NL.tolist()]
    assert shuffled_NL.shape == (200, 7) and set(shuffled_NL.flatten().tolist()) == {0, 1, 2, 3}


def test_splits_and_epochs_differ_and_repeat() -> None:
    data = Data(train_sequences=50, validation_sequences=50, test_sequences=50)

    def drawn() -> dict[str, torch.Tensor]:
        return {
            "first epoch": sequences.train_epoch(data, 1, 1)[0],
            "second epoch": sequences.train_epoch(data, 1, 2)[0],
            "other seed": sequences.train_epoch(data, 2, 1)[0],
            "validation": sequences.validation(data, 1)[0],
            "other replicate": sequences.validation(data, 2)[0],
            "test": sequences.test(data)[0],
        }

    once, again = drawn(), drawn()
    assert all(torch.equal(once[name], again[name]) for name in once)
    rows = torch.cat(list(once.values()))
    assert len(np.unique(rows.numpy(), axis=0)) == len(rows)


# Positions


def test_the_sinusoidal_table_is_the_papers() -> None:
    table_LD = sinusoidal(12, 8)
    for position in range(12):
        for i in range(4):
            angle = position / 10_000 ** (2 * i / 8)
            assert table_LD[position, 2 * i].item() == pytest.approx(np.sin(angle), abs=1e-6)
            assert table_LD[position, 2 * i + 1].item() == pytest.approx(np.cos(angle), abs=1e-6)


def test_turned_vectors_are_complex_products_and_see_distances_only() -> None:
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 9, 8))).float()
    turned = rotate(vectors, angles(9, 8)).numpy()
    as_complex = vectors.numpy()[..., 0::2] + 1j * vectors.numpy()[..., 1::2]
    expected = as_complex * np.exp(1j * angles(9, 8).numpy())
    np.testing.assert_allclose(turned[..., 0::2] + 1j * turned[..., 1::2], expected, atol=1e-5)
    query, key = (torch.from_numpy(np.random.default_rng(seed).normal(size=8)).float() for seed in (1, 2))
    turned_query, turned_key = (rotate(one.expand(1, 1, 9, 8), angles(9, 8))[0, 0] for one in (query, key))
    products_LL = turned_query @ turned_key.T
    for distance in range(-8, 9):
        along = products_LL.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along))


# The network


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_without_positions_the_network_cannot_tell_places_apart(attention: str) -> None:
    blind = network(positions="none", attention=attention)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(blind(symbols()[:, order]), blind(symbols())[:, order])


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_with_positions_it_can(positions: str) -> None:
    seeing = network(positions=positions)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert (seeing(symbols()[:, order]) - seeing(symbols())[:, order]).abs().max() > 0.01


@pytest.mark.parametrize(("attention", "hears"), [("none", False), ("average", True), ("softmax", True)])
def test_places_hear_of_each_other_by_attention_alone(attention: str, hears: bool) -> None:
    built, before = network(attention=attention), symbols()
    after = before.clone()
    after[:, 0] = (after[:, 0] + 1) % SYMBOLS
    change_L = (built(after) - built(before)).abs().amax((0, 2))
    assert change_L[0] > 0
    assert (change_L[1:] > 0).tolist() == [hears] * (LENGTH - 1)


@pytest.mark.parametrize("is_rotary", [False, True])
def test_softmax_attention_is_torchs(is_rotary: bool) -> None:
    attention = SoftmaxAttention(16, 2, LENGTH, is_rotary=is_rotary)
    initialise(attention, seed=0)
    states_BLD = torch.from_numpy(np.random.default_rng(0).normal(size=(3, LENGTH, 16))).float()
    weights_BHLL = attention.weights(states_BLD)
    assert weights_BHLL.min() > 0
    torch.testing.assert_close(weights_BHLL.sum(3), torch.ones(3, 2, LENGTH))
    if is_rotary:
        return
    theirs = nn.MultiheadAttention(16, 2, batch_first=True)
    with torch.no_grad():
        rows = (attention.to_query, attention.to_key, attention.to_value)
        theirs.in_proj_weight.copy_(torch.cat([row.weight for row in rows]))
        theirs.in_proj_bias.copy_(torch.cat([row.bias for row in rows]))
        theirs.out_proj.load_state_dict(attention.to_out.state_dict())
    expected_BLD, expected_BHLL = theirs(states_BLD, states_BLD, states_BLD, average_attn_weights=False)
    torch.testing.assert_close(weights_BHLL, expected_BHLL)
    torch.testing.assert_close(attention(states_BLD), expected_BLD)


@pytest.mark.parametrize("normalisation", ["none", "post", "pre"])
@pytest.mark.parametrize("has_residual", [True, False])
def test_normalisation_and_residual_stand_where_they_should(normalisation: str, has_residual: bool) -> None:
    built = network(normalisation=normalisation, residual=has_residual, attention="none", layers=1)

    def norm(states: np.ndarray) -> np.ndarray:
        return np.asarray((states - states.mean(-1, keepdims=True)) / np.sqrt(states.var(-1, keepdims=True) + 1e-5))

    value = {name: tensor.numpy() for name, tensor in built.state_dict().items()}
    states = value["embedding.weight"][symbols().numpy()] + value["positions.weight"]
    inner = norm(states) if normalisation == "pre" else states
    hidden = np.maximum(inner @ value["layers.0.inner.0.weight"].T + value["layers.0.inner.0.bias"], 0)
    change = hidden @ value["layers.0.inner.2.weight"].T + value["layers.0.inner.2.bias"]
    states = states + change if has_residual else change
    states = states if normalisation == "none" else norm(states)
    expected = states @ value["head.weight"].T + value["head.bias"]
    np.testing.assert_allclose(built(symbols()).detach().numpy(), expected, atol=1e-4)


def test_first_values_are_shared_between_arms_and_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    whole, bare = network(), network(positions="none", attention="average", normalisation="none")
    assert torch.equal(before, torch.get_rng_state())
    mine, theirs = whole.state_dict(), bare.state_dict()
    shared = mine.keys() & theirs.keys()
    assert {"embedding.weight", "head.weight", "layers.0.inner.to_value.weight"} <= shared < mine.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in shared)
    other = build_network(Model(width=16), LENGTH, SYMBOLS, seed=1).state_dict()
    assert not torch.equal(mine["embedding.weight"], other["embedding.weight"])


def test_a_layer_without_a_rule_for_its_first_values_is_refused() -> None:
    with pytest.raises(TypeError, match="PReLU"):
        initialise(nn.Sequential(nn.PReLU()), seed=0)


# The optimiser


def test_updates_are_adamw_with_clipped_gradients() -> None:
    lr, decay, clip = 0.01, 0.1, 0.5
    layer = nn.Linear(3, 2)
    initialise(layer, seed=0)
    optimizer = AdamW(layer, weight_decay=decay, clip_norm=clip)
    inputs = np.random.default_rng(0).normal(size=(8, 3))
    # Loshchilov and Hutter, algorithm 2, on the sum of squared outputs; weight and bias as one matrix.
    theta = np.hstack([layer.weight.detach().numpy(), np.zeros((2, 1))]).astype(float)
    extended = np.hstack([inputs, np.ones((8, 1))])
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, 5):
        optimizer.zero_grad()
        torch.autograd.backward(layer(torch.from_numpy(inputs).float()).square().sum())
        optimizer.step(lr)
        gradient = 2 * (extended @ theta.T).T @ extended
        gradient *= min(1.0, clip / np.linalg.norm(gradient))
        first, second = 0.9 * first + 0.1 * gradient, 0.98 * second + 0.02 * gradient**2
        change = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.98**step)) + 1e-8)
        theta -= lr * change + lr * decay * theta
        found = np.hstack([layer.weight.detach().numpy(), layer.bias.detach().numpy()[:, None]])
        np.testing.assert_allclose(found, theta, atol=1e-5)


def test_a_parameter_without_a_gradient_is_named() -> None:
    layers = nn.ModuleDict({"used": nn.Linear(1, 1), "forgotten": nn.Linear(1, 1)})
    optimizer = AdamW(layers, weight_decay=0.0, clip_norm=1.0)
    torch.autograd.backward(layers["used"](torch.ones(1, 1)).sum())
    with pytest.raises(RuntimeError, match=r"forgotten\.weight, forgotten\.bias"):
        optimizer.step(0.1)


def test_the_rate_warms_up_to_its_peak_and_falls_to_zero() -> None:
    shares = [rate_share(step, 100, 10) for step in range(100)]
    assert shares[0] == pytest.approx(0.1) and max(shares) > 0.97
    assert shares.index(max(shares)) in (9, 10)
    assert all(late < early for early, late in pairwise(shares[10:]))
    assert 0 < shares[-1] < 0.001


# Trials


@pytest.mark.parametrize("arm", SPACE.arms(), ids=lambda arm: arm.name)
def test_every_arm_trains_and_reports_what_the_space_measures(arm: Arm, tmp_path: Path) -> None:
    flat = SPACE.configuration(arm, {name: SPACE.domain(name).default for name in arm.searched})
    records = list(run_trial(config(**flat), context(tmp_path, epochs=1)))
    assert [(record.epoch, record.images) for record in records] == [(1, 150)]
    assert set(records[0].metrics) == {"train_loss", "val_loss", *(metric.validation for metric in SPACE.metrics)}
    assert all(np.isfinite(value) for value in records[0].metrics.values())


def test_the_reference_learns_to_sort_and_the_baseline_does_not(tmp_path: Path) -> None:
    # The quick budget's network and rate on shorter sequences, at a third of its steps.
    easy = {"data.length": 5, "data.symbols": 5, "data.train_sequences": 1280, "model.width": 32}

    def last(levels: Mapping[str, object], place: Path) -> dict[str, float]:
        return metrics(run_trial(config(**easy, **levels), context(place, epochs=4, phase="confirm")))[-1]

    reference, baseline = last(SPACE.reference, tmp_path / "reference"), last(SPACE.baseline, tmp_path / "baseline")
    assert reference["test_exact_match"] > 0.8
    assert baseline["test_exact_match"] < 0.1
    assert reference["test_token_accuracy"] >= reference["test_exact_match"]


def test_the_same_seed_repeats_bit_for_bit_and_another_differs(tmp_path: Path) -> None:
    once = metrics(run_trial(config(), context(tmp_path / "a")))
    again = metrics(run_trial(config(), context(tmp_path / "b")))
    other = metrics(run_trial(config(), context(tmp_path / "c", seed=3)))
    assert once == again != other


@pytest.mark.parametrize("stopped_after", range(1, EPOCHS + 1))
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_resumed_trial_repeats_the_uninterrupted_one(tmp_path: Path, stopped_after: int, positions: str) -> None:
    settings = config(**{"model.positions": positions})
    whole = metrics(run_trial(settings, context(tmp_path / "whole", phase="confirm")))
    place = context(tmp_path / "halves", phase="confirm", checkpoint_epochs=(stopped_after,))
    first = metrics(islice(run_trial(settings, place), stopped_after))
    # Another trial in between must leave no trace.
    list(run_trial(config(**{"model.residual": False}), context(tmp_path / "other")))
    assert first == whole[:stopped_after]
    assert metrics(run_trial(settings, place)) == whole


def test_a_checkpoint_of_another_configuration_is_not_resumed(tmp_path: Path) -> None:
    list(run_trial(config(), context(tmp_path)))
    fresh = metrics(run_trial(config(**{"optim.lr": 0.002}), context(tmp_path / "fresh")))
    assert metrics(run_trial(config(**{"optim.lr": 0.002}), context(tmp_path))) == fresh


def test_test_sequences_are_scored_once_at_the_end_of_a_confirm_trial(tmp_path: Path) -> None:
    searched = metrics(run_trial(config(), context(tmp_path / "search")))
    confirmed = metrics(run_trial(config(), context(tmp_path / "confirm", phase="confirm")))
    tested = [{name for name in record if name.startswith("test_")} for record in confirmed]
    assert tested[:-1] == [set()] * (EPOCHS - 1)
    assert tested[-1] == {"test_loss", "test_token_accuracy", "test_exact_match"}
    assert not any(name.startswith("test_") for record in searched for name in record)


def test_scores_match_a_count_by_hand() -> None:
    class Echo(nn.Module):
        head = nn.Linear(1, 1)

        def forward(self, symbols_BL: torch.Tensor) -> torch.Tensor:
            return 100.0 * nn.functional.one_hot(symbols_BL, 3).float()

    given = torch.tensor([[0, 1], [1, 0], [2, 2], [2, 0]])
    found = scores(Echo(), given, given.sort(1).values)  # type: ignore[arg-type]  # all that is asked of a network
    assert found["token_accuracy"] == pytest.approx(4 / 8)
    assert found["exact_match"] == pytest.approx(2 / 4)
    assert found["loss"] == pytest.approx(100 * 4 / 8)


# The space


def test_every_corner_of_the_space_is_a_valid_configuration() -> None:
    corners = list(SPACE.corners())
    for corner in corners:
        build_config(run_trial, corner)
    # By hand: 4 + 3 + 3 pairs of positions and attention, 3 normalisations, residual sums or not; 2³ ends of ranges,
    # with softmax attention times 3 numbers of heads.
    assert len(corners) == (4 * 3 + 3 + 3) * 3 * 2 * 2**3


def test_heads_and_rotary_positions_go_with_softmax_attention_only() -> None:
    arms = {arm.name: arm for arm in SPACE.arms("factorial")}
    assert not any("positions=rotary,attention=average" in name for name in arms)
    assert {arm.levels["model.attention"] for arm in arms.values() if "model.heads" in arm.searched} == {"softmax"}
    with pytest.raises(FaultsError, match=r"model.positions is 'rotary', but model.attention 'average'"):
        config(**{"model.positions": "rotary", "model.attention": "average"})


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(FaultsError, match=r"model.heads is 3 .* multiple of 6"):
        config(**{"model.heads": 3})


@pytest.mark.parametrize("budget", SPACE.budgets)
def test_the_study_is_found_by_name_and_can_be_planned(budget: str) -> None:
    assert "sorting" in known_spaces() and find_space("sorting") is SPACE
    checked = check_request(Request("sorting", budget=budget), gpus=0)
    assert checked.data is None and checked.plan.metric == "exact_match"
    assert {arm for arm, against in checked.plan.comparisons if against == "reference"} == {
        arm.name for arm in checked.plan.arms[1:]
    }


def test_data_are_refused() -> None:
    with pytest.raises(FaultsError, match="takes no data"):
        check_request(Request("sorting", data="synthetic", budget="quick"), gpus=0)
