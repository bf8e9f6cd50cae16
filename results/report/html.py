"""A document as one HTML file that needs nothing else: styles, script, charts and all stand inside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup

from results.charts.style import inline_svg
from results.report.document import Document
from results.report.page import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
