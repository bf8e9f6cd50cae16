"""YAML documents that know where everything in them stands, and validation that says so.

A document is composed by PyYAML's safe loader and turned into plain data here, so that every value keeps its line and
column. Scalars are read as YAML 1.2 reads them, but for one word: ``null`` is text, since it is the name of a workload.
So ``no`` and ``1:30`` are text too, and an absent value is an empty one or ``~``. Keys are text, each only once.
Aliases and merge keys work; the size, the depth and the number of values after aliases are bounded.

The mistakes that pydantic finds become one :class:`InvalidInput` with one line a mistake, in the order of the file:

    suite.yaml:4:21: limits.memry: unknown key; expected one of cpus, cpuset, memory; did you mean 'memory'?
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from workloads.errors import InvalidInput

MAX_BYTES = 2**20
MAX_DEPTH = 50
MAX_VALUES = 50_000

Location = tuple[str | int, ...]
"""Keys and indices from the top of a document down to one value."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class Position(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


class InvalidValue(ValueError):  # noqa: N818 - a ValueError that pydantic carries on
    """A mistake found by a model's own check, which may stand deeper than the model: at ``location`` below it.

    Attributes:
        location: keys and indices from the checked value down to the wrong one.
        at_key: the mistake is the key itself, not its value.
    """

    def __init__(self, message: str, *location: str | int, at_key: bool = False) -> None:
        super().__init__(message)
        self.location: Location = location
        self.at_key = at_key


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it stands and the whole line that says so."""

    position: Position
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    Attributes:
        source: the file's name, as the user gave it.
        data: dictionaries, lists, text, numbers, booleans and None.
        values: where each value stands.
        keys: where the key of each value in a mapping stands.
    """

    source: str
    data: Any
    values: Mapping[Location, Position]
    keys: Mapping[Location, Position]

    def problem(self, location: Location, message: str, *, at_key: bool = False) -> Problem:
        """A mistake at ``location``, or at the nearest enclosing value where the document has no such location."""
        return Problem(self._position(location, at_key), f"{self.place(location, at_key=at_key)}: {message}")

    def place(self, location: Location, *, at_key: bool = False) -> str:
        """``FILE:LINE:COLUMN: path.to[0].value``, as every message about ``location`` begins."""
        position = self._position(location, at_key)
        named = _path(location)
        return f"{self.source}:{position.line}:{position.column}{f': {named}' if named else ''}"

    def _position(self, location: Location, at_key: bool) -> Position:
        place = location
        while place not in self.values:
            place = place[:-1]
        return self.keys[place] if at_key and place in self.keys else self.values[place]

    def at(self, location: Location) -> Any:  # noqa: ANN401 - as loose as the file
        """The data at ``location``, which exists."""
        found = self.data
        for step in location:
            found = found[step]
        return found


