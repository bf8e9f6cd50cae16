"""Parameters of workloads, and the kinds of field that workload and suite files share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from workloads.document import InvalidValue
from workloads.errors import expected
from workloads.json_types import DURATION, SCALAR, TEXT, one_of, size
from workloads.units import format_size, parse_duration, parse_size

Scalar = str | int | float | bool
"""What one parameter can be."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
"""Names of suites, arms and workloads: they become parts of file names."""

MAX_SECONDS = 30 * 86400.0
"""The longest that anything in a workload may take: more is a slip."""

_MAX_CHARACTERS = 255
MAX_VALUE_BYTES = 4 * _MAX_CHARACTERS
"""Bytes that a parameter's value may have as an argument."""

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


def check_name(name: object) -> str:
    """``name`` if it can be the name of a suite, an arm or a workload; ValueError otherwise."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            "a name has at most 32 small letters, digits, '.', '_' and '-', and starts with a letter or digit"
        )
    return name


def check_scalar(value: object) -> Scalar:
    """``value`` if one parameter can be that; ValueError otherwise.

    Text goes into argument lists, and into the ``k=v,k=v`` of exported data, so neither may be broken by it.
    """
    if isinstance(value, str):
        if not value.isprintable() or set(value) & set(",="):
            raise ValueError(f"{value!r}: a parameter's text has no ',', no '=' and no control characters")
        if len(value) > _MAX_CHARACTERS:
            raise ValueError(f"a parameter's text has at most {_MAX_CHARACTERS} characters, got {len(value)}")
        return value
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("expected a whole number of at most 64 bits")
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError("expected text, a number, or true or false")


def format_scalar(value: Scalar) -> str:
    """``value`` as a file has it, and as a command gets it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _identifier(name: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError("expected small letters, digits and '_', with a letter first")
    return name


def _regex(text: object) -> str:
    return _expression(text, re.compile)


def _bytes_regex(text: object) -> str:
    return _expression(text, lambda known: re.compile(known.encode()))


def _expression(text: object, compile_text: Callable[[str], object]) -> str:
    if not isinstance(text, str):
        raise ValueError("expected a regular expression in quotes")  # noqa: TRY004 - pydantic wants a ValueError
    try:
        compile_text(text)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


def _timeout(value: object) -> float:
    seconds = parse_duration(value)
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"expected more than no time and at most {MAX_SECONDS / 3600:g}h")
    return seconds


def _bound(value: object) -> float:
    if isinstance(value, str):
        return float(parse_size(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError("expected a number or a size such as 4k")


Name = Annotated[str, BeforeValidator(check_name), WithJsonSchema(TEXT | {"pattern": f"^{NAME.pattern}$"})]
Identifier = Annotated[str, AfterValidator(_identifier), WithJsonSchema(TEXT | {"pattern": f"^{_IDENTIFIER.pattern}$"})]
Regex = Annotated[str, PlainValidator(_regex), WithJsonSchema(TEXT)]
BytesRegex = Annotated[str, PlainValidator(_bytes_regex), WithJsonSchema(TEXT)]
Duration = Annotated[float, PlainValidator(parse_duration), WithJsonSchema(DURATION)]
Timeout = Annotated[float, PlainValidator(_timeout), WithJsonSchema(DURATION)]
ScalarField = Annotated[Scalar, PlainValidator(check_scalar), WithJsonSchema(SCALAR)]
_Bound = Annotated[float, PlainValidator(_bound), WithJsonSchema(one_of({"type": "number"}, size()))]


class Part(BaseModel):
    """Base of everything in a workload file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Parameter(Part):
    """One parameter.

    Attributes:
        default: its value where a suite gives none; its type is the parameter's type.
        description: what it means, with its unit.
        type: ``size`` where the tool takes text such as ``4k``: checked, and handed over in its shortest form.
        min: the least value, for numbers and sizes.
        max: the greatest.
        choices: all the values there are.
    """

    default: ScalarField
    description: str = ""
    type: Literal["size"] | None = None
    min: _Bound | None = None
    max: _Bound | None = None
    choices: tuple[ScalarField, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Parameter:
        if isinstance(self.default, str | bool) and self.type is None and (self.min, self.max) != (None, None):
            raise ValueError("min and max are for numbers and for 'type: size'")
        try:
            self.check(self.default)
        except ValueError as error:
            raise InvalidValue(str(error), "default") from None
        return self

    def check(self, value: Scalar) -> Scalar:
        """``value`` as the tool gets it; ValueError, saying what was expected, if it cannot be that."""
        check_scalar(value)
        if self.type == "size":
            size = parse_size(value)
            self._check_range(size, value)
            return format_size(size)
        kind = type(self.default)
        alike = type(value) is kind or (kind is float and type(value) is int)
        if not alike:
            names = {str: "text (quote it)", int: "a whole number", float: "a number", bool: "true or false"}
            raise ValueError(f"expected {names[kind]}, got {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"'{value}': {expected(str(value), map(str, self.choices))}")
        if isinstance(value, int | float):
            self._check_range(value, value)
        return value

    def from_text(self, text: str) -> Scalar:
        """The value that ``text`` stands for where there are no quotes, as on a command line; it is not checked."""
        read: dict[type, Callable[[str], Scalar]] = {
            bool: {"true": True, "false": False}.__getitem__,
            int: int,
            float: float,
        }
        try:
            return read.get(type(self.default), str)(text)
        except (KeyError, ValueError):
            return text

    def _check_range(self, number: float, shown: Scalar) -> None:
        if self.min is not None and number < self.min:
            raise ValueError(f"{shown} is too small; the least is {self.min:g}")
        if self.max is not None and number > self.max:
            raise ValueError(f"{shown} is too large; the greatest is {self.max:g}")
