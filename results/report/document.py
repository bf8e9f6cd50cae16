"""What a report says, free of how it looks: the HTML and the Markdown are two renderings of the same document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["text", "number", "verdict", "outcome", "link", "score"]
"""What stands in a column: a score begins with a verdict; a link is the path of a file from the report, or
nothing."""

_OUTCOME_SIGNS = {"holds": "✓", "met": "✓", "broken": "✗", "exceeded": "✗", "not reached": "✗"}


def outcome_sign(text: str) -> str:
    """The sign to stand before an outcome, so that nothing depends on colour; empty for a text that is none."""
    return next((sign for words, sign in _OUTCOME_SIGNS.items() if text.startswith(words)), "")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of plain text.

    Attributes:
        caption: what it shows.
        columns: title of each column, and what stands in it.
        rows: as many texts as columns each.
        folded: whether it is detail that a page may fold away.
        grouped: whether the first column names a group that rows share with those next to them.
        total: a last row that sums up; empty for none.
    """

    caption: str
    columns: Mapping[str, ColumnKind]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False
    grouped: bool = False
    total: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart in its place.

    Attributes:
        name: of the chart, a key of :data:`results.charts.catalogue.CHARTS`.
        title: what it shows.
        alt: its content in words.
        caption: how to read it.
    """

    name: str
    title: str
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The end of a log.

    Attributes:
        title: whose.
        text: several lines.
    """

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    Attributes:
        name: unique in the document, fit for a link.
        title: its heading.
        paragraphs: text before everything else.
        points: a list after them.
        pictures: charts after that.
        tables: tables after those.
        excerpts: logs at the end.
    """

    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()


@dataclass(frozen=True, slots=True)
class Banner:
    """What a reader must know before any figure.

    Attributes:
        level: ``alarm`` where figures must not be used as they look, else ``notice``.
        title: in a few words.
        text: in full.
    """

    level: Literal["alarm", "notice"]
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Headline:
    """One figure of an arm's card.

    Attributes:
        name: what it is.
        value: the figure.
        detail: the ratio to the baseline with its interval, or what else qualifies it; may be empty.
    """

    name: str
    value: str
    detail: str


@dataclass(frozen=True, slots=True)
class Card:
    """An arm at a glance.

    Attributes:
        name: of the arm.
        index: of its colour.
        tags: ``baseline``, ``emulated``.
        headlines: its figures.
        verdicts: how many throughput metrics got each verdict; empty for the baseline.
    """

    name: str
    index: int
    tags: tuple[str, ...]
    headlines: tuple[Headline, ...]
    verdicts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the run says of one arm.

    Attributes:
        subject: the arm.
        text: the rest of the sentence, and perhaps another.
    """

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report.

    Attributes:
        title: the heading.
        subtitle: one line below it.
        banners: alarms before everything else; of notices the titles there, and the whole below the overview on a page.
        scores: the overview in one table, who wins what; None where nothing is compared.
        cards: the overview, one an arm.
        findings: the overview in sentences.
        overview_note: where the overview's figures come from.
        sections: the rest.
    """

    title: str
    subtitle: str
    banners: tuple[Banner, ...]
    scores: Table | None
    cards: tuple[Card, ...]
    findings: tuple[Finding, ...]
    overview_note: str
    sections: tuple[Section, ...]
