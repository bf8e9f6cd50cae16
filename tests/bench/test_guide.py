"""What docs/writing-a-suite.md says is so, and is all there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.asked_limits import MEASURABLE
from bench.suite import load_suite, registered_runtimes
from bench.suite_file import ImageFile, IoFile, LimitsFile, NetFile, SuiteFile, TaggedFile, TimeoutsFile, UseFile
from runtimes.registry import load_runtime
from workloads.errors import InvalidInput
from workloads.loader import load_workload
from workloads.model import Metric, Server, Workload
from workloads.parsers import parse


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def guide() -> str:
    return (Path(__file__).parents[2] / "docs" / "writing-a-suite.md").read_text()


def guide_examples(directory: Path) -> tuple[list[str], list[str]]:
    """The names of the guide's suites and workloads, each written to a file named like it."""
    suites, workloads = [], []
    for example in re.findall(r"^```yaml\n(.*?)^```$", guide(), re.MULTILINE | re.DOTALL):
        name = example.splitlines()[0].removeprefix("name: ")
        (directory / f"{name}.yaml").write_text(example)
        for file in re.findall(r"^files: \[(.*)\]$", example, re.MULTILINE):
            (directory / file).touch()
        (suites if "\narms:\n" in example else workloads).append(name)
    return suites, workloads


def test_the_examples_of_the_guide_are_suites_and_workloads(directory: Path) -> None:
    suites, workloads = guide_examples(directory)
    assert (len(suites), len(workloads)) == (10, 3)
    for name in suites:
        assert load_suite(f"{name}.yaml").arms
    for name in workloads:
        assert load_workload(f"{name}.yaml").name in load_suite("own.yaml").definitions


@pytest.mark.parametrize(
    ("name", "output", "figures"),
    [
        ("unpack", "unpacked share in 250000 us\n", [0.25]),
        # ApacheBench 2.3, shortened.
        (
            "web",
            "Requests per second:    1203.65 [#/sec] (mean)\nTime per request:       3.323 [ms] (mean)\n"
            "Time per request:       0.831 [ms] (mean, across all concurrent requests)\n",
            [1203.65, 3.323],
        ),
        ("spin", '{"rounds": 1500000.5}', [1500000.5]),
    ],
)
def test_the_workloads_of_the_guide_find_their_figures(
    directory: Path, name: str, output: str, figures: list[float]
) -> None:
    guide_examples(directory)
    assert [found.value for found in parse(load_workload(f"{name}.yaml"), output, 1.0)] == figures


def table_keys(heading: str) -> set[str]:
    """What stands in backquotes in the first column of the guide's table that follows ``heading``."""
    rows = guide().split(heading, 1)[1].split("|---", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_the_guide_explains_every_key() -> None:
    server = {f"server.{key}" for key in Server.model_fields if key != "command"}
    assert table_keys("One with a server") == {*Workload.model_fields, *server}
    assert table_keys("**Metrics** have") == set(Metric.model_fields)
    options = {
        (name, option) for name in registered_runtimes() for option in load_runtime(name).options_model.model_fields
    }
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ((?:`\w+`(?:, )?)+) \| ", guide(), re.MULTILINE)
    documented = {
        (name, option)
        for names, listed in rows
        for name in re.findall(r"\w+", names)
        for option in re.findall(r"\w+", listed)
    }
    assert documented == options


def test_the_guide_explains_every_key_of_a_suite() -> None:
    assert table_keys("## What the keys mean") == set(SuiteFile.model_fields)
    (row,) = (line for line in guide().splitlines() if line.startswith("| `workloads` |"))
    assert all(f"`{key}`" in row for key in UseFile.model_fields)
    section = guide().split("## Workloads by tag", 1)[1].split("\n## ", 1)[0]
    keys = (field.alias or name for name, field in TaggedFile.model_fields.items())
    assert all(f"`{key}`" in section for key in keys)


def test_the_guide_explains_every_kind_of_image() -> None:
    assert table_keys("## An image of your own") == set(ImageFile.model_fields)


def test_the_guide_explains_every_timeout() -> None:
    assert table_keys("## Timeouts") == set(TimeoutsFile.model_fields)


def test_the_guide_explains_every_limit() -> None:
    table = guide().split("| limit | what it is", 1)[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(LimitsFile.model_fields)
    for part in (*IoFile.model_fields, *NetFile.model_fields):
        assert f"`{part}`" in table


def test_the_guide_explains_every_limit_that_can_be_measured() -> None:
    assert table_keys("## Limits asked for, and given") == set(MEASURABLE)


def test_the_mistake_of_the_guide_is_told_as_it_says(directory: Path) -> None:
    guide_examples(directory)
    (message,) = re.findall(r"^```text\n(disk.*?)\n```$", guide(), re.MULTILINE | re.DOTALL)
    disk = directory / "disk.yaml"
    disk.write_text(disk.read_text().replace("memory: 512M", "memry: 512M"))
    with pytest.raises(InvalidInput) as error:
        load_suite("disk.yaml")
    assert message in str(error.value).splitlines()
