"""What a trial may change in numpy and torch: kept from their import on, whenever that is, and put back."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Restore = Callable[[], object]
AUTOCAST_DEVICES = ("cpu", "cuda")


def when_imported(name: str, act: Callable[[Any], None]) -> None:
    """Call ``act`` with a module: now, if it is imported, else as soon as it is."""
    module = sys.modules.get(name)
    if module is None:
        sys.meta_path.insert(0, _WhenImported(name, act))
    else:
        act(module)


class _WhenImported(MetaPathFinder):
    """Find nothing itself, and wait for one module."""

    def __init__(self, name: str, act: Callable[[Any], None]) -> None:
        self._name = name
        self._act = act
        self._is_looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's usual spec, with a loader that calls ``act`` afterwards; None for all others."""
        if fullname != self._name or self._is_looking:
            return None
        self._is_looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._is_looking = False
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        load = loader.exec_module

        def load_and_act(module: ModuleType) -> None:
            load(module)
            with suppress(ValueError):
                sys.meta_path.remove(self)
            self._act(module)

        loader.exec_module = load_and_act
        return spec


def numpy_restores(numpy: Any) -> list[Restore]:
    """Return what puts numpy back to what it is now."""
    # The legacy generator is what a trial of the user's own may draw from.
    state, errors, printing = numpy.random.get_state(), numpy.geterr(), numpy.get_printoptions()
    return [
        lambda: numpy.random.set_state(state),
        lambda: numpy.seterr(**errors),
        lambda: numpy.set_printoptions(**printing),
    ]


def torch_restores(torch: Any) -> list[Restore]:
    """Return what puts torch back to what it is now."""
    dtype, threads, state = torch.get_default_dtype(), torch.get_num_threads(), torch.get_rng_state()
    precision, determinism = torch.get_float32_matmul_precision(), torch.get_deterministic_debug_mode()
    has_gradients, anomalies = torch.is_grad_enabled(), torch.is_anomaly_enabled()
    switches = ("benchmark", "deterministic", "enabled", "allow_tf32")
    cudnn = {name: getattr(torch.backends.cudnn, name) for name in switches}

    def restore_switches() -> None:
        for name, value in cudnn.items():
            if getattr(torch.backends.cudnn, name) != value:
                setattr(torch.backends.cudnn, name, value)

    def restore_determinism() -> None:
        if torch.get_deterministic_debug_mode() == determinism:
            return
        # use_deterministic_algorithms sets torch's compiler, too, and imports it, for seconds.
        if "torch._inductor.config" in sys.modules:
            torch.use_deterministic_algorithms(determinism > 0, warn_only=determinism == 1)
        else:
            torch.set_deterministic_debug_mode(determinism)

    return [
        _default_device(torch),
        *_autocast(torch),
        restore_switches,
        lambda: torch.set_default_dtype(dtype),
        lambda: torch.set_num_threads(threads),
        lambda: torch.set_rng_state(state),
        lambda: torch.set_float32_matmul_precision(precision),
        restore_determinism,
        lambda: torch.set_grad_enabled(has_gradients),
        lambda: torch.autograd.set_detect_anomaly(anomalies),
    ]


def _default_device(torch: Any) -> Restore:
    device = torch.get_default_device()
    # A device that is set costs each call a little, so the one that torch has anyway is taken away, not set.
    to_set = None if device == torch.device("cpu") else device

    def restore() -> None:
        if torch.get_default_device() != device:
            torch.set_default_device(to_set)

    return restore


def _autocast(torch: Any) -> list[Restore]:
    states = {name: (torch.is_autocast_enabled(name), torch.get_autocast_dtype(name)) for name in AUTOCAST_DEVICES}
    is_cached = torch.is_autocast_cache_enabled()

    def restore() -> None:
        for name, (is_enabled, dtype) in states.items():
            torch.set_autocast_enabled(name, is_enabled)
            torch.set_autocast_dtype(name, dtype)

    return [restore, lambda: torch.set_autocast_cache_enabled(is_cached)]
