"""Images of containers: OCI image layouts, as directories and as archives, and the archives that Docker saves.

The formats are those of the OCI image specification ("Image Layout", "Image Index", "Image Manifest", "Image
Configuration"), and of the Docker image specification 1.2 ("Combined Image JSON + Filesystem Changeset Format"). An
archive that is both, as Docker saves since version 25, is read as the former.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from workloads.errors import InvalidInput
from workloads.image.root_tree import printable

LAYOUT = "oci-layout"
INDEX = "index.json"
DOCKER_INDEX = "manifest.json"
REF = "org.opencontainers.image.ref.name"
_NAMES = (REF, "io.containerd.image.name")
_INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")
_BLOB = re.compile(r"blobs/(sha256/[0-9a-f]{64}|sha512/[0-9a-f]{128})")
_DOCKER_CONFIGURATION = re.compile(r"(?:sha256:)?([0-9a-f]{64})(?:\.json)?")
"""A configuration's name where there are no blobs: its digest (Docker image specification 1.2)."""

_NEITHER = "neither the directory of an OCI image layout nor an archive of an image"
_DAMAGES = (OSError, EOFError, tarfile.TarError, zlib.error)
"""What reading in an archive that is damaged, and perhaps packed, ends with."""

_MAX_JSON = 16 << 20
"""Bytes of the largest index, manifest or configuration that is read; the largest that registries take is 4 MiB."""