def read_document(path: Path) -> Document:
    """Read the file ``path``.

    Raises:
        InvalidInput: it cannot be read, is too large, is no UTF-8, or is no YAML that this module accepts.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise InvalidInput(f"{str(path)!r}: cannot be read: this cannot be the name of a file") from None
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"{path}: larger than {MAX_BYTES // 2**20} MiB, so it is no suite and no workload")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise InvalidInput(f"{path}:{line}:{column}: not UTF-8 text") from None
    return parse_document(text, str(path))


def parse_document(text: str, source: str) -> Document:
    """Turn the YAML ``text`` into a document; ``source`` names it in messages.

    Raises:
        InvalidInput: as for :func:`read_document`.
    """
    try:
        root = _Composer(text).get_single_node()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        position = Position(before.count("\n") + 1, error.position - before.rfind("\n"))
        raise _syntax_error(
            source, position, f"the character U+{ord(text[error.position]):04X} is not allowed"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        context = f" ({error.context})" if error.context else ""
        raise _syntax_error(source, position, f"{error.problem}{context}") from None
    if root is None:
        raise _syntax_error(source, Position(1, 1), "the document is empty")
    return _Builder(source).build(root)


def check(
    document: Document, model: type[ModelT], at: Location = (), also: Collection[str] = ()
) -> tuple[ModelT | None, list[Problem]]:
    """Validate what stands at ``at``; return the model, or None and what is wrong with it.

    Checks of the model find, as ``directory`` in their context, the one that relative paths in the document start from.

    Args:
        document: the document.
        model: what it should be.
        at: where the value stands.
        also: keys of the mapping at ``at`` that someone else reads: left out here, but named among the known ones.
    """
    data = document.at(at)
    if also:
        data = {key: value for key, value in data.items() if key not in also}
    try:
        return model.model_validate(data, context={"directory": Path(document.source).parent}), []
    except ValidationError as error:
        from workloads.explain import explain

        return None, explain(document, model, at, error, also)


def validate(document: Document, model: type[ModelT]) -> ModelT:
    """The whole document as ``model``.

    Raises:
        InvalidInput: one line for each mistake, in the order of the file.
    """
    validated, problems = check(document, model)
    if validated is None:
        raise invalid(problems)
    return validated


def invalid(problems: Iterable[Problem]) -> InvalidInput:
    """One error out of several mistakes, in the order of the file."""
    ordered = sorted(problems, key=lambda problem: problem.position)
    return InvalidInput("\n".join(dict.fromkeys(problem.text for problem in ordered)))


def dump_document(data: object) -> str:
    """``data`` as YAML text that :func:`parse_document` reads back as the same, and that reads the same as YAML 1.1."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _path(location: Location) -> str:
    """``limits.memory`` or ``workloads[1].params``, indices from 0 as in every tool that reads YAML by path."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _syntax_error(source: str, position: Position, message: str) -> InvalidInput:
    return InvalidInput(f"{source}:{position.line}:{position.column}: {message}")


class _Composer(yaml.SafeLoader):
    """Composes nodes with the scalars of YAML 1.2 (its core schema, https://yaml.org/spec/1.2.2/#103-core-schema)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape
    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_TAG = "tag:yaml.org,2002:"
for _name, _pattern, _first in (
    ("null", r"~|", ["~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Composer.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


class _Dumper(yaml.SafeDumper):
    """Writes text in quotes wherever a reader of YAML 1.1 or 1.2 would take it for something else."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> ScalarNode:
    plain = _Composer("").resolve(ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    # PyYAML writes line breaks other than \n as they are, where they are read back as something else.
    style = '"' if not text.isprintable() else None if plain == _TAG + "str" else "'"
    return dumper.represent_scalar(_TAG + "str", text, style=style)


def _represent_absence(dumper: yaml.SafeDumper, _: None) -> ScalarNode:
    return dumper.represent_scalar(_TAG + "null", "~")


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(type(None), _represent_absence)


class _Builder:
    """Turns nodes into data and keeps their positions."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._values: dict[Location, Position] = {}
        self._keys: dict[Location, Position] = {}
        self._count = 0

    def build(self, root: Node) -> Document:
        data = self._value(root, ())
        return Document(self._source, data, self._values, self._keys)

    def _counted(self, node: Node, depth: int) -> None:
        # Aliases let a few lines stand for billions of values, or for a list that holds itself.
        self._count += 1
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            raise self._error(node, f"more than {MAX_VALUES} values or {MAX_DEPTH} levels once aliases are followed")

    def _value(self, node: Node, at: Location) -> Any:  # noqa: ANN401 - as loose as the file
        self._counted(node, len(at))
        self._values[at] = _start(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self._value(item, (*at, index)) for index, item in enumerate(node.value)]
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            data: dict[str, Any] = {}
            self._fill(data, node, at, 0)
            return data
        raise self._error(node, f"the tag {node.tag} is not understood")

    def _fill(self, data: dict[str, Any], node: Node, at: Location, merges: int) -> None:
        """Put into ``data`` what it lacks: the node's own keys first, then those of what is merged into the node."""
        self._counted(node, merges)
        if not isinstance(node, MappingNode):
            raise self._error(node, "<< must be followed by a mapping or by a list of mappings")
        own: dict[str, Node] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                continue
            if not isinstance(key_node, ScalarNode) or key_node.tag != _TAG + "str":
                raise self._error(key_node, "a key must be text; put it in quotes")
            key = self._text(key_node)
            if key in own:
                raise self._error(key_node, f"the key '{key}' stands here twice; first in line {_start(own[key]).line}")
            own[key] = key_node
            if key not in data:
                self._keys[(*at, key)] = _start(key_node)
                data[key] = self._value(value_node, (*at, key))
        for source in merged:
            self._fill(data, source, at, merges + 1)

    def _scalar(self, node: ScalarNode) -> str | int | float | bool | None:
        text = self._text(node)
        try:
            match node.tag.removeprefix(_TAG):
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)
                case "float" if math.isfinite(float(text)):
                    return float(text)
        except (ValueError, KeyError):
            raise self._error(node, f"not a value of the type {node.tag}: '{text[:40]}'") from None
        raise self._error(node, f"the tag {node.tag} is not understood")

    def _text(self, node: ScalarNode) -> str:
        text = str(node.value)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            # Only escapes give one: the reader refuses it in the text itself.
            code = ord(text[error.start])
            raise self._error(node, f"\\u{code:04x} is half of a surrogate pair and no character") from None
        return text

    def _error(self, node: Node, message: str) -> InvalidInput:
        return _syntax_error(self._source, _start(node), message)


def _start(node: Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
