"""A suite as its file has it; :mod:`bench.suite` makes of it what is run."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Strict,
    Tag,
    WithJsonSchema,
    model_validator,
)

from bench.host import host_cpus, host_memory
from bench.regression import IGNORE
from results.history.policy import THRESHOLD as HISTORY_THRESHOLD
from results.stats.verdict import MIN_BLOCKS, THRESHOLD
from workloads.document import InvalidValue
from workloads.fields import Duration, Name, Part, Scalar, ScalarField, check_scalar
from workloads.json_types import BANDWIDTH, SCALAR, SHARE, TEXT, one_of, one_or_more, size
from workloads.model import Iterations
from workloads.origin import Kind
from workloads.units import is_share, parse_bandwidth, parse_share, parse_size

MAX_CPUS = 8192
"""The most CPUs that Linux supports on any architecture (NR_CPUS on x86)."""

MIN_CPUS = 0.01
"""A millisecond in every 100 ms is the least quota that Linux accepts (min_cfs_quota_period in kernel/sched/core.c)."""

MIN_MEMORY = 4 * 2**20
MAX_MEMORY = 64 * 2**40

MAX_PIDS = 2**22
"""The most processes and threads that Linux can have (PID_MAX_LIMIT in linux/threads.h)."""

MIN_IO_BYTES = 4096
"""Bytes a second: one block of the scratch disk."""

MAX_IO_BYTES = 2**40
MAX_IO_OPS = 10**9

MIN_BANDWIDTH = 8_000
"""Bits a second, at which a full Ethernet frame takes a second and a half."""

MAX_BANDWIDTH = 10**12

MAX_BLOCKS = 10_000

_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", re.ASCII)


def _cpus(value: object) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, str):
        ranges = [_RANGE.fullmatch(part.strip()) for part in value.split(",")]
        value = [cpu for found in ranges if found for cpu in range(int(found[1]), int(found[2] or found[1]) + 1)]
        if not all(ranges):
            value = None
    if not isinstance(value, list) or not value or not all(type(cpu) is int and 0 <= cpu < MAX_CPUS for cpu in value):
        raise ValueError(f"expected CPU numbers from 0 to {MAX_CPUS - 1}, as a list or as in 0-3,6")
    return tuple(sorted(set(value)))


def _share_of_cpus(value: object) -> object:
    """Whole CPUs, one at least, of those that this host has for us, where a share is given."""
    return max(1, int(parse_share(value) * host_cpus())) if is_share(value) else value


def _memory(value: object) -> int:
    # Whole MiB, which is what a guest's memory is made of.
    size = int(parse_share(value) * host_memory()) >> 20 << 20 if is_share(value) else parse_size(value)
    if not MIN_MEMORY <= size <= MAX_MEMORY:
        raise ValueError("expected between 4M and 64T of memory")
    return size


def _swap(value: object) -> int:
    size = parse_size(value)
    if size > MAX_MEMORY:
        raise ValueError("expected at most 64T of swap")
    return size


def _io_bytes(value: object) -> int:
    size = parse_size(value)
    if not MIN_IO_BYTES <= size <= MAX_IO_BYTES:
        raise ValueError("expected between 4k and 1T, in bytes a second")
    return size


def _bandwidth(value: object) -> int:
    bandwidth = parse_bandwidth(value)
    if not MIN_BANDWIDTH <= bandwidth <= MAX_BANDWIDTH:
        raise ValueError("expected between 8kbit and 1Tbit a second")
    return bandwidth


def _both_directions(value: object) -> object:
    """What stands in place of a mapping is for both directions."""
    return value if value is None or isinstance(value, dict | NetFile) else {"ingress": value, "egress": value}


def _values(value: object) -> tuple[Scalar, ...]:
    """The values of one parameter: one, or a list of them."""
    if not isinstance(value, list):
        return (check_scalar(value),)
    if not value:
        raise ValueError("expected a value, or a list of at least one")
    return tuple(check_scalar(each) for each in value)


def _use(value: object) -> object:
    return {"workload": value} if isinstance(value, str) else value


def _path(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


def _width(value: object) -> float:
    return float(parse_share(value))


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("expected more than no time")
    return seconds


_CPU = {"type": "integer", "minimum": 0, "maximum": MAX_CPUS - 1}

Cpus = Annotated[
    float,
    Strict(),
    Field(ge=MIN_CPUS, le=MAX_CPUS),
    BeforeValidator(_share_of_cpus),
    WithJsonSchema(one_of({"type": "number", "minimum": MIN_CPUS, "maximum": MAX_CPUS}, SHARE)),
]
CpuSet = Annotated[
    tuple[int, ...],
    PlainValidator(_cpus),
    WithJsonSchema(one_of(one_or_more(_CPU), TEXT | {"pattern": r"^[0-9, -]+$", "examples": ["0-3,6"]})),
]
CpuWeight = Annotated[int, Strict(), Field(ge=1, le=10_000)]
Memory = Annotated[int, PlainValidator(_memory), WithJsonSchema(one_of(size(MIN_MEMORY), SHARE))]
Swap = Annotated[int, PlainValidator(_swap), WithJsonSchema(size())]
Pids = Annotated[int, Strict(), Field(ge=1, le=MAX_PIDS)]
IoBytes = Annotated[int, PlainValidator(_io_bytes), WithJsonSchema(size(MIN_IO_BYTES))]
IoOps = Annotated[int, Strict(), Field(ge=1, le=MAX_IO_OPS)]
Bandwidth = Annotated[int, PlainValidator(_bandwidth), WithJsonSchema(BANDWIDTH)]
Width = Annotated[float, PlainValidator(_width), WithJsonSchema(SHARE)]
NotEmpty = Annotated[str, Strict(), Field(min_length=1)]
LongEnough = Annotated[Duration, AfterValidator(_positive)]
Values = Annotated[tuple[Scalar, ...], PlainValidator(_values), WithJsonSchema(one_or_more(SCALAR))]


class IoFile(Part):
    """What may be read from and written to the scratch disk in a second.

    Attributes:
        read_bytes: bytes read, such as ``10M``.
        write_bytes: bytes written.
        read_ops: requests that read.
        write_ops: requests that write.
    """

    read_bytes: IoBytes | None = None
    write_bytes: IoBytes | None = None
    read_ops: IoOps | None = None
    write_ops: IoOps | None = None


class NetFile(Part):
    """Bandwidth towards an instance and away from it.

    Attributes:
        ingress: towards it, a second, such as ``100Mbit``.
        egress: away from it.
    """

    ingress: Bandwidth | None = None
    egress: Bandwidth | None = None


Net = Annotated[NetFile, BeforeValidator(_both_directions, json_schema_input_type=NetFile | Bandwidth)]


class LimitsFile(Part):
    """What every instance may use.

    Attributes:
        cpus: CPU time, in CPUs, or a share of the host's, such as ``50%``.
        cpuset: the host's CPUs that it may run on, as ``0-3,6`` or a list; without it all.
        cpu_weight: its share of CPUs that others want too; 100 if not given.
        memory: bytes, such as ``512M``, or a share of the host's, such as ``50%``.
        memory_swap: bytes that may be swapped out beyond ``memory``; none if not given.
        pids: processes and threads at once, of which the agent is one.
        io: of its scratch disk, in a second.
        net: bandwidth of its link; one bandwidth stands for both directions.
    """

    cpus: Cpus
    cpuset: CpuSet = ()
    cpu_weight: CpuWeight | None = None
    memory: Memory
    memory_swap: Swap = 0
    pids: Pids | None = None
    io: IoFile = IoFile()
    net: Net = NetFile()


class LimitsOverride(Part):
    """What the instances of one arm may use, where it differs.

    A key takes the place of the suite's, as a whole; an empty value lifts a limit that need not be there.
    """

    cpus: Cpus | None = None
    cpuset: CpuSet | None = None
    cpu_weight: CpuWeight | None = None
    memory: Memory | None = None
    memory_swap: Swap | None = None
    pids: Pids | None = None
    io: IoFile | None = None
    net: Net | None = None

    def given(self) -> dict[str, Any]:
        """What is to be put in the place of the suite's."""
        defaults = {key: each.default for key, each in LimitsFile.model_fields.items() if not each.is_required()}
        given = {key: getattr(self, key) for key in self.model_fields_set}
        return {
            key: defaults[key] if value is None else value
            for key, value in given.items()
            if value is not None or key in defaults
        }


