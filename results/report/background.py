"""The end of a report: what failed, on what host, by what method, and from which run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from results.charts.quantities import number, quantity, tick
from results.clocks import clock_warnings
from results.engines import engines_of
from results.records import format_params
from results.report.data import RunData
from results.report.document import ColumnKind, Excerpt, Section, Table
from results.report.trials import log_address
from results.resources import counting_note, resource_warnings
from results.stats.verdict import LEVEL, MIN_BLOCKS

_EXCERPTS = 20  # logs shown at most
_LINES = 40  # lines of each, at most
_TAIL = 8192  # bytes of each, at most
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def failed_trials(data: RunData, directory: Path) -> Section:
    """Every failed trial with its reason and its log, and the ends of the first logs.

    Args:
        data: the run.
        directory: where the report will lie, for links from there to the logs.
    """
    failed = [trial for trial in data.trials if trial.status == "failed"]
    if not failed:
        return Section("failed", "Failed trials", (f"None: all {len(data.trials)} trials succeeded.",))
    rows = tuple(
        (
            str(trial.trial),
            str(trial.block),
            data.labels.get(trial.arm, trial.arm),
            trial.workload,
            format_params(trial.params).replace(",", ", "),
            trial.error or "no reason recorded",
            log_address(data.directory, trial, directory),
        )
        for trial in failed
    )
    columns: dict[str, ColumnKind] = {"Trial": "number", "Block": "number"}
    columns |= dict.fromkeys(("Arm", "Workload", "Parameters", "Reason"), "text")
    columns |= {"Log": "link"}
    table = Table("Trials that failed; logs are in the run's directory", columns, rows)
    logged = [trial for trial in failed if trial.log]
    excerpts = tuple(
        Excerpt(f"Trial {trial.trial}: {trial.workload} in {trial.arm}", read_end(data.directory, trial.log or ""))
        for trial in logged[:_EXCERPTS]
    )
    left = len(logged) - len(excerpts)
    text = (
        (f"The ends of the first {len(excerpts)} logs follow; {left} more are in the run's directory.",) if left else ()
    )
    return Section("failed", "Failed trials", text, (), (), (table,), excerpts)


def read_end(directory: Path, log: str) -> str:
    """The last lines of a log, fit to show; a sentence in their place where they cannot be read.

    Args:
        directory: the run's.
        log: path relative to it; one that leads out of the directory is not followed.
    """
    path = (directory / log).resolve()
    if not path.is_relative_to(directory.resolve()):
        return f"{log} lies outside the run's directory and is not shown"
    try:
        with path.open("rb") as stream:
            stream.seek(max(path.stat().st_size - _TAIL, 0))
            end = stream.read(_TAIL)
    except OSError as error:
        return f"{log} cannot be read: {error.strerror}"
    text = _ESCAPE.sub("", end.decode("utf-8", "replace")).replace("\r\n", "\n")
    lines = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text).rstrip().splitlines()
    return "\n".join(lines[-_LINES:]) or "The log is empty."


def host(data: RunData) -> Section:
    """Facts of the host, what differed between the arms, and whether the clocks inside can be relied on."""
    facts = data.host.get("facts", {})
    fairness = data.host.get("fairness", [])
    tables = []
    if fairness:
        told = dict.fromkeys(arm for entry in fairness for arm in entry["values"])
        arms = [*(arm for arm in data.labels if arm in told), *(arm for arm in told if arm not in data.labels)]
        tables.append(
            Table(
                "Fairness: what differed between the arms",
                {"Fact": "text", **dict.fromkeys((data.labels.get(arm, arm) for arm in arms), "text")},
                tuple((entry["fact"], *(_shown(entry["values"].get(arm)) for arm in arms)) for entry in fairness),
            )
        )
    tables += _engine_tables(data)
    tables += _placement_tables(data)
    if facts:
        tables.append(
            Table(
                "Facts of the host",
                {"Fact": "text", "Value": "text"},
                tuple((name, _shown(value)) for name, value in facts.items()),
            )
        )
    text = () if facts else ("The run has no host facts (host.json is missing or empty).",)
    if facts and not fairness:
        text = (_nothing_differed(data.host.get("observed", {}), len(data.labels)),)
    counting = counting_note(data.trials)
    unequal = (text for texts in resource_warnings(data.trials, data.run.baseline).values() for text in texts)
    said = (*clock_warnings(data.trials), *unequal, *((counting,) if counting else ()))
    warnings = tuple(f"Warning: {warning}" for warning in said)
    return Section("host", "Host and fairness", (*warnings, *_same_bytes(data), *text), (), (), tuple(tables))


def _nothing_differed(observed: Mapping[str, object], arms: int) -> str:
    """What it means that no difference is recorded."""
    if len(observed) < min(arms, 2):
        return "Whether the arms differed was not looked at: no trial of this run has an instance that could be asked."
    return "Nothing that was recorded differed between the arms but the arms themselves."


def _same_bytes(data: RunData) -> tuple[str, ...]:
    """Whether what the arms ran was the same; those that were not are among what differed."""
    observed = data.host.get("observed", {}).values()
    names = {name for facts in observed for name in facts if name.startswith("sha256 ")}
    same = [name for name in names if len({facts[name] for facts in observed if name in facts}) == 1]
    if not names:
        return ()
    rest = "" if len(same) == len(names) else f" {len(names) - len(same)} are not."
    return (
        f"Of the agent, the C library and the programs that workloads name, {len(same)} of {len(names)} files are the "
        f"same bytes in every arm (SHA-256, read inside of it).{rest}",
    )


def _engine_tables(data: RunData) -> list[Table]:
    """By what arms were started that a container engine started; nothing without one."""
    rows = tuple(
        (
            data.labels.get(engine.arm, engine.arm),
            engine.version,
            engine.oci_runtime or "itself",
            engine.storage or "given to it",
            "no daemon" if engine.daemon_memory is None else quantity(engine.daemon_memory, "bytes"),
        )
        for engine in engines_of(data.trials)
    )
    names = ("Arm", "Engine", "OCI runtime", "Root file system", "Its daemon holds without an instance")
    columns: dict[str, ColumnKind] = dict.fromkeys(names, "text")
    return [Table("Container engines", columns, rows)] if rows else []


def _placement_tables(data: RunData) -> list[Table]:
    """On which CPUs each arm ran; nothing for a run that did not record it."""
    placement = data.host.get("placement", {})
    rows = tuple(
        (
            data.labels.get(arm, arm),
            *(", ".join(map(str, placed[party])) for party in ("instance", "load_generator", "harness")),
            "; ".join(placed["notes"]) or "nothing is shared",
        )
        for arm, placed in placement.items()
    )
    columns: dict[str, ColumnKind] = dict.fromkeys(
        ("Arm", "CPUs of the instance", "of its load generator", "of the harness", "Notes"), "text"
    )
    return [Table("Where it ran", columns, rows)] if rows else []


def method(data: RunData) -> Section:
    """How the figures came about, in a few lines."""
    band = tick(100 * data.run.threshold, "%")
    points = (
        "The unit of replication is one trial: one fresh instance that runs one workload. Repetitions inside an "
        "instance are reduced to their median first; n counts blocks, never repetitions.",
        "Arms run interleaved in randomised complete blocks, so that a drift of the host meets all arms alike. A "
        "ratio is formed within each block.",
        "The ratio is the Hodges–Lehmann estimate over the blocks, and its interval the 95 % signed-rank interval "
        f"(none below {MIN_BLOCKS} blocks). No outlier is dropped.",
        f"Verdicts go by effect size: same if the whole interval lies within ±{band}, better or worse if it "
        f"lies wholly beyond and stands at a false-discovery rate of {number(100 * LEVEL, 1)} %; all else is "
        "inconclusive, which is not a pass. That rate is controlled over what the workloads measure, peak memory, CPU "
        "time, and startup, idle memory and image of one workload case. Parts (phases, kinds of memory) and the same "
        "startup and memory figures of further cases are controlled apart, so that their many certain differences do "
        "not let the bar down for the rest.",
        "Could see is the smallest difference that such a comparison calls better or worse in four runs of five, taken "
        "alone, at the width that its interval has. Where that is larger than what matters, more blocks are needed "
        "(four times as many for half the width), or a quieter host.",
        "Startup is serial, one instance at a time, and with a warm page cache: the image and the guest's kernel are "
        "read once before the first trial.",
        "Startup and its phases, first output and shutdown are taken on the host's monotonic clock, and the host's "
        "kernel counts CPU time. Rates and latencies that a tool reports are by the clock it sees: the guest's where "
        "it runs in a guest; the host's where it runs in a container, on the bare host, or as a client outside the "
        "instance.",
    )
    return Section("method", "How to read this", (), points)


def provenance(data: RunData) -> Section:
    """Which run this is."""
    run = data.run
    rows = [
        ("Run", run.id),
        ("Suite", run.suite),
        ("Suite hash", run.suite_hash),
        ("Baseline", run.baseline),
        ("Arms", ", ".join(run.arms)),
        ("Seed", str(run.seed)),
        ("Image", run.image),
        ("Image from", data.host.get("image", {}).get("from", "")),
        ("Host fingerprint", run.host_fingerprint),
        ("Version", run.version),
        ("Started", run.started),
        ("Ended", run.ended or "not recorded"),
        ("Duration", _duration(run.started, run.ended)),
        ("Status", run.status),
        ("Why it stopped", run.stop_reason or "not recorded"),
        ("Trials", f"{len(data.trials)}, of which {sum(trial.status == 'failed' for trial in data.trials)} failed"),
    ]
    table = Table("The run", {"Item": "text", "Value": "text"}, tuple(row for row in rows if row[1]))
    return Section("provenance", "Provenance", (), (), (), (table,))


def _duration(started: str, ended: str | None) -> str:
    if ended is None:
        return ""
    seconds = round((datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds())
    return f"{seconds // 60} min {seconds % 60} s"


def _shown(value: object) -> str:
    if value is None:
        return "not recorded"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_shown(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        return ", ".join(_shown(entry) for entry in value)
    return json.dumps(value)
