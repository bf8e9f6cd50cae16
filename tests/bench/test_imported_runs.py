"""Suites whose image is somebody's own, by root and by an ordinary user; and what is exported comes back the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from layers import CAPABILITY, archive, capable, directory, hard_link, link, make_layout, member, tool
from ordinary_user import USER, OrdinaryUser

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(600)]

BENCH = Path(sys.executable).with_name("bench")
SUITE = """
name: imported
baseline: native
image: {image}
limits: {{cpus: 1, memory: 256M}}
arms:
  native: {{runtime: native}}
  container: {{runtime: container}}
  vm: {{runtime: vm, accel: tcg}}
workloads: [./echo.yaml]
sampling: {{blocks: 1, seed: 3}}
"""
ECHO = r"""
name: echo
description: Prints a figure.
packages: [there-is-no-such-package]
run: {shell: "grep -q tiny /etc/os-release && echo score: 42"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\d+)'}}
"""


def busybox_root():
    """A root file system with busybox alone, in two layers of which the second removes something."""
    busybox = Path(shutil.which("busybox") or "busybox").read_bytes()
    applets = ("sh", "env", "grep", "echo", "cat")
    lower = archive(
        directory("usr/bin"),
        member("usr/bin/busybox", busybox, mode=0o755),
        *(link(f"usr/bin/{name}", "busybox") for name in applets),
        link("bin", "usr/bin"),
        member("etc/os-release", b"ID=tiny\n"),
        member("etc/gone", b"x"),
        capable("usr/bin/server", b"s", mode=0o4755, uid=33, gid=33),
        hard_link("usr/bin/served", "usr/bin/server"),
    )
    return lower, archive(member("etc/.wh.gone"))


def bench(*arguments, check=0):
    finished = subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=500, check=False)
    assert finished.returncode == check, finished.stdout + finished.stderr
    return finished


def write_suite(place, image):
    place.mkdir(exist_ok=True)
    (place / "echo.yaml").write_text(ECHO)
    (place / "suite.yaml").write_text(SUITE.format(image=image))
    return place / "suite.yaml"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with an image of two layers and a suite that runs it."""
    place = tmp_path_factory.mktemp("imported")
    make_layout(place / "layout", "one", *busybox_root())
    write_suite(place, "{oci: layout}")
    return place


@pytest.fixture(scope="module")
def exported(place):
    """The archive of the root file system that root exports."""
    bench("image", "export", place / "suite.yaml", "--tar", place / "root.tar", "--oci", place / "exported")
    return place / "root.tar"


@pytest.mark.guest
def test_an_image_of_layers_runs_in_every_arm(place):
    ran = json.loads(bench("run", place / "suite.yaml", "--store", place / "store", "--format", "json").stdout)
    assert ran["failed"] == 0
    assert {row["arm"] for row in ran["comparisons"] if row["metric"] == "score"} == {"container", "vm"}
    (run,) = (place / "store/runs").iterdir()
    recorded = json.loads((run / "image.json").read_text())
    assert recorded["source"]["path"] == str(place / "layout")
    assert recorded["source"]["digest"] in json.loads((run / "host.json").read_text())["image"]["from"]
    assert str(place / "layout") in (run / "report/report.html").read_text()
    assert str(place / "layout") in bench("image", "list", "--format", "json").stdout


def test_what_is_exported_is_what_others_make_of_the_layers_and_comes_back_the_same(place, exported):
    with tarfile.open(exported) as archive:
        members = {each.name: each for each in archive}
    assert "etc/os-release" in members
    assert "etc/gone" not in members
    assert members["usr/bin/server"].linkname == "usr/bin/served"
    assert members["usr/bin/served"].pax_headers["SCHILY.xattr.security.capability"] == CAPABILITY
    # What is added to an image is there already, so that a second import changes nothing.
    (tag,) = json.loads((place / "exported/index.json").read_text())["manifests"]
    image = tag["annotations"]["org.opencontainers.image.ref.name"]
    bench("image", "export", image[:12], "--oci", place / "exported.tar")
    again = write_suite(place / "again", f"{{oci: {place}/exported.tar}}")
    bench("image", "export", again, "--tar", place / "again.tar")
    assert (place / "again.tar").read_bytes() == exported.read_bytes()
    tool("umoci", "raw", "unpack", "--image", f"{place}/exported:{image}", place / "unpacked")
    assert (place / "unpacked/usr/bin/served").stat().st_nlink == 2
    for source in (f"oci-archive:{place}/exported.tar", f"docker-archive:{place}/exported.tar"):
        tool("skopeo", "copy", "--insecure-policy", source, f"dir:{place}/copied")
    refused = bench("image", "export", image, "--tar", exported, check=2)
    assert "root.tar is there already; add --force to replace it" in refused.stderr
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []


def test_an_ordinary_user_imports_and_exports_the_same(place, exported):
    home = Path(tempfile.mkdtemp(prefix="test-user-", dir="/var/tmp"))
    try:
        user = OrdinaryUser(home, lent=True)
        shutil.copytree(place / "layout", user.home / "layout")
        for name in ("suite.yaml", "echo.yaml"):
            shutil.copy(place / name, user.home / name)
        tool("chown", "-R", f"{USER}:{USER}", user.home)
        made = user.bench("image", "export", "home/suite.yaml", "--tar", "home/root.tar")
        assert made.returncode == 0, made.stderr
        assert (user.home / "root.tar").read_bytes() == exported.read_bytes()
        assert user.leftovers() == []
    finally:
        shutil.rmtree(home)
