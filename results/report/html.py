"""A document as one HTML file that needs nothing else: styles, charts and all stand inside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from results.charts.quantities import magnitude
from results.charts.style import inline_svg
from results.report.document import Document, outcome_sign

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HERE = Path(__file__).parent

_FILE_LINK = re.compile(r'<a href="\./[^"]*">([^<]*)</a>')

VERDICT_SIGNS = {"better": "▲", "same": "=", "worse": "▼", "inconclusive": "?"}
"""A sign beside each verdict, so that nothing depends on colour."""


_FILTERED_FROM = 8
"""Rows that a table may have without a box to filter them: so many are seen at one glance."""

_SCRIPTS = (_HERE / "tables.js", _HERE / "marks.js")


@dataclass(frozen=True, slots=True)
class InlineScript:
    """A script that stands in a page, and what its Content-Security-Policy needs to allow it and no other.

    Attributes:
        text: all that stands between the tags.
        source: a hash source (Content Security Policy Level 3, section 2.3.1).
    """

    text: Markup
    source: str


def inline_script(*files: Path) -> InlineScript:
    """The contents of files, one after the other, as one script."""
    text = "\n".join(["", *(file.read_text(encoding="utf-8").strip() for file in files), ""])
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return InlineScript(Markup(text), f"sha256-{digest}")


def without_files(page: str) -> str:
    """A page that is to lie elsewhere than beside its run: without the links to files there, their texts stay."""
    return _FILE_LINK.sub(r"\1", page)


def render_html(document: Document, wide: Mapping[str, Figure], narrow: Mapping[str, Figure]) -> str:
    """The page.

    Args:
        document: what it says; all of its texts are escaped.
        wide: the charts by name, for a desktop screen and for paper.
        narrow: the same charts for a phone.
    """
    alts = {picture.name: picture.alt for section in document.sections for picture in section.pictures}
    environment = Environment(
        autoescape=True, loader=FileSystemLoader(_HERE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("template.html.jinja").render(
        document=document,
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        wide={name: Markup(inline_svg(wide[name], f"wide-{name}", alt)) for name, alt in alts.items()},
        narrow={name: Markup(inline_svg(narrow[name], f"narrow-{name}", alt)) for name, alt in alts.items()},
        signs=VERDICT_SIGNS,
        outcome_sign=outcome_sign,
        script=inline_script(*_SCRIPTS),
        magnitude=magnitude,
        filtered_from=_FILTERED_FROM,
    )
