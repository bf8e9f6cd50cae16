"""Where the root file system of an image comes from that is not built from Debian's packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["oci", "tar", "directory"]

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a suite says that every arm runs.

    Attributes:
        kind: ``oci`` for an OCI image layout or an archive of an image, ``tar`` for an archive of a root file system,
            ``directory`` for a root file system as it lies there.
        path: where it is, absolute.
        ref: the tag of the image, where there are several.
    """

    kind: Kind
    path: Path
    ref: str | None = None

    def as_data(self) -> dict[str, object]:
        """This origin in the form of a suite file."""
        path = str(self.path)
        return {self.kind: path if self.ref is None else {"path": path, "ref": self.ref}}

    def __str__(self) -> str:
        return f"{self.kind} {self.path}{f' ({self.ref})' if self.ref else ''}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What an origin holds now.

    Attributes:
        digest: of the content, ``sha256:…``: for an OCI image its manifest's, for an image of Docker's its
            configuration's, for an archive that of the file, for a directory that of its tree without times.
        details: what else is known of it, by name, for people.
    """

    digest: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Imported:
    """What is imported, and for what.

    Attributes:
        origin: where the root file system is.
        needs: of all that is to be run.
    """

    origin: Origin
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """An origin at the time when it was looked at, and what is to be run in it.

    Attributes:
        origin: where the root file system is.
        identity: what was found there.
        needs: of all that is to be run.
    """

    origin: Origin
    identity: Identity
    needs: tuple[Need, ...] = ()

    @property
    def text(self) -> str:
        """What stands for it in a recipe."""
        return f"{self.origin.kind} {self.identity.digest}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What is known of an imported root file system, from its build on.

    Attributes:
        packages: versions of Debian's packages by name; None for a root that has no dpkg.
        programs: paths of all programs in the directories of the search path.
        init: the path of what ``/sbin/init`` is, without links; empty for a root without one.
    """

    packages: Mapping[str, str] | None
    programs: frozenset[str]
    init: str


@dataclass(frozen=True, slots=True)
class Need:
    """What something that is to be run needs of the root file system.

    Attributes:
        who: for messages: ``workload sysbench-cpu``.
        packages: of Debian's that bring it.
        programs: names, or absolute paths, as far as they are known.
        all_known: whether there are no more programs than those.
        systemd: whether it needs systemd as ``/sbin/init``.
    """

    who: str
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    all_known: bool = True
    systemd: bool = False

    def lacking(self, contents: Contents) -> Iterator[str]:
        """What is known to be missing, each in words.

        A package that dpkg does not know counts for nothing if all programs are there: they may have been built.
        """
        if self.systemd and not contents.init.endswith("/systemd"):
            there = contents.init or "not there"
            yield f"{self.who}: needs systemd as /sbin/init, which is {there} in this image"
        programs = [program for program in self.programs if not _is_there(program, contents.programs)]
        there_is_all = self.all_known and self.programs and not programs
        if contents.packages is not None and not there_is_all:
            missing = [package for package in self.packages if package not in contents.packages]
            for package in missing:
                yield f"{self.who}: the Debian package {package} is not installed in this image"
            if missing:
                return
        for program in programs:
            yield f"{self.who}: the program {program} is not in this image"


PROGRAM_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where the agent looks for programs."""


def _is_there(program: str, known: frozenset[str]) -> bool:
    """Whether a program is there, as far as that is known."""
    directory, _, name = program.rpartition("/")
    if directory:
        return directory not in PROGRAM_DIRECTORIES or program in known
    return any(f"{place}/{name}" in known for place in PROGRAM_DIRECTORIES)
