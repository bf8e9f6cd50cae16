"""Turns what pydantic finds wrong into words for someone who has only the file before them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from workloads.document import Document, InvalidValue, Location, Problem
from workloads.errors import expected, nearest

_TYPES = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
}
"""What pydantic's error types expect, where its own words are those of Python rather than of YAML."""

_BOUNDS = {
    "greater_than": "more than {gt:.12g}",
    "greater_than_equal": "{ge:.12g} or more",
    "less_than": "less than {lt:.12g}",
    "less_than_equal": "{le:.12g} or less",
    "too_short": "{min_length} or more entries",
    "string_too_short": "{min_length} or more characters",
}
"""The same for what pydantic says in its own context."""


def explain(
    document: Document, model: type[BaseModel], at: Location, error: ValidationError, also: Collection[str]
) -> list[Problem]:
    """Every mistake in ``error``, found when the data at ``at`` was validated as ``model``, with its place in the file.

    ``also`` are keys that belong beside those of ``model`` itself, to be named among the known ones.
    """
    items: list[dict[str, Any]] = [dict(item) for item in error.errors(include_url=False)]
    # A key written wrongly is one mistake, not an unknown key and a missing one.
    meant = {
        (*item["loc"][:-1], nearest(str(item["loc"][-1]), _keys_at(model, item["loc"][:-1])))
        for item in items
        if item["type"] == "extra_forbidden"
    }
    told = [item for item in items if item["type"] != "missing" or item["loc"] not in meant]
    # Pydantic counts only those entries of a list in which it found nothing wrong.
    told = [item for item in told if item["type"] != "too_short" or not _has_deeper(item["loc"], told)]
    return [_explain_one(document, model, at, item, also) for item in told]


def _has_deeper(at: Location, items: Iterable[Mapping[str, Any]]) -> bool:
    return any(len(item["loc"]) > len(at) and item["loc"][: len(at)] == at for item in items)


def _explain_one(
    document: Document, model: type[BaseModel], at: Location, item: dict[str, Any], also: Collection[str]
) -> Problem:
    found = _follow(document, at, item["loc"])
    match item["type"]:
        case "extra_forbidden":
            known = [*(also if len(item["loc"]) == 1 else ()), *_keys_at(model, item["loc"][:-1])]
            return document.problem(found, f"unknown key; {expected(str(item['loc'][-1]), known)}", at_key=True)
        case "missing":
            return document.problem((*found, item["loc"][-1]), "this key is missing")
        case "value_error":
            cause = item["ctx"]["error"]
            if isinstance(cause, InvalidValue):
                return document.problem((*found, *cause.location), str(cause), at_key=cause.at_key)
            return document.problem(found, str(cause), at_key="[key]" in item["loc"])
        case "literal_error":
            known = re.findall(r"'([^']*)'", item["ctx"]["expected"])
            return document.problem(found, f"{_shown(item['input'])}: {expected(str(item['input']), known)}")
        case kind:
            wanted = _TYPES.get(kind) or _BOUNDS.get(kind, "").format(**item.get("ctx", {}))
            wanted = wanted or item["msg"].removeprefix("Input should be ")
            return document.problem(
                found, f"expected {wanted}, got {_shown(item['input'])}", at_key="[key]" in item["loc"]
            )


def _follow(document: Document, at: Location, steps: Location) -> Location:
    """The location in the document: pydantic's own, less the steps by which it names its types."""
    place = at
    for step in steps:
        if (*place, step) in document.values:
            place = (*place, step)
    return place


def _keys_at(model: type[BaseModel], steps: Location) -> list[str]:
    """Keys that the model reached from ``model`` by ``steps`` knows."""
    annotation: Any = model
    for step in steps:
        annotation = _below(annotation, step)
    reached = _models_in(annotation)
    return [field.alias or name for each in reached for name, field in each.model_fields.items()]


def _below(annotation: Any, step: str | int) -> Any:  # noqa: ANN401 - annotations have no common type
    for model in _models_in(annotation):
        for name, field in model.model_fields.items():
            if step == (field.alias or name):
                return field.annotation
    return _alternative(annotation, step) or annotation


def _alternative(annotation: Any, tag: str | int) -> Any:  # noqa: ANN401 - as above
    """The alternative of a union in ``annotation`` that pydantic calls ``tag``, or None."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated and any(isinstance(each, Tag) and each.tag == tag for each in arguments[1:]):
        return arguments[0]
    return next((found for inner in arguments if (found := _alternative(inner, tag)) is not None), None)


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - as above
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case bool():
            return str(value).lower()
        case str():
            return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}…'"
        case _:
            return str(value)
