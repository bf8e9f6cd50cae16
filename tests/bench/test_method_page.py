"""What the page on the method points to as its proof is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "method.md"


def test_every_test_that_is_named_exists():
    named = set(re.findall(r"`(tests/[\w/.]+)`", PAGE.read_text()))
    assert len(named) > 20
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_every_trap_says_what_is_done_about_it():
    rows = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("|")]
    traps = [row for row in rows if len(row) == 2 and set(row[0]) - set("- ") and row[0].strip() != "trap"]
    assert len(traps) > 25
    assert all(len(done.split()) > 5 for _, done in traps)
