"""What a workload is: one file of the catalogue, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, PlainValidator, Strict, StrictBool, WithJsonSchema, model_validator

from workloads.commands import MAX_BYTES, PLACEHOLDER, Command, CommandLine, Commands
from workloads.document import InvalidValue
from workloads.errors import expected
from workloads.fields import (
    MAX_SECONDS,
    BytesRegex,
    Identifier,
    Name,
    Parameter,
    Part,
    Regex,
    Scalar,
    ScalarField,
    Timeout,
    format_scalar,
)
from workloads.files import FILES_PATH, MAX_FILES, CarriedFileField
from workloads.json_types import one_of
from workloads.several import (
    PLACEHOLDER_SCHEMA,
    Crowd,
    Density,
    InstancesOrParameter,
    SizeOrParameter,
    instance_count,
    size_in_bytes,
)

SCRATCH_PATH = "/scratch"
"""Where an instance sees its scratch disk."""

SPARE_BYTES = 32 * 2**20
"""What a scratch disk has beyond what the workload asked for: the journal and inode tables of a small ext4."""

HARNESS_METRICS = frozenset(
    {
        "startup_time",
        "cold_start_time",
        "parallel_start_time",
        "parallel_stop_time",
        "first_output_time",
        "shutdown_time",
        "memory_footprint",
        "memory_loaded",
        "memory_after",
        "memory_peak",
        "cpu_time",
        "pids_peak",
        "cpus_used",
        "image_size",
        "marginal_memory",
        "start_time_growth",
        "instances_reached",
        "memory_knee",
        "start_time_knee",
        "unsettled_steps",
    }
)
"""Metrics that every trial has, so that no workload can have one of these names."""

HOST_VALUES = ("host_boot_id", "host_namespaces", "host_pid")
"""What a workload may be told of the host, to find out whether it can reach it: see :func:`bench.host.host_values`."""

_WORD = re.compile(r"[A-Za-z0-9_./+-]+")

_RESERVED = ("server", "scratch", "files", "cpus", "memory", *HOST_VALUES)


ColdLayer = Literal["image", "kernel", "all"]
"""What may be not in the host's page cache when an instance starts, see :attr:`Workload.cold`."""

COLD_LAYERS: tuple[ColdLayer, ...] = get_args(ColdLayer)

MAX_ITERATIONS = 10_000

Iterations = Annotated[int, Strict(), Field(ge=1, le=MAX_ITERATIONS)]
"""How often a trial executes the measured command."""


def _cold(value: object) -> str:
    if isinstance(value, str) and (value in COLD_LAYERS or PLACEHOLDER.fullmatch(value)):
        return value
    raise ValueError(f"expected {', '.join(COLD_LAYERS)}, or a parameter in braces")


_COLD_SCHEMA = one_of({"type": "string", "enum": list(COLD_LAYERS)}, PLACEHOLDER_SCHEMA)


class Metric(Part):
    """One figure in a workload's output, and how to find it there.

    Attributes:
        unit: what it is in, after ``factor``.
        better: whether less or more of it is better.
        primary: the figure that the workload is run for.
        optional: its absence is no failure.
        factor: what the figure in the output is multiplied by.
        select: which of several matches counts; without it there must be exactly one.
        pattern: for ``parser: regex``, an expression whose group ``value``, or first group, is the figure.
        path: for ``parser: json``, a JSON path.
        column: for ``parser: csv``, the column's heading.
        row: for ``parser: csv``, headings and the text that the row has there; without it any row.
        host_cpu_per: another metric, of which this one is the price: seconds of host CPU time that the instance cost
            while ``run`` ran, divided by that metric's figure. It is not looked for in the output.
    """

    unit: Annotated[str, Field(min_length=1)]
    better: Literal["lower", "higher", "neutral"]
    primary: StrictBool = False
    optional: StrictBool = False
    factor: Annotated[float, Field(gt=0)] = 1.0
    select: Literal["first", "last"] | None = None
    pattern: Regex | None = None
    path: str | None = None
    column: str | None = None
    row: dict[str, str] | None = None
    host_cpu_per: str | None = None

    KEYS: ClassVar[Mapping[str, str]] = {"regex": "pattern", "json": "path", "csv": "column"}
    """The key that finds the figure, by parser."""

    def check_for(self, parser: str) -> None:
        """Check that the figure can be found by ``parser``; InvalidValue otherwise."""
        if self.host_cpu_per is not None:
            for key in (*self.KEYS.values(), "row", "select", "optional"):
                if key in self.model_fields_set:
                    raise InvalidValue("this key is for what stands in the output", key, at_key=True)
            return
        needed = self.KEYS[parser]
        if getattr(self, needed) is None:
            raise InvalidValue(f"with 'parser: {parser}' a metric needs the key '{needed}'")
        for key in (*self.KEYS.values(), "row"):
            if key != needed and getattr(self, key) is not None and not (key == "row" and parser == "csv"):
                raise InvalidValue(f"this key is not for 'parser: {parser}'", key, at_key=True)
        if self.pattern is not None and not re.compile(self.pattern).groups:
            raise InvalidValue("the expression has no group, so it finds no figure", "pattern")
        if self.path is not None:
            from workloads.parsers import compile_path

            try:
                compile_path(self.path)
            except ValueError as error:
                raise InvalidValue(str(error), "path") from None


