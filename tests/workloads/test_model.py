from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.records import HARNESS_METRICS
from runtimes.agent.protocol import Frame, FrameType, encode_spawn
from workloads import model
from workloads.document import InvalidValue, dump_document, parse_document, validate
from workloads.errors import InvalidInput
from workloads.fields import Scalar
from workloads.loader import load_catalogue, load_workload, workload_names
from workloads.model import HOST_VALUES, Workload

BASE = """\
name: mine
description: A workload.
packages: [tool]
parameters:
  depth: {default: 1, min: 1, max: 8}
  size: {default: 4k, type: size, min: 512, max: 1M}
  mode: {default: read, choices: [read, write]}
  seconds: {default: 10}
duration: seconds
scratch: 64M
run: [tool, "--depth={depth}", "{size}", "--mode", "{mode}", "{seconds}", "{scratch}/file"]
parser: regex
metrics:
  rate: {unit: 1/s, better: higher, primary: true, pattern: "rate=([0-9.]+)"}
"""


HOST = dict.fromkeys(HOST_VALUES, "of the host")
BARE = """\
name: bare
description: A workload.
parser: regex
metrics: {rate: {unit: 1/s, better: higher, primary: true, pattern: "rate=([0-9.]+)"}}
"""
GIVEN: dict[str, Any] = {"cpus": 1, "memory": 256 << 20, "host": HOST}


def workload(text: str = BASE) -> Workload:
    return validate(parse_document(text, "w.yaml"), Workload)


def changed(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new)


def argv(mine: Workload, params: dict[str, Scalar], cpus: float = 1) -> tuple[str, ...]:
    run = mine.commands(mine.resolve(params), server_address="10.0.0.2", **(GIVEN | {"cpus": cpus})).run
    assert run is not None
    return run


def test_defaults_and_given_values_go_into_their_arguments() -> None:
    mine = workload()
    assert argv(mine, {}) == ("tool", "--depth=1", "4k", "--mode", "read", "10", "/scratch/file")
    assert argv(mine, {"depth": 8, "size": 1048576, "mode": "write"})[1:5] == ("--depth=8", "1M", "--mode", "write")
    assert mine.resolve({"size": "4096"})["size"] == "4k"


