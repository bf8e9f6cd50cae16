"""The lab's root file system: a Debian machine with KVM's, libvirt's and systemd's parts, built once for each recipe.

Debian packages come through the host's own apt configuration, Python packages through the host's own pip configuration,
both while the image is built: the machine that boots it has no network.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workloads.image.cache import cache_directory
from workloads.image.locks import locked
from workloads.image.packages import Packages, open_packages
from workloads.image.recipe import debian_release
from workloads.image.tools import remove_tree, require_space, run

PROJECT = Path(__file__).parents[2]
VENV = Path("/opt/venv")
"""Where the lab has its virtual environment."""

_KEPT = 2
"""Images that stay, the newest: two work trees may differ in what their labs have."""

_VERSION = 1
"""Raised with every change of this module that changes the images it makes."""

_HERE = Path(__file__).parent
_SETUP = PROJECT / "setup"
_REQUIREMENTS = (_SETUP / "requirements.txt", _SETUP / "requirements-dev.txt")
_SCRIPT = _HERE / "root.sh"
_UNIT = _HERE / "inside/lab.service"
_HOST_PYTHON = Path("/usr/bin/python3")
"""Debian's own: the lab has the same one, so that what is compiled for it here runs there."""

_LEFT_OUT = {"chromium", "chromium-driver", "fonts-dejavu-core", "ca-certificates"}
"""Packages of the host that nothing needs in a machine without screen and network."""

_SPACE = 2 << 30
"""Bytes that the root file system has free."""


@dataclass(frozen=True, slots=True)
class LabImage:
    """What the lab boots.

    Attributes:
        rootfs: ext4 file; it is never written to.
        kernel: of Debian, for virtual machines.
        initramfs: made by Debian's tools.
    """

    rootfs: Path
    kernel: Path
    initramfs: Path

    @classmethod
    def of(cls, directory: Path) -> LabImage:
        """The image in a directory."""
        return cls(directory / "rootfs.ext4", directory / "vmlinuz", directory / "initrd.img")


def ensure_lab_image(progress: Callable[[str], None]) -> LabImage:
    """The image of this recipe, built if the cache does not have it.

    Raises:
        HostError: a package cannot be had, or a tool failed; the message says why.
    """
    cache = cache_directory() / "lab"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / _recipe_digest()
    with locked(cache / "lock"):
        if not place.exists():
            with _new_directory(place) as building:
                _build(building, progress)
            for old in sorted(cache.glob("[!.]*/"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
                remove_tree(old)
    return LabImage.of(place)


def lab_packages() -> list[str]:
    """The Debian packages of the lab, by the project's one list."""
    lines = (_SETUP / "debian-packages.txt").read_text().splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return sorted({name for group, name, *_ in words if group in {"bench", "test", "lab"}} - _LEFT_OUT)


def _recipe_digest() -> str:
    files = (_SCRIPT, _UNIT, *_REQUIREMENTS)
    parts = [str(_VERSION), debian_release(), *lab_packages(), *(file.read_text() for file in files)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextmanager
def _new_directory(place: Path) -> Iterator[Path]:
    """A directory that takes its name only when it is whole; leftovers of earlier builds go first."""
    for leftover in place.parent.glob(".building-*"):
        remove_tree(leftover)
    building = place.with_name(f".building-{secrets.token_hex(4)}")
    building.mkdir()
    try:
        yield building
        building.rename(place)
    finally:
        if building.exists():
            remove_tree(building)


def _build(directory: Path, progress: Callable[[str], None]) -> None:
    require_space(directory)
    tree = directory / "root"
    with open_packages(cache_directory() / "packages", debian_release(), progress) as packages:
        progress("lab: fetching Debian packages")
        packages.update(progress)
        packages.fetch(lab_packages())
        progress("lab: installing Debian packages")
        _bootstrap(packages, tree)
    progress("lab: installing Python packages")
    _install_python_packages(tree)
    progress("lab: making the root file system")
    run(["sh", _SCRIPT, tree, VENV, _UNIT], doing="setting the lab up")
    image = LabImage.of(directory)
    for boot_file, target in (("vmlinuz", image.kernel), ("initrd.img", image.initramfs)):
        (found,) = (tree / "boot").glob(f"{boot_file}-*")
        shutil.copyfile(found, target)
    make_filled_ext4(tree, image.rootfs, _SPACE)
    remove_tree(tree)


def _bootstrap(packages: Packages, tree: Path) -> None:
    lists, archives = packages.lists, packages.archives
    run(
        [
            *("mmdebstrap", "--mode=root", "--variant=essential", "--format=directory"),
            '--setup-hook=mkdir -p "$1/var/lib/apt/lists" "$1/var/cache/apt/archives"',
            f"--setup-hook=sync-in {lists} /var/lib/apt/lists",
            f"--setup-hook=sync-in {archives} /var/cache/apt/archives",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            f"--include={','.join(lab_packages())}",
            *(packages.release, str(tree), "-"),
        ],
        doing="installing the lab's Debian packages",
        stdin=packages.sources.read_text(),
    )


def _install_python_packages(tree: Path) -> None:
    """Make the virtual environment in the tree, with the host's Python, which is the tree's as well, and its pip."""
    venv = tree / VENV.relative_to("/")
    run([_HOST_PYTHON, "-m", "venv", "--symlinks", venv], doing="making the lab's virtual environment")
    requirements = [word for file in _REQUIREMENTS for word in ("--requirement", str(file))]
    run(
        [venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        doing="installing the lab's Python packages",
    )


def make_filled_ext4(tree: Path, target: Path, space: int) -> None:
    """Make a sparse ext4 file of a tree, with some space free.

    Args:
        tree: what goes in.
        target: the file to make.
        space: bytes that are left free.
    """
    used = sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in _walk(tree))
    with target.open("wb") as file:
        file.truncate(used + used // 5 + space)
    run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-E", "nodiscard,root_owner=0:0", "-d", tree, target],
        doing="making a disk of the lab",
    )


def _walk(tree: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(tree) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
