"""The root file system: a Debian root from mmdebstrap, turned into one ext4 file.

Root gets the same bytes from the same packages whenever it is built.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tarfile
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from workloads.files import CarriedFile
from workloads.image.errors import ImageError
from workloads.image.packages import Packages
from workloads.image.recipe import AGENT_UNIT, EPOCH, Recipe
from workloads.image.tools import as_root, remove_tree, run

_BLOCK = 4096
_INODE = 256
_FIRST_INODES = 11
"""Inodes that ext4 has before the first file: the reserved ones and lost+found."""

_SPARE_INODES = 64
_SPARE_BLOCKS = 1024
_SPARE_PART = 0.01

_DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "force-unsafe-io",
)

_SKIPPED = ("update", "download/empty", "essential/unlink")
"""Steps of mmdebstrap(1) that would fetch again what lies in the cache, or forbid that it lies there."""


_FIXED_TIME = {"E2FSPROGS_FAKE_TIME": str(EPOCH), "SOURCE_DATE_EPOCH": str(EPOCH)}
"""The clock for e2fsprogs: before 1.47.1 it knows the first variable only."""


@dataclass(frozen=True, slots=True)
class _Contents:
    """What an archive holds.

    Attributes:
        inodes: files, directories and the rest; hard links to a file once.
        blocks: of file content and directories.
        packages: installed packages and their versions.
    """

    inodes: int
    blocks: int
    packages: dict[str, str]


def build_rootfs(
    recipe: Recipe, packages: Packages, agent: Path, files: Mapping[str, CarriedFile], target: Path, work: Path
) -> dict[str, str]:
    """Build the ext4 file ``target``; return the installed packages and their versions.

    Args:
        recipe: what goes in.
        packages: where it is taken from; the recipe's packages have been fetched.
        agent: the agent binary.
        files: what workloads bring along, by path.
        target: the file to make.
        work: an existing directory for intermediate files, about three times the size of the result.

    Raises:
        ImageError: a package could not be installed, or the disk is full.
    """
    carried = work / "files"
    copy_files(files, carried)
    archive = work / "rootfs.tar"
    tree = work / "tree"
    _debootstrap(recipe, packages, archive, work)
    contents = _read_archive(archive)
    own = resources.files("workloads.image")
    with resources.as_file(own.joinpath("rootfs.sh")) as script, resources.as_file(own.joinpath(AGENT_UNIT)) as unit:
        run(
            as_root(["sh", script, archive, tree, agent, carried, unit, str(EPOCH)]),
            doing="unpacking the root file system",
        )
    archive.unlink()
    inodes, blocks = _space([agent, *carried.rglob("*")])
    make_ext4(tree, target, recipe.id, inodes=contents.inodes + inodes + 3, blocks=contents.blocks + blocks + 3)
    remove_tree(tree)
    return contents.packages


def agent_unit() -> bytes:
    """The unit that starts the agent in guests that boot systemd."""
    return resources.files("workloads.image").joinpath(AGENT_UNIT).read_bytes()


def copy_files(files: Mapping[str, CarriedFile], directory: Path) -> None:
    """Put the files of workloads into a new directory, for everyone to read and for nobody to write.

    Raises:
        ImageError: a file is no longer what it was when the workload was read.
    """
    directory.mkdir()
    for path, file in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content_of(file))
        target.chmod(0o555 if file.executable else 0o444)
        for parent in Path(path).parents:
            (directory / parent).chmod(0o755)


def content_of(file: CarriedFile) -> bytes:
    """What a file of a workload holds.

    Raises:
        ImageError: it is no longer what it was when the workload was read.
    """
    content = file.source.read_bytes()
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ImageError(f"{file.source} has changed since the workload was read: run it again")
    return content


def _space(paths: Iterable[Path]) -> tuple[int, int]:
    """Inodes, and blocks of content, that files and directories take."""
    sizes = [_blocks(path.stat().st_size) for path in paths]
    return len(sizes), sum(sizes)


def _debootstrap(recipe: Recipe, packages: Packages, archive: Path, work: Path) -> None:
    """Install the packages into a new root and pack it. In mode ``unshare``, all mounts are in a private namespace."""
    root = os.geteuid() == 0
    lists, archives = (shlex.quote(str(path)) for path in (packages.lists, packages.archives))
    run(
        [
            *("mmdebstrap", "--mode=unshare", "--variant=essential", "--format=tar", "--verbose"),
            f"--skip={','.join(_SKIPPED)}",
            '--setup-hook=mkdir -p "$1/var/lib/apt/lists" "$1/var/cache/apt/archives"',
            f"--setup-hook=sync-in {lists} /var/lib/apt/lists",
            f"--setup-hook=sync-in {archives} /var/cache/apt/archives",
            *(f"--dpkgopt={option}" for option in _DPKG_OPTIONS),
            f"--include={','.join(recipe.packages)}",
            *(recipe.release, str(archive), "-"),
        ],
        doing="installing the packages",
        stdin=packages.sources.read_text(),
        # An unprivileged user's namespace cannot look into the user's home, where the cache is.
        environment={"SOURCE_DATE_EPOCH": str(EPOCH), **({"TMPDIR": str(work)} if root else {})},
    )


def _read_archive(path: Path) -> _Contents:
    inodes = blocks = 0
    status = b""
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            inodes += not member.islnk()
            blocks += 1 if member.isdir() else _blocks(member.size)
            if member.name == "./var/lib/dpkg/status" and (file := archive.extractfile(member)):
                status = file.read()
    return _Contents(inodes, blocks, parse_dpkg_status(status.decode()))


def parse_dpkg_status(text: str) -> dict[str, str]:
    """Installed packages and their versions, sorted by name, from dpkg's status file."""
    versions = {}
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            versions[fields["Package"]] = fields["Version"]
    return dict(sorted(versions.items()))


