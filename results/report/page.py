"""What every page of ours shares: one look, one script, a policy that lets nothing in or out, and parts of templates.

A page of another module extends ``layout.html.jinja`` and imports ``parts.html.jinja`` from :func:`environment`.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from results.charts.quantities import machine_value
from results.report.document import outcome_sign

HERE = Path(__file__).parent

VERDICT_SIGNS = {"better": "▲", "same": "=", "worse": "▼", "inconclusive": "?"}
"""A sign beside each verdict, so that nothing depends on colour."""

CHOOSABLE = frozenset({"Arm", "Outcome", "Status"})
"""Titles of columns that a table can be narrowed down by; columns of verdicts can be, too."""


def environment(*directories: Path) -> Environment:
    """Jinja with everything escaped, an error for what is not defined, and all that our templates need.

    Args:
        directories: of more templates.
    """
    made = Environment(
        autoescape=True,
        loader=FileSystemLoader([*directories, HERE]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (HERE / "page.js").read_text(encoding="utf-8")
    made.globals |= {
        "style": Markup((HERE / "style.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "policy": policy(script),
        "signs": VERDICT_SIGNS,
        "outcome_sign": outcome_sign,
        "choosable": CHOOSABLE,
    }
    made.filters |= {"machine_value": machine_value, "address": _address}
    return made


def _address(path: str) -> str:
    """A path as a link; what is no UTF-8 in it keeps its bytes."""
    return quote(os.fsencode(path))


def policy(script: str) -> str:
    """The Content-Security-Policy of a page with this one inline script (W3C CSP Level 3, hash-source).

    Nothing is fetched from anywhere, and no other script runs: not even one that got past the escaping.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )
