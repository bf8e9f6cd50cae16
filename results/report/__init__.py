"""The report of a run: one HTML file that needs no other, a Markdown file with its charts, and single charts."""

from __future__ import annotations

from results.report.build import Report, save_chart, write_comparison, write_report

__all__ = ["Report", "save_chart", "write_comparison", "write_report"]
