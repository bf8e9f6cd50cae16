"""Images whose root file system is somebody's own: what it is by its content, what is in it, and the build.

The root gets what the harness needs and nothing else: the agent, the files of workloads, directories to mount on, and
in a root with systemd the agent's unit.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from workloads.errors import InvalidInput
from workloads.files import FILES_PATH, CarriedFile
from workloads.image.errors import ImageError
from workloads.image.guest import fetch_guest, write_guest
from workloads.image.kernel import unpack_kernel
from workloads.image.manifest import PARTS, BuiltImage, Manifest, describe_parts
from workloads.image.oci import DOCKER_INDEX, LAYOUT, ImageReader, Layer, open_files
from workloads.image.packages import open_packages
from workloads.image.packed import DAMAGES, Member, digest_of, is_packed, plain
from workloads.image.recipe import AGENT_UNIT, Programs, Recipe
from workloads.image.room import require_room
from workloads.image.root_tree import BLOCK, Node, RootTree, printable
from workloads.image.rootfs import agent_unit, content_of, make_ext4, parse_dpkg_status
from workloads.image.tools import as_root, remove_tree, require_space, run
from workloads.origin import PROGRAM_DIRECTORIES, Contents, Identity, Origin, Source

AGENT = "/usr/lib/bench/agent"

_MOUNT_POINTS = {"dev": 0o755, "proc": 0o555, "run": 0o755, "scratch": 0o755, "sys": 0o555, "tmp": 0o1777}
"""What arms mount on, at the top of every root."""

_PROGRAMS = "programs"
"""The file beside an imported image with the paths of the programs in it, a line each."""

_COPIES = 2
"""What the disk has of a root at a time: the archive and the tree of it, then the tree and the file system."""

_ELF_HEADER, _ELF_MACHINE = 64, 18
_ELF_MACHINES = {3: "i386", 62: "amd64"}
"""Machines of ELF files that x86-64 executes (ELF specification, e_machine)."""

_OTHER_MACHINES = {40: "arm", 183: "arm64", 21: "ppc64le", 22: "s390x", 243: "riscv64"}
_ELF_PLACES = ("/bin/sh", "/sbin/init", "/usr/bin/env", "/bin/busybox", "/bin/ls")

_DPKG = "/var/lib/dpkg/status"
_APK = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")

_SYSTEM = "/etc/systemd/system"


def identify(origin: Origin) -> Identity:
    """What an origin holds now.

    Raises:
        InvalidInput: it is not there, damaged, for another architecture, or has several images of which none is chosen.
    """
    if not origin.path.exists():
        raise InvalidInput(f"image: {origin.kind}: there is no {origin.path}")
    if not (origin.path.is_file() or origin.path.is_dir()):
        raise InvalidInput(f"image: {origin.kind}: {origin.path} is neither a file nor a directory")
    if origin.kind == "oci":
        with open_files(origin.path) as open_file:
            image = ImageReader(origin.path, open_file).image(origin.ref)
        return Identity(image.digest, {**({"tags": " ".join(image.tags)} if image.tags else {}), **image.details})
    if origin.kind == "tar":
        try:
            with origin.path.open("rb") as file:
                return Identity(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", {})
        except OSError as error:
            raise InvalidInput(f"image: tar: {origin.path}: cannot be read: {error.strerror}") from error
    return Identity(f"sha256:{_tree_digest(origin.path)}", {})


def contents_of(image: BuiltImage) -> Contents:
    """What is in an imported image, as recorded when it was built.

    Raises:
        ImageError: the record is gone.
    """
    source = image.manifest.source
    try:
        programs = (image.rootfs.parent / _PROGRAMS).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise ImageError(
            f"image {image.id} is damaged: {error}; remove {image.rootfs.parent} and import it again"
        ) from error
    packages = image.manifest.packages if source["packages"] == "dpkg" else None
    return Contents(packages, frozenset(programs), source["init"])


def require_needs(source: Source, contents: Contents) -> None:
    """Find out whether what is to be run can be run in a root file system, as far as that is known.

    Raises:
        InvalidInput: something is known to be missing, a line for each.
    """
    lacking = list(dict.fromkeys(line for need in source.needs for line in need.lacking(contents)))
    if lacking:
        lines = "\n".join(f"  {line}" for line in lacking)
        raise InvalidInput(
            f"image: {source.origin}: lacks what the suite needs; build it into the image, or leave out what needs it:"
            f"\n{lines}"
        )


def build_imported(
    recipe: Recipe,
    source: Source,
    programs: Programs,
    files: Mapping[str, CarriedFile],
    directory: Path,
    package_cache: Path,
    progress: Callable[[str], None],
) -> Manifest:
    """Build an image's files in ``directory``, with the root file system of an origin.

    Args:
        recipe: what to build.
        source: where the root file system is, and what is to be run in it.
        programs: our own that go in.
        files: what workloads bring along, by path.
        directory: empty, and private to this build.
        package_cache: where fetched packages are kept from one build to the next.
        progress: called with what is being done now.

    Raises:
        InvalidInput: the origin is damaged or has changed, is for another architecture, or lacks what is needed.
        ImageError: the build failed; the message says why.
    """
    require_space(directory)
    work = directory / "work"
    # Somebody's programs lie in it, setuid root among them: nobody else gets at them, also if the build is cut short.
    work.mkdir(mode=0o700)
    progress(f"reading {source.origin}")
    root = put_together(source, programs, files, work)
    for note in root.notes:
        progress(note)
    with open_packages(package_cache, recipe.release, progress) as packages:
        progress("fetching package lists")
        packages.update(progress)
        packages.require((recipe.kernel,))
        progress("unpacking the guest kernel")
        guest = fetch_guest(recipe.kernel, packages, work / "guest")
        write_guest(guest, programs.init, directory, unpack_kernel(guest.kernel))
    progress("making the root file system")
    unpacked = work / "tree"
    unpacked.mkdir()
    options = ("-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*")
    run(as_root(["tar", *options, "-f", root.archive, "-C", unpacked]), doing="unpacking the root file system")
    root.archive.unlink()
    make_ext4(unpacked, directory / PARTS["userland"], recipe.id, inodes=root.inodes, blocks=root.size // BLOCK)
    paths = "".join(f"{path}\n" for path in sorted(root.contents.programs))
    (directory / _PROGRAMS).write_text(paths, encoding="utf-8", errors="surrogateescape")
    remove_tree(work)
    return Manifest(
        id=recipe.id,
        recipe=recipe.fields(),
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        parts=describe_parts(directory),
        packages=root.packages,
        kernel=dict(guest.source),
        source=root.facts,
    )


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system as one archive, with all that the harness needs in it.

    Attributes:
        archive: the file.
        inodes: files, directories and the rest in it; hard links to a file once.
        size: bytes that contents and directories take, in whole blocks.
        contents: what was in it before.
        packages: that its package manager tells of, with their versions.
        facts: what is recorded of where it is from, and of what it is.
        notes: what was left out or changed, for people.
    """

    archive: Path
    inodes: int
    size: int
    contents: Contents
    packages: Mapping[str, str]
    facts: Mapping[str, str]
    notes: tuple[str, ...]