class TimeoutsFile(Part):
    """How long instances may take; without one, the suite's, or else the default.

    Attributes:
        start: seconds from the request to READY.
        stop: seconds from the request to stop until it is gone.
    """

    start: LongEnough | None = None
    stop: LongEnough | None = None


class ArmFile(Part):
    """One arm; every other key is an option of its runtime.

    Attributes:
        runtime: what starts its instances.
        limits: what its instances may use, where that is not what the suite says.
        timeouts: how long its instances may take, likewise.
    """

    model_config = ConfigDict(extra="allow")

    runtime: str
    limits: LimitsOverride = LimitsOverride()
    timeouts: TimeoutsFile = TimeoutsFile()


class BesideFile(Part):
    """A neighbour: another instance that runs a workload over and over while the workload of the use is measured.

    Attributes:
        workload: its name in the catalogue, or the path of its file, from the suite's directory.
        params: by parameter, a value.
        arm: what its instance is: ``same`` for the arm that is measured, or the name of another.
        cpus: ``shared`` for the CPUs of the measured instance, ``apart`` for others.
    """

    workload: str
    params: dict[str, ScalarField] = Field(default_factory=dict)
    arm: str = "same"
    cpus: Literal["shared", "apart"] = "shared"


Neighbours = Annotated[
    tuple[Annotated[BesideFile, BeforeValidator(_use, json_schema_input_type=BesideFile)], ...], Field(max_length=100)
]


