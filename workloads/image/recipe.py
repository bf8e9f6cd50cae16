"""What an image is made from, and the id that follows from it."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from workloads.errors import InvalidInput
from workloads.files import CarriedFile
from workloads.image.errors import ImageError
from workloads.image.initramfs import HELPERS, MODULES, OPTIONAL_MODULES

BUILDER_VERSION = 4
"""Raised with every change of the builder that changes the images it makes."""

IMPORTER_VERSION = 1
"""Raised with every change of what is done to an imported root file system, besides those of the agent's unit."""

BASE_PACKAGES = ("iproute2", "procps")
"""What every image has on top of Debian's essential packages: an instance can be looked at from inside."""

KERNEL_PACKAGE = "linux-image-cloud-amd64"
"""Depends on the current kernel that Debian builds for virtual machines."""

ALL_MODULES = (*HELPERS, *MODULES, *(name for names in OPTIONAL_MODULES.values() for name in names))
"""Kernel modules that a guest may load."""

EPOCH = 1_700_000_000
"""The time that stands in images for "now", seconds since 1970: the same recipe gives the same bytes at any time."""

_PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
"""Debian Policy 5.6.7."""

AGENT_UNIT = "bench-agent.service"
"""The file with the agent's unit for systemd, beside this module, and its name in the image."""

_SCRIPTS = ("rootfs.sh", AGENT_UNIT)


@dataclass(frozen=True, slots=True)
class Programs:
    """Our own programs that go into an image.

    Attributes:
        agent: the agent's binary; read only if something must be built.
        agent_digest: stands for it in the image's identity.
        init: the guest's init, and ``init_digest`` what stands for it.
    """

    agent: Path
    agent_digest: str
    init: Path
    init_digest: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what an image holds, up to the package versions of the day on which it is built.

    Attributes:
        release: code name of the Debian release.
        packages: sorted, without those that Debian calls essential.
        agent: digest that stands for the agent binary.
        init: the same for the guest's init.
        scripts: digest of the script that runs on the root file system and of the agent's unit, or what is done to an
            imported one.
        kernel: name of the package that depends on the guest kernel.
        modules: kernel modules that a guest may load.
        builder: version of this builder.
        files: of workloads: path, SHA-256 and whether it is executable, sorted.
        source: what the root file system is imported from, by its content: ``oci sha256:…``; None where it is built
            from packages.
    """

    release: str
    packages: tuple[str, ...]
    agent: str
    init: str
    scripts: str
    kernel: str = KERNEL_PACKAGE
    modules: tuple[str, ...] = ALL_MODULES
    builder: int = BUILDER_VERSION
    files: tuple[tuple[str, str, bool], ...] = ()
    source: str | None = None

    def fields(self) -> dict[str, Any]:
        """All of it, as JSON has it; of an image without files of workloads or without a source, nothing of them."""
        return {name: value for name, value in asdict(self).items() if value or name not in {"files", "source"}}

    def canonical(self) -> bytes:
        """The one JSON text of this recipe: keys sorted, no spaces."""
        return json.dumps(self.fields(), sort_keys=True, separators=(",", ":")).encode()

    @property
    def id(self) -> str:
        """The first 64 bits of the SHA-256 of the canonical text, hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()[:16]


def make_recipe(packages: Iterable[str], programs: Programs, files: Mapping[str, CarriedFile]) -> Recipe:
    """The recipe of an image with these packages and files by path, for this host's Debian release.

    Raises:
        InvalidInput: something is not a package name.
        ImageError: this is not a Debian host, or not an x86-64 one.
    """
    wanted = {*packages, *BASE_PACKAGES}
    for name in sorted(wanted):
        if not _PACKAGE_NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is not the name of a Debian package: expected lower-case letters, digits and + - ."
            )
    return _recipe(tuple(sorted(wanted)), _digest(_SCRIPTS), programs, files)


def make_import_recipe(source: str, programs: Programs, files: Mapping[str, CarriedFile]) -> Recipe:
    """The recipe of an image with the root file system of a source, and with a kernel of this host's Debian release.

    Raises:
        ImageError: this is not a Debian host, or not an x86-64 one.
    """
    return _recipe((), f"import {IMPORTER_VERSION}, {_digest((AGENT_UNIT,))}", programs, files, source)


def _recipe(
    packages: tuple[str, ...],
    scripts: str,
    programs: Programs,
    files: Mapping[str, CarriedFile],
    source: str | None = None,
) -> Recipe:
    if platform.machine() != "x86_64":
        raise ImageError(f"images are made for x86-64 hosts, and this one is {platform.machine()}")
    return Recipe(
        debian_release(),
        packages,
        agent=programs.agent_digest,
        init=programs.init_digest,
        scripts=scripts,
        files=tuple(sorted((path, file.sha256, file.executable) for path, file in files.items())),
        source=source,
    )


def debian_release(os_release: Path = Path("/etc/os-release")) -> str:
    """The code name of the host's Debian release (os-release(5)).

    Raises:
        ImageError: the host is not Debian.
    """
    lines = os_release.read_text().splitlines() if os_release.exists() else []
    fields = {name: value.strip("\"'") for name, found, value in (line.partition("=") for line in lines) if found}
    if fields.get("ID") != "debian" or not fields.get("VERSION_CODENAME"):
        found = (
            fields.get("PRETTY_NAME") or fields.get("ID") or f"of an unknown distribution (no {os_release} says which)"
        )
        raise ImageError(
            "images are built from Debian packages on a Debian host, with its apt and its package sources, "
            f"and this host is {found}: run bench on Debian 12 or later"
        )
    return fields["VERSION_CODENAME"]


def _digest(names: Iterable[str]) -> str:
    """The digest of files beside this module."""
    place = resources.files("workloads.image")
    return hashlib.sha256(b"\0".join(place.joinpath(name).read_bytes() for name in names)).hexdigest()
