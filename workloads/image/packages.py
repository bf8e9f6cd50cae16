"""Debian packages for images: fetched by the host's apt, with its proxies and certificates, into a private state.

Nothing of the host's package state is read or changed. Fetched packages stay in the cache, so that the next image with
other packages, or another agent, fetches only what is new.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from workloads.errors import InvalidInput
from workloads.image.errors import ImageError
from workloads.image.locks import locked
from workloads.image.sources import Source, debian_sources
from workloads.image.tools import NoNetworkError, run

_CONFIGURATION = """\
Dir::State::lists "{lists}";
Dir::State::status "{status}";
Dir::State::extended_states "{directory}/extended_states";
Dir::Cache::archives "{archives}";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{sources}";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Keep-Downloaded-Packages "true";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
"""

_NEAREST = 3


class Packages:
    """The private apt state of one Debian release. Open it with :func:`open_packages`.

    Attributes:
        release: code name.
        lists: apt's package lists.
        archives: fetched packages.
        sources: a deb822 file with the sources they come from.
    """

    def __init__(self, directory: Path, release: str) -> None:
        self.release = release
        self.lists = directory / "lists"
        self.archives = directory / "archives"
        self.sources = directory / "debian.sources"
        self._single = directory / "single"
        self._configuration = directory / "apt.conf"
        status = directory / "status"
        for path in (self.lists / "partial", self.archives / "partial", self._single):
            path.mkdir(parents=True, exist_ok=True)
        status.write_text("")  # nothing is installed: whatever a package needs is fetched
        text = _CONFIGURATION.format(
            directory=directory, lists=self.lists, archives=self.archives, sources=self.sources, status=status
        )
        self._configuration.write_text(text)

    def update(self, progress: Callable[[str], None]) -> None:
        """Fetch the package lists from the host's sources, and leave out those that turn out not to be Debian's.

        Without network, the lists of an earlier build serve.

        Raises:
            ImageError: no source of the host is Debian's, or the lists could not be fetched.
        """
        candidates = debian_sources(self.release)
        self._write_sources(candidates)
        try:
            self._apt("apt-get", "update", "-q", doing="fetching Debian's package lists")
        except NoNetworkError:
            if not list(self.lists.glob("*Release")):
                raise
            progress("no network: using the package lists of the last build")
        described = self._apt(
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(CODENAME) $(ORIGIN)",
            "Created-By: Packages",
            doing="reading Debian's package lists",
        )
        own = set()
        for line in described.splitlines():
            uri, suite, codename, origin = line.split(" ", 3)
            if origin == "Debian" and re.split("[-/]", codename)[0] == self.release:
                own.add((uri.rstrip("/"), suite))
        kept = [source for source in candidates if (source.uri.rstrip("/"), source.suite) in own]
        if not kept:
            tried = ", ".join(sorted({source.uri for source in candidates}))
            raise ImageError(f"no apt source of this host is Debian's own for {self.release}; looked at {tried}")
        self._write_sources(kept)

    def require(self, names: Iterable[str]) -> None:
        """Check that packages exist.

        Raises:
            InvalidInput: one does not; the message has the nearest names that do.
        """
        known = self._apt("apt-cache", "pkgnames", doing="reading Debian's package names").split()
        existing = set(known)
        for name in names:
            if name not in existing:
                nearest = difflib.get_close_matches(name, known, n=_NEAREST, cutoff=0.6)
                hint = f"; the nearest names are {', '.join(nearest)}" if nearest else ""
                raise InvalidInput(f"Debian {self.release} has no package {name!r}{hint}")

    def fetch(self, names: Iterable[str]) -> None:
        """Fetch packages, those that Debian calls essential, and all that they depend on, into ``archives``.

        Raises:
            ImageError: they cannot be installed together, or could not be fetched.
        """
        essential = f"?narrow(?codename(^{re.escape(self.release)}),?architecture(amd64),?essential)"
        self._apt(
            *("apt-get", "install", "-q", "--yes", "--download-only", "--no-install-recommends", essential, *names),
            doing="fetching the packages",
        )

    def fetch_single(self, name: str) -> Path:
        """Fetch one package without what it depends on, and return the file.

        Raises:
            ImageError: it could not be fetched.
        """
        described = self._apt("apt-cache", "show", "--no-all-versions", name, doing=f"looking for {name}")
        version = re.search(r"^Version: (\S+)$", described, re.MULTILINE)
        if version is None:
            raise ImageError(f"Debian {self.release} has no package {name} of its own")
        self._apt("apt-get", "download", "-q", name, doing=f"fetching {name}", cwd=self._single)
        (file,) = self._single.glob(f"{name}_{version[1].replace(':', '%3a')}_*.deb")
        return file

    def dependency(self, name: str, prefix: str) -> str:
        """The package with this prefix that a package depends on.

        Raises:
            ImageError: there is none.
        """
        described = self._apt("apt-cache", "depends", "--important", name, doing=f"looking for {name}")
        match = re.search(rf"Depends: ({re.escape(prefix)}\S*)", described)
        if match is None:
            raise ImageError(f"Debian {self.release}'s package {name} does not depend on any {prefix}…")
        return match[1]

    def _apt(self, *argv: str, doing: str, cwd: Path | None = None) -> str:
        return run(argv, doing=doing, environment={"APT_CONFIG": str(self._configuration)}, cwd=cwd)

    def _write_sources(self, sources: Iterable[Source]) -> None:
        self.sources.write_text("\n".join(source.stanza() for source in sources))


@contextmanager
def open_packages(directory: Path, release: str, progress: Callable[[str], None]) -> Iterator[Packages]:
    """The package state under ``directory``, for this process alone: another build waits here."""
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / "lock", waiting=lambda: progress("waiting for another build to leave the package cache")):
        yield Packages(directory / release, release)