def make_ext4(tree: Path, target: Path, identity: str, *, inodes: int, blocks: int) -> None:
    """Make an ext4 file of a tree. Only ever mounted read-only, it has no journal, no reserve and little free space.

    The same tree and identity give the same bytes.

    Args:
        tree: what goes in.
        target: the file to make.
        identity: what the file system's UUID and directory hashes follow from.
        inodes: files, directories and the rest in the tree.
        blocks: what their contents take, of 4096 bytes.

    Raises:
        ImageError: it does not fit, or the disk is full.
    """
    inodes += _FIRST_INODES + _SPARE_INODES
    blocks += _blocks(inodes * _INODE)
    blocks += round(blocks * _SPARE_PART) + _SPARE_BLOCKS
    unique = str(uuid.uuid5(uuid.NAMESPACE_OID, identity))
    run(
        as_root(
            [
                *("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0"),
                *("-b", str(_BLOCK), "-I", str(_INODE), "-N", str(inodes)),
                *("-O", "^has_journal,^resize_inode", "-L", "bench", "-U", unique),
                *("-E", f"hash_seed={unique},lazy_itable_init=0,nodiscard,root_owner=0:0"),
                *("-d", str(tree), str(target), str(blocks)),
            ]
        ),
        doing="making the root file system",
        environment=_FIXED_TIME,
    )
    _settle_times(target)


def _settle_times(target: Path) -> None:
    """Set every inode's times of change and access, which mke2fs copies from the tree."""
    described = run(["dumpe2fs", "-h", target], doing="reading the root file system")
    counts = dict(re.findall(r"^(Inode count|Free inodes):\s+(\d+)$", described, re.MULTILINE))
    used = int(counts["Inode count"]) - int(counts["Free inodes"])
    commands = "".join(
        f"set_inode_field <{inode}> {name} @{EPOCH}\n"
        for inode in range(_FIRST_INODES + 1, used + 1)
        for name in ("ctime", "atime")
    )
    run(
        ["debugfs", "-w", "-f", "-", target],
        doing="setting times in the root file system",
        environment=_FIXED_TIME,
        stdin=commands,
    )


def _blocks(size: int) -> int:
    return -(-size // _BLOCK)
