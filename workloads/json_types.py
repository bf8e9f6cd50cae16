"""What the fields that read their values themselves take, as JSON Schema has it; for pydantic's ``WithJsonSchema``."""

from __future__ import annotations

from typing import Any

JsonSchema = dict[str, Any]

_NUMBER = r"[0-9]{1,20}(\.[0-9]{1,9})?"

TEXT: JsonSchema = {"type": "string"}
SCALAR: JsonSchema = {"type": ["string", "number", "boolean"]}
DURATION: JsonSchema = {"type": "string", "pattern": rf"^{_NUMBER}\s?(ms|s|m|h)$", "examples": ["30s", "10m", "500ms"]}
BANDWIDTH: JsonSchema = {
    "type": "string",
    "pattern": rf"^{_NUMBER}\s?[kKmMgGtT]?[bB][iI][tT]$",
    "examples": ["100Mbit", "1Gbit"],
}
SHARE: JsonSchema = {
    "type": "string",
    "pattern": r"^(?!0+(\.0+)?\s?%)([0-9]{1,2}(\.[0-9]{1,9})?|100(\.0{1,9})?)\s?%$",
    "examples": ["50%"],
}


def size(least: int = 0) -> JsonSchema:
    """A size as text, or as a number of bytes that is not below ``least``."""
    text = {"type": "string", "pattern": rf"^{_NUMBER}\s?[kKmMgGtT]?$", "examples": ["512M", "4k", "1G"]}
    return one_of({"type": "integer", "minimum": least}, text)


def one_of(*schemas: JsonSchema) -> JsonSchema:
    """Any one of several."""
    flat = [each for schema in schemas for each in (schema["anyOf"] if list(schema) == ["anyOf"] else [schema])]
    return {"anyOf": flat}


def one_or_more(schema: JsonSchema) -> JsonSchema:
    """One value, or a list of at least one."""
    return one_of(schema, {"type": "array", "items": schema, "minItems": 1})


def one_name_of(*known: str) -> JsonSchema:
    """One of these names; where ``null`` is one, also nothing, which is what others than we read in YAML for it."""
    return {"enum": [*known, *([None] if "null" in known else [])]}