@given(st.text(alphabet=st.characters(exclude_characters=",=", exclude_categories=["C", "Z"]), max_size=255))
def test_a_value_stays_inside_its_argument(text: str) -> None:
    mine = workload(changed("{default: read, choices: [read, write]}", "{default: read}"))
    assert argv(mine, {"mode": text}) == ("tool", "--depth=1", "4k", "--mode", text, "10", "/scratch/file")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"dept": 1}, "unknown parameter of mine; expected one of depth, size, mode, seconds; did you mean 'depth'?"),
        ({"depth": 9}, "9 is too large; the greatest is 8"),
        ({"depth": 0}, "0 is too small"),
        ({"depth": "1"}, "expected a whole number, got '1'"),
        ({"depth": True}, "expected a whole number, got True"),
        ({"depth": 1.0}, "expected a whole number, got 1.0"),
        ({"size": "4z"}, "unknown unit 'z'"),
        ({"size": "100"}, "100 is too small; the least is 512"),
        ({"mode": "wriet"}, "'wriet': expected one of read, write; did you mean 'write'?"),
        ({"mode": 1}, "expected text (quote it), got 1"),
        ({"mode": "\0"}, "'\\x00': a parameter's text has no"),
        ({"mode": "x" * 256}, "a parameter's text has at most 255 characters, got 256"),
        ({"depth": 2**63}, "expected a whole number of at most 64 bits"),
        ({"seconds": 0}, "expected more than 0 and at most 2.592e+06 seconds, got 0"),
        ({"seconds": -10}, "expected more than 0 and at most"),
        ({"seconds": 10**9}, "expected more than 0 and at most"),
    ],
)
def test_a_value_that_a_parameter_cannot_have(params: dict[str, Scalar], said: str) -> None:
    with pytest.raises(InvalidValue, match=re.escape(said)) as error:
        workload().resolve(params)
    assert error.value.location == tuple(params)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: mine", "name: My Own", "w.yaml:1:7: name: a name has"),
        (
            "{depth}",
            "{dpeth}",
            "w.yaml:11:13: run[1]: {dpeth}: expected one of cpus, depth, host_boot_id, host_n",
        ),
        ("{scratch}/file", "x", None),
        ("--depth={depth}", "x", "w.yaml:5:3: parameters.depth: no command has {depth} in it"),
        ("scratch: 64M\n", "", "w.yaml:10:75: run[6]: {scratch}: expected one of"),
        ("scratch: 64M", "scratch: 64MB", "w.yaml:10:10: scratch: unknown unit 'MB'"),
        ("scratch: 64M", 'scratch: "{depth}"', "w.yaml:10:10: scratch: 'depth': expected one of size"),
        (
            "duration: seconds",
            "duration: second",
            "w.yaml:9:11: duration: 'second': expected one of depth, size, mode, sec",
        ),
        ("duration: seconds", "duration: mode", "w.yaml:9:11: duration: the duration must be a parameter in seconds"),
        (
            "{default: 1, min: 1, max: 8}",
            "{default: 9, max: 8}",
            "w.yaml:5:20: parameters.depth.default: 9 is too large",
        ),
        (
            "{default: read, choices",
            "{default: x, choices",
            "w.yaml:7:19: parameters.mode.default: 'x': expected one of",
        ),
        ("mode: {default: read,", "mode: {default: read, min: 1,", "w.yaml:7:9: parameters.mode: min and max are for"),
        ("  depth:", "  Depth:", "w.yaml:5:3: parameters.Depth: expected small letters"),
        ("  depth:", "  server:", "w.yaml:5:3: parameters.server: 'server' is what {server} stands for already"),
        ('[tool, "--depth={depth}"', '[3, "--depth={depth}"', "w.yaml:11:7: run[0]: an argument is text"),
        ("run: [tool", "run: tool #", "w.yaml:11:6: run: expected a list of arguments"),
        ("run: [tool", "run: [''", "w.yaml:11:7: run[0]: expected the program, which is neither empty nor a parameter"),
        ("run: [tool", "run: ['{mode}'", "w.yaml:11:7: run[0]: expected the program"),
        ("run: [tool", r'run: ["to\0ol"', "w.yaml:11:7: run[0]: no command can hold the character NUL"),
        ("run: [tool", r'run: ["to\ud800ol"', r"w.yaml:11:7: \ud800 is half of a surrogate pair and no character"),
        ("run: [tool", f"run: [tool{', x' * 1000}", "w.yaml:11:6: run: 1007 arguments; at most 1000 are possible"),
        ("run: [tool", f"run: [tool{', x' + 'y' * 2000}", None),
        (
            "run: [tool",
            f"run: [tool, {'x' * 2**17}",
            "w.yaml:11:6: run: up to 136203 bytes with all values; at most 131",
        ),
        ("run: [tool", f"run: [tool, '{'{mode}' * 129}'", "w.yaml:11:6: run: up to "),
        ("run: [", r'prepare: [{shell: "a\0b"}]' + "\nrun: [", "w.yaml:11:19: prepare[0].shell: no command can hold"),
        ("{default: 10}", "{default: 0}", "w.yaml:8:22: parameters.seconds.default: expected more than 0 and"),
        (
            "parser: regex",
            "timeout: 0s\nparser: regex",
            "w.yaml:12:10: timeout: expected more than no time and at most 720h",
        ),
        ("parser: regex", "timeout: 721h\nparser: regex", "w.yaml:12:10: timeout: expected more than no time and at"),
        ("packages: [tool]", "packages: [-o]", "w.yaml:3:12: packages[0]: "),
        ("parser: regex\n", "", "w.yaml:11:1: run: a workload that runs a command needs"),
        (
            "parser: regex",
            "parser: regexp",
            "w.yaml:12:9: parser: 'regexp': expected one of regex, json, csv; did you me",
        ),
        (
            "parser: regex",
            "parser: json",
            "w.yaml:14:9: metrics.rate: with 'parser: json' a metric needs the key 'path'",
        ),
        (
            "  rate:",
            "  memory_peak:",
            "w.yaml:14:3: metrics.memory_peak: the harness itself takes a metric of this name",
        ),
        ("primary: true, ", "", "w.yaml:13:1: metrics: one metric at least must have 'primary: true'"),
        ("primary: true, ", "primary: yes, ", "w.yaml:14:46: metrics.rate.primary: expected"),
        (
            "primary: true,",
            "primary: true, path: a,",
            "w.yaml:14:52: metrics.rate.path: this key is not for 'parser: reg",
        ),
        ("([0-9.]+)", "[0-9.]+", "w.yaml:14:61: metrics.rate.pattern: the expression has no group"),
        ("([0-9.]+)", "([0-9.]+", "w.yaml:14:61: metrics.rate.pattern: not a regular expression"),
        (
            "better: higher",
            "better: more",
            "w.yaml:14:29: metrics.rate.better: 'more': expected one of lower, higher, n",
        ),
        ("better: higher", "better: higher, factor: 0", "w.yaml:14:45: metrics.rate.factor: expected more than 0"),
    ],
)
def test_a_wrong_workload_file(old: str, new: str, said: str | None) -> None:
    text = changed(old, new)
    if said is None:
        workload(text)
        return
    with pytest.raises(InvalidInput) as error:
        workload(text)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (r"listening on \d+ \(café\)", None),
        (r"\u2713 ready", r"not a regular expression: bad escape \u at position 0"),
        (r"(?u)ready", "not a regular expression: bad inline flags: cannot use 'u' flag"),
        ("(ready", "not a regular expression: missing )"),
        ("x{99999999999}", "not a regular expression: the repetition number is too large"),
    ],
)
def test_what_a_server_prints_is_bytes_and_so_is_what_they_are_matched_with(log: str, said: str | None) -> None:
    text = changed("run:", f"server:\n  command: [serve]\n  ready: {{log: '{log}'}}\nrun:")
    if said is None:
        workload(text)
        return
    with pytest.raises(InvalidInput) as error:
        workload(text)
    assert str(error.value).startswith(f"w.yaml:13:16: server.ready.log: {said}")


