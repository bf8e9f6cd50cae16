"""Output where the terminal's or the pipe's character set is not UTF-8."""

from __future__ import annotations

import codecs
import io
import sys

_NEAREST = {
    "×": "x",
    "÷": "/",
    "–": "-",
    "—": "-",
    "µ": "u",
    "±": "+-",
    "∞": "inf",
    "·": "-",
    "…": "...",
    "✓": "+",
    "✗": "!",
    "●": "o",
    "━": "-",
    "─": "-",
    "│": "|",
    "→": "->",
    "←": "<-",
    "↑": "^",
    "↓": "v",
    "▲": "^",
    "▼": "v",
    "≤": "<=",
    "≥": ">=",
    "\N{NO-BREAK SPACE}": " ",
    "🔴": "!",
    "🟢": "+",
    "🟡": "~",
    "⚪": "=",
} | {block: str(height) for height, block in enumerate("▁▂▃▄▅▆▇█", start=1)}
_BOX = "╭╮╰╯┌┐└┘├┤┬┴┼"


def spell_plainly() -> None:
    """Have standard output write what its character set lacks by the nearest characters that it has, and never fail."""
    codecs.register_error("bench-nearest", _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="bench-nearest")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join("+" if one in _BOX else _NEAREST.get(one, "?") for one in lacking), error.end
