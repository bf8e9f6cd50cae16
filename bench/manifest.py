"""What is recorded beside a run's trials: the suite, the image, the host, and what differed between the arms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench import fairness
from bench.host import changing_facts, collect_facts, fingerprint
from bench.images import origin_text

if TYPE_CHECKING:
    from bench.plan import Trial
    from bench.suite_model import Suite
    from workloads.image import BuiltImage


class RunManifest:
    """Writes ``suite.yaml``, ``image.json`` and ``host.json`` into a run's directory.

    Attributes:
        fingerprint: of the host.
    """

    def __init__(self) -> None:
        self._facts = collect_facts()
        self._observed: dict[str, dict[str, str]] = {}
        self._workloads: dict[str, set[str]] = {}
        self.fingerprint = fingerprint(self._facts)

    def open(
        self,
        directory: Path,
        suite: Suite,
        image: BuiltImage,
        placement: Mapping[str, object],
        left_out: Mapping[str, str],
    ) -> None:
        """Write what is known before the first trial.

        Args:
            directory: of the run.
            suite: as it is run.
            image: of all arms.
            placement: of :func:`bench.placing.placement_data`.
            left_out: of the plan.
        """
        self._placement = placement
        self._left_out = left_out
        self._image = {"id": image.id, "from": origin_text(image)}
        self._path = directory / "host.json"
        (directory / "suite.yaml").write_text(suite.as_yaml())
        (directory / "image.json").write_text(_json(_image_record(image)))
        self._write()

    def wants(self, trial: Trial) -> bool:
        """Whether the trial's instance can show something that no earlier one of its arm has shown."""
        seen = self._observed.get(trial.arm.name)
        if seen is None or trial.case.workload.name not in self._workloads[trial.arm.name]:
            return True
        return seen["scratch_disk"] == fairness.NO_SCRATCH and trial.case.scratch is not None

    def observed(self, trial: Trial, seen: Mapping[str, str]) -> None:
        """Take in what :mod:`bench.fairness` saw in the trial's instance."""
        before = self._observed.get(trial.arm.name, {})
        kept = {} if trial.case.scratch is not None else {k: v for k, v in before.items() if k == "scratch_disk"}
        self._observed[trial.arm.name] = {**before, **seen, **kept}
        self._workloads.setdefault(trial.arm.name, set()).add(trial.case.workload.name)
        self._write()

    def close(self) -> None:
        """Write what is known only at the end."""
        self._facts |= {f"{name}_at_end": value for name, value in changing_facts().items()}
        self._write()

    def _write(self) -> None:
        document = {
            "fingerprint": self.fingerprint,
            "facts": self._facts,
            "image": self._image,
            "placement": self._placement,
            "left_out": self._left_out,
            "observed": self._observed,
            "fairness": fairness.differences(self._observed),
        }
        self._path.write_text(_json(document))


def _image_record(image: BuiltImage) -> dict[str, object]:
    """The image and, by name, the kernels that guests boot instead of its own."""
    return {
        **asdict(image.manifest),
        "kernels": {name: asdict(built.manifest) for name, built in image.kernels.items()},
    }


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