class Ready(Part):
    """When a server is ready.

    Attributes:
        log: as soon as its output, bytes, matches this regular expression in UTF-8.
        port: as soon as somebody in the instance listens on this TCP port.
    """

    log: BytesRegex | None = None
    port: Annotated[int, Strict(), Field(ge=1, le=65535)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Ready:
        if (self.log is None) == (self.port is None):
            raise ValueError("expected either 'log' or 'port'")
        return self


class Server(Part):
    """The part of a workload that serves: always in the instance.

    Attributes:
        command: what to start.
        ready: when it is ready.
        timeout: seconds until then at the most.
    """

    command: Command
    ready: Ready
    timeout: Timeout = 60.0


class MemoryMoments(Part):
    """When an instance's memory is read besides while it is idle.

    Attributes:
        loaded: under load: as soon as the output of ``run``, bytes, matches this regular expression in UTF-8; the
            command must stay as it is until that is done.
        settle: seconds after the end of ``run``, when it is read again.
    """

    loaded: BytesRegex
    settle: Timeout = 5.0


class Workload(Part):
    """One workload.

    Attributes:
        name: its name in suites.
        description: what it measures, in a sentence.
        source: where the tool comes from.
        tags: for finding it.
        packages: Debian packages that the image needs for it.
        files: what it brings along: paths from the directory of its YAML.
        parameters: by name.
        scratch: bytes that its files need on the scratch disk, a parameter in braces that says so, or None for no disk.
        server: what serves, if anything.
        client: where ``run`` is executed.
        prepare: commands in the instance before everything else.
        load: commands once the server is ready, where ``run`` is executed: they give it the data that it serves.
        warmup: commands after that, likewise: what ``run`` does, unmeasured.
        run: the measured command; arguments may have ``{parameter}``, ``{server}`` (address), ``{scratch}`` and
            ``{files}`` (paths), ``{cpus}`` (whole CPUs that the limits give), ``{memory}`` (bytes that they give) and
            ``HOST_VALUES`` in them.
        timeout: seconds that a command may take, beyond what ``duration`` says.
        duration: the parameter that says how many seconds are measured, where the workload is limited by time.
        parser: how figures are found in what ``run`` writes to its standard output.
        metrics: the figures, by name.
        instances: how many instances a trial starts at once, or a parameter in braces that says so; their start and
            stop is all that is measured then. None for the usual one.
        density: instances that are started one after the other and all stay, each with the server if there is one; what
            each of them adds is all that is measured then. None for the usual one.
        cold: what is not in the host's page cache when an instance starts: ``image`` (the root file system),
            ``kernel`` (all below it that an arm has of its own: kernel, initramfs, firmware, VMM) or ``all``, or a
            parameter in braces that says so; for workloads that run nothing. None for the usual start.
        memory: when the instance's memory is read under load and afterwards; None for workloads that are not about it.
        iterations: how often ``run`` is executed in one instance, one after the other, each with figures of its own; a
            suite may say otherwise.
        quick: values of parameters with which a trial takes a second or two, for trying the workload out.
    """

    name: Name
    description: str
    source: str = ""
    tags: tuple[str, ...] = ()
    packages: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")], ...] = ()
    files: Annotated[tuple[CarriedFileField, ...], Field(max_length=MAX_FILES)] = ()
    parameters: dict[Identifier, Parameter] = Field(default_factory=dict)
    scratch: SizeOrParameter | None = None
    server: Server | None = None
    client: Literal["instance", "peer"] = "instance"
    prepare: tuple[Command, ...] = ()
    load: tuple[Command, ...] = ()
    warmup: tuple[Command, ...] = ()
    run: Command | None = None
    timeout: Timeout = 600.0
    duration: str | None = None
    parser: Literal["regex", "json", "csv"] | None = None
    metrics: dict[Identifier, Metric] = Field(default_factory=dict)
    instances: InstancesOrParameter | None = None
    density: Density | None = None
    cold: Annotated[str, PlainValidator(_cold), WithJsonSchema(_COLD_SCHEMA)] | None = None
    memory: MemoryMoments | None = None
    iterations: Iterations = 1
    quick: dict[str, ScalarField] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Workload:
        self._check_files()
        self._check_parameters()
        self._check_instances()
        self._check_commands()
        self._check_metrics()
        self._check_quick()
        return self

    def _check_quick(self) -> None:
        try:
            self.resolve(self.quick)
        except InvalidValue as error:
            raise InvalidValue(str(error), "quick", *error.location, at_key=error.at_key) from None

    def _check_files(self) -> None:
        names = [file.name for file in self.files]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise InvalidValue(f"'{name}' stands in the list already", "files", index)

    def _check_parameters(self) -> None:
        for name in self.parameters:
            if name in _RESERVED:
                raise InvalidValue(f"'{name}' is what {{{name}}} stands for already", "parameters", name, at_key=True)
        if self.duration is not None:
            parameter = self.parameters.get(self.duration)
            if parameter is None:
                raise InvalidValue(f"'{self.duration}': {expected(self.duration, self.parameters)}", "duration")
            if type(parameter.default) not in (int, float):
                raise InvalidValue("the duration must be a parameter in seconds, a number", "duration")
            try:
                self._check_duration(parameter.default)
            except ValueError as error:
                raise InvalidValue(str(error), "parameters", self.duration, "default") from None
        self._check_size(self.scratch, "scratch")

    def _check_size(self, value: int | str | None, *place: str) -> None:
        """A size that is a parameter is one of those that are sizes."""
        if isinstance(value, str):
            name = value[1:-1]
            sizes = [each for each, parameter in self.parameters.items() if parameter.type == "size"]
            if name not in sizes:
                raise InvalidValue(f"'{name}': {expected(name, sizes)} (parameters with 'type: size')", *place)

    def _check_count(self, value: int | str | None, *place: str) -> None:
        """A number of instances that is a parameter is one of those that are whole numbers."""
        if isinstance(value, str):
            name = value[1:-1]
            counts = [each for each, parameter in self.parameters.items() if type(parameter.default) is int]
            if name not in counts:
                raise InvalidValue(f"'{name}': {expected(name, counts)} (whole-number parameters)", *place)

    def _check_instances(self) -> None:
        several = self.instances is not None or self.density is not None
        if self.cold is not None:
            self._check_cold(self.cold, several=several)
        if not several:
            return
        if self.instances is not None and self.density is not None:
            raise InvalidValue("instances are started at once, or one after the other", "density", at_key=True)
        if self.run is not None or self.scratch is not None:
            key = "run" if self.run is not None else "scratch"
            raise InvalidValue("where several instances are started, they run nothing", key, at_key=True)
        self._check_count(self.instances, "instances")
        if self.density is not None:
            self._check_count(self.density.instances, "density", "instances")
            self._check_size(self.density.reserve, "density", "reserve")
            if self.client == "peer":
                raise InvalidValue("nobody asks anything of the servers of a density", "client", at_key=True)

    def _check_cold(self, cold: str, *, several: bool) -> None:
        if self.run is not None or several:
            raise InvalidValue("a cold start runs nothing, and is one instance's", "cold")
        if cold in COLD_LAYERS:
            return
        name = cold[1:-1]
        known = [each for each, parameter in self.parameters.items() if isinstance(parameter.default, str)]
        if name not in known:
            raise InvalidValue(f"'{name}': {expected(name, known)} (parameters that are text)", "cold")

    @staticmethod
    def _check_duration(seconds: Scalar) -> None:
        if not 0 < float(seconds) <= MAX_SECONDS:
            raise ValueError(f"expected more than 0 and at most {MAX_SECONDS:g} seconds, got {seconds}")

    def programs(self) -> tuple[tuple[str, ...], bool]:
        """The programs that commands start, names or paths, each once; and whether those are all: a shell may more."""
        lines = [command for _, command in self._command_lines()]
        shells = [command for command in lines if command.shell is not None]
        started = dict.fromkeys(command.arguments[0] for command in lines if command.shell is None)
        if shells:
            started |= dict.fromkeys(each for each in shells[0].render({}) if each.startswith("/"))
        return tuple(started), not shells

    def _command_lines(self) -> Iterator[tuple[tuple[str | int, ...], CommandLine]]:
        """Every command, with its place in the file."""
        for key in ("prepare", "load", "warmup"):
            for index, command in enumerate(getattr(self, key)):
                yield (key, index), command
        if self.server is not None:
            yield ("server", "command"), self.server.command
        if self.run is not None:
            yield ("run",), self.run

    def _check_commands(self) -> None:
        known = {*self.parameters, "server", "cpus", "memory", *HOST_VALUES}
        known |= ({"scratch"} if self.scratch is not None else set()) | ({"files"} if self.files else set())
        used = set()
        for place, command in self._command_lines():
            for index, name in command.placeholders():
                if name not in known:
                    raise InvalidValue(f"{{{name}}}: {expected(name, sorted(known))}", *place, index)
                used.add(name)
            most = command.most_bytes({*self.parameters, *_RESERVED})
            if most > MAX_BYTES:
                raise InvalidValue(f"up to {most} bytes with all values; at most {MAX_BYTES} are possible", *place)
        if any(command.shell is not None for _, command in self._command_lines()):
            return  # a shell gets them as variables, and may use them in ways that nobody can see from here
        sized = () if self.density is None else (self.density.instances, self.density.reserve)
        used |= {value[1:-1] for value in (self.instances, self.cold, *sized) if isinstance(value, str)}
        for name in self.parameters:
            if name not in used:
                raise InvalidValue(f"no command has {{{name}}} in it", "parameters", name, at_key=True)

    def _check_metrics(self) -> None:
        if self.run is None:
            needing = {"metrics", "parser", "server", "prepare", "load", "warmup", "duration", "memory", "iterations"}
            for key in sorted(needing - ({"server"} if self.density is not None else set())):
                if key in self.model_fields_set and getattr(self, key):
                    raise InvalidValue("this key needs a command to 'run'", key, at_key=True)
            return
        if self.parser is None or not self.metrics:
            raise InvalidValue("a workload that runs a command needs a 'parser' and 'metrics'", "run", at_key=True)
        for name, metric in self.metrics.items():
            if name in HARNESS_METRICS:
                raise InvalidValue("the harness itself takes a metric of this name", "metrics", name, at_key=True)
            try:
                metric.check_for(self.parser)
            except InvalidValue as error:
                raise InvalidValue(str(error), "metrics", name, *error.location, at_key=error.at_key) from None
            if metric.host_cpu_per is not None:
                self._check_price(name, metric.host_cpu_per)
        if not any(metric.primary for metric in self.metrics.values()):
            raise InvalidValue("one metric at least must have 'primary: true'", "metrics", at_key=True)

    def _check_price(self, name: str, of: str) -> None:
        found = [each for each, metric in self.metrics.items() if metric.host_cpu_per is None and not metric.optional]
        if of not in found:
            raise InvalidValue(f"'{of}': {expected(of, found)}", "metrics", name, "host_cpu_per")

    def resolve(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Every parameter with its value: ``params``, and the defaults for the others, in the order of the file.

        Raises:
            InvalidValue: a parameter is unknown or cannot have its value; located by its name.
        """
        for name in params:
            if name not in self.parameters:
                raise InvalidValue(
                    f"unknown parameter of {self.name}; {expected(name, self.parameters)}", name, at_key=True
                )
        resolved = {}
        for name, parameter in self.parameters.items():
            try:
                resolved[name] = parameter.check(params.get(name, parameter.default))
                if name == self.duration:
                    self._check_duration(resolved[name])
            except ValueError as error:
                raise InvalidValue(str(error), name) from None
        self.instances_at_once(resolved)
        self.crowd(resolved)
        self.cold_layer(resolved)
        return resolved

    def commands(
        self,
        params: Mapping[str, Scalar],
        *,
        server_address: str | None,
        cpus: float,
        memory: int,
        host: Mapping[str, str],
    ) -> Commands:
        """What a trial with ``params`` (resolved) runs.

        Args:
            params: a value for every parameter.
            server_address: the instance's address; a client in the instance itself uses the loopback instead.
            cpus: the instance's CPU limit.
            memory: the instance's limit, bytes.
            host: a value for each of ``HOST_VALUES``.

        Raises:
            ValueError: the workload needs the instance's address and there is none.
        """
        address = "127.0.0.1" if self.client == "instance" else server_address
        if address is None:
            raise ValueError(f"{self.name} has its client outside the instance, and this instance has no network")
        values = {name: format_scalar(value) for name, value in params.items()}
        values |= {"server": address, "scratch": SCRATCH_PATH, "files": f"{FILES_PATH}/{self.name}"}
        values |= {
            "cpus": str(max(1, math.ceil(cpus))),
            "memory": str(memory),
            **{name: host[name] for name in HOST_VALUES},
        }
        return Commands(
            prepare=tuple(command.render(values) for command in self.prepare),
            load=tuple(command.render(values) for command in self.load),
            warmup=tuple(command.render(values) for command in self.warmup),
            server=self.server.command.render(values) if self.server else None,
            run=self.run.render(values) if self.run else None,
            timeout=self.timeout + (self.measured_seconds(params) or 0.0),
        )

    def scratch_bytes(self, params: Mapping[str, Scalar]) -> int | None:
        """Size of the scratch disk that a trial with ``params`` (resolved) needs, or None if it needs none."""
        if self.scratch is None:
            return None
        wanted = size_in_bytes(self.scratch, params)
        # ext4's tables grow with the disk: one inode of 256 bytes for 4 KiB at the most (mke2fs.conf(5), `small`).
        whole = wanted + wanted // 16 + SPARE_BYTES
        return -(-whole // 2**20) * 2**20

    def instances_at_once(self, params: Mapping[str, Scalar]) -> int | None:
        """How many instances a trial with ``params`` (resolved) starts at once, or None for the usual one.

        Raises:
            InvalidValue: the parameter's value cannot be that; located by its name.
        """
        return None if self.instances is None else instance_count(self.instances, params)

    def crowd(self, params: Mapping[str, Scalar]) -> Crowd | None:
        """The instances that a trial with ``params`` (resolved) starts one after the other, or None for the usual one.

        Raises:
            InvalidValue: a parameter's value cannot be that; located by its name.
        """
        return None if self.density is None else self.density.crowd(params)

    def cold_layer(self, params: Mapping[str, Scalar]) -> ColdLayer | None:
        """What is not in the page cache when a trial with ``params`` (resolved) starts, or None for the usual start.

        Raises:
            InvalidValue: the parameter's value is no layer; located by its name.
        """
        if self.cold is None:
            return None
        name = self.cold[1:-1]
        asked = self.cold if self.cold in COLD_LAYERS else params[name]
        for layer in COLD_LAYERS:
            if layer == asked:
                return layer
        raise InvalidValue(f"expected {', '.join(COLD_LAYERS)}, got '{asked}'", name)

    def program_names(self) -> frozenset[str]:
        """What in its commands may be the name of a program: the first argument, and every word of a shell's text."""
        names: set[str] = set()
        for _, command in self._command_lines():
            names.update(command.arguments[:1] if command.shell is None else _WORD.findall(command.shell))
        return frozenset(names)

    def measured_seconds(self, params: Mapping[str, Scalar]) -> float | None:
        """How long ``run`` measures with ``params`` (resolved), or None where its work, not its time, is given."""
        return float(params[self.duration]) if self.duration is not None else None
