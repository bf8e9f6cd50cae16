"""A document as Markdown for a pull request or a wiki: tables, and charts as images beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markupsafe import escape

from results.markdown import escaped
from results.markdown import table as table_of
from results.report.document import Card, Document, Excerpt, Finding, Section, Table, outcome_sign


def render_markdown(document: Document, charts: str) -> str:
    """The text.

    Args:
        document: what it says; all of its texts are escaped.
        charts: the directory of the charts' PNG files, relative to the file.
    """
    blocks = [f"# {escaped(document.title)}", escaped(document.subtitle)]
    for banner in document.banners:
        sign = "🛑" if banner.level == "alarm" else "⚠️"
        blocks.append(f"> {sign} **{escaped(banner.title)}**  \n> {escaped(banner.text)}")
    blocks += ["## Overview", *(_table(document.scores) if document.scores else ())]
    blocks += [*_cards(document.cards), _findings(document.findings), escaped(document.overview_note)]
    for section in document.sections:
        blocks += _section(section, charts)
    return "\n\n".join(block for block in blocks if block) + "\n"


def _section(section: Section, charts: str) -> Iterator[str]:
    yield f"## {escaped(section.title)}"
    yield from (escaped(paragraph) for paragraph in section.paragraphs)
    yield _list(section.points)
    for picture in section.pictures:
        yield f"### {escaped(picture.title)}"
        yield f"![{escaped(picture.alt)}]({charts}/{picture.name}.png)"
        yield f"*{escaped(picture.caption)}*"
    for table in section.tables:
        yield from _table(table)
    for excerpt in section.excerpts:
        yield from _excerpt(excerpt)


def _cards(cards: Sequence[Card]) -> Iterator[str]:
    if not cards:
        return
    names = list(dict.fromkeys(headline.name for card in cards for headline in card.headlines))
    rows = []
    for card in cards:
        shown = {headline.name: f"{headline.value} {headline.detail}".strip() for headline in card.headlines}
        verdicts = ", ".join(f"{count} {word}" for word, count in card.verdicts.items() if count)
        tags = f" ({', '.join(card.tags)})" if card.tags else ""
        rows.append((card.name + tags, *(shown.get(name, "") for name in names), verdicts))
    yield table_of(("Arm", *names, "Verdicts"), ("text", *("number" for _ in names), "text"), rows)


def _table(table: Table) -> Iterator[str]:
    if table.folded:
        yield f"<details><summary>{escape(table.caption)}</summary>"
    else:
        yield f"**{escaped(table.caption)}**"
    kinds = tuple(table.columns.values())
    rows = [
        [_signed(cell, kind) for cell, kind in zip(row, kinds, strict=True)]
        for row in (*table.rows, table.total)
        if row
    ]
    yield table_of(tuple(table.columns), kinds, rows)
    if table.folded:
        yield "</details>"


def _signed(cell: str, kind: str) -> str:
    return f"{outcome_sign(cell)} {cell}".lstrip() if kind == "outcome" else cell


def _excerpt(excerpt: Excerpt) -> Iterator[str]:
    # Longer than any run of backticks inside, so that nothing in a log ends the block.
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`+", excerpt.text))])
    yield f"**{escaped(excerpt.title)}**"
    yield f"{fence}text\n{excerpt.text}\n{fence}"


def _findings(findings: Sequence[Finding]) -> str:
    return "\n".join(f"- **{escaped(finding.subject)}** {escaped(finding.text)}" for finding in findings)


def _list(points: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(point)}" for point in points)
