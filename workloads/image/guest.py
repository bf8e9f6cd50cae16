"""What a guest boots: a kernel, and our initramfs with that kernel's modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workloads.image.errors import ImageError
from workloads.image.initramfs import build_initramfs
from workloads.image.manifest import KERNEL_PARTS
from workloads.image.packages import Packages
from workloads.image.tools import run

_BUSYBOX_PACKAGE = "busybox-static"
_KERNEL_PREFIX = "linux-image-"


@dataclass(frozen=True, slots=True)
class Guest:
    """The parts of which a guest is made.

    Attributes:
        kernel: a bzImage, or an ELF file.
        modules: the directory of its modules, named by its release.
        busybox: the program that the initramfs's script is for.
        source: where they come from, for people: packages with their versions, or files.
    """

    kernel: bytes
    modules: Path
    busybox: bytes
    source: Mapping[str, str]


def fetch_guest(package: str, packages: Packages, root: Path) -> Guest:
    """The kernel that a Debian package depends on.

    Args:
        package: such as ``linux-image-cloud-amd64``.
        packages: where it is taken from.
        root: a directory to unpack packages in, made if need be.

    Raises:
        ImageError: it could not be fetched.
    """
    name = packages.dependency(package, _KERNEL_PREFIX)
    version = _unpack(name, packages, root)
    busybox, busybox_version = fetch_busybox(packages, root)
    release = name.removeprefix(_KERNEL_PREFIX)
    return Guest(
        kernel=_the_one(root, f"boot/vmlinuz-{release}").read_bytes(),
        modules=_the_one(root, f"lib/modules/{release}"),
        busybox=busybox,
        source={name: version, _BUSYBOX_PACKAGE: busybox_version},
    )


def fetch_busybox(packages: Packages, root: Path) -> tuple[bytes, str]:
    """The busybox of the initramfs, and the version of its package.

    Raises:
        ImageError: it could not be fetched.
    """
    version = _unpack(_BUSYBOX_PACKAGE, packages, root)
    return _the_one(root, "bin/busybox").read_bytes(), version


def write_guest(guest: Guest, directory: Path, unpacked: bytes | None) -> None:
    """Write the files that a guest boots.

    Args:
        guest: what they are made from.
        directory: where they go, as :data:`workloads.image.manifest.KERNEL_PARTS` names them.
        unpacked: the kernel as an ELF file with a PVH entry, or None where there is none.

    Raises:
        ImageError: the kernel lacks what guests need.
    """
    (directory / KERNEL_PARTS["bzimage"]).write_bytes(guest.kernel)
    if unpacked is not None:
        (directory / KERNEL_PARTS["kernel"]).write_bytes(unpacked)
    (directory / KERNEL_PARTS["initramfs"]).write_bytes(build_initramfs(guest.busybox, guest.modules))


def _unpack(name: str, packages: Packages, root: Path) -> str:
    """Fetch a package, unpack it below ``root`` and return its version."""
    file = packages.fetch_single(name)
    run(["dpkg-deb", "-x", file, root], doing=f"unpacking {name}")
    return file.name.split("_")[1].replace("%3a", ":")


def _the_one(root: Path, path: str) -> Path:
    """A file or directory of a package, which since Debian 13 may be below ``usr``."""
    for candidate in (root / path, root / "usr" / path):
        if candidate.exists():
            return candidate
    raise ImageError(f"the guest's packages hold no {path}: expected Debian's kernel and busybox packages")
