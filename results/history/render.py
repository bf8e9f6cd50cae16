"""What became of a run as text, in the forms that other programs read."""

from __future__ import annotations

import json
from pathlib import Path

from results.history.data import regress_data
from results.history.junit import regress_junit
from results.history.markdown import regress_markdown
from results.history.regress import Regress


def form_of(path: Path) -> str:
    """The form that a file's name asks for: Markdown for ``.md``, JUnit's for ``.xml``, else JSON."""
    return {".md": "markdown", ".xml": "junit"}.get(path.suffix, "json")


def rendered(found: Regress, form: str, *, strict: bool) -> str:
    """The outcome as ``markdown``, ``junit`` or ``json``.

    Args:
        found: the outcome.
        form: one of the three.
        strict: whether what is inconclusive counts as a failure.
    """
    match form:
        case "markdown":
            return regress_markdown(found)
        case "junit":
            return regress_junit(found, strict=strict)
        case _:
            return json.dumps(regress_data(found, strict=strict), indent=2, ensure_ascii=False) + "\n"
