"""A document as one HTML file that needs nothing else: styles, charts and all stand inside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from results.charts.style import inline_svg
from results.report.document import Document, outcome_sign

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HERE = Path(__file__).parent

VERDICT_SIGNS = {"better": "▲", "same": "=", "worse": "▼", "inconclusive": "?"}
"""A sign beside each verdict, so that nothing depends on colour."""


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
    )
