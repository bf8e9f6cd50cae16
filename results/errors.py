"""The errors of this package that a user can mend."""

from __future__ import annotations


class StoreError(Exception):
    """The store or a run in it is missing, unreadable or not writable. The message says what, why, and what to do."""


class SelectionError(Exception):
    """What was asked for is not in a run. The message names it, and what there is instead."""