_MAX_NESTING = 5
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What the specification (after Go) calls the machines of uname(2)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    Attributes:
        name: of its file in the layout or archive.
        digest: of the file; None where nothing says it.
        content_digest: of the tar archive that the file is, or holds compressed.
    """

    name: str
    digest: str | None
    content_digest: str


@dataclass(frozen=True, slots=True)
class OciImage:
    """One image.

    Attributes:
        digest: its manifest's, or that of its configuration where it has no manifest.
        tags: what it is called.
        layers: the lowest first.
        details: what else it tells of itself, for people.
    """

    digest: str
    tags: tuple[str, ...]
    layers: tuple[Layer, ...]
    details: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def open_files(path: Path) -> Iterator[Callable[[str], BinaryIO]]:
    """Open a layout or an archive; yields what opens a file in it by name, with FileNotFoundError where there is none.

    What is no regular file, and a way to one with a link in it or out of the layout, is refused by InvalidInput: names
    are those that an image's documents have.

    Raises:
        InvalidInput: it is neither a directory nor an archive, or cannot be read.
    """
    if path.is_dir():
        yield lambda name: _open_below(path, name)
        return
    try:
        archive = tarfile.open(path, "r:*")  # noqa: SIM115  # closed below: its errors are not those of its users
    except (tarfile.TarError, EOFError) as error:
        raise InvalidInput(f"image: oci: {path}: {_NEITHER}, or damaged: {error}") from error
    except OSError as error:
        raise InvalidInput(f"image: oci: {path}: cannot be read: {error.strerror or error}") from error

    def open_member(name: str) -> BinaryIO:
        for spelt in (name, f"./{name}"):
            try:
                file = archive.extractfile(spelt)
            except KeyError:
                continue
            except RecursionError as error:
                raise InvalidInput(f"image: oci: {path}: {name} is a link in a circle") from error
            if file is not None:
                return cast("BinaryIO", file)
        raise FileNotFoundError(name)

    with archive:
        yield open_member


def _open_below(layout: Path, name: str) -> BinaryIO:
    """Open a regular file in a directory, without following a link or waiting for a pipe below it.

    Raises:
        InvalidInput: the name leads out of the directory, or to something else than a regular file.
        OSError: it is not there, or cannot be read.
    """
    where = f"image: oci: {layout}: refused: {printable(name)!r}"
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or "\0" in name or not parts:
        raise InvalidInput(f"{where} is no name of a file in the layout")
    with ExitStack() as stack:
        try:
            found = _opened(stack, os.fsencode(layout), None, os.O_DIRECTORY)
            for number, part in enumerate(parts, start=1):
                # Only looked at: to open a pipe or a device may wait for ever, or do something.
                found = _opened(stack, part.encode("utf-8", "surrogateescape"), found, os.O_NOFOLLOW)
                mode = os.fstat(found).st_mode
                if not (stat.S_ISREG(mode) if number == len(parts) else stat.S_ISDIR(mode)):
                    kind = "a link" if stat.S_ISLNK(mode) else "something else"
                    raise InvalidInput(
                        f"{where}: {printable('/'.join(parts[:number]))} is {kind}; "
                        "expected a regular file, and directories on the way to it"
                    )
            return Path(f"/proc/self/fd/{found}").open("rb")
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from error
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{where} is no name of a file in the layout") from error


def _opened(stack: ExitStack, name: bytes, directory: int | None, flags: int) -> int:
    """A descriptor that stands for a place, and reads nothing of it."""
    descriptor = os.open(name, os.O_PATH | os.O_CLOEXEC | flags, dir_fd=directory)
    stack.callback(os.close, descriptor)
    return descriptor


class ImageReader:
    """The images in a layout or archive.

    Args:
        path: of it, for messages.
        open_file: opens a file in it, as :func:`open_files` gives it.
    """

    def __init__(self, path: Path, open_file: Callable[[str], BinaryIO]) -> None:
        self._path = path
        self._open = open_file

    def image(self, ref: str | None) -> OciImage:
        """The image with this tag, or the only one, for this host's architecture.

        Raises:
            InvalidInput: there is none, or more than one, or it is damaged.
        """
        if self._has(INDEX):
            return self._from_layout(ref)
        if self._has(DOCKER_INDEX):
            return self._from_docker(ref)
        raise self._problem(
            f"there is neither {INDEX} (of an OCI image) nor {DOCKER_INDEX} (of one that Docker saved) in it; "
            "a root file system is imported by `tar:` or `directory:`"
        )

    def _from_layout(self, ref: str | None) -> OciImage:
        index = self._json(INDEX, None)
        descriptor = self._chosen(self._list(index, "manifests"), ref)
        for _ in range(_MAX_NESTING):
            manifest = self._blob(descriptor)
            if descriptor.get("mediaType") not in _INDEX_TYPES and "manifests" not in manifest:
                return self._from_manifest(descriptor, manifest)
            descriptor = self._for_this_host(self._list(manifest, "manifests"))
        raise self._problem("its indices are nested too deeply")

    def _from_manifest(self, descriptor: Mapping[str, Any], manifest: Mapping[str, Any]) -> OciImage:
        configuration = self._blob(self._mapping(manifest, "config"))
        digests = self._content_digests(configuration)
        described = self._list(manifest, "layers")
        if len(digests) != len(described):
            raise self._problem(f"its configuration tells of {len(digests)} layers, its manifest of {len(described)}")
        layers = [
            Layer(blob_name(self._digest_of(layer)), self._digest_of(layer), digest)
            for layer, digest in zip(described, digests, strict=True)
        ]
        tags = tuple(dict.fromkeys(_tags(descriptor)))
        return OciImage(self._digest_of(descriptor), tags, tuple(layers), self._details(configuration))

    def _from_docker(self, ref: str | None) -> OciImage:
        entries = self._json_list(DOCKER_INDEX)
        descriptors = [
            {"annotations": {f"{REF}{number}": tag for number, tag in enumerate(_repo_tags(entry))}, **entry}
            for entry in entries
        ]
        entry = self._chosen(descriptors, ref)
        name, files = entry.get("Config"), entry.get("Layers")
        if not isinstance(name, str) or not isinstance(files, list) or not all(isinstance(each, str) for each in files):
            raise self._problem(f"{DOCKER_INDEX} names no Config and Layers")
        content = self._read(name)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if expected := _digest_in(name):
            self._require_digest_of(name, expected, content)
        configuration = self._parse(name, content)
        digests = self._content_digests(configuration)
        if len(digests) != len(files):
            raise self._problem(f"its configuration tells of {len(digests)} layers, {DOCKER_INDEX} of {len(files)}")
        layers = tuple(Layer(file, _digest_of_blob(file), each) for file, each in zip(files, digests, strict=True))
        return OciImage(digest, tuple(_tags(entry)), layers, self._details(configuration))

    def _chosen(self, descriptors: Sequence[Mapping[str, Any]], ref: str | None) -> Mapping[str, Any]:
        """The image that is meant, of several with different tags or for different machines."""
        tagged = [each for each in descriptors if ref is None or _is_called(each, ref)]
        fitting = [each for each in tagged if _fits(each)] or tagged
        if len({json.dumps(each.get("digest") or each.get("Config")) for each in fitting}) == 1:
            return fitting[0]
        tags = ", ".join(dict.fromkeys(tag for each in descriptors for tag in _tags(each))) or "none"
        if not descriptors:
            raise self._problem("there is no image in it")
        if not tagged:
            raise self._problem(f"no image with the tag {ref!r} in it; its tags are {tags}")
        raise self._problem(
            f"{len(fitting)} images in it; choose one by its tag, `oci: {{path: …, ref: TAG}}`: the tags are {tags}"
        )

    def _for_this_host(self, descriptors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        fitting = [each for each in descriptors if _fits(each)]
        if not fitting:
            found = ", ".join(sorted({_platform_of(each) for each in descriptors})) or "none"
            raise self._problem(f"it is for {found}, and this host is linux/{architecture()}")
        return fitting[0]

    def _content_digests(self, configuration: Mapping[str, Any]) -> list[str]:
        """The digests of the layers, uncompressed, if the image is one for this host."""
        found = f"{configuration.get('os') or 'linux'}/{configuration.get('architecture') or 'nothing that it tells'}"
        if found != f"linux/{architecture()}":
            raise self._problem(f"it is for {found}, and this host is linux/{architecture()}")
        digests = self._mapping(configuration, "rootfs").get("diff_ids")
        if not isinstance(digests, list) or not all(
            isinstance(each, str) and _DIGEST.fullmatch(each) for each in digests
        ):
            raise self._problem("its configuration has no digests of layers (rootfs.diff_ids)")
        return digests

    def _details(self, configuration: Mapping[str, Any]) -> dict[str, str]:
        created = configuration.get("created")
        return {"created": created} if isinstance(created, str) else {}

    def _blob(self, descriptor: Mapping[str, Any]) -> Mapping[str, Any]:
        digest = self._digest_of(descriptor)
        return self._json(blob_name(digest), digest)

    def _json(self, name: str, digest: str | None) -> Mapping[str, Any]:
        content = self._read(name)
        if digest is not None:
            self._require_digest_of(name, digest, content)
        return self._parse(name, content)

    def _require_digest_of(self, name: str, expected: str, content: bytes) -> None:
        self.require_digest(name, expected, hashlib.new(expected.partition(":")[0], content).hexdigest())

    def _parse(self, name: str, content: bytes) -> Mapping[str, Any]:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._problem(f"{name} is no JSON: {error}") from error
        if not isinstance(document, dict):
            raise self._problem(f"{name} is no JSON object")
        return document

    def _json_list(self, name: str) -> list[Mapping[str, Any]]:
        try:
            document = json.loads(self._read(name))
        except (ValueError, RecursionError) as error:
            raise self._problem(f"{name} is no JSON: {error}") from error
        if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
            raise self._problem(f"{name} is no list of images")
        return document

    def require_digest(self, name: str, expected: str, found: str) -> None:
        """Check a digest, hexadecimal, against what is expected, ``ALGORITHM:HEXADECIMAL``.

        Raises:
            InvalidInput: it is another.
        """
        if expected.partition(":")[2] != found:
            raise self._problem(f"damaged: {name} has the digest {found}, expected {expected}")

    def _read(self, name: str) -> bytes:
        try:
            with self._open(name) as file:
                content = file.read(_MAX_JSON + 1)
        except _DAMAGES as error:
            raise self._problem(f"{name} is not in it, or cannot be read: {error}") from error
        if len(content) > _MAX_JSON:
            raise self._problem(f"{name} is larger than {_MAX_JSON >> 20} MiB")
        return content

    def _has(self, name: str) -> bool:
        try:
            self._open(name).close()
        except FileNotFoundError:
            return False
        except _DAMAGES as error:
            raise self._problem(f"it cannot be read: {error}") from error
        return True

    def _list(self, document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
        found = document.get(key)
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise self._problem(f"an index or manifest in it has no list {key!r}")
        return found

    def _mapping(self, document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        found = document.get(key)
        if not isinstance(found, dict):
            raise self._problem(f"a manifest or configuration in it has no {key!r}")
        return found

    def _digest_of(self, descriptor: Mapping[str, Any]) -> str:
        digest = descriptor.get("digest")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise self._problem(f"{digest!r} is no digest by SHA-256 or SHA-512")
        return digest

    def _problem(self, message: str) -> InvalidInput:
        return InvalidInput(f"image: oci: {self._path}: {message}")


def architecture() -> str:
    """This host's, as images call it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _digest_of_blob(name: str) -> str | None:
    """The digest that the name of a file in a layout tells of it; None where it tells none."""
    found = _BLOB.fullmatch(name)
    return found[1].replace("/", ":") if found else None