@pytest.mark.parametrize("metric", HARNESS_METRICS)
def test_no_workload_has_a_metric_of_the_harness(metric: str) -> None:
    with pytest.raises(InvalidInput, match=f"metrics.{metric}: the harness itself takes"):
        workload(changed("  rate:", f"  {metric}:"))


def test_the_harness_metrics_are_those_of_the_results() -> None:
    assert set(HARNESS_METRICS) == model.HARNESS_METRICS


ANY_TEXT = st.text(max_size=20) | st.sampled_from(
    ["", "\0", "tool", "{text}", "-{text}{cpus}", "\U0001f600" * 255, "{text}" * 120, "{text}" * 200]
)
ARGUMENTS = st.lists(ANY_TEXT, max_size=4)
COMMANDS = (
    ARGUMENTS | ARGUMENTS.map(lambda texts: ["tool", "{text}", *texts]) | st.fixed_dictionaries({"shell": ANY_TEXT})
)


@settings(deadline=None)
@given(
    run=COMMANDS,
    prepare=st.lists(COMMANDS, max_size=2),
    default=ANY_TEXT | st.just("a"),
    value=ANY_TEXT | st.just("b"),
    timeout=st.sampled_from(["1m", "1ms", "720h", "1m", "0s", "100000h"]),
)
def test_whatever_is_accepted_can_be_sent_to_an_agent(
    run: object, prepare: list[object], default: str, value: str, timeout: str
) -> None:
    metrics = {"rate": {"unit": "s", "better": "lower", "primary": True, "pattern": "(.)"}}
    parameters = {"text": {"default": default}}
    data = {"name": "w", "description": "d", "parameters": parameters, "run": run, "prepare": prepare}
    text = dump_document(data | {"timeout": timeout, "parser": "regex", "metrics": metrics})
    try:
        mine = workload(text)
        commands = mine.commands(mine.resolve({"text": value}), server_address="10.0.0.2", **GIVEN)
    except (InvalidInput, InvalidValue):
        return
    assert commands.run is not None
    for argv in (commands.run, *commands.prepare):
        assert argv[0]
        assert Frame(FrameType.SPAWN, 1, encode_spawn(argv, {}, "/", commands.timeout)).encode()