class UseFile(Part):
    """One workload, the values of its parameters, and which of its metrics show how much of a limit was given.

    Attributes:
        workload: its name in the catalogue, or the path of its file, from the suite's directory.
        params: by parameter, a value or a list of values, which expands to a matrix.
        limit: by the name of a limit, the metric that shows how much of it an instance was given.
        iterations: how often a trial executes the measured command, in place of what the workload says.
        beside: neighbours: with each of them in turn everything is measured once more, besides alone.
    """

    workload: str
    params: dict[str, Values] = Field(default_factory=dict)
    limit: dict[str, str] = Field(default_factory=dict)
    iterations: Iterations | None = None
    beside: Neighbours = ()


class TaggedFile(Part):
    """All workloads of the catalogue that have a tag, in alphabetical order.

    Those that the suite names, or that an earlier tag has brought, are not among them.

    Attributes:
        tag: what they have.
        leave_out: names of workloads with the tag that are not meant.
        params: by parameter, a value or a list of values, for those workloads that have this parameter.
    """

    tag: str
    leave_out: tuple[str, ...] = Field(default=(), alias="except")
    params: dict[str, Values] = Field(default_factory=dict)


AnyUse = Annotated[
    Annotated[UseFile, Tag("named")] | Annotated[TaggedFile, Tag("tagged")],
    Discriminator(lambda use: "tagged" if isinstance(use, dict) and "tag" in use else "named"),
    BeforeValidator(_use),
]


class SamplingFile(Part):
    """How much is measured: a fixed number of blocks, or blocks until the ratios are known well enough.

    Attributes:
        blocks: rounds over all cases and arms, whatever comes of them; in place of ``min_blocks``, ``max_blocks`` and
            ``ci_width``.
        min_blocks: the pilot: rounds before the first look at how well the ratios are known.
        max_blocks: rounds after which the run ends however badly they are known.
        ci_width: how wide the 95 % interval of every primary metric's ratio may be at the end, as its upper end over
            its lower one less 1.
        threshold: the practical threshold: a ratio nearer to 1 makes no difference that matters.
        seed: of the random order; without it, every run takes a new one and records it.
        time_budget: seconds; no block is begun after them.
    """

    blocks: Annotated[int, Strict(), Field(ge=1, le=MAX_BLOCKS)] | None = None
    min_blocks: Annotated[int, Strict(), Field(ge=MIN_BLOCKS, le=MAX_BLOCKS)] | None = None
    max_blocks: Annotated[int, Strict(), Field(ge=MIN_BLOCKS, le=MAX_BLOCKS)] | None = None
    ci_width: Width | None = None
    threshold: Width = THRESHOLD
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)] | None = None
    time_budget: LongEnough | None = None

    @model_validator(mode="after")
    def _consistent(self) -> SamplingFile:
        if self.blocks is not None:
            for key in ("min_blocks", "max_blocks", "ci_width"):
                if getattr(self, key) is not None:
                    raise InvalidValue("with 'blocks' the number of blocks is fixed already", key, at_key=True)
        least, most = self.min_blocks, self.max_blocks
        if least is not None and most is not None and least > most:
            raise InvalidValue(f"{least} is more than the {most} of max_blocks", "min_blocks")
        return self


