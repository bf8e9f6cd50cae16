"""Reading `published.yaml`, which comes with the project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from results.references import Kind, PublishedRatio, Source

PUBLISHED = Path(__file__).parent / "published.yaml"


def _as_text(params: object) -> object:
    """Parameters as they stand in our data: text."""
    return {name: str(value) for name, value in params.items()} if isinstance(params, dict) else params


def _as_texts(where: object) -> object:
    """Each parameter's values as a list of texts, where one may stand for itself."""
    if not isinstance(where, dict):
        return where
    listed = {name: value if isinstance(value, list) else [value] for name, value in where.items()}
    return {name: [str(each) for each in values] for name, values in listed.items()}


Params = Annotated[dict[str, str], BeforeValidator(_as_text)]
Where = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_as_texts)]
Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceFile(_Part):
    """See :class:`results.references.Source`."""

    title: str
    data: str = ""
    host: str = ""
    caveats: tuple[str, ...] = ()


class RatioFile(_Part):
    """See :class:`results.references.PublishedRatio`."""

    workload: str
    metric: str
    where: Where = Field(default_factory=dict)
    params: Params = Field(default_factory=dict)
    native: Positive
    ratios: dict[str, Positive]
    source: str
    kind: Kind
    n: int | None = None


class StartFile(_Part):
    """A time that something took to start, milliseconds."""

    what: str
    median: Positive
    source: str
    kind: Kind
    n: int | None = None


class MemoryFile(_Part):
    """Memory that something took, MiB, by who."""

    what: str
    values: dict[str, Positive]
    source: str
    kind: Kind


class PublishedFile(_Part):
    """The whole file."""

    sources: dict[str, SourceFile]
    throughput: tuple[RatioFile, ...]
    startup_ms: tuple[StartFile, ...]
    memory_mib: tuple[MemoryFile, ...]


def load_file() -> PublishedFile:
    """The file, checked."""
    return PublishedFile.model_validate(yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")))


def read_published() -> tuple[PublishedRatio, ...]:
    """The ratios in the file."""
    file = load_file()
    sources = {key: Source(key, **source.model_dump()) for key, source in file.sources.items()}
    return tuple(PublishedRatio(**ratio.model_dump() | {"source": sources[ratio.source]}) for ratio in file.throughput)
