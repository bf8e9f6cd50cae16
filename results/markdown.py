"""Text and tables as Markdown, whatever is in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

# What CommonMark and GitHub's tables give a meaning anywhere in a line; and what they give one at its start.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")
_AT_START = re.compile(r"^(\s*)([-+](?=[\s-]|$)|=|\d+[.)](?=\s|$))")


def escaped(text: str) -> str:
    """``text`` as one line that Markdown shows as it is."""
    line = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    # Raw HTML must not start even where a renderer ignores the backslash.
    line = line.replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")
    return _AT_START.sub(lambda found: f"{found[1]}{found[2][:-1]}\\{found[2][-1]}", line)


def table(titles: Sequence[str], kinds: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in GitHub's form; figures (``number``, ``score``) are aligned to the right. All texts are escaped."""
    return "\n".join(table_lines(titles, kinds, rows))


def table_lines(titles: Sequence[str], kinds: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a :func:`table` one after the other, for more rows than should be in memory at once."""
    yield _line(titles)
    yield "|" + "|".join("---:" if kind in {"number", "score"} else "---" for kind in kinds) + "|"
    yield from map(_line, rows)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"
