"""The JSON Schema of suite files: what the models say, with the names that there are and each runtime's options."""

from __future__ import annotations

from typing import Any

from bench.asked_limits import MEASURABLE
from bench.suite import registered_options_model, registered_runtimes
from bench.suite_file import SuiteFile
from workloads.fields import Parameter
from workloads.json_types import TEXT, JsonSchema, one_name_of, one_of, one_or_more, size
from workloads.loader import Catalogue
from workloads.model import Workload
from workloads.schema import headed, model_schema

_PATH: JsonSchema = TEXT | {"pattern": r"/|\.ya?ml$", "examples": ["./mine.yaml"]}


def suite_schema(catalogue: Catalogue) -> JsonSchema:
    """The schema of suite files that name workloads of ``catalogue``.

    Raises:
        InvalidInput: a workload's file is wrong.
    """
    workloads = catalogue.workloads()
    made = model_schema(SuiteFile)
    definitions: dict[str, JsonSchema] = made["$defs"]
    _describe_override(definitions)
    _add_runtimes(definitions)
    _add_workloads(definitions, workloads)
    made["properties"]["workloads"] |= {
        "items": one_of({"$ref": "#/$defs/WorkloadName"}, {"$ref": "#/$defs/UseFile"}, {"$ref": "#/$defs/TaggedFile"})
    }
    return headed(made, "A suite")


def _describe_override(definitions: dict[str, JsonSchema]) -> None:
    """An arm's limits are the suite's, with the same words."""
    common = definitions["LimitsFile"]["properties"]
    for name, schema in definitions["LimitsOverride"]["properties"].items():
        schema["description"] = common[name]["description"]


def _add_runtimes(definitions: dict[str, JsonSchema]) -> None:
    """Which runtimes there are, and for each which further keys an arm may have."""
    arm = definitions["ArmFile"]
    runtimes = registered_runtimes()
    arm["properties"]["runtime"]["enum"] = list(runtimes)
    arm["allOf"] = []
    for runtime in runtimes:
        options = model_schema(registered_options_model(runtime))
        definitions |= options.pop("$defs", {})
        name = f"options.{runtime}"
        options["properties"] = dict.fromkeys(arm["properties"], True) | options.get("properties", {})
        definitions[name] = options
        arm["allOf"].append(_if_is("runtime", {"const": runtime}, {"$ref": f"#/$defs/{name}"}))


def _add_workloads(definitions: dict[str, JsonSchema], workloads: dict[str, Workload]) -> None:
    """Which workloads and tags there are, and the parameters of each workload."""
    name = one_of(one_name_of(*workloads), _PATH)
    definitions["WorkloadName"] = name | {"description": "A workload's name in the catalogue, or the path of its file."}
    use, tagged = definitions["UseFile"], definitions["TaggedFile"]
    # What editors offer to fill in.
    use["title"], tagged["title"] = "one workload", "all workloads with a tag"
    use["properties"]["workload"] = {"$ref": "#/$defs/WorkloadName"}
    beside = definitions["BesideFile"]
    beside["title"] = "a neighbour"
    beside["properties"]["workload"] = {"$ref": "#/$defs/WorkloadName"}
    beside["allOf"] = []
    # A bare name stands for a mapping that has nothing else.
    use["properties"]["beside"]["items"] = one_of({"$ref": "#/$defs/WorkloadName"}, {"$ref": "#/$defs/BesideFile"})
    use["properties"]["limit"]["propertyNames"] = {"enum": list(MEASURABLE)}
    use["allOf"] = []
    for each in workloads.values():
        params = f"parameters.{each.name}"
        definitions[params] = _params_schema(each)
        then = {"properties": {"params": {"$ref": f"#/$defs/{params}"}}}
        use["allOf"].append(_if_is("workload", one_name_of(each.name), then))
        # That a neighbour has one value each, its own schema says.
        beside["allOf"].append(_if_is("workload", one_name_of(each.name), then))
    tags = sorted({tag for each in workloads.values() for tag in each.tags})
    tagged["properties"]["tag"]["enum"] = tags
    tagged["properties"]["except"]["items"] = one_name_of(*workloads)
    parameters = sorted({parameter for each in workloads.values() for parameter in each.parameters})
    tagged["properties"]["params"]["propertyNames"] = {"enum": parameters}


def _if_is(key: str, value: JsonSchema, then: JsonSchema) -> JsonSchema:
    return {"if": {"properties": {key: value}, "required": [key]}, "then": then}


def _params_schema(workload: Workload) -> JsonSchema:
    properties = {
        name: one_or_more(_value_schema(parameter))
        | ({"description": parameter.description} if parameter.description else {})
        | {"default": parameter.default}
        for name, parameter in workload.parameters.items()
    }
    return {"description": workload.description, "properties": properties, "additionalProperties": False}


def _value_schema(parameter: Parameter) -> JsonSchema:
    """What one value of a parameter can be; of sizes, their bounds are left out."""
    if parameter.choices:
        return {"enum": list(parameter.choices)}
    if parameter.type == "size":
        return size()
    kinds: dict[type, Any] = {bool: "boolean", int: "integer", float: "number", str: "string"}
    bounds = {"minimum": parameter.min, "maximum": parameter.max}
    return {"type": kinds[type(parameter.default)]} | {key: each for key, each in bounds.items() if each is not None}