def put_together(source: Source, programs: Programs, files: Mapping[str, CarriedFile], work: Path) -> Root:
    """Read a root file system, and write it with what the harness needs into one archive.

    Args:
        source: where it is, and what is to be run in it.
        programs: our own that go in.
        files: what workloads bring along, by path.
        work: an existing directory for the archive and intermediate files.

    Raises:
        InvalidInput: the origin is damaged or has changed, is for another architecture, or lacks what is needed.
        ImageError: it does not fit on the disk, a file of a workload has changed, or a tool is missing.
    """
    archive = work / "rootfs.tar"
    with _opened_tree(source, work) as tree:
        _require_room(tree, work)
        _require_root(source.origin, tree)
        _require_architecture(source.origin, tree)
        contents, manager = _look_at(tree)
        require_needs(source, contents)
        packages = _installed(tree, manager)
        _add_ours(tree, contents, programs, files)
        facts = _facts(source, tree, contents, manager)
        with archive.open("wb") as file:
            inodes, size = tree.write(file)
    return Root(archive, inodes, size, contents, packages, facts, tuple(tree.notes))


def _facts(source: Source, tree: RootTree, contents: Contents, manager: str) -> dict[str, str]:
    """What is recorded of where a root file system is from, and of what it is."""
    return {
        "kind": source.origin.kind,
        "path": str(source.origin.path),
        "digest": source.identity.digest,
        **source.identity.details,
        "system": _system(tree),
        "packages": manager,
        "init": printable(contents.init),
        **({"notes": "; ".join(tree.notes)} if tree.notes else {}),
    }


