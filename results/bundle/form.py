"""What the files of a bundle hold, as JSON, and how it is checked when it comes back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from results.errors import StoreError
from results.noise import NoiseReading
from results.records import Acknowledgement, Baseline, RunRecord
from results.whole_run import WholeTrial, is_run_id

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record")

FORMAT = "bench-bundle"
VERSION = 1
"""Of the form. It is raised when an earlier program could not read what a later one writes."""

BUNDLE, BASELINES, ACKNOWLEDGEMENTS = "bundle.json", "baselines.json", "acknowledgements.json"
CHECKSUMS = "checksums.json"
RUN, TRIALS, NOISE, FILES = "run.json", "trials.jsonl", "noise.jsonl", "files"


@dataclass(frozen=True, slots=True)
class Contents:
    """``bundle.json``."""

    format: str
    version: int
    runs: list[str]


_CONTENTS = TypeAdapter(Contents)
_RUN = TypeAdapter(RunRecord)
_TRIAL = TypeAdapter(WholeTrial)
_NOISE = TypeAdapter(NoiseReading)
_BASELINES = TypeAdapter(list[Baseline])
_ACKNOWLEDGEMENTS = TypeAdapter(list[Acknowledgement])
_CHECKSUMS = TypeAdapter(dict[str, str])


def dump(record: DataclassInstance) -> str:
    """A record as JSON on one line; doubles keep their full precision."""
    return json.dumps(asdict(record), ensure_ascii=False, allow_nan=False)


def _parsed(adapter: TypeAdapter[Record], text: bytes, place: str) -> Record:
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{place}: {where + ': ' if where else ''}{first['msg']}; export the bundle again") from error


def parse_contents(text: bytes, place: str) -> Contents:
    """``bundle.json``, of a version that this program knows, with ids that can be names of directories.

    Raises:
        StoreError: it is not.
    """
    contents = _parsed(_CONTENTS, text, place)
    if contents.format != FORMAT:
        raise StoreError(f"{place}: no bundle of bench: `bench export RUN --bundle -o FILE` makes one")
    if contents.version != VERSION:
        raise StoreError(
            f"{place}: a bundle of version {contents.version}, this program knows {VERSION}: update it, and try again"
        )
    for run_id in contents.runs:
        if not is_run_id(run_id):
            raise StoreError(f"{place}: {run_id!r} is no id of a run; export the bundle again")
    return contents


def parse_run(text: bytes, place: str) -> RunRecord:
    """``run.json``; raises StoreError where it is not of the form, as all of these do."""
    return _parsed(_RUN, text, place)


def parse_trial(line: bytes, place: str) -> WholeTrial:
    """A line of ``trials.jsonl``."""
    return _parsed(_TRIAL, line, place)


def parse_noise(line: bytes, place: str) -> NoiseReading:
    """A line of ``noise.jsonl``."""
    return _parsed(_NOISE, line, place)


def parse_baselines(text: bytes, place: str) -> list[Baseline]:
    """``baselines.json``."""
    return _parsed(_BASELINES, text, place)


def parse_acknowledgements(text: bytes, place: str) -> list[Acknowledgement]:
    """``acknowledgements.json``."""
    return _parsed(_ACKNOWLEDGEMENTS, text, place)


def parse_checksums(text: bytes, place: str) -> dict[str, str]:
    """``checksums.json``."""
    return _parsed(_CHECKSUMS, text, place)
