"""Tables for a terminal: functions that return rich renderables, and print nothing.

Nothing is said by colour alone, so that a pipe, a log and ``NO_COLOR`` lose nothing. Names are always wrapped in
``Text``: in plain strings rich would take square brackets for markup.
"""

from __future__ import annotations

from results.terminal.compare import compare_json, compare_renderables, findings_renderables
from results.terminal.rows import emulation_banner
from results.terminal.show import show_json, show_renderables

__all__ = [
    "compare_json",
    "compare_renderables",
    "emulation_banner",
    "findings_renderables",
    "show_json",
    "show_renderables",
]