@contextmanager
def _opened_tree(source: Source, work: Path) -> Iterator[RootTree]:
    """The root file system of an origin, whose archives are open as long as this lasts.

    Raises:
        InvalidInput: it is damaged, or has changed since it was looked at.
    """
    origin = source.origin
    tree = RootTree(source=f"image: {origin}")
    with ExitStack() as stack:
        if origin.kind == "oci":
            _apply_layers(tree, source, work, stack)
        else:
            archive = origin.path
            if origin.kind == "directory":
                archive = work / "directory.tar"
                _require_room_for_all_of(origin, work)
                _archive(origin.path, archive)
            file = stack.enter_context(archive.open("rb"))
            digest = digest_of(file) if origin.kind == "tar" else _tree_digest(origin.path)
            if f"sha256:{digest}" != source.identity.digest:
                raise InvalidInput(_changed(origin))
            what = f"image: {origin}"
            content = stack.enter_context(plain(file, work / "plain.tar", what))
            _apply(tree, content, what, stack, whiteouts=False)
        yield tree


def _apply_layers(tree: RootTree, source: Source, work: Path, stack: ExitStack) -> None:
    origin = source.origin
    path = origin.path
    if path.is_file():
        packed = stack.enter_context(path.open("rb"))
        if is_packed(packed):
            stack.enter_context(plain(packed, work / "image.tar", f"image: {origin}"))
            path = work / "image.tar"
    open_file = stack.enter_context(open_files(path))
    reader = ImageReader(origin.path, open_file)
    image = reader.image(origin.ref)
    if image.digest != source.identity.digest:
        raise InvalidInput(_changed(origin))
    for number, layer in enumerate(image.layers, start=1):
        file = stack.enter_context(_opened_layer(layer, open_file, origin))
        if layer.digest is not None:
            algorithm = layer.digest.partition(":")[0]
            reader.require_digest(layer.name, layer.digest, digest_of(file, algorithm))
        what = f"image: {origin}: layer {number} of {len(image.layers)}"
        content = stack.enter_context(plain(file, work / f"layer-{number}.tar", what))
        algorithm = layer.content_digest.partition(":")[0]
        reader.require_digest(f"{layer.name}, unpacked,", layer.content_digest, digest_of(content, algorithm))
        _apply(tree, content, what, stack, whiteouts=True)


def _opened_layer(layer: Layer, open_file: Callable[[str], BinaryIO], origin: Origin) -> BinaryIO:
    try:
        return open_file(layer.name)
    except OSError as error:
        raise InvalidInput(f"image: {origin}: damaged: its layer {layer.name} is not there") from error


def _apply(tree: RootTree, content: BinaryIO, what: str, stack: ExitStack, *, whiteouts: bool) -> None:
    """Put an archive on top of a tree."""
    try:
        archive = tarfile.open(  # noqa: SIM115  # the stack closes it
            fileobj=content, mode="r:", encoding="utf-8", errors="surrogateescape", tarinfo=Member
        )
    except DAMAGES as error:
        raise InvalidInput(f"{what}: no tar archive, or damaged: {error}") from error
    tree.apply(stack.enter_context(archive), what, whiteouts=whiteouts)


def _changed(origin: Origin) -> str:
    return f"image: {origin}: has changed while it was read; run it again"


_TAR_OF_A_DIRECTORY = (
    *("tar", "--create", "--format=posix", "--numeric-owner", "--sort=name", "--one-file-system"),
    *("--xattrs", "--xattrs-include=*", "--xattrs-exclude=security.selinux", "--no-acls", "--no-selinux"),
    "--pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime",
)


def _archive(directory: Path, target: Path) -> None:
    """Pack a directory. The files of an ordinary user are root's in it, as that is who they are in the image."""
    run(as_root([*_TAR_OF_A_DIRECTORY, "-f", target, "-C", directory, "."]), doing=f"reading {directory}")


def _tree_digest(directory: Path) -> str:
    """The digest of a tree: names, kinds, owners, rights, attributes and contents; not the times of change."""
    tar = [*_TAR_OF_A_DIRECTORY, "--mtime=@0", "-C", str(directory), "."]
    script = 'set -o pipefail; "$@" | sha256sum'
    try:
        said = run(as_root(["bash", "-c", script, "bash", *tar]), doing=f"reading {directory}")
    except ImageError as error:
        raise InvalidInput(f"image: directory: {directory}: cannot be read: {error}") from error
    return said.split()[0]


def _require_room(tree: RootTree, work: Path) -> None:
    """Find out whether there is room for a tree, before anything of it is written.

    Raises:
        ImageError: there is none.
    """
    total, largest, name = 0, 0, ""
    for path, size in tree.sizes():
        total += size
        largest, name = max((largest, name), (size, path))
    what = f"its files take {total:,} bytes, the largest, {printable(name)}, {largest:,}"
    require_room(f"{tree.source}: {what}; an import, which has two copies of them at a time,", _COPIES * total, work)


