"""The report of a run: one HTML file that needs no other, a Markdown file with its charts, and single charts."""

from __future__ import annotations

from results.report.build import Report, write_report
from results.report.single import save_chart

__all__ = ["Report", "save_chart", "write_report"]
