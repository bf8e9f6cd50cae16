"""The JSON Schemas of suite and workload files: what is right is taken, slips are refused, the copies are fresh."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bench.cli import run_command_line
from bench.suite import SUITES, registered_options_model, registered_runtimes, shipped_suites
from bench.suite_file import ArmFile, LimitsFile, SuiteFile
from bench.suite_schema import suite_schema
from workloads.document import parse_document, read_document
from workloads.fields import Parameter
from workloads.loader import CATALOGUE, load_catalogue, load_workload, open_catalogue, workload_names
from workloads.model import Metric, Workload
from workloads.schema import documented, workload_schema

ROOT = Path(__file__).parents[2]
SUITE = Draft202012Validator(suite_schema(open_catalogue()))
WORKLOAD = Draft202012Validator(workload_schema())

GOOD = """\
name: good
baseline: bare
limits: {cpus: 50%, memory: 512M, cpuset: '0-3', io: {read_bytes: 10M, read_ops: 5}, net: 100Mbit, pids: ~}
timeouts: {start: 30s}
arms:
  bare: {runtime: native}
  box: {runtime: container, network: none, limits: {memory: ~, net: {ingress: 1Gbit}}}
  guest: {runtime: vm, accel: tcg, vcpus: 2, topology: {cores: 2}, timeouts: {stop: 1m}}
workloads:
  - null
  - ./mine.yaml
  - workload: fio
    params: {rw: [randread, write], bs: 4k, iodepth: 4}
    limit: {io.read_ops: iops}
  - {tag: memory, except: [null], params: {runtime: 1}}
sampling: {blocks: 3, seed: 1, time_budget: 10m}
"""

MINE = """\
name: mine
description: A workload.
tags: [cpu]
packages: [tool]
parameters: {n: {default: 1, min: 1, max: 8}, size: {default: 4k, type: size, max: 1M}}
scratch: "{size}"
server: {command: [serve], ready: {port: 80}, timeout: 5s}
prepare: [{shell: "true"}]
run: [tool, "{n}"]
timeout: 10m
parser: json
metrics:
  rate: {unit: 1/s, better: higher, primary: true, path: $.rate, factor: 0.5}
  price: {unit: s, better: lower, host_cpu_per: rate}
