"""The report of a run: one HTML file that needs no other, a Markdown file with its charts, single charts, and a report
of one run against another.
"""

from __future__ import annotations

from results.report.build import Report, write_report
from results.report.single import save_chart
from results.report.two_runs import write_comparison

__all__ = ["Report", "save_chart", "write_comparison", "write_report"]
