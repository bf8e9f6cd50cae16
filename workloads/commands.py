"""Commands as workload files have them, and as they are run: argument lists, never glued into a string for a shell."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from workloads.document import InvalidValue
from workloads.fields import MAX_VALUE_BYTES
from workloads.json_types import TEXT, one_of

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
"""What stands for a value in an argument."""

MAX_ARGUMENTS = 1000

MAX_BYTES = 128 * 2**10
"""Bytes that a command may have, with all values put in: what Linux takes for one argument (MAX_ARG_STRLEN in
linux/binfmts.h)."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command as a workload file has it: arguments with placeholders, or text for a shell, which has none."""

    arguments: tuple[str, ...] = ()
    shell: str | None = None

    def placeholders(self) -> list[tuple[int, str]]:
        """Index of the argument and name, for every placeholder."""
        return [(index, name) for index, text in enumerate(self.arguments) for name in PLACEHOLDER.findall(text)]

    def most_bytes(self, names: Collection[str]) -> int:
        """Bytes of the argument vector at the most, each with its end, if ``names`` are what has values."""
        values = len(names) if self.shell is not None else len(self.placeholders())
        return sum(len(text.encode()) + 1 for text in self.render(dict.fromkeys(names, ""))) + values * MAX_VALUE_BYTES

    def render(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """The argument vector.

        Each argument stays one argument, whatever is put into it. A shell gets ``values`` as environment variables, and
        ends at one that is not set: a misspelt name would otherwise measure something else.
        """
        if self.shell is not None:
            settings = (f"{name}={value}" for name, value in values.items())
            return ("/usr/bin/env", *settings, "/bin/sh", "-euc", self.shell)
        return tuple(PLACEHOLDER.sub(lambda found: values[found[1]], text) for text in self.arguments)


_NUL = "no command can hold the character NUL"


def _command_line(value: object) -> CommandLine:
    if isinstance(value, dict) and list(value) == ["shell"] and isinstance(value["shell"], str):
        if "\0" in value["shell"]:
            raise InvalidValue(_NUL, "shell")
        return CommandLine(shell=value["shell"])
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of arguments, or a mapping with the one key 'shell'")
    for index, argument in enumerate(value):
        if not isinstance(argument, str):
            raise InvalidValue("an argument is text; put it in quotes", index)
        if "\0" in argument:
            raise InvalidValue(_NUL, index)
    if not value[0] or PLACEHOLDER.search(value[0]):
        raise InvalidValue("expected the program, which is neither empty nor a parameter", 0)
    if len(value) > MAX_ARGUMENTS:
        raise ValueError(f"{len(value)} arguments; at most {MAX_ARGUMENTS} are possible")
    return CommandLine(tuple(value))


def _as_in_a_file(command: CommandLine) -> list[str] | dict[str, str]:
    return list(command.arguments) if command.shell is None else {"shell": command.shell}


_SCHEMA = one_of(
    {"type": "array", "items": TEXT, "minItems": 1, "maxItems": MAX_ARGUMENTS},
    {"type": "object", "properties": {"shell": TEXT}, "required": ["shell"], "additionalProperties": False},
)

Command = Annotated[CommandLine, PlainValidator(_command_line), PlainSerializer(_as_in_a_file), WithJsonSchema(_SCHEMA)]
"""A field that is a command: a list of arguments, or a mapping with the one key ``shell``."""


@dataclass(frozen=True, slots=True)
class Commands:
    """What one trial runs, ready to be executed.

    Attributes:
        prepare: commands before everything else, in the instance, one after the other.
        server: to be started in the instance and to be stopped in the end, or None.
        load: commands once the server is ready, where ``run`` is executed.
        warmup: commands after those.
        run: the measured command, in the instance or the peer, or None where starting the instance is all there is.
        timeout: seconds that each of these may take, but for the server.
    """

    prepare: tuple[tuple[str, ...], ...]
    server: tuple[str, ...] | None
    load: tuple[tuple[str, ...], ...]
    warmup: tuple[tuple[str, ...], ...]
    run: tuple[str, ...] | None
    timeout: float
