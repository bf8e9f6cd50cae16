"""Built images for others: as an image of a container, as an archive of the root file system, as a bootable disk."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from workloads.errors import InvalidInput

if TYPE_CHECKING:
    from workloads.image import BuiltImage

Form = Literal["oci", "tar", "qcow2"]

_ARCHIVE = ".tar"
_LAYOUT = "oci-layout"


def check_destinations(targets: Mapping[Form, Path], *, force: bool) -> None:
    """Find out, before an image is built for it, whether exports can be written where they are wanted.

    Raises:
        InvalidInput: one cannot.
    """
    for form, target in targets.items():
        if not target.parent.is_dir():
            raise InvalidInput(f"--{form}: there is no directory {target.parent}")
        if not os.access(target.parent, os.W_OK):
            raise InvalidInput(f"--{form}: the directory {target.parent} cannot be written")
        if not target.exists():
            continue
        if not force:
            raise InvalidInput(f"--{form}: {target} is there already; add --force to replace it")
        if target.is_dir() and (form != "oci" or not (target / _LAYOUT).exists()):
            raise InvalidInput(f"--{form}: {target} is a directory, and none that 'bench image export --oci' made")
    if len({target.resolve() for target in targets.values()}) < len(targets):
        raise InvalidInput("each form needs a destination of its own")


def export_image(image: BuiltImage, targets: Mapping[Form, Path], progress: Callable[[str], None]) -> None:
    """Write an image in some forms, each whole or not at all, in place of what is there.

    Raises:
        HostError: the image cannot be read, or a tool for it is missing.
        InvalidInput: something cannot be written.
    """
    if "qcow2" in targets:
        _export_disk(image, targets["qcow2"], progress)
    if "tar" in targets or "oci" in targets:
        _become_root()
        _export_root(image, targets, progress)


def _export_disk(image: BuiltImage, target: Path, progress: Callable[[str], None]) -> None:
    """Write a disk with a kernel that has drivers for any that QEMU may show it as."""
    from bench.images import our_programs
    from runtimes.vm.exported_disk import write_exported_disk
    from runtimes.vm.standalone import build_standalone
    from workloads.image import make_kernel
    from workloads.image.flavours import GENERIC
    from workloads.image.initramfs import with_init

    kernel = make_kernel(GENERIC, our_programs(), progress)
    with (
        _replacing("qcow2", target, progress) as part,
        tempfile.TemporaryDirectory(prefix=f"{part.name}-", dir=part.parent) as work,
        part.open("xb") as file,
    ):
        init = Path(work) / "init"
        build_standalone(init)
        initramfs = with_init(kernel.initramfs.read_bytes(), init.read_bytes())
        write_exported_disk(image.rootfs, kernel.bzimage, initramfs, Path(work), file)


def _export_root(image: BuiltImage, targets: Mapping[Form, Path], progress: Callable[[str], None]) -> None:
    from bench.images import as_runtime_image
    from runtimes.facilities import open_root
    from runtimes.root_archive import write_root_archive
    from workloads.image.oci_export import write_layout, write_layout_archive

    progress(f"reading image {image.id}")
    with open_root(as_runtime_image(image)) as root:

        def write_root(file: BinaryIO) -> None:
            write_root_archive(root, file)

        if "tar" in targets:
            with _replacing("tar", targets["tar"], progress) as part, part.open("xb") as file:
                write_root(file)
        if "oci" in targets:
            target = targets["oci"]
            with _replacing("oci", target, progress) as part:
                layout = part.with_name(f"{part.name}.layout") if target.suffix == _ARCHIVE else part
                layout.mkdir()
                try:
                    write_layout(layout, image.manifest, write_root)
                    if layout != part:
                        with part.open("xb") as file:
                            write_layout_archive(layout, file)
                finally:
                    if layout != part:
                        shutil.rmtree(layout)


@contextmanager
def _replacing(form: Form, target: Path, progress: Callable[[str], None]) -> Iterator[Path]:
    """A path beside a destination, for what takes its place in the end; nothing is left there if that fails.

    Raises:
        InvalidInput: it could not be written.
    """
    progress(f"writing {target}")
    part = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    try:
        yield part
        if target.is_dir():
            aside = part.with_name(f"{part.name}.old")
            target.rename(aside)
            part.rename(target)
            shutil.rmtree(aside)
        else:
            part.replace(target)
    except OSError as error:
        raise InvalidInput(f"--{form}: {target} cannot be written: {error.strerror or error}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def _become_root() -> None:
    """Have an ordinary user's process go on as root of a user namespace of its own, to unpack the image in."""
    if os.geteuid() != 0:
        from runtimes.rootless import check_user_namespace
        from runtimes.user_namespace import enter

        check_user_namespace()
        enter()
