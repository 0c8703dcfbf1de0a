"""Fair hyperparameter search and ablation studies.

``from ablation import run, Space, …`` gives what a study's author needs. Each name is imported when it is first used:
``import ablation`` alone loads no library.

``ablation.run`` is a function and a module in one: ``python -m ablation.run`` starts it, and ``run(…)`` calls it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablation.reuse import load_best as load_best
    from ablation.run import run as run
    from ablation.trial import EpochRecord as EpochRecord
    from ablation.trial import TrialContext as TrialContext
    from search_spaces.space import Budget as Budget
    from search_spaces.space import Choice as Choice
    from search_spaces.space import Float as Float
    from search_spaces.space import Int as Int
    from search_spaces.space import Metric as Metric
    from search_spaces.space import Space as Space
    from search_spaces.space import When as When

_MODULES = {
    "Budget": "search_spaces.space",
    "Choice": "search_spaces.space",
    "EpochRecord": "ablation.trial",
    "Float": "search_spaces.space",
    "Int": "search_spaces.space",
    "Metric": "search_spaces.space",
    "Space": "search_spaces.space",
    "TrialContext": "ablation.trial",
    "When": "search_spaces.space",
    "load_best": "ablation.reuse",
    "run": "ablation.run",
}
__all__ = list(_MODULES)


if not TYPE_CHECKING:  # type checkers would take any name to be there

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used."""
        if name not in _MODULES:
            raise AttributeError(f"module 'ablation' has no attribute {name!r}; it has {', '.join(_MODULES)}")
        module = import_module(_MODULES[name])
        # The import has put the module `run` here; the function would be hidden by it from the second use on.
        globals()[name] = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
        return globals()[name]


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
