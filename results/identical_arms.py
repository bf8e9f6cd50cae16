"""Which arms of a run are the same thing twice: their differences are noise, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from results.errors import StoreError


def identical_arms(directory: Path) -> tuple[tuple[str, ...], ...]:
    """Groups of arms with the same runtime, options and limits, in the order of the suite; empty where all differ.

    It goes by the suite as run. An option that one arm gives and the other leaves at its default makes them differ,
    even if both come to the same. How long an arm may take to start or stop does not count.

    Args:
        directory: the run's, with its ``suite.yaml``; one without has no such groups.

    Raises:
        StoreError: the suite is unreadable or damaged.
    """
    path = directory / "suite.yaml"
    try:
        suite = yaml.safe_load(path.read_text(encoding="utf-8"))
        arms: Mapping[str, Mapping[str, Any]] = suite["arms"]
        groups: dict[str, list[str]] = {}
        for name, arm in arms.items():
            content = {key: value for key, value in arm.items() if key != "timeouts"}
            groups.setdefault(json.dumps(content, sort_keys=True), []).append(name)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}): mend it, or move it away") from error
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"{path} is damaged ({reason}): mend it, or move it away") from error
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)
