"""The environment of a run, and what differs between two: host, programs and the bytes of the image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import __version__
from bench.errors import RunError
from bench.host import CHANGING_FACTS, collect_facts

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store
    from workloads.image import BuiltImage


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same in two environments.

    Attributes:
        what: its name, such as ``kernel`` or ``package fio``.
        before: in the earlier one; None where it was not there.
        now: in the later one; None where it is not there.
    """

    what: str
    before: str | None
    now: str | None


def recorded_environment(store: Store, run: RunRecord) -> dict[str, str]:
    """The environment that a run was carried out in, by name.

    Raises:
        RunError: its files are missing or damaged.
    """
    directory = store.run_directory(run.id)
    facts = _read(directory / "host.json")["facts"]
    return _environment(run.version, facts, _read(directory / "image.json"))


def present_environment(image: BuiltImage) -> dict[str, str]:
    """The environment that a run would have now with this image."""
    kernels = {name: asdict(kernel.manifest) for name, kernel in image.kernels.items()}
    return _environment(__version__, collect_facts(), {**asdict(image.manifest), "kernels": kernels})


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """What is not the same in two environments, in the order of the first."""
    names = dict.fromkeys([*before, *now])
    return [Difference(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]


def _environment(version: str, facts: Mapping[str, str], image: Mapping[str, Any]) -> dict[str, str]:
    steady = {name: text for name, text in facts.items() if name.removesuffix("_at_end") not in CHANGING_FACTS}
    return {
        "bench": version,
        **steady,
        **{f"image {part}": _digest(figures) for part, figures in image["parts"].items()},
        **{
            f"kernel {name} {part}": _digest(figures)
            for name, kernel in image["kernels"].items()
            for part, figures in kernel["parts"].items()
        },
        **{f"package {name}": release for name, release in image["packages"].items()},
    }


def _digest(part: Mapping[str, str]) -> str:
    return f"sha256 {part['sha256'][:12]}"


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot tell in what environment the run was made: {path}: {error}") from error
    return document
