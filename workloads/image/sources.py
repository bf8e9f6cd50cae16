"""Where the host gets Debian's own packages from: its apt sources, without anything that is not Debian's.

Both formats of sources.list(5) are read: one line an entry, and deb822. What comes out is deb822, one archive and one
suite a stanza, so that a single one can be left out again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workloads.image.errors import ImageError

_OPTION_FIELDS = {"arch": "Architectures", "lang": "Languages", "target": "Targets"}
"""Options of the one-line format whose deb822 field has another name."""

_SYMBOLIC = ("stable", "oldstable", "oldoldstable", "testing", "unstable")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)")


@dataclass(frozen=True, slots=True)
class Source:
    """One suite of one archive.

    Attributes:
        uri: where the archive is.
        suite: as the host's configuration names it.
        components: ``main`` and others; only ``main`` is taken.
        options: other deb822 fields, such as ``Signed-By``.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)

    def stanza(self) -> str:
        """This source in deb822."""
        options = "".join(f"{name}: {value}\n" for name, value in self.options.items())
        return f"Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\nComponents: main\n{options}"


def debian_sources(release: str, directory: Path = Path("/etc/apt")) -> list[Source]:
    """The host's sources that may be Debian's for this release: itself, its updates and its security updates.

    Raises:
        ImageError: there is none.
    """
    wanted = {name + suffix for name in (release, *_SYMBOLIC) for suffix in ("", "-updates", "-security", "/updates")}
    found = [source for source in _all_sources(directory) if source.suite in wanted and "main" in source.components]
    if not found:
        raise ImageError(
            f"no apt source of this host gives Debian {release}: expected an entry with suite {release} and "
            f"component main in {directory}/sources.list or {directory}/sources.list.d"
        )
    return list({(source.uri.rstrip("/"), source.suite): source for source in found}.values())


def _all_sources(directory: Path) -> Iterator[Source]:
    parts = directory / "sources.list.d"
    lists = [directory / "sources.list", *sorted(parts.glob("*.list"))]
    for path in lists:
        if path.is_file():
            yield from parse_one_line(path.read_text())
    for path in sorted(parts.glob("*.sources")):
        yield from parse_deb822(path.read_text())


def parse_one_line(text: str) -> Iterator[Source]:
    """The binary sources of a ``.list`` file; what is not understood is left out, as not Debian's."""
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if match is None or match["uri"].startswith("cdrom:"):
            continue
        options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
        named = {_OPTION_FIELDS.get(name, name.title()): value.replace(",", " ") for name, value in options.items()}
        yield Source(match["uri"], match["suite"], tuple(match["components"].split()), named)


def parse_deb822(text: str) -> Iterator[Source]:
    """The enabled binary sources of a ``.sources`` file, every archive and suite apart."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in {" ", "\t"} and name:
                fields[name] += "\n" + line
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().title().replace("Uris", "URIs")
                fields[name] = value.strip()
        types, uris, suites, components = (
            fields.pop(key, "").split() for key in ("Types", "URIs", "Suites", "Components")
        )
        if "deb" not in types or fields.pop("Enabled", "yes").lower() in {
            "no",
            "false",
            "off",
            "0",
            "without",
            "disable",
        }:
            continue
        for uri in uris:
            for suite in suites:
                yield Source(uri, suite, tuple(components), fields)
