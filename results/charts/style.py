"""How every chart looks: arms' colours and markers, figures without global state, and SVG that follows the page.

Charts are drawn in the light palette below. For a page, :func:`inline_svg` replaces each of those colours by a CSS
variable, so that the page's light, dark and print styles reach into the chart; for a file, :func:`render` keeps them on
a white ground. Colours of arms keep a contrast of 3:1 against the ground, and each arm has a marker of its own and its
name beside it, so that no reading depends on colour.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.typing import RcKeyType

WIDE = 7.6
"""Inches across for a desktop screen or paper."""

NARROW = 3.9
"""Inches across for a phone: the same chart with the same size of text."""

INK, MUTED, GRID, PAPER = "#1b1f24", "#57606a", "#d0d7de", "#ffffff"
SERIES = ("#5c6773", "#0072b2", "#d55e00", "#00825f", "#b0568c", "#9a6a00", "#1a8aa8")
"""Colours of series, ``--series-<index>`` in a page's style."""

_MARKERS = ("s", "o", "^", "D", "v", "P", "X")

_VARIABLES = {
    INK: "currentColor",
    MUTED: f"var(--muted, {MUTED})",
    GRID: f"var(--grid, {GRID})",
    PAPER: f"var(--paper, {PAPER})",
} | {colour: f"var(--series-{index}, {colour})" for index, colour in enumerate(SERIES)}

_RC: dict[RcKeyType, Any] = {
    "text.parse_math": False,  # a workload may have a dollar sign in its name
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "figure.dpi": 100,
}

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+")
# Colours in a style attribute, and references to elements in any attribute.
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True, slots=True)
class ArmStyle:
    """One arm as charts and tables show it.

    Attributes:
        name: the arm's name in the suite.
        label: the name as shown: says so where its figures come from software emulation.
        index: of its colour, ``--series-<index>`` in the page's style.
        colour: of the light palette.
        marker: a matplotlib marker.
        emulated: whether any of its trials ran in software emulation.
    """

    name: str
    label: str
    index: int
    colour: str
    marker: str
    emulated: bool


def arm_styles(arms: Sequence[str], baseline: str, emulated: Collection[str]) -> tuple[ArmStyle, ...]:
    """Styles in the order of ``arms``; the baseline is the neutral grey."""
    styles = []
    others = 0
    for name in arms:
        index = 0
        if name != baseline:
            index = 1 + others % (len(SERIES) - 1)
            others += 1
        label = f"{shown(name, 24)} (emulated)" if name in emulated else shown(name, 24)
        # Where colours begin anew, markers are shifted, so that both together are an arm's own.
        turn, place = divmod(others - 1, len(SERIES) - 1)
        marker = _MARKERS[0] if name == baseline else _MARKERS[1 + (place + turn) % (len(_MARKERS) - 1)]
        styles.append(ArmStyle(name, label, index, SERIES[index], marker, name in emulated))
    return tuple(styles)


def shown(text: str, length: int = 60) -> str:
    """``text`` as a label: without control characters, which XML cannot hold, and cut in the middle to ``length``."""
    clean = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    tail = length // 3
    return clean if len(clean) <= length else f"{clean[: length - tail - 1]}…{clean[-tail:]}"


@contextmanager
def drawing() -> Iterator[None]:
    """The settings under which a chart is drawn; restored at exit."""
    with mpl.rc_context(_RC), warnings.catch_warnings():
        # A name in a script that DejaVu lacks: the page's own font has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, outside pyplot, laid out so that nothing is cut off; inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


_TIP = "tip:"
_BREAK = "\u2028"  # a break between lines that attributes of XML keep


def tell(artist: Artist, *lines: str) -> None:
    """Have a mark tell what it shows, wherever a reader points at it in an SVG.

    Args:
        artist: the mark.
        lines: arm, metric, value, interval, n: what there is of them; empty ones are left out.
    """
    # The one property of an artist that its group in an SVG has; the serialiser makes it an element of its own.
    artist.set_gid(_TIP + _BREAK.join(shown(line, 200) for line in lines if line))


def _tell_titles(root: ET.Element) -> None:
    """Put what marks tell into a ``title`` of each, which any viewer of SVG shows."""
    for element in root.iter():
        text = element.get("id", "")
        if text.startswith(_TIP):
            del element.attrib["id"]
            element.set("class", "mark")
            title = ET.Element(f"{{{_SVG}}}title")
            title.text = text.removeprefix(_TIP).replace(_BREAK, "\n")
            element.insert(0, title)


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """``figure`` as an SVG element to stand in an HTML page.

    Args:
        figure: drawn under :func:`drawing`.
        name: unique in the page; identifiers inside the element start with it.
        alt: what a reader who cannot see it is told.

    Returns:
        Markup that is safe to insert as it is: every text in it has been escaped by the serialiser.
    """
    root = ET.fromstring(_render(figure, "svg", fonttype="none", salt=name))
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    _tell_titles(root)
    root.attrib.update({"role": "img", "aria-label": shown(alt, 2000), "class": "plot"})
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}:
                parent.remove(child)
    for element in root.iter():
        for key, value in element.attrib.items():
            if key != "aria-label":
                element.attrib[key] = _adapted(key, value, name)
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    return ET.tostring(root, encoding="unicode")


Form = Literal["svg", "png", "pdf"]

FORMS: dict[str, Form] = {".svg": "svg", ".png": "png", ".pdf": "pdf"}
"""What a chart can be written as, by the end of a file's name."""

_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""No date and no version in the file: the same data give the same bytes."""

_CANVASES = {"svg": FigureCanvasSVG, "png": FigureCanvasAgg, "pdf": FigureCanvasPdf}


def settle(figure: Figure) -> None:
    """Lay ``figure`` out once for all its files: saving it would else draw it twice for each, first for the layout.

    Places are rounded: the solver's last digits are not the same in every process, and would be in identifiers.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        with drawing():
            engine.execute(figure)
        for axes in figure.axes:
            axes.set_position(Bbox(axes.get_position().get_points().round(6)))
        figure.set_layout_engine(None)


def render(figure: Figure, kind: Form) -> bytes:
    """``figure`` as a file on a white ground; the same data give the same bytes."""
    content = _render(figure, kind, fonttype="path", salt="chart", ground=PAPER)
    if kind != "svg":
        return content
    root = ET.fromstring(content)
    _tell_titles(root)
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _render(figure: Figure, kind: Form, *, fonttype: str, salt: str, ground: str = "none") -> bytes:
    buffer = io.BytesIO()
    settle(figure)
    # Identifiers from a fixed salt; in a PDF the letters of TrueType fonts, which are text to search and copy.
    with drawing(), mpl.rc_context({"svg.fonttype": fonttype, "svg.hashsalt": salt, "pdf.fonttype": 42}):
        figure.set_canvas(_CANVASES[kind](figure))
        resolution = 200 if kind == "png" else 72
        figure.savefig(buffer, format=kind, dpi=resolution, metadata=_METADATA[kind], facecolor=ground)
    return buffer.getvalue()


def _adapted(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == f"{{{_XLINK}}}href":
        return f"#{name}-{value.removeprefix('#')}"
    if key == "style":
        value = _COLOUR.sub(lambda found: _VARIABLES.get(found.group(), found.group()), value)
        value = value.replace("'DejaVu Sans'", "var(--font, 'DejaVu Sans', sans-serif)")
    return _REFERENCE.sub(rf"url(#{name}-\1)", value)
