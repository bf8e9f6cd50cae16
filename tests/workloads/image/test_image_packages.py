"""Fetching packages with apt, from a small archive in a directory that says whose it is. No network is needed."""

from __future__ import annotations

import gzip
import hashlib
import subprocess

import pytest

from workloads.errors import InvalidInput
from workloads.image import ImageError
from workloads.image import packages as packages_module
from workloads.image.packages import open_packages
from workloads.image.sources import Source
from workloads.image.tools import NoNetworkError

RELEASE = "bookworm"


class Archive:
    """An archive with real, nearly empty packages."""

    def __init__(self, directory, origin: str, codename: str = RELEASE) -> None:
        self.directory = directory
        self.origin = origin
        self.codename = codename
        self.stanzas: list[str] = []

    @property
    def source(self) -> Source:
        return Source(f"copy:{self.directory}", RELEASE, ("main",), {"Trusted": "yes"})

    def add(self, name: str, version: str = "1.0", depends: str = "", essential: bool = False) -> None:
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: a <a@example.org>\n"
        control += f"Depends: {depends}\n" if depends else ""
        control += "Essential: yes\n" if essential else ""
        control += "Description: test\n"
        tree = self.directory / f"{name}-tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(control)
        deb = self.directory / "pool" / f"{name}_{version.replace(':', '%3a')}_amd64.deb"
        deb.parent.mkdir(exist_ok=True)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True, capture_output=True)
        data = deb.read_bytes()
        self.stanzas.append(
            f"{control}Filename: pool/{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        )

    def publish(self) -> None:
        index = "\n".join(self.stanzas).encode()
        dists = self.directory / "dists" / RELEASE
        (dists / "main/binary-amd64").mkdir(parents=True, exist_ok=True)
        digests = ""
        for path, data in {"Packages": index, "Packages.gz": gzip.compress(index)}.items():
            (dists / "main/binary-amd64" / path).write_bytes(data)
            digests += f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/{path}\n"
        (dists / "Release").write_text(
            f"Origin: {self.origin}\nSuite: {RELEASE}\nCodename: {self.codename}\nArchitectures: amd64\n"
            f"Components: main\nDate: Sat, 10 Jun 2023 08:53:33 UTC\nSHA256:\n{digests}"
        )


def silent(message: str) -> None:
    pass


@pytest.fixture
def archive(tmp_path):
    debian = Archive(tmp_path / "debian", "Debian")
    debian.add("base-files", essential=True)
    debian.add("sysbench", "1:1.0", depends="libsysbench")
    debian.add("libsysbench")
    debian.add("linux-image-cloud-amd64", depends="linux-image-6.1.0-9-cloud-amd64")
    debian.add("linux-image-6.1.0-9-cloud-amd64")
    debian.publish()
    return debian


@pytest.fixture
def use(monkeypatch):
    """Make these the host's sources, and have apt give up at once on those that do not answer."""
    monkeypatch.setattr(
        "workloads.image.packages._CONFIGURATION", packages_module._CONFIGURATION + 'Acquire::Retries "0";\n'
    )

    def use(*sources: Source) -> None:
        monkeypatch.setattr("workloads.image.packages.debian_sources", lambda release: list(sources))

    return use


@pytest.fixture
def packages(tmp_path, archive, use):
    use(archive.source)
    with open_packages(tmp_path / "a cache", RELEASE, silent) as opened:
        opened.update(silent)
        yield opened


def test_an_unknown_package_is_named_with_the_nearest_that_exist(packages):
    packages.require(["sysbench", "base-files"])
    with pytest.raises(InvalidInput, match=r"bookworm has no package 'sysbnch'; the nearest names are sysbench"):
        packages.require(["sysbench", "sysbnch"])


def test_a_name_like_no_other_gets_no_hint(packages):
    with pytest.raises(InvalidInput, match=r"has no package 'zzz9'$"):
        packages.require(["zzz9"])


def test_packages_come_with_what_they_need_and_with_the_essential_ones(packages):
    packages.fetch(["sysbench"])
    assert {path.name for path in packages.archives.glob("*.deb")} == {
        "base-files_1.0_amd64.deb",
        "sysbench_1%3a1.0_amd64.deb",
        "libsysbench_1.0_amd64.deb",
    }


def test_a_package_that_cannot_be_installed_is_an_error(packages, archive):
    archive.add("broken", depends="does-not-exist")
    archive.publish()
    packages.update(silent)
    with pytest.raises(ImageError, match=r"(?s)fetching the packages failed.*does-not-exist"):
        packages.fetch(["broken"])


def test_one_package_is_fetched_alone(packages):
    file = packages.fetch_single("sysbench")
    assert file.name == "sysbench_1%3a1.0_amd64.deb"
    assert file.exists()
    assert packages.fetch_single("sysbench") == file


def test_the_kernel_is_what_the_kernel_package_depends_on(packages):
    assert packages.dependency("linux-image-cloud-amd64", "linux-image-") == "linux-image-6.1.0-9-cloud-amd64"
    with pytest.raises(ImageError, match="does not depend on any linux-image-"):
        packages.dependency("libsysbench", "linux-image-")


@pytest.mark.parametrize(("origin", "codename"), [("Third Party", RELEASE), ("Debian", "trixie")])
def test_a_source_that_only_looks_like_debians_is_left_out(tmp_path, archive, use, origin, codename):
    other = Archive(tmp_path / "other", origin, codename)
    other.add("sysbench", "9:9.9")
    other.add("intruder")
    other.publish()
    use(other.source, archive.source)
    with open_packages(tmp_path / "cache", RELEASE, silent) as packages:
        packages.update(silent)
        assert "other" not in packages.sources.read_text()
        with pytest.raises(InvalidInput, match="intruder"):
            packages.require(["intruder"])
        assert packages.fetch_single("sysbench").name == "sysbench_1%3a1.0_amd64.deb"


def test_without_any_source_of_debians_own_those_looked_at_are_named(tmp_path, use):
    other = Archive(tmp_path / "other", "Third Party")
    other.add("intruder")
    other.publish()
    use(other.source)
    with (
        open_packages(tmp_path / "cache", RELEASE, silent) as packages,
        pytest.raises(ImageError, match=r"Debian's own for bookworm; looked at copy:.*/other"),
    ):
        packages.update(silent)


UNREACHABLE = Source("http://127.0.0.1:9/debian", RELEASE, ("main",))


def test_without_network_the_message_says_so(tmp_path, use):
    use(UNREACHABLE)
    with (
        open_packages(tmp_path / "cache", RELEASE, silent) as packages,
        pytest.raises(NoNetworkError, match=r"no network.*built once with network"),
    ):
        packages.update(silent)


def test_without_network_the_lists_of_an_earlier_build_serve(packages, archive, use):
    use(UNREACHABLE, archive.source)
    said: list[str] = []
    packages.update(said.append)
    assert any("no network" in message for message in said)
    packages.require(["sysbench"])
