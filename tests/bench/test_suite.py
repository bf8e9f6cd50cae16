from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ConfigDict

from bench.plan import make_plan
from bench.sampling import SamplingOverride
from bench.suite import load_suite, registered_runtimes, shipped_suites
from bench.suite_model import Suite
from runtimes.base import Options
from workloads.errors import InvalidInput


class Plain(Options):
    pass


class Joined(Plain):
    network: Literal["bridge", "none"] = "bridge"


class Tuned(Plain):
    accel: Literal["auto", "kvm"] = "auto"
    pages: int = 4


MODELS: dict[str, type[Options]] = {"bare": Plain, "guest": Tuned, "joined": Joined}

BASE = """\
name: example
baseline: bare
limits: {cpus: 1, memory: 512M}
arms:
  bare: {runtime: bare}
  guest: {runtime: guest, accel: kvm, limits: {memory: 1G}}
workloads:
  - null
  - workload: fio
    params: {rw: [randread, write], bs: 4k, iodepth: [1, 16]}
sampling: {blocks: 7, seed: 5, time_budget: 10m}
"""

MEASURED = BASE.replace("bs: 4k, iodepth: [1, 16]}", "bs: 4k}\n    limit: {memory: mb_per_second}")
"""The fio of this one shows in its metric, wrongly, how much memory there is."""

