"""Options checked by the model that holds them, their faults in the words of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

OptionsT = TypeVar("OptionsT", bound=BaseModel)


def checked_options(
    model: type[OptionsT], given: Mapping[str, object], faults: list[str], names: Mapping[str, str] | None = None
) -> OptionsT | None:
    """Validate options; on faults, add them and return None. ``names`` are options called otherwise than their field.

    >>> from ablation.resources import Resources
    >>> faults: list[str] = []
    >>> checked_options(Resources, {"cpus_per_trial": 0}, faults)
    >>> faults
    ['--cpus-per-trial is 0, but must be greater than 0']
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        for fault in error.errors():
            field = str(fault["loc"][0])
            option = (names or {}).get(field, field).replace("_", "-")
            rule = str(fault["msg"]).removeprefix("Input should be ")
            faults.append(f"--{option} is {fault['input']!r}, but must be {rule}")
        return None