def _require_room_for_all_of(origin: Origin, work: Path) -> None:
    """Find out whether there is room for an archive of a directory.

    Raises:
        ImageError: there is none, or the directory cannot be read.
    """
    du = as_root(["du", "--summarize", "--bytes", "--one-file-system", "--", origin.path])
    size = int(run(du, doing=f"reading {origin.path}").split()[0])
    require_room(f"image: {origin}: an archive of it", size, work)


def _require_root(origin: Origin, tree: RootTree) -> None:
    """Find out whether an image's layers and documents were taken for a root file system.

    Raises:
        InvalidInput: they were.
    """
    known = next((name for name in (LAYOUT, DOCKER_INDEX) if tree.find(name)), None)
    if known is not None and not any(map(tree.find, ("bin", "etc", "usr"))):
        raise InvalidInput(
            f"image: {origin}: has {known} and no programs: an image of layers, and no root file system; "
            f"write image: {{oci: {origin.path}}}"
        )


def _require_architecture(origin: Origin, tree: RootTree) -> None:
    """Find out whether the root's programs are for this host, by the first one that is found.

    Raises:
        InvalidInput: they are not.
    """
    for path in _ELF_PLACES:
        content = tree.start(path, _ELF_HEADER) or b""
        if not content.startswith(b"\x7fELF") or len(content) < _ELF_HEADER:
            continue
        (machine,) = struct.unpack_from("<H", content, _ELF_MACHINE)
        if machine not in _ELF_MACHINES:
            name = _OTHER_MACHINES.get(machine, f"machine {machine}")
            raise InvalidInput(f"image: {origin}: its {path} is for {name}, and this host is amd64")
        return


def _look_at(tree: RootTree) -> tuple[Contents, str]:
    """What is in a root file system, and which package manager it has: ``dpkg``, ``apk`` or ``none``."""
    manager = "dpkg" if tree.find(_DPKG) else "apk" if any(map(tree.find, _APK)) else "none"
    packages = _installed(tree, manager) if manager == "dpkg" else None
    paths = (f"{directory}/{name}" for directory in PROGRAM_DIRECTORIES for name in tree.children(directory))
    programs = frozenset(path for path in paths if _is_program(tree.find(path)))
    return Contents(packages, programs, tree.real_path("/sbin/init") or ""), manager


def _is_program(node: Node | None) -> bool:
    return node is not None and node.member.isreg() and bool(node.member.mode & 0o111)


def _installed(tree: RootTree, manager: str) -> dict[str, str]:
    """Installed packages and their versions, sorted by name."""
    if manager == "dpkg":
        return parse_dpkg_status((tree.read(_DPKG) or b"").decode(errors="replace"))
    text = next((content for path in _APK if (content := tree.read(path))), b"").decode(errors="replace")
    stanzas = (dict(line.split(":", 1) for line in part.splitlines() if ":" in line) for part in text.split("\n\n"))
    return dict(sorted((fields["P"], fields["V"]) for fields in stanzas if {"P", "V"} <= fields.keys()))


def _system(tree: RootTree) -> str:
    """What a root file system says that it is (os-release(5))."""
    text = (tree.read("/etc/os-release") or tree.read("/usr/lib/os-release") or b"").decode(errors="replace")
    fields = {name: value.strip("\"' ") for name, found, value in (line.partition("=") for line in text.splitlines())}
    return fields.get("PRETTY_NAME") or fields.get("ID") or "does not say"


def _add_ours(tree: RootTree, contents: Contents, programs: Programs, files: Mapping[str, CarriedFile]) -> None:
    """Put in what the harness needs.

    Raises:
        ImageError: a file is no longer what it was when its workload was read.
    """
    for name, mode in _MOUNT_POINTS.items():
        tree.add_mount_point(name, mode)
    tree.add_file(AGENT, programs.agent.read_bytes(), 0o755)
    for path, file in files.items():
        tree.add_file(f"{FILES_PATH}/{path}", content_of(file), 0o555 if file.executable else 0o444)
    if contents.init.endswith("/systemd"):
        tree.add_file(f"{_SYSTEM}/{AGENT_UNIT}", agent_unit(), 0o644)
        tree.add_link(f"{_SYSTEM}/multi-user.target.wants/{AGENT_UNIT}", f"../{AGENT_UNIT}")
        # The interface keeps the name and the address that it has.
        tree.add_link("/etc/systemd/network/99-default.link", os.devnull)