def _digest_in(name: str) -> str | None:
    """The digest that the name of a configuration tells of it; None where it tells none."""
    found = _DOCKER_CONFIGURATION.fullmatch(name)
    return f"sha256:{found[1]}" if found else _digest_of_blob(name)


def _repo_tags(entry: Mapping[str, Any]) -> list[object]:
    """The tags of an entry of Docker's index."""
    found = entry.get("RepoTags")
    return found if isinstance(found, list) else []


def _tags(descriptor: Mapping[str, Any]) -> list[str]:
    annotations = descriptor.get("annotations")
    if not isinstance(annotations, dict):
        return []
    return [value for key, value in annotations.items() if key.startswith(_NAMES) and isinstance(value, str)]


def _is_called(descriptor: Mapping[str, Any], ref: str) -> bool:
    """Whether an image has a tag, which may be given without the name of its repository."""
    return any(tag == ref or tag.rpartition(":")[2] == ref for tag in _tags(descriptor))


def _platform_of(descriptor: Mapping[str, Any]) -> str:
    found = descriptor.get("platform")
    return f"{found.get('os')}/{found.get('architecture')}" if isinstance(found, dict) else "an unknown platform"


def _fits(descriptor: Mapping[str, Any]) -> bool:
    return _platform_of(descriptor) == f"linux/{architecture()}"