quick: {n: 2}
"""


def problems(validator: Draft202012Validator, data: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data)]


def as_others_read_it(data: object) -> object:
    """In YAML as editors read it, the word null is nothing."""
    return json.loads(json.dumps(data).replace('"null"', "null"))


@pytest.mark.parametrize("validator", [SUITE, WORKLOAD], ids=["suite", "workload"])
def test_a_schema_is_one_of_the_draft_it_names(validator: Draft202012Validator) -> None:
    assert validator.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(validator.schema)
    definitions = validator.schema["$defs"]
    for reference in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(validator.schema)):
        assert reference in definitions
        assert re.fullmatch(r"[A-Za-z0-9._-]+", reference)


@pytest.mark.parametrize("name", shipped_suites())
def test_every_shipped_suite_is_taken(name: str) -> None:
    data = read_document(SUITES / f"{name}.yaml").data
    assert problems(SUITE, data) == problems(SUITE, as_others_read_it(data)) == []


@pytest.mark.parametrize("name", workload_names())
def test_every_shipped_workload_is_taken(name: str) -> None:
    data = read_document(CATALOGUE / f"{name}.yaml").data
    assert problems(WORKLOAD, data) == problems(WORKLOAD, as_others_read_it(data)) == []


def test_every_example_of_the_guide_is_taken() -> None:
    guide = (ROOT / "docs" / "writing-a-suite.md").read_text()
    examples = re.findall(r"^```yaml\n(name: .*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 11
    for example in examples:
        validator = SUITE if "\narms:\n" in example else WORKLOAD
        assert problems(validator, parse_document(example, "guide").data) == []


def test_what_can_be_said_is_taken() -> None:
    assert problems(SUITE, parse_document(GOOD, "s.yaml").data) == []
    assert problems(WORKLOAD, parse_document(MINE, "w.yaml").data) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("memory: 512M", "memry: 512M", "$.limits"),
        ("memory: 512M", "memory: 512X", "$.limits.memory"),
        ("memory: 512M", "memory: 512", "$.limits.memory"),
        ("cpus: 50%", "cpus: 0%", "$.limits.cpus"),
        ("cpus: 50%", "cpus: 101%", "$.limits.cpus"),
        ("cpus: 50%", "cpus: '1'", "$.limits.cpus"),
        ("cpus: 50%, ", "", "$.limits"),
        ("net: 100Mbit", "net: 100", "$.limits.net"),
        ("start: 30s", "start: 30", "$.timeouts.start"),
        ("runtime: native", "runtime: natif", "$.arms.bare.runtime"),
        ("runtime: native", "network: none", "$.arms.bare"),
        ("runtime: native", "runtime: native, network: none", "$.arms.bare"),
        ("accel: tcg", "acel: tcg", "$.arms.guest"),
        ("accel: tcg", "accel: tcq", "$.arms.guest.accel"),
        ("vcpus: 2", "vcpus: 0", "$.arms.guest.vcpus"),
        ("  bare:", "  Bare:", "$.arms"),
        ("- null", "- nul", "$.workloads[0]"),
        ("workload: fio", "workload: foi", "$.workloads[2]"),
        ("params: {rw", "parms: {rw", "$.workloads[2]"),
        ("bs: 4k", "sb: 4k", "$.workloads[2]"),
        ("bs: 4k", "bs: []", "$.workloads[2]"),
        ("[randread, write]", "[randread, wride]", "$.workloads[2]"),
        ("iodepth: 4", "iodepth: 0", "$.workloads[2]"),
        ("io.read_ops: iops", "io.reads: iops", "$.workloads[2]"),
        ("tag: memory", "tag: memroy", "$.workloads[3]"),
        ("except: [null]", "except: [nil]", "$.workloads[3]"),
        ("params: {runtime: 1}}", "params: {no_such: 1}}", "$.workloads[3]"),
        ("blocks: 3", "blocks: 0", "$.sampling.blocks"),
        ("blocks: 3", "block: 3", "$.sampling"),
        ("10m", "10d", "$.sampling.time_budget"),
        ("baseline: bare\n", "", "$"),
        ("name: good", "name: Good Suite", "$.name"),
    ],
)
def test_a_slip_in_a_suite_is_refused_where_it_stands(old: str, new: str, where: str) -> None:
    assert old in GOOD
    found = problems(SUITE, parse_document(GOOD.replace(old, new, 1), "s.yaml").data)
    assert {problem.partition(": ")[0] for problem in found} == {where}


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("parser: json", "parser: jason", "$.parser"),
        ("packages: [tool]", "package: [tool]", "$"),
        ("packages: [tool]", "packages: tool", "$.packages"),
        ("packages: [tool]", "packages: [To ol]", "$.packages[0]"),
        ('[tool, "{n}"]', "tool -n 5", "$.run"),
        ('[tool, "{n}"]', "[tool, 5]", "$.run"),
        ("better: lower", "better: less", "$.metrics.price.better"),
        ("path: $.rate", "pattern: rate", "$.metrics.rate"),
        ("timeout: 10m", "timeout: 600", "$.timeout"),
        ('scratch: "{size}"', "scratch: large", "$.scratch"),
        ("default: 1, ", "", "$.parameters.n"),
        ("type: size", "type: bytes", "$.parameters.size.type"),
        ("port: 80", "port: 0", "$.server"),
        ("description: A workload.\n", "", "$"),
    ],
)
def test_a_slip_in_a_workload_is_refused_where_it_stands(old: str, new: str, where: str) -> None:
    assert old in MINE
    found = problems(WORKLOAD, parse_document(MINE.replace(old, new, 1), "w.yaml").data)
    assert {problem.partition(": ")[0] for problem in found} == {where}


def test_ones_own_workloads_are_names_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    assert run_command_line(["schema", "suite", "--workloads", str(tmp_path)]) == 0
    own = Draft202012Validator(json.loads(capsys.readouterr().out))
    text = GOOD.replace("- null", "- {workload: mine, params: {n: [1, 2]}}")
    assert problems(own, parse_document(text, "s.yaml").data) == []
    assert problems(SUITE, parse_document(text, "s.yaml").data) != []
    assert problems(own, parse_document(text.replace("[1, 2]", "9"), "s.yaml").data) != []


def test_every_key_has_words_for_whoever_points_at_it() -> None:
    definitions = SUITE.schema["$defs"]
    for model in (SuiteFile, LimitsFile, ArmFile):
        properties = (SUITE.schema if model is SuiteFile else definitions[model.__name__])["properties"]
        assert all(part["description"] for part in properties.values()), model
    assert {part["description"] for part in definitions["LimitsOverride"]["properties"].values()}
    for runtime in registered_runtimes():
        options = registered_options_model(runtime)
        properties = definitions[f"options.{runtime}"]["properties"]
        assert all(properties[name]["description"] for name in options.model_fields), runtime
    for model in (Workload, Metric, Parameter):
        assert documented(model)[1].keys() == model.model_fields.keys()
    rw = definitions["parameters.fio"]["properties"]["rw"]
    assert rw["description"] == load_workload("fio").parameters["rw"].description
    assert WORKLOAD.schema["properties"]["timeout"]["default"] == "10m"


@pytest.mark.parametrize("what", ["suite", "workload"])
def test_the_copy_in_the_documentation_is_fresh(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["schema", what]) == 0
    message = "run 'make docs'"
    assert (ROOT / "docs" / "schema" / f"{what}.json").read_text() == capsys.readouterr().out, message


def test_defaults_are_what_the_schema_itself_would_take() -> None:
    for workload in load_catalogue().values():
        params = SUITE.schema["$defs"][f"parameters.{workload.name}"]
        for name, part in params["properties"].items():
            assert Draft202012Validator(part).is_valid(part["default"]), (workload.name, name)