class WatchFile(Part):
    """How a metric is watched over many runs.

    Attributes:
        threshold: the practical threshold of its level; a change of less is none that matters.
        better: its good direction, where that is not the one that the workload says.
    """

    threshold: Width | None = None
    better: Literal["lower", "higher"] | None = None


def _watch(value: object) -> object:
    return value if isinstance(value, dict | WatchFile) or value == IGNORE else {"threshold": value}


Watch = Annotated[
    Literal["ignore"] | WatchFile,
    BeforeValidator(_watch),
    WithJsonSchema(one_of({"const": IGNORE}, SHARE, WatchFile.model_json_schema())),
]


class RegressFile(Part):
    """What ``bench regress`` holds against the runs before.

    Attributes:
        threshold: the practical threshold of a level, for metrics that say nothing else.
        metrics: how single metrics are watched, by name or shell pattern, the first that fits: a threshold, or
            ``threshold`` and ``better``, or ``ignore``.
    """

    threshold: Width = HISTORY_THRESHOLD
    metrics: dict[str, Watch] = {}  # noqa: RUF012  # pydantic copies defaults


class OciFile(Part):
    """An image of a container.

    Attributes:
        path: the directory of an OCI image layout, or an archive of one, or one that Docker saved, from the suite's
            directory.
        ref: the tag of the image, where there are several.
    """

    path: NotEmpty
    ref: NotEmpty | None = None


class ImageFile(Part):
    """The root file system that every arm runs in place of one that is built from Debian's packages: one of three.

    Attributes:
        oci: an image of a container: its path, or ``path`` and ``ref``.
        tar: the path of an archive with a root file system, as ``docker export`` writes it; may be compressed.
        directory: the path of a root file system as it lies there.
    """

    oci: Annotated[OciFile, BeforeValidator(_path, json_schema_input_type=OciFile | str)] | None = None
    tar: NotEmpty | None = None
    directory: NotEmpty | None = None

    @model_validator(mode="after")
    def _one(self) -> ImageFile:
        if sum(each is not None for each in (self.oci, self.tar, self.directory)) != 1:
            raise ValueError("expected one of the keys oci, tar, directory")
        return self

    def given(self) -> tuple[Kind, str, str | None]:
        """What kind it is, its path, and its tag."""
        if self.oci is not None:
            return "oci", self.oci.path, self.oci.ref
        if self.tar is not None:
            return "tar", self.tar, None
        assert self.directory is not None
        return "directory", self.directory, None


class SuiteFile(Part):
    """A suite: what is measured in which arms.

    Attributes:
        name: what the suite is called.
        description: what it is for, in a sentence.
        baseline: the arm that the others are divided by.
        image: the root file system that every arm runs; without it, one is built from the Debian packages that the
            workloads need.
        limits: what every instance may use; an arm may say otherwise.
        timeouts: when a trial is given up; an arm may say otherwise.
        arms: configured runtimes under comparison, by name.
        workloads: what is run in every arm: names, or a ``workload`` with ``params``, or all that have a ``tag``.
        sampling: how much is measured.
        regress: what is watched over many runs, and from which change on it matters.
    """

    name: Name
    description: str = ""
    baseline: str
    image: ImageFile | None = None
    limits: LimitsFile
    timeouts: TimeoutsFile = TimeoutsFile()
    arms: Annotated[dict[Name, ArmFile], Field(min_length=1)]
    workloads: Annotated[tuple[AnyUse, ...], Field(min_length=1)]
    sampling: SamplingFile = SamplingFile()
    regress: RegressFile = RegressFile()
