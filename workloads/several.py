"""What a workload says of trials with several instances, and fields that are a value or a parameter in braces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from workloads.commands import PLACEHOLDER
from workloads.document import InvalidValue
from workloads.fields import Part, Scalar
from workloads.json_types import TEXT, one_of, size
from workloads.units import parse_size

MAX_INSTANCES = 1024
"""The most instances that one trial starts."""

PLACEHOLDER_SCHEMA = TEXT | {"pattern": f"^{PLACEHOLDER.pattern}$"}


def _instances(value: object) -> int | str:
    if isinstance(value, str) and PLACEHOLDER.fullmatch(value):
        return value
    if type(value) is not int or not 2 <= value <= MAX_INSTANCES:
        raise ValueError(f"expected a whole number from 2 to {MAX_INSTANCES}, or a parameter in braces")
    return value


def _size(value: object) -> int | str:
    if isinstance(value, str) and PLACEHOLDER.fullmatch(value):
        return value
    return parse_size(value)


SizeOrParameter = Annotated[int | str, PlainValidator(_size), WithJsonSchema(one_of(size(), PLACEHOLDER_SCHEMA))]
"""A size in bytes, or a parameter in braces that says it."""

InstancesOrParameter = Annotated[
    int | str,
    PlainValidator(_instances),
    WithJsonSchema(one_of({"type": "integer", "minimum": 2, "maximum": MAX_INSTANCES}, PLACEHOLDER_SCHEMA)),
]
"""A number of instances, or a parameter in braces that says it."""


class Density(Part):
    """How many instances are started one after the other, all of which stay.

    Attributes:
        instances: the most, or a parameter in braces that says so.
        reserve: bytes of the host's available memory that are left to others, or a parameter in braces that says so.
    """

    instances: InstancesOrParameter
    reserve: SizeOrParameter

    def crowd(self, params: Mapping[str, Scalar]) -> Crowd:
        """What it comes to with the values of parameters.

        Raises:
            InvalidValue: a value cannot be that; located by the parameter's name.
        """
        return Crowd(instance_count(self.instances, params), size_in_bytes(self.reserve, params))


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a :class:`Density` comes to with the values of parameters.

    Attributes:
        most: instances at the most.
        reserve: bytes of the host's available memory that are left to others.
    """

    most: int
    reserve: int


def instance_count(value: int | str, params: Mapping[str, Scalar]) -> int:
    """A number of instances, with the values of parameters.

    Raises:
        InvalidValue: the parameter's value cannot be that; located by its name.
    """
    if isinstance(value, int):
        return value
    name = value[1:-1]
    try:
        return int(_instances(params[name]))
    except ValueError as error:
        raise InvalidValue(str(error), name) from None


def size_in_bytes(value: int | str, params: Mapping[str, Scalar]) -> int:
    """A size, with the values of parameters, which have been checked."""
    return parse_size(params[value[1:-1]]) if isinstance(value, str) else value
