"""JSON Schemas of files, made from the models that check them, for editors: completion, and words for each key.

Descriptions are those of the models' docstrings: a class's summary, and what it says of each attribute.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from workloads.json_types import SHARE, JsonSchema, one_name_of, one_of
from workloads.model import Metric, Workload
from workloads.units import format_duration, format_share

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ENTRY = re.compile(r"^    (\w+): ((?:.+\n?)(?:^ {8}.+\n?)*)", re.MULTILINE)


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, with the words of docstrings, and without titles that only repeat a key."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 - as pydantic has it
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        summary, attributes = documented(model)
        made.pop("title", None)
        made["description"] = summary
        for name, field in model.model_fields.items():
            if name in attributes:
                made["properties"][field.alias or name]["description"] = attributes[name]
        return made


def model_schema(model: type[BaseModel]) -> JsonSchema:
    """The schema of what ``model`` validates; one's own to change.

    Defaults are as a file would have them; those that are nothing, or a whole mapping of defaults, are left out. A name
    that does not look like those that are asked for is refused.
    """
    made: JsonSchema = model.model_json_schema(schema_generator=_Generator)
    for part in _schemas(made):
        if "patternProperties" in part:
            part["additionalProperties"] = False
        default = part.get("default")
        if "default" in part and (default is None or isinstance(default, dict | list) or default == ""):
            del part["default"]
        elif part.get("type") == "string" and isinstance(default, int | float):
            part["default"] = _as_text(default, part)
    return made


def _as_text(default: float, part: JsonSchema) -> str:
    """A default as a file would have it; of all text that stands for a number, only shares and durations have one."""
    is_share = part.get("pattern") == SHARE["pattern"]
    return format_share(default) if is_share else format_duration(default)


def documented(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """What a model's docstring says in sum, and of each attribute; in Markdown."""
    summary, _, rest = (inspect.getdoc(model) or "").partition("\n\nAttributes:\n")
    attributes = {name: _plain(text) for name, text in _ENTRY.findall(rest)}
    return _plain(summary.partition("\n\n")[0]), attributes


def workload_schema() -> JsonSchema:
    """The schema of workload files."""
    made = model_schema(Workload)
    name = made["properties"]["name"]
    made["properties"]["name"] = one_of({key: name[key] for key in ("type", "pattern")}, one_name_of("null"))
    made["properties"]["name"]["description"] = name["description"]
    price = {"required": ["host_cpu_per"]}
    made["allOf"] = [
        {
            "if": {"properties": {"parser": {"const": parser}}, "required": ["parser"]},
            "then": {
                "properties": {"metrics": {"additionalProperties": {"anyOf": [{"required": [key]}, price]}}},
            },
        }
        for parser, key in Metric.KEYS.items()
    ]
    return headed(made, "A workload")


def headed(made: JsonSchema, title: str) -> JsonSchema:
    """The schema as a document of its own."""
    return {"$schema": DIALECT, "title": title, **made}


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _schemas(value: object) -> Iterator[JsonSchema]:
    """Every schema in ``value``, from the outermost to the innermost; what only has schemas by name is none."""
    if isinstance(value, list):
        for inner in value:
            yield from _schemas(inner)
    if isinstance(value, dict):
        yield value
        for key, inner in value.items():
            for each in inner.values() if key in ("properties", "patternProperties", "$defs") else [inner]:
                yield from _schemas(each)
