"""``--set key=value``: read the pairs, and hold their values equal in all arms."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from ablation.faults import nearest
from ablation.trial import RunTrial, config_type, dotted_names
from search_spaces.space import Level, Levels, Space


def read_settings(pairs: Iterable[str], space: Space, run_trial: RunTrial, faults: list[str]) -> Levels:
    """Read ``key=value`` pairs: JSON values, and what is no JSON is text; what is wrong is added to ``faults``."""
    schema = config_type(run_trial)
    known = dotted_names(schema) if schema is not None else (*space.fixed, *space.nuisance)
    settings: Levels = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            faults.append(f"--set is {pair!r}, but must be key=value")
        elif key in space.factors:
            faults.append(f"--set {key}: a scientific factor is not set but compared; choose its levels with --arms")
        elif key not in known:
            faults.append(f"--set names {key!r}, which is no configuration key; {nearest(key, known)}")
        else:
            settings[key] = _value(text)
            if not _is_finite(settings[key]) and schema is not None and _takes_text(schema, key):
                settings[key] = text  # a name, whatever number it looks like
            elif not _is_finite(settings[key]):
                faults.append(f"--set {key} is {text}, but must be a finite number")
    return settings


def _value(text: str) -> Level:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _takes_text(schema: type[BaseModel], key: str) -> bool:
    annotation: Any = schema
    for part in key.split("."):
        annotation = annotation.model_fields[part].annotation
    try:
        TypeAdapter(annotation).validate_python("nan", strict=True)
    except ValidationError:
        return False
    return True


def _is_finite(value: Level) -> bool:
    """Say numbers that are not finite, also those that a schema would read from text, such as ``inf``."""
    if isinstance(value, str) and value.strip().lstrip("+-").lower() not in ("inf", "infinity", "nan"):
        return True
    try:
        return math.isfinite(float(value))
    except OverflowError:  # a whole number that no float holds
        return False


def with_fixed(space: Space, fixed: Mapping[str, Level]) -> Space:
    """Return the space with values held equal in all arms: a hyperparameter that is set is no longer searched."""
    nuisance = {name: domain for name, domain in space.nuisance.items() if name not in fixed}
    conditions = tuple(
        when.model_copy(update={"drops": tuple(name for name in when.drops if name not in fixed)})
        for when in space.conditions
    )
    points = ({name: value for name, value in point.items() if name not in fixed} for point in space.first_points)
    update = {"nuisance": nuisance, "fixed": {**space.fixed, **fixed}, "conditions": conditions}
    return space.model_copy(update={**update, "first_points": tuple(filter(None, points))})