WORKLOAD = """\
name: mine
description: A workload.
parameters: {n: {default: 1}}
run: [tool, "{n}"]
parser: regex
metrics: {rate: {unit: 1/s, better: higher, primary: true, pattern: "([0-9]+)"}}
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(directory: Path, text: str = BASE, **overrides: object) -> Suite:
    (directory / "s.yaml").write_text(text)
    known = {"options_model_for": MODELS.__getitem__, "runtime_names": tuple(MODELS)}
    return load_suite("s.yaml", **known, **overrides)  # type: ignore[arg-type]


def refusal(directory: Path, text: str) -> str:
    with pytest.raises(InvalidInput) as error:
        load(directory, text)
    return str(error.value)


def changed(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new, 1)


def test_a_suite_is_resolved(directory: Path) -> None:
    suite = load(directory)
    bare, guest = suite.arms
    assert (suite.name, suite.baseline, suite.sampling.max_blocks, suite.sampling.seed) == ("example", "bare", 7, 5)
    assert suite.sampling.time_budget == 600
    assert (bare.name, bare.runtime, bare.limits.memory) == ("bare", "bare", 512 * 2**20)
    assert (guest.limits.cpus, guest.limits.cpuset, guest.limits.memory) == (1, (), 2**30)
    assert guest.options == Tuned(accel="kvm")
    assert [use.workload.name for use in suite.uses] == ["null", "fio"]
    assert len(list(suite.uses[1].combinations())) == 4
    assert next(suite.uses[1].combinations()) == {"rw": "randread", "bs": "4k", "iodepth": 1}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "memory: 512M",
            "memry: 512M",
            "s.yaml:3:19: limits.memry: unknown key; expected one of cpus, cpuset, cpu_weight, memory, memory_swap, "
            "pids, io, net; di",
        ),
        (
            "baseline: bare",
            "baseline: bear",
            "s.yaml:2:11: baseline: no arm 'bear'; expected one of bare, guest; did you",
        ),
        ("cpus: 1", "cpus: 0", "s.yaml:3:16: limits.cpus: expected 0.01 or more, got 0"),
        ("cpus: 1", "cpus: -1", "s.yaml:3:16: limits.cpus: expected 0.01 or more, got -1"),
        ("cpus: 1", "cpus: 100000", "s.yaml:3:16: limits.cpus: expected 8192 or less"),
        ("cpus: 1", "cpus: true", "s.yaml:3:16: limits.cpus: expected a number, got true"),
        ("cpus: 1", "cpus: '1'", "s.yaml:3:16: limits.cpus: expected a number, got '1'"),
        ("cpus: 1", "cpus: 1.5, cpuset: [3]", "s.yaml:3:9: limits: 1.5 CPUs do not fit into a cpuset of 1"),
        ("cpus: 1", "cpus: 1, cpuset: 3-x", "s.yaml:3:27: limits.cpuset: expected CPU numbers"),
        ("cpus: 1", "cpus: 1, cpuset: []", "s.yaml:3:27: limits.cpuset: expected CPU numbers"),
        ("memory: 512M", "memory: 512X", "s.yaml:3:27: limits.memory: unknown unit 'X'"),
        ("memory: 512M", "memory: 512", "s.yaml:3:27: limits.memory: expected between 4M and 64T"),
        ("memory: 512M", "memory: -5", "s.yaml:3:27: limits.memory: expected a size of at least 0 bytes"),
        ("{memory: 1G}", "{cpus: 2, cpuset: 0}", "s.yaml:6:47: arms.guest.limits: 2 CPUs do not fit"),
        (
            "runtime: guest",
            "runtime: geust",
            "s.yaml:6:20: arms.guest.runtime: unknown runtime 'geust'; expected one of ",
        ),
        (
            "accel: kvm",
            "acel: kvm",
            "s.yaml:6:27: arms.guest.acel: unknown key; expected one of runtime, limits, timeouts, accel, pag",
        ),
        (
            "accel: kvm",
            "accel: kvn",
            "s.yaml:6:34: arms.guest.accel: 'kvn': expected one of auto, kvm; did you mean 'kvm'",
        ),
        ("{runtime: bare}", "{}", "s.yaml:5:9: arms.bare.runtime: this key is missing"),
        ("  guest:", "  Guest:", "s.yaml:6:3: arms.Guest: a name has"),
        ("- null", "- nul", "s.yaml:8:5: workloads[0]: unknown workload 'nul'; expected one of"),
        ("- null", "-", "s.yaml:8:4: workloads[0]: expected a mapping, got nothing"),
        ("- null", "- ./no.yaml", "s.yaml:8:5: workloads[0]: no.yaml: cannot be read: No such file or directory"),
        ("workload: fio", "workload: no/no.yaml", "s.yaml:9:15: workloads[1].workload: no/no.yaml: cannot be read"),
        ("- null", r'- "./\0.yaml"', "s.yaml:8:5: workloads[0]: '\\x00.yaml': cannot be read: this cannot be the name"),
        (
            "workload: fio",
            "workload: foi",
            "s.yaml:9:15: workloads[1].workload: unknown workload 'foi'; expected one of ",
        ),
        ("params:", "parms:", "s.yaml:10:5: workloads[1].parms: unknown key; expected one of workload, params, lim"),
        ("bs: 4k", "sb: 4k", "s.yaml:10:37: workloads[1].params.sb: unknown parameter of fio; expected one of rw, bs"),
        ("bs: 4k", "bs: [4k, 4z]", "s.yaml:10:46: workloads[1].params.bs[1]: unknown unit 'z'"),
        ("bs: 4k", "bs: []", "s.yaml:10:41: workloads[1].params.bs: expected a value, or a list of at least one"),
        ("bs: 4k", "bs: [[4k]]", "s.yaml:10:41: workloads[1].params.bs: expected text, a number, or true or false"),
        ("[1, 16]", "[1, one]", "s.yaml:10:58: workloads[1].params.iodepth[1]: expected a whole number, got 'one'"),
        ("[1, 16]", "[1, 1]", "s.yaml:9:5: workloads[1]: the same case of fio stands in the suite already"),
        ("bs: 4k", "bs: [4k, 4096]", "s.yaml:9:5: workloads[1]: the same case of fio stands in the suite already"),
        (
            "- null",
            "- null\n  - null",
            "s.yaml:9:5: workloads[1]: the same case of null stands in the suite already, as wor",
        ),
        ("blocks: 7", "blocks: 0", "s.yaml:11:20: sampling.blocks: expected 1 or more, got 0"),
        ("blocks: 7", "blocks: 7.5", "s.yaml:11:20: sampling.blocks: expected a whole number"),
        ("blocks: 7", "blocks: true", "s.yaml:11:20: sampling.blocks: expected a whole number"),
        ("seed: 5", "seed: -5", "s.yaml:11:29: sampling.seed: expected 0 or more"),
        ("10m", "10d", "s.yaml:11:45: sampling.time_budget: unknown unit 'd'"),
        ("10m", "0s", "s.yaml:11:45: sampling.time_budget: expected more than no time"),
        (
            "blocks: 7",
            "block: 7",
            "s.yaml:11:12: sampling.block: unknown key; "
            "expected one of blocks, min_blocks, max_blocks, ci_width, threshold, seed, time_budget; di",
        ),
        ("name: example\n", "", "s.yaml:1:1: name: this key is missing"),
    ],
)
def test_a_wrong_suite(directory: Path, old: str, new: str, said: str) -> None:
    message = refusal(directory, changed(old, new))
    assert message.startswith(said)
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (
            "memroy: iops",
            "s.yaml:11:13: workloads[1].limit.memroy: unknown limit; expected one of cpus, memory, io.read_bytes, "
            "io.write_bytes, io.read_ops, io.write_ops, net.ingress, net.egress; did you mean 'memory'?",
        ),
        (
            "cpus: cpu_used",
            "s.yaml:11:19: workloads[1].limit.cpus: no metric 'cpu_used' of fio; expected one of iops, mb_per_second, "
            "latency_p50, latency_p99, latency_p999, cpus_used; did you mean 'cpus_used'?",
        ),
        (
            "memory: mb_per_second",
            "s.yaml:11:21: workloads[1].limit.memory: 'mb_per_second' is in MB/s, and a limit on memory shows in a "
            "metric in one of bytes, kB, MB, GB, KiB, MiB, GiB",
        ),
        (
            "io.read_ops: iops",
            "s.yaml:11:13: workloads[1].limit.io.read_ops: no arm of the suite has a limit on io.read_ops, so there is "
            "nothing to measure",
        ),
        ("[cpus]", "s.yaml:11:12: workloads[1].limit: expected a mapping, got a list"),
        ("cpus: 1", "s.yaml:11:19: workloads[1].limit.cpus: expected text, got 1"),
    ],
)
def test_a_limit_that_cannot_be_measured(directory: Path, limit: str, said: str) -> None:
    text = MEASURED.replace("{memory: mb_per_second}", limit if limit.startswith("[") else f"{{{limit}}}")
    assert refusal(directory, text) == said


def test_a_limit_that_can_be_measured_is_kept(directory: Path) -> None:
    text = MEASURED.replace("memory: mb_per_second", "cpus: cpus_used")
    suite = load(directory, text)
    assert [use.limit for use in suite.uses] == [{}, {"cpus": "cpus_used"}]
    assert suite.hash != load(directory, text.replace("    limit: {cpus: cpus_used}\n", "")).hash
    (directory / "run.yaml").write_text(suite.as_yaml())
    again = load_suite("run.yaml", options_model_for=MODELS.__getitem__, runtime_names=tuple(MODELS))
    assert again == suite


def test_nothing_can_be_measured_of_a_workload_that_runs_nothing(directory: Path) -> None:
    message = refusal(directory, changed("- null", "- {workload: null, limit: {cpus: cpus_used}}"))
    assert "workloads[0].limit.cpus: no metric 'cpus_used' of null; nothing is expected here" in message


def test_the_files_of_a_workload_count_in_the_hash(directory: Path) -> None:
    (directory / "mine.yaml").write_text(WORKLOAD.replace("run:", "files: [tool.sh]\nrun:"))
    hashes = set()
    for content in ("echo 1", "echo 2"):
        (directory / "tool.sh").write_text(content)
        hashes.add(load(directory, changed("- null", "- mine.yaml")).hash)
    assert len(hashes) == 2


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(directory: Path) -> None:
    text = BASE.replace("baseline: bare", "baseline: x").replace("kvm", "kvn").replace("- null", "- nil")
    text = text.replace("4k", "4z")
    places = [re.match(r"s\.yaml:(\d+):", line) for line in refusal(directory, text).splitlines()]
    assert [int(place[1]) for place in places if place] == [2, 6, 8, 10]


def test_no_arms_and_no_workloads(directory: Path) -> None:
    assert "arms: expected 1 or more entries" in refusal(directory, re.sub(r"arms:\n.*\n.*\n", "arms: {}\n", BASE))
    text = re.sub(r"workloads:\n(.*\n){3}", "workloads: []\n", BASE)
    assert "s.yaml:7:12: workloads: expected 1 or more entries" in refusal(directory, text)


def test_the_name_of_a_rerun_is_taken(directory: Path) -> None:
    taken = BASE.replace("name: example", "name: example-confirm")
    with pytest.raises(InvalidInput, match=r"^s.yaml:1:7: name: 'example-confirm' ends in -confirm.*another name$"):
        load(directory, taken)
    assert load(directory, taken, recorded=True).name == "example-confirm"
    assert load(directory, taken.replace("-confirm", "-confirmed")).name == "example-confirmed"


def test_a_matrix_that_explodes(directory: Path) -> None:
    text = changed("[1, 16]", str(list(range(1, 1000))))
    assert "the parameters expand to 1999 cases; at most 1000" in refusal(directory, text)


def test_cpusets(directory: Path) -> None:
    for written, cpuset in (("'0-2,7'", (0, 1, 2, 7)), ("[3, 1]", (1, 3)), ("5", (5,))):
        suite = load(directory, changed("cpus: 1", f"cpus: 1, cpuset: {written}"))
        assert {arm.limits.cpuset for arm in suite.arms} == {cpuset}


def test_a_workload_file_beside_the_suite(directory: Path) -> None:
    (directory / "mine.yaml").write_text(WORKLOAD)
    suite = load(directory, changed("- null", "- mine.yaml"))
    assert suite.definitions["mine"].description == "A workload."
    (directory / "other").mkdir()
    (directory / "other" / "mine.yaml").write_text(WORKLOAD.replace("default: 1", "default: 2"))
    message = refusal(directory, changed("- null", "- mine.yaml\n  - other/mine.yaml"))
    assert "s.yaml:9:5: workloads[1]: another workload of the suite is named 'mine' too" in message


def test_a_wrong_workload_file_is_told_with_its_own_place(directory: Path) -> None:
    (directory / "mine.yaml").write_text(WORKLOAD.replace("parser: regex", "parser: regexp").replace("1/s", "3"))
    message = refusal(directory, changed("- null", "- null\n  - mine.yaml"))
    assert [re.sub(r"(regexp|metrics).*", r"\1", line) for line in message.splitlines()] == [
        "s.yaml:9:5: workloads[1]: mine.yaml:5:9: parser: 'regexp",
        "s.yaml:9:5: workloads[1]: mine.yaml:6:24: metrics",
    ]


def test_the_place_of_an_arms_limits(directory: Path) -> None:
    suite = load(directory)
    assert suite.place("bare") == "s.yaml:3:9: limits"
    assert suite.place("guest") == "s.yaml:6:47: arms.guest.limits"
    assert load(directory, changed("limits: {memory: 1G}", "limits: {}")).place("guest") == "s.yaml:3:9: limits"


def test_a_client_outside_needs_an_arm_with_a_network(directory: Path) -> None:
    text = changed("{runtime: bare}", "{runtime: joined, network: none}")
    assert load(directory, text).arms[0].name == "bare"
    message = refusal(directory, text.replace("- null", "- iperf3\n  - redis"))
    assert message == (
        "s.yaml:5:36: arms.bare.network: 'none': iperf3, redis: the client is outside the instance; expected a network"
    )
    assert load(directory, text.replace("- null", "- iperf3").replace("network: none", "network: bridge"))


def test_overrides(directory: Path) -> None:
    suite = load(directory, sampling=SamplingOverride(blocks=3, seed=0), arms=("guest",), workloads=("fio",))
    assert (suite.sampling.max_blocks, suite.sampling.seed) == (3, 0)
    assert [arm.name for arm in suite.arms] == ["bare", "guest"]
    assert list(suite.definitions) == ["fio"]
    assert [arm.name for arm in load(directory, arms=("bare",)).arms] == ["bare"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"arms": ("gest",)},
            "unknown arm 'gest' in suite example; expected one of bare, guest; did you mean 'guest'?",
        ),
        ({"workloads": ("redis",)}, "unknown workload 'redis' in suite example; expected one of null, fio"),
    ],
)
def test_wrong_overrides(directory: Path, overrides: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(said)):
        load(directory, **overrides)


def test_the_suite_as_run_can_be_run_again(directory: Path) -> None:
    (directory / "mine.yaml").write_text(WORKLOAD)
    suite = load(directory, changed("- null", "- null\n  - {workload: mine.yaml, params: {n: [2, 3]}}"))
    (directory / "elsewhere").mkdir()
    written = directory / "elsewhere" / "run.yaml"
    written.write_text(suite.as_yaml())
    again = load_suite(str(written), options_model_for=MODELS.__getitem__, runtime_names=tuple(MODELS))
    assert again == suite
    assert again.hash == suite.hash


def test_the_hash_is_that_of_what_is_measured(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(directory).hash
    assert re.fullmatch("[0-9a-f]{64}", first)
    for old, new in (
        ("blocks: 7, seed: 5, time_budget: 10m", "blocks: 70"),
        ("name: example", "name: renamed\ndescription: text"),
        ("[randread, write]", "[write, randread]"),
        ("accel: kvm", "accel: kvm, pages: 4"),
    ):
        assert load(directory, changed(old, new)).hash == first, new
    for old, new in (
        ("cpus: 1", "cpus: 2"),
        ("memory: 512M", "memory: 513M"),
        ("accel: kvm", "accel: auto"),
        ("baseline: bare", "baseline: guest"),
        ("bs: 4k", "bs: 8k"),
        ("  - null\n", ""),
    ):
        assert load(directory, changed(old, new)).hash != first, new
    assert load(directory, arms=("bare",)).hash != first
    without = changed("  - null\n", "")
    before = load(directory, without).hash
    slower = load(directory).definitions["fio"].model_copy(update={"scratch": 2**30})
    monkeypatch.setattr("workloads.loader._read", lambda *_: slower)
    assert load(directory, without).hash != before


def test_shipped_suites_are_found_by_name() -> None:
    assert {"quick", "startup", "selftest", "isolation", "limits", "guests"} <= set(shipped_suites())
    for name in shipped_suites():
        suite = load_suite(name, options_model_for=lambda _: Anything, runtime_names=registered_runtimes())
        assert suite.name == name
        assert suite.description.endswith(".")
        # With fewer no difference can be significant; the other two look at what is, not at what differs.
        assert suite.sampling.min_blocks >= 6 or name in {"isolation", "limits"}


class Anything(Options):
    model_config = ConfigDict(extra="allow")


def test_the_shipped_suites_suit_their_runtimes() -> None:
    quick = load_suite("quick")
    assert [arm.name for arm in quick.arms] == ["native", "container", "vm"]
    assert sum(len(list(use.combinations())) for use in quick.uses) == 7


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"unknown suite 'quik'; expected one of .*; did you mean 'quick'"):
        load_suite("quik")
    with pytest.raises(InvalidInput, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_suite("nowhere.yaml")


def test_all_guests_can_be_given_another_connection(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\nbaseline: bare\narms:\n  bare: {runtime: native}\n  one: {runtime: vm, accel: tcg}\n"
        "  two: {runtime: vm, connect: embed}\nlimits: {cpus: 1, memory: 128M}\nworkloads: ['null']\n"
        "sampling: {blocks: 1}\n"
    )
    path = str(tmp_path / "s.yaml")
    suite = load_suite(path, connect="qemu:///system")
    assert [getattr(arm.options, "connect", None) for arm in suite.arms] == [None, "system", "system"]
    (tmp_path / "again.yaml").write_text(suite.as_yaml())
    assert load_suite(str(tmp_path / "again.yaml")).arms == suite.arms
    assert suite.hash != load_suite(path).hash
    with pytest.raises(InvalidInput, match=r"^--connect: 'vbox:///session': expected embed, system, session, or a URI"):
        load_suite(path, connect="vbox:///session")


def test_iterations(directory: Path) -> None:
    suite = load(directory, BASE.replace("  - workload: fio", "  - workload: fio\n    iterations: 5"))
    assert [use.iterations for use in suite.uses] == [None, 5]
    assert [case.iterations for case in make_plan(suite).cases] == [1, 5, 5, 5, 5]
    with pytest.raises(InvalidInput, match="iterations: null runs no command that could be repeated"):
        load(directory, BASE.replace("  - null", "  - {workload: null, iterations: 2}"))


def test_what_is_watched_over_time_reads_back_and_is_no_other_suite(directory: Path) -> None:
    said = """
regress:
  threshold: 3%
  metrics:
    startup_time: 10%
    "memory_*": {threshold: 2%, better: higher}
    cpu_time: ignore
"""
    plain, suite = load(directory), load(directory, BASE + said)
    assert suite.hash == plain.hash
    assert [suite.regress.threshold_of(name) for name in ("startup_time", "memory_peak", "iops")] == [0.1, 0.02, 0.03]
    assert suite.regress.rule("memory_peak").better == "higher"
    assert suite.regress.rule("cpu_time").ignored
    assert load(directory, suite.as_yaml()).regress == suite.regress
    assert "regress" not in plain.as_data()


@pytest.mark.parametrize("watch", ["5", "{threshold: fast}", "{better: neutral}", "maybe"])
def test_a_metric_is_watched_by_a_share_or_not_at_all(directory: Path, watch: str) -> None:
    assert "cpu_time" in refusal(directory, BASE + f"regress: {{metrics: {{cpu_time: {watch}}}}}\n")
