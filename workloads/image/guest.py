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

_KERNEL_PREFIX = "linux-image-"


@dataclass(frozen=True, slots=True)
class Guest:
    """The parts of which a guest is made, besides our init.

    Attributes:
        kernel: a bzImage, or an ELF file.
        modules: the directory of its modules, named by its release.
        source: where they come from, for people: a package with its version, or files.
    """

    kernel: bytes
    modules: Path
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
    file = packages.fetch_single(name)
    run(["dpkg-deb", "-x", file, root], doing=f"unpacking {name}")
    release = name.removeprefix(_KERNEL_PREFIX)
    return Guest(
        kernel=_the_one(root, f"boot/vmlinuz-{release}").read_bytes(),
        modules=_the_one(root, f"lib/modules/{release}"),
        source={name: file.name.split("_")[1].replace("%3a", ":")},
    )


def write_guest(guest: Guest, init: Path, directory: Path, unpacked: bytes | None) -> None:
    """Write the files that a guest boots.

    Args:
        guest: what they are made from.
        init: the guest's init.
        directory: where they go, as :data:`workloads.image.manifest.KERNEL_PARTS` names them.
        unpacked: the kernel as an ELF file with a PVH entry, or None where there is none.

    Raises:
        ImageError: the kernel lacks what guests need.
    """
    (directory / KERNEL_PARTS["bzimage"]).write_bytes(guest.kernel)
    if unpacked is not None:
        (directory / KERNEL_PARTS["kernel"]).write_bytes(unpacked)
    (directory / KERNEL_PARTS["initramfs"]).write_bytes(build_initramfs(init.read_bytes(), guest.modules))


def _the_one(root: Path, path: str) -> Path:
    """A file or directory of a package, which since Debian 13 may be below ``usr``."""
    for candidate in (root / path, root / "usr" / path):
        if candidate.exists():
            return candidate
    raise ImageError(f"the guest's packages hold no {path}: expected Debian's kernel package")