def test_a_bad_json_path_is_found_when_the_workload_is_read() -> None:
    text = BASE.replace("parser: regex", "parser: json").replace('pattern: "rate=([0-9.]+)"', 'path: "$.[["')
    with pytest.raises(InvalidInput, match=r"w.yaml:14:\d+: metrics.rate.path: .* is no JSON path"):
        workload(text)


def test_a_shell_gets_values_as_variables_and_no_text_is_put_into_it() -> None:
    text = "name: s\ndescription: d\nparameters: {mode: {default: a}}\nrun: {shell: 'echo ${mode} {mode}'}\n" + (
        "parser: regex\nmetrics: {x: {unit: s, better: lower, primary: true, pattern: '(.)'}}\n"
    )
    run = argv(workload(text), {"mode": "$(reboot); 'x"}, cpus=1.5)
    assert run[0] == "/usr/bin/env"
    assert "mode=$(reboot); 'x" in run
    assert "cpus=2" in run
    assert run[-3:] == ("/bin/sh", "-euc", "echo ${mode} {mode}")


def test_a_null_workload_has_no_commands_and_nothing_that_needs_one() -> None:
    null = workload("name: null\ndescription: d")
    commands = null.commands({}, server_address=None, **GIVEN)
    assert (commands.prepare, commands.server, commands.run) == ((), None, None)
    with pytest.raises(InvalidInput, match=r"w\.yaml:3:1: parser: this key needs a command to 'run'"):
        workload("name: null\ndescription: d\nparser: csv")


def test_the_client_finds_the_server() -> None:
    outside = load_workload("redis")
    params = outside.resolve({})
    commands = outside.commands(params, server_address="10.1.2.3", **GIVEN)
    assert commands.run is not None
    assert "10.1.2.3" in commands.run
    with pytest.raises(ValueError, match="redis has its client outside the instance"):
        outside.commands(params, server_address=None, **GIVEN)
    inside = outside.model_copy(update={"client": "instance"})
    inner = inside.commands(params, server_address="10.1.2.3", **GIVEN).run
    assert inner is not None
    assert "127.0.0.1" in inner


@pytest.mark.parametrize(("direction", "reverse"), [("in", []), ("out", ["--reverse"])])
def test_iperf3_measures_either_direction(direction: str, reverse: list[str], tmp_path: Path) -> None:
    (tmp_path / "iperf3").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "iperf3").chmod(0o755)
    iperf3 = load_workload("iperf3")
    params = iperf3.resolve({"direction": direction, "runtime": 3})
    run = iperf3.commands(params, server_address="10.1.2.3", **GIVEN).run
    assert run is not None
    path = f"{tmp_path}:/usr/bin:/bin"
    said = subprocess.run(run, capture_output=True, text=True, check=True, timeout=10, env={"PATH": path}).stdout
    assert said.split() == [*["-c", "10.1.2.3", "-p", "5201", "-P", "1", "-t", "3", "-J"], *reverse]


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        ("unable to connect to server: Connection refused", 1),
        ("the server is busy running a test. try again later", 0),
    ],
)
def test_iperf3_is_tried_again_where_its_server_is_not_done_with_the_warm_up(
    refusal: str, status: int, tmp_path: Path
) -> None:
    again = f'if mkdir {tmp_path}/tried 2>/dev/null; then echo "{refusal}"; exit {status}; fi; echo measured'
    (tmp_path / "iperf3").write_text(f"#!/bin/sh\n{again}\n")
    (tmp_path / "iperf3").chmod(0o755)
    iperf3 = load_workload("iperf3")
    run = iperf3.commands(iperf3.resolve({}), server_address="10.1.2.3", **GIVEN).run
    assert run is not None
    path = f"{tmp_path}:/usr/bin:/bin"
    said = subprocess.run(run, capture_output=True, text=True, check=True, timeout=10, env={"PATH": path}).stdout
    assert said == "measured\n"


