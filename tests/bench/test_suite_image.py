"""What a suite says of its image, and what its plan needs of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_runs import ECHO, FAKE_IMAGE

from bench.images import origin_text
from bench.plan import make_plan
from bench.suite import load_suite
from workloads.errors import InvalidInput
from workloads.image import Manifest
from workloads.origin import Need, Origin

SUITE = """\
name: mine
baseline: native
{image}
limits: {{cpus: 1, memory: 512M}}
arms:
  native: {{runtime: native}}
  guest: {{runtime: vm, init: systemd}}
workloads: [./echo.yaml, sysbench-cpu, iperf3]
"""


@pytest.fixture
def load(tmp_path):
    def load(image):
        (tmp_path / "echo.yaml").write_text(ECHO)
        (tmp_path / "suite.yaml").write_text(SUITE.format(image=image))
        return load_suite(str(tmp_path / "suite.yaml"))

    return load


@pytest.mark.parametrize(
    ("text", "kind", "ref"),
    [
        ("{oci: build/image}", "oci", None),
        ("{oci: {path: build/image}}", "oci", None),
        ("{oci: {path: build/image, ref: 'v1.2'}}", "oci", "v1.2"),
        ("{tar: build/image}", "tar", None),
        ("{directory: build/image}", "directory", None),
    ],
)
def test_a_path_is_from_the_suites_directory_and_the_suite_reads_back(load, tmp_path, text, kind, ref):
    suite = load(f"image: {text}")
    assert suite.origin == Origin(kind, tmp_path / "build/image", ref)
    again = tmp_path / "elsewhere.yaml"
    again.write_text(suite.as_yaml())
    assert load_suite(str(again)).origin == suite.origin
    assert make_plan(suite).describe()["image"] == json.loads(json.dumps(suite.origin.as_data()))


def test_where_an_image_is_from_is_not_what_is_measured(load):
    without = load("")
    assert without.origin is None
    assert make_plan(without).imported() is None
    assert load("image: {tar: a}").hash == load("image: {tar: b}").hash == without.hash


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", r"3:8: image: expected one of the keys oci, tar, directory"),
        ("{oci: a, tar: b}", r"3:8: image: expected one of the keys oci, tar, directory"),
        ("{tar: ''}", r"3:14: image\.tar: "),
        ("{docker: a}", r"image\.docker: unknown key; expected one of .*oci"),
        ("{oci: {ref: v1}}", r"3:14: image\.oci\.path: this key is missing"),
        ("alpine", r"3:8: image: "),
    ],
)
def test_a_mistake_is_told_with_its_place(load, text, said):
    with pytest.raises(InvalidInput, match=said):
        load(f"image: {text}")


def test_what_workloads_and_arms_need_of_an_imported_image(load):
    imported = make_plan(load("image: {tar: a}")).imported()
    assert imported.needs[:2] == (
        Need("workload echo", (), ("/usr/bin/env", "/bin/sh"), all_known=False),
        Need("workload sysbench-cpu", ("sysbench",), ("sysbench",)),
    )
    assert imported.needs[2].packages == ("iperf3",)
    assert imported.needs[-1] == Need("arm guest", systemd=True)


def test_what_an_image_is_from_in_words():
    built = FAKE_IMAGE.__class__(
        "x",
        *([Path()] * 4),
        Manifest("x", {"release": "bookworm", "packages": ["fio", "procps"]}, "", {}, {}, {}),
    )
    assert origin_text(built) == "Debian bookworm: fio, procps"
    source = {"kind": "tar", "path": "/a", "digest": "sha256:1", "system": "Tiny 1"}
    imported = FAKE_IMAGE.__class__("x", *([Path()] * 4), Manifest("x", {}, "", {}, {}, {}, source))
    assert origin_text(imported) == "tar /a, sha256:1 (Tiny 1)"
