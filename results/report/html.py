"""A document as one HTML file that needs nothing else: styles, script, charts and all stand inside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup

from results.charts.style import inline_svg
from results.report.document import Document
from results.report.page import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# As parts.html.jinja writes it; no text of others can look like it, for all are escaped.
_LOG_LINK = re.compile(r'<a href="[^"]*">log</a>')


def render_html(document: Document, wide: Mapping[str, Figure], narrow: Mapping[str, Figure]) -> str:
    """The page.

    Args:
        document: what it says; all of its texts are escaped.
        wide: the charts by name, for a desktop screen and for paper.
        narrow: the same charts for a phone.
    """
    alts = {picture.name: picture.alt for section in document.sections for picture in section.pictures}
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            document=document,
            wide={name: Markup(inline_svg(wide[name], f"wide-{name}", alt)) for name, alt in alts.items()},
            narrow={name: Markup(inline_svg(narrow[name], f"narrow-{name}", alt)) for name, alt in alts.items()},
        )
    )


def without_logs(page: str) -> str:
    """A page of :func:`render_html` without links to logs, for a place that they do not lead out of."""
    return _LOG_LINK.sub("", page)