def test_the_time_allowed_grows_with_the_time_measured() -> None:
    mine = workload()
    assert mine.commands(mine.resolve({"seconds": 3600}), server_address=None, **GIVEN).timeout == 600 + 3600
    assert mine.measured_seconds(mine.resolve({})) == 10
    assert load_workload("redis").measured_seconds(load_workload("redis").resolve({})) is None


def test_the_scratch_disk_holds_what_the_workload_asks_for() -> None:
    fio = load_workload("fio")
    for size in ("1M", "64M", "1G", "20G"):
        params = fio.resolve({"size": size})
        wanted = {"1M": 2**20, "64M": 2**26, "1G": 2**30, "20G": 20 * 2**30}[size]
        disk = fio.scratch_bytes(params)
        assert disk is not None
        assert wanted * 1.06 < disk < wanted * 1.07 + 40 * 2**20
        assert disk % 2**20 == 0
    assert load_workload("null").scratch_bytes({}) is None
    assert workload().scratch_bytes(workload().resolve({})) == 100 * 2**20


def test_the_catalogue() -> None:
    catalogue = load_catalogue()
    assert tuple(catalogue) == workload_names()
    assert {"null", "sysbench-cpu", "sysbench-memory", "fio", "iperf3", "redis"} <= set(catalogue)
    for name, each in catalogue.items():
        assert each.name == name
        assert each.description.endswith(".")
        if each.run:
            assert each.packages
            checks = {metric.unit for metric in each.metrics.values()} == {"check"}
            assert sum(metric.primary for metric in each.metrics.values()) == (len(each.metrics) if checks else 1)


def test_workloads_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(BASE)
    assert load_workload("mine.yaml", tmp_path).name == "mine"
    assert load_workload(str(tmp_path / "mine.yaml")).name == "mine"
    with pytest.raises(InvalidInput, match=r"unknown workload 'sysbench-cpuu'; .*did you mean 'sysbench-cpu'"):
        load_workload("sysbench-cpuu")
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        load_workload("other.yaml", tmp_path)


def test_a_workload_can_size_itself_by_the_memory_that_it_may_use() -> None:
    mine = workload("run: [tool, '{memory}']\n" + BARE)
    assert mine.commands({}, server_address=None, **GIVEN).run == ("tool", str(256 << 20))


@pytest.mark.parametrize("key", ["load", "warmup"])
def test_commands_before_the_measured_one_stand_where_it_does(key: str) -> None:
    text = f"parameters: {{n: {{default: 3}}}}\n{key}: [[fill, '{{n}}', '{{server}}']]\nrun: [tool]\nclient: peer\n"
    commands = workload(text + BARE).commands({"n": 4}, server_address="10.1.2.3", **GIVEN)
    assert getattr(commands, key) == (("fill", "4", "10.1.2.3"),)


def test_a_server_is_ready_by_its_log_or_by_a_port() -> None:
    text = "run: [tool]\nserver: {command: [daemon], ready: {%s}}\n" + BARE
    server = workload(text % "port: 80").server
    assert server is not None and server.ready.port == 80
    for wrong in ("", "port: 80, log: up", "port: 0", "port: 65536", "port: '80'"):
        with pytest.raises(InvalidInput, match="ready"):
            workload(text % wrong)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("host_cpu_per: nothing", "expected one of gigabytes"),
        ("host_cpu_per: price", "expected one of gigabytes"),
        ("host_cpu_per: gigabytes, pattern: '(x)'", "what stands in the output"),
    ],
)
def test_a_price_is_of_a_figure_in_the_output(keys: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        workload(
            "name: priced\ndescription: d\nrun: [tool]\nparser: regex\nmetrics:\n"
            "  gigabytes: {unit: GB, better: neutral, primary: true, pattern: '(x)'}\n"
            f"  price: {{unit: s/GB, better: lower, {keys}}}\n"
        )


def test_values_for_a_quick_trial_must_be_possible() -> None:
    text = "parameters: {n: {default: 3, max: 5}}\nrun: [tool, '{n}']\nquick: {n: %s}\n" + BARE
    assert workload(text % "1").quick == {"n": 1}
    for wrong in ("6", "x"):
        with pytest.raises(InvalidInput, match=r"quick\.n"):
            workload(text % wrong)
