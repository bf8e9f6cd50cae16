"""Every parser on what its tool really wrote: in full, cut off, and when the tool failed.

`captured/WORKLOAD/CASE.out` is a tool's standard output as it was, and `CASE.yaml` beside it says what is in it: `tool`
(name and version), and either `metrics`, by name, or `refused`, the beginning of the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from workloads import parsers
from workloads.loader import load_catalogue
from workloads.model import Workload
from workloads.parsers import ParseError

CAPTURED = Path(__file__).parent / "captured"
CATALOGUE = load_catalogue()
HOST_CPU = 3.0
"""Seconds, for metrics that are a price."""


@dataclass(frozen=True)
class Captured:
    workload: str
    case: str
    output: str
    metrics: Mapping[str, float] | None
    refused: str | None

    def __str__(self) -> str:
        return f"{self.workload}-{self.case}"


def read(path: Path) -> Captured:
    said = yaml.safe_load(path.read_text())
    assert said["tool"]
    output = path.with_suffix(".out").read_text()
    return Captured(path.parent.name, path.stem, output, said.get("metrics"), said.get("refused"))


CASES = [read(path) for path in sorted(CAPTURED.glob("*/*.yaml"))]
DONE = [case for case in CASES if case.metrics is not None]
FAILED = [case for case in CASES if case.refused is not None]


def figures(workload: Workload, output: str) -> dict[str, float]:
    return {item.name: item.value for item in parsers.parse(workload, output, HOST_CPU)}


@pytest.mark.parametrize("case", DONE, ids=str)
def test_what_a_tool_wrote(case: Captured) -> None:
    assert case.metrics is not None
    assert figures(CATALOGUE[case.workload], case.output) == pytest.approx(case.metrics)


@pytest.mark.parametrize("case", DONE, ids=str)
def test_output_that_is_cut_off_never_gives_another_figure(case: Captured) -> None:
    """Beyond the last figure there may be an end to lose; in or before it nothing may be taken for the whole."""
    workload = CATALOGUE[case.workload]
    whole = figures(workload, case.output)
    step = max(1, len(case.output) // 400)
    for end in range(0, len(case.output), step):
        try:
            found = figures(workload, case.output[:end])
        except ParseError:
            continue
        assert found == whole, f"cut off after {end} characters"


@pytest.mark.parametrize("case", FAILED, ids=str)
def test_a_tool_that_failed_gives_no_figures(case: Captured) -> None:
    with pytest.raises(ParseError) as error:
        figures(CATALOGUE[case.workload], case.output)
    assert case.refused is not None
    assert str(error.value).startswith(f"{case.workload}: {case.refused}")


# Those with a program of our own have tests of that program.
@pytest.mark.parametrize("name", [name for name, each in CATALOGUE.items() if each.run and not each.files])
def test_every_tool_has_output_that_was_captured(name: str) -> None:
    assert [case for case in DONE if case.workload == name]


def test_everything_captured_is_of_a_workload_and_says_what_it_is() -> None:
    assert {case.workload for case in CASES} <= CATALOGUE.keys()
    assert {path.with_suffix(".yaml") for path in CAPTURED.glob("*/*.out")} == set(CAPTURED.glob("*/*.yaml"))
    assert len(DONE) + len(FAILED) == len(CASES)
