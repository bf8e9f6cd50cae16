"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        status: ``ok``; ``warning``: works, but figures suffer or a part is left out; ``missing``: a runtime fails.
        detail: what was found.
        fix: how to mend it; empty where there is nothing to mend.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""
