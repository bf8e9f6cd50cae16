"""Suites that take workloads by tag, or from directories of the user's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.plan import make_plan
from bench.suite import load_suite
from bench.suite_model import Suite
from workloads.errors import InvalidInput
from workloads.loader import Catalogue, open_catalogue

SUITE = """\
name: tagged
baseline: native
limits: {cpus: 1, memory: 256M}
arms: {native: {runtime: native}}
workloads:
  %s
sampling: {blocks: 1, seed: 1}
"""

WORKLOAD = """\
name: %s
description: A workload.
tags: [%s]
parameters: {%s: {default: 1, max: 9}}
run: [tool, "{%s}"]
parser: regex
metrics: {rate: {unit: 1/s, better: higher, primary: true, pattern: "([0-9]+)"}}
"""


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """Three workloads of the user's own, beside the shipped ones."""
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own"
    own.mkdir()
    for name, tags, parameter in (("b-two", "own, even", "n"), ("a-one", "own", "n"), ("c-three", "own", "m")):
        (own / f"{name}.yaml").write_text(WORKLOAD % (name, tags, parameter, parameter))
    return open_catalogue([Path("own")])


def load(catalogue: Catalogue, *entries: str, **overrides: object) -> Suite:
    Path("s.yaml").write_text(SUITE % "\n  ".join(f"- {entry}" for entry in entries))
    return load_suite("s.yaml", catalogue=catalogue, **overrides)  # type: ignore[arg-type]


def names(suite: Suite) -> list[str]:
    return [use.workload.name for use in suite.uses]


def refusal(catalogue: Catalogue, *entries: str) -> str:
    with pytest.raises(InvalidInput) as error:
        load(catalogue, *entries)
    return str(error.value)


def test_a_tag_stands_for_its_workloads_in_alphabetical_order(catalogue: Catalogue) -> None:
    assert names(load(catalogue, "{tag: own}")) == ["a-one", "b-two", "c-three"]
    assert names(load(catalogue, "null", "{tag: even}", "fio")) == ["null", "b-two", "fio"]
    assert names(load(catalogue, "{tag: disk}")) == list(catalogue.tagged("disk"))


def test_a_tag_leaves_out_what_it_is_told(catalogue: Catalogue) -> None:
    assert names(load(catalogue, "{tag: own, except: [b-two, a-one]}")) == ["c-three"]


def test_parameters_hold_for_those_that_have_them(catalogue: Catalogue) -> None:
    suite = load(catalogue, "{tag: own, params: {n: [2, 3]}}")
    assert [dict(use.params) for use in suite.uses] == [{"n": (2, 3)}, {"n": (2, 3)}, {}]
    assert len(make_plan(suite).cases) == 5


def test_what_is_named_is_not_brought_by_a_tag_too(catalogue: Catalogue) -> None:
    for entries in (
        ("{tag: own, params: {n: 5}}", "{workload: b-two, params: {n: 7}}"),
        ("{workload: ./own/b-two.yaml, params: {n: 7}}", "{tag: own, params: {n: 5}}"),
    ):
        suite = load(catalogue, *entries)
        assert {use.workload.name: dict(use.params) for use in suite.uses} == {
            "a-one": {"n": (5,)},
            "b-two": {"n": (7,)},
            "c-three": {},
        }
    suite = load(catalogue, "{tag: even, params: {n: 3}}", "{tag: own, params: {n: 5}}")
    assert [(use.workload.name, dict(use.params)) for use in suite.uses] == [
        ("b-two", {"n": (3,)}),
        ("a-one", {"n": (5,)}),
        ("c-three", {}),
    ]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{tag: onw}", "s.yaml:6:11: workloads[0].tag: unknown tag 'onw'; expected one of "),
        (
            "{tag: own, exept: [a-one]}",
            "s.yaml:6:16: workloads[0].exept: unknown key; expected one of tag, except, ",
        ),
        ("{tag: own, workload: fio}", "s.yaml:6:16: workloads[0].workload: unknown key; expected one of tag, except, "),
        (
            "{tag: own, except: [a-on]}",
            "s.yaml:6:25: workloads[0].except[0]: no workload 'a-on' has the tag 'own'; expected one of a-one, b-two, ",
        ),
        ("{tag: own, except: a-one}", "s.yaml:6:24: workloads[0].except: expected a list, got 'a-one'"),
        (
            "{tag: own, params: {k: 1}}",
            "s.yaml:6:25: workloads[0].params.k: no workload that this tag brings has this parameter; expected one of",
        ),
        (
            "{tag: own, except: [c-three], params: {m: 1}}",
            "s.yaml:6:44: workloads[0].params.m: no workload that this tag brings has this parameter; expected one of",
        ),
        ("{tag: own, params: {m: [1, 10]}}", "s.yaml:6:32: workloads[0].params.m[1]: c-three: 10 is too large; "),
        ("{tag: even, except: [b-two]}", "s.yaml:6:3: workloads: no workload is left once those after 'except'"),
        ("{tag: 5}", "s.yaml:6:11: workloads[0].tag: expected text, got 5"),
        ("{}", "s.yaml:6:5: workloads[0].workload: this key is missing"),
    ],
)
def test_a_wrong_entry(catalogue: Catalogue, entry: str, said: str) -> None:
    message = refusal(catalogue, entry)
    assert message.startswith(said)
    assert len(message.splitlines()) == 1


def test_an_unknown_tag_names_a_near_one(catalogue: Catalogue) -> None:
    assert refusal(catalogue, "{tag: netwrok}").endswith("; did you mean 'network'?")


def test_the_suite_as_run_names_what_a_tag_brought(catalogue: Catalogue, tmp_path: Path) -> None:
    suite = load(catalogue, "{tag: own, params: {n: [2, 3]}}", "{tag: disk}")
    assert suite.as_data()["workloads"] == [
        {"workload": str(tmp_path / "own" / "a-one.yaml"), "params": {"n": [2, 3]}},
        {"workload": str(tmp_path / "own" / "b-two.yaml"), "params": {"n": [2, 3]}},
        str(tmp_path / "own" / "c-three.yaml"),
        *catalogue.tagged("disk"),
    ]
    stored = tmp_path / "elsewhere.yaml"
    stored.write_text(suite.as_yaml())
    again = load_suite(str(stored))
    assert again == suite
    assert again.hash == suite.hash


def test_only_workloads_with_a_tag_are_kept(catalogue: Catalogue) -> None:
    entries = ("null", "a-one", "b-two", "fio")
    assert names(load(catalogue, *entries, tags=["own"])) == ["a-one", "b-two"]
    assert names(load(catalogue, *entries, tags=["even", "disk"])) == ["b-two", "fio"]
    assert names(load(catalogue, *entries, tags=["even"], workloads=["null"])) == ["null", "b-two"]
    message = r"^unknown tag 'evne' in suite tagged; expected one of .*; did you mean 'even'\?$"
    with pytest.raises(InvalidInput, match=message):
        load(catalogue, *entries, tags=["evne"])
    with pytest.raises(InvalidInput, match=re.escape("unknown tag 'network' in suite tagged")):
        load(catalogue, *entries, tags=["network"])
