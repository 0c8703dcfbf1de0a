"""State of torch's objects as tensors and JSON, and back: what a checkpoint holds of a usual training loop."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import torch


class HasState(Protocol):
    """A module, an optimizer, a scheduler, a scaler: whatever has torch's pair of methods."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return what it depends on."""
        ...

    def load_state_dict(self, state_dict: Any) -> Any:
        """Become what it was."""
        ...


def flattened(name: str, state: object) -> tuple[dict[str, torch.Tensor], Any]:
    """Take a state apart: its tensors by dotted name below ``name``, and JSON that says where each belongs.

    Raises TypeError that names what is neither a tensor nor JSON.

    >>> tensors, form = flattened("optimizer", {"state": {0: {"step": torch.tensor(3.0)}}, "betas": (0.9, 0.99)})
    >>> tensors
    {'optimizer.state.0.step': tensor(3.)}
    >>> rebuilt(form, tensors)
    {'state': {0: {'step': tensor(3.)}}, 'betas': (0.9, 0.99)}
    """
    tensors: dict[str, torch.Tensor] = {}
    form = _form_of(name, state, tensors)
    return _apart(tensors), form


def _form_of(name: str, part: object, tensors: dict[str, torch.Tensor]) -> Any:
    match part:
        case torch.Tensor():
            tensors[name] = part
            return {"tensor": name}
        case Mapping():  # keys of an optimizer's state are numbers, which JSON's objects cannot have
            return {"map": [[key, _form_of(f"{name}.{key}", value, tensors)] for key, value in part.items()]}
        case tuple() | list():
            forms = [_form_of(f"{name}.{index}", value, tensors) for index, value in enumerate(part)]
            return {"tuple" if isinstance(part, tuple) else "list": forms}
        case None | bool() | int() | float() | str():
            return part
    raise TypeError(
        f"{name} is a {type(part).__name__}, but a checkpoint holds tensors, numbers, text, lists, tuples and "
        "mappings; leave it out of its state_dict, and make it again in load_state_dict"
    )


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy tensors that share memory with another, as tied weights do: the format stores each by itself."""
    seen = set[int]()
    kept = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        kept[name] = tensor.detach().clone() if place in seen else tensor
        seen.add(place)
    return kept


def rebuilt(form: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Put a state together again from its form and tensors."""
    if not isinstance(form, dict):
        return form
    ((kind, held),) = form.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "map":
        return {key: rebuilt(value, tensors) for key, value in held}
    parts = [rebuilt(value, tensors) for value in held]
    return tuple(parts) if kind == "tuple" else parts


class GlobalGenerators:
    """The global generators of Python, numpy and torch, from which loaders and dropout draw."""

    def state_dict(self) -> dict[str, Any]:
        """Return where each stands; numpy's only if somebody has imported it."""
        state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        if "numpy" in sys.modules:
            legacy = sys.modules["numpy"].random.get_state(legacy=False)
            state["numpy"] = {**legacy, "state": {**legacy["state"], "key": legacy["state"]["key"].tolist()}}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let each go on from where it stood."""
        random.setstate(state["python"])
        torch.set_rng_state(state["torch"])
        if torch.cuda.is_available() and len(state.get("cuda", ())) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
        if "numpy" in state:
            import numpy as np

            np.random.set_state(state["numpy"])  # noqa: NPY002  # the global generator is what this is about
