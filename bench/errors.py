"""The error of a run that had begun."""

from __future__ import annotations


class RunError(Exception):
    """A run ended before its plan did, and not because somebody asked for it. What was measured stays."""
