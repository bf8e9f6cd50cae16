"""The store: one directory with ``bench.sqlite`` and, for every run, ``runs/<id>/`` for its files.

    with Store(Path("bench-results")).open(create=True) as store:
        store.add_run(record)
        store.add_trial(trial, samples)     # committed when it returns
        store.finish_run(record.id, "complete", ended, stop_reason)

Reading creates nothing.
"""

from __future__ import annotations

import difflib
import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.aside import LOCK, clear_up, put_aside, put_in_place, work_directory
from results.database import filled, mended, open_database, reading, require_one_of, transaction
from results.errors import StoreError
from results.liveness import alive, is_alive
from results.noise import CpuSpin, NoiseReading
from results.records import (
    ACKNOWLEDGEMENT_KEY,
    Accel,
    Acknowledgement,
    Baseline,
    RunRecord,
    RunStatus,
    Sample,
    TrialRecord,
    TrialStatus,
)
from results.whole_run import WholeRun, WholeTrial

if TYPE_CHECKING:
    import pandas as pd

    from results.history.samples import CaseTrials, Samples, StoredMetric

DATABASE = "bench.sqlite"
LATEST = "latest"

_RUN_COLUMNS = ", ".join(field.name for field in fields(RunRecord))
_NOISE_COLUMNS = ", ".join(field.name for field in fields(NoiseReading))
_BASELINE_COLUMNS = ", ".join(field.name for field in fields(Baseline))
_ACKNOWLEDGEMENT_COLUMNS = ", ".join(field.name for field in fields(Acknowledgement))
_TRIAL_COLUMNS = ", ".join(field.name for field in fields(TrialRecord))


class Store:
    """Runs, their trials and their samples. To be opened before use, and used by the thread that opened it.

    Every method raises StoreError where the database cannot be read or written, with what to do about it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / DATABASE
        self._opened: sqlite3.Connection | None = None
        self._claims: dict[str, ExitStack] = {}

    @contextmanager
    def open(self, create: bool) -> Iterator[Store]:
        """Open the store; ``create`` makes it if it is not there, and checks that it can be written.

        Leaving the context ends the claim on runs that were added and not finished: they are partial.

        Raises:
            StoreError: it is missing (without ``create``), damaged, of a newer version, locked or not writable.
        """
        with open_database(self._path, create) as connection:
            self._opened = connection
            try:
                if create and any(self._runs.glob(".*")):
                    with transaction(connection, self._path):
                        clear_up(connection, self._runs)
                yield self
            finally:
                self._opened = None
                for claim in self._claims.values():
                    claim.close()
                self._claims.clear()

    def run_directory(self, run_id: str) -> Path:
        """Where a run's files are: ``suite.yaml``, ``host.json``, ``trials/<n>/``…; made by :meth:`add_run`."""
        return self._runs / run_id

    def add_run(self, record: RunRecord) -> None:
        """Begin a run: its directory, its row, and the claim that it is being written.

        Raises:
            StoreError: there is a run with this id.
        """
        directory = self.run_directory(record.id)
        with mended(self._path), ExitStack() as stack:
            directory.mkdir(parents=True, exist_ok=True)
            try:
                # Before the row: whoever sees a running run must find it claimed.
                stack.enter_context(alive(directory / LOCK))
                with transaction(self._connection, self._path):
                    self._insert("run", _run_row(record))
            except (BlockingIOError, sqlite3.IntegrityError) as error:
                raise StoreError(
                    f"run {record.id} is in {self.directory} already: give the new one another id"
                ) from error
            self._claims[record.id] = stack.pop_all()

    def finish_run(self, run_id: str, status: RunStatus, ended: str, stop_reason: str | None) -> None:
        """Record how a run ended, and give up the claim on it.

        Raises:
            StoreError: there is no such run.
        """
        with transaction(self._connection, self._path):
            changed = self._connection.execute(
                "UPDATE run SET status = ?, ended = ?, stop_reason = ? WHERE id = ?",
                (status, ended, stop_reason, run_id),
            )
            if changed.rowcount == 0:
                raise self._unknown(run_id)
        self._claims.pop(run_id, ExitStack()).close()

    def remove_run(self, run_id: str) -> None:
        """Delete a run with all that is recorded of it, and its directory; what is left of a crash is cleared up later.

        Raises:
            StoreError: there is no such run, it is being written, a baseline names it, or its files cannot be deleted.
        """
        self._exactly(run_id)
        directory = self.run_directory(run_id)
        with mended(self._path), ExitStack() as stack:
            if directory.is_dir():
                try:
                    stack.enter_context(alive(directory / LOCK))
                except BlockingIOError as error:
                    raise StoreError(f"run {run_id} is being written: wait for it to end, then remove it") from error
            aside = self._remove_rows(run_id, directory)
            if aside is not None:
                with suppress(FileNotFoundError):  # somebody else who opened the store clears it up too
                    shutil.rmtree(aside)

    def _remove_rows(self, run_id: str, directory: Path) -> Path | None:
        """Delete what is recorded of a run, and give the place where its directory is now."""
        try:
            with transaction(self._connection, self._path):
                self._require_unnamed(run_id)
                of_trials = "DELETE FROM sample WHERE trial IN (SELECT id FROM trial WHERE run = ?)"
                of_runs = (f"DELETE FROM {table} WHERE run = ?" for table in ("trial", "noise"))
                # Metrics stay: other runs share them.
                for statement in (of_trials, *of_runs, "DELETE FROM run WHERE id = ?"):
                    self._connection.execute(statement, (run_id,))
                return put_aside(directory, directory)
        except BaseException as error:
            put_in_place(directory)
            if isinstance(error, sqlite3.IntegrityError):  # rows belong to others than they did when they came
                raise StoreError(
                    f"{self._path} is damaged ({error}): move it away, and bring its runs into a new store with "
                    f"`bench import`"
                ) from error
            raise

    def _require_unnamed(self, run_id: str) -> None:
        named = [baseline.name for baseline in self.baselines() if baseline.run == run_id]
        if named:
            raise StoreError(
                f"run {run_id} is the baseline {', '.join(named)}: give the name to another run, or take it away by "
                "`bench baseline remove`, before the run is removed"
            )

    def add_trial(self, record: TrialRecord, samples: Iterable[Sample]) -> None:
        """Record a trial with all its samples, or nothing of it; committed and on disk when this returns.

        Raises:
            ValueError: the trial's number is taken, its run unknown, or a metric has two values for one iteration.
        """
        try:
            with transaction(self._connection, self._path):
                self._insert_trial(record, samples)
        except sqlite3.IntegrityError as error:
            raise ValueError(f"trial {record.trial} of run {record.run} contradicts the store: {error}") from error

    def add_noise(self, run_id: str, reading: NoiseReading) -> None:
        """Record how quiet the host was; committed and on disk when this returns.

        Raises:
            ValueError: the run is unknown, or has a reading after that block.
        """
        try:
            with transaction(self._connection, self._path):
                self._insert("noise", _noise_row(run_id, reading))
        except sqlite3.IntegrityError as error:
            raise ValueError(f"the reading after block {reading.block} of run {run_id}: {error}") from error

    def whole_run(self, run_id: str) -> WholeRun:
        """All that is recorded of a run that ended.

        Raises:
            StoreError: there is no such run, or it is being written.
        """
        run = self._exactly(run_id)
        if run.status == "running":
            raise StoreError(f"run {run_id} is being written: wait for it to end, then try again")
        samples: dict[int, list[Sample]] = {}
        with reading(self._path):
            rows = self._connection.execute(
                "SELECT trial.trial, name, value, unit, better, iteration, is_primary"
                " FROM trial JOIN sample ON sample.trial = trial.id JOIN metric ON metric.id = sample.metric"
                " WHERE run = ? ORDER BY trial.trial, sample.position",
                (run_id,),
            )
            for trial, name, value, unit, better, iteration, primary in map(filled, rows):
                sample = Sample(name, value, unit, better, iteration, bool(primary))
                samples.setdefault(trial, []).append(sample)
        trials = (WholeTrial(trial, tuple(samples.get(trial.trial, ()))) for trial in self.trials(run_id))
        return WholeRun(run, tuple(trials), tuple(self.noise(run_id)))

    def add_whole_run(self, whole: WholeRun, files: Path) -> None:
        """Take in a run with all that is recorded of it, or nothing; committed and on disk when this returns.

        Args:
            whole: from :meth:`whole_run` of another store, or a bundle.
            files: a directory made by :meth:`work_directory`, which becomes the run's.

        Raises:
            StoreError: there is a run with this id, or files of one, or the rows contradict each other.
        """
        directory = self.run_directory(whole.run.id)
        with mended(self._path):
            if directory.exists():
                raise StoreError(
                    f"{directory} is there already, and no run {whole.run.id} in the database: move it away, and try "
                    "again"
                )
            try:
                with transaction(self._connection, self._path):
                    self._insert("run", _run_row(whole.run))
                    for each in whole.trials:
                        self._insert_trial(each.trial, each.samples)
                    for reading in whole.noise:
                        self._insert("noise", _noise_row(whole.run.id, reading))
                    put_aside(files, directory)
            except sqlite3.IntegrityError as error:
                raise StoreError(f"run {whole.run.id} contradicts itself or this store: {error}") from error
            put_in_place(directory)

    @contextmanager
    def work_directory(self) -> Iterator[Path]:
        """An empty directory on the store's disk, for files that are to become a run's; gone afterwards."""
        with mended(self._path), ExitStack() as stack:
            self._runs.mkdir(exist_ok=True)
            with transaction(self._connection, self._path):  # nobody clears it up before it is locked
                directory = stack.enter_context(work_directory(self._runs))
            yield directory

    def noise(self, run_id: str) -> list[NoiseReading]:
        """The readings of a run in the order taken; none of a run that was made before there were any."""
        self._exactly(run_id)
        with reading(self._path):
            rows = self._connection.execute(
                f"SELECT {_NOISE_COLUMNS} FROM noise WHERE run = ? ORDER BY block", (run_id,)
            ).fetchall()
            return [_noise(row) for row in rows]

    def runs(self) -> list[RunRecord]:
        """All runs, newest first. One marked running whose process is gone reads ``partial``."""
        with reading(self._path):
            rows = self._connection.execute(f"SELECT {_RUN_COLUMNS} FROM run ORDER BY started DESC, id DESC").fetchall()
            return [self._run(row) for row in rows]

    def resolve(self, text: str) -> RunRecord:
        """The run that ``text`` means: an id, a unique prefix of one, or ``latest``.

        Raises:
            StoreError: none or several; the message names the nearest.
        """
        newest_first = "ORDER BY started DESC, id DESC"
        with mended(self._path):
            if text == LATEST:
                query, values = f"{newest_first} LIMIT 1", []
            else:
                query, values = f"WHERE ?1 != '' AND substr(id, 1, length(?1)) = ?1 {newest_first}", [text]
            found = [run_id for (run_id,) in self._connection.execute(f"SELECT id FROM run {query}", values)]
        if len(found) == 1 or text in found:
            return self._exactly(text if text in found else found[0])
        if found:
            raise StoreError(f"{text} is the beginning of several runs: {_some(found)}; give more of it")
        raise self._unknown(text)

    def trials(self, run_id: str) -> list[TrialRecord]:
        """The trials of a run in order of execution, failed ones too."""
        self._exactly(run_id)
        with reading(self._path):
            rows = self._connection.execute(
                f"SELECT {_TRIAL_COLUMNS} FROM trial WHERE run = ? ORDER BY trial", (run_id,)
            ).fetchall()
            return [_trial(row) for row in rows]

    def frame(self, run_id: str) -> pd.DataFrame:
        """The samples of a run's successful trials, one row each, as :func:`results.frame.read_frame` describes."""
        from results.frame import read_frame

        run = self._exactly(run_id)
        with reading(self._path):
            return read_frame(self._connection, run)

    def metrics(self) -> list[StoredMetric]:
        """All metrics that some run has a sample of."""
        from results.history.samples import read_metrics

        with reading(self._path):
            return read_metrics(self._connection)

    def case_trials(self, runs: Sequence[str]) -> list[CaseTrials]:
        """The successful trials of these runs by case."""
        from results.history.samples import read_trials

        with reading(self._path):
            return read_trials(self._connection, runs)

    def samples(self, wanted: Sequence[tuple[CaseTrials, Sequence[int]]]) -> Samples:
        """The samples of the trials of each case that are of its metrics (:attr:`StoredMetric.id`)."""
        from results.history.samples import read_samples

        with reading(self._path):
            return read_samples(self._connection, wanted)

    def set_baseline(self, baseline: Baseline) -> None:
        """Give a run a name; a name that is taken moves to it.

        Raises:
            StoreError: there is no such run.
        """
        self._exactly(baseline.run)
        with transaction(self._connection, self._path):
            self._connection.execute("DELETE FROM baseline WHERE name = ?", (baseline.name,))
            self._insert("baseline", asdict(baseline))

    def baselines(self) -> list[Baseline]:
        """The named runs, by name."""
        with reading(self._path):
            rows = self._connection.execute(f"SELECT {_BASELINE_COLUMNS} FROM baseline ORDER BY name").fetchall()
            return [Baseline(*filled(row)) for row in rows]

    def remove_baseline(self, name: str) -> bool:
        """Take a name away from its run; whether there was one of this name."""
        with transaction(self._connection, self._path):
            return self._connection.execute("DELETE FROM baseline WHERE name = ?", (name,)).rowcount > 0

    def acknowledge(self, known: Acknowledgement) -> None:
        """Record that a change is known; one that was recorded before gets the new reason."""
        with transaction(self._connection, self._path):
            self._forget(known)
            self._insert("acknowledgement", asdict(known))

    def acknowledgements(self) -> list[Acknowledgement]:
        """The known changes, in the order in which they became so."""
        with reading(self._path):
            rows = self._connection.execute(
                f"SELECT {_ACKNOWLEDGEMENT_COLUMNS} FROM acknowledgement ORDER BY created, id"
            ).fetchall()
            return [Acknowledgement(*filled(row)) for row in rows]

    def remove_acknowledgement(self, known: Acknowledgement) -> None:
        """Have a change be an alarm again."""
        with transaction(self._connection, self._path):
            self._forget(known)

    def _forget(self, known: Acknowledgement) -> None:
        self._connection.execute(
            f"DELETE FROM acknowledgement WHERE {' AND '.join(f'{name} = ?' for name in ACKNOWLEDGEMENT_KEY)}",
            tuple(getattr(known, name) for name in ACKNOWLEDGEMENT_KEY),
        )

    @property
    def _runs(self) -> Path:
        return self.directory / "runs"

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            raise RuntimeError("the store is not open: use it inside `with store.open(…)`")
        return self._opened

    def _insert(self, table: str, row: dict[str, object]) -> int:
        columns, places = ", ".join(row), ", ".join("?" * len(row))
        cursor = self._connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", tuple(row.values()))
        return int(cursor.lastrowid or 0)

    def _insert_trial(self, record: TrialRecord, samples: Iterable[Sample]) -> None:
        trial = self._insert("trial", _trial_row(record))
        self._connection.executemany(
            "INSERT INTO sample VALUES (?, ?, ?, ?, ?)",
            [
                (trial, position, self._metric(sample), sample.iteration, sample.value)
                for position, sample in enumerate(samples)
            ],
        )

    def _metric(self, sample: Sample) -> int:
        key = (sample.metric, sample.unit, sample.better, sample.primary)
        self._connection.execute(
            "INSERT INTO metric (name, unit, better, is_primary) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", key
        )
        query = "SELECT id FROM metric WHERE name = ? AND unit = ? AND better = ? AND is_primary = ?"
        return int(self._connection.execute(query, key).fetchone()[0])

    def _run(self, row: tuple[Any, ...]) -> RunRecord:
        run = RunRecord(*filled(row, *_optional(RunRecord)))
        require_one_of(run.status, RunStatus)
        run = replace(run, seed=int(run.seed), arms=tuple(json.loads(row[-1])))
        if run.status == "running" and not is_alive(self.run_directory(run.id) / LOCK):
            return replace(run, status="partial", stop_reason="its process ended before it did")
        return run

    def _exactly(self, run_id: str) -> RunRecord:
        with reading(self._path):
            row = self._connection.execute(f"SELECT {_RUN_COLUMNS} FROM run WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                raise self._unknown(run_id)
            return self._run(row)

    def _unknown(self, text: str) -> StoreError:
        runs = [run.id for run in self.runs()]
        if not runs:
            return StoreError(f"no run in {self.directory} yet: `bench run` makes one")
        nearest = difflib.get_close_matches(text, runs, n=3, cutoff=0.5)
        named = ", ".join(nearest) if nearest else _some(runs)
        return StoreError(f"no run {text!r} in {self.directory}; the nearest: {named}")


@cache
def _optional(record: type[RunRecord | TrialRecord | NoiseReading]) -> tuple[int, ...]:
    """The places of the fields that may be None."""
    return tuple(place for place, field in enumerate(fields(record)) if "None" in str(field.type))


def _some(runs: list[str]) -> str:
    return ", ".join(runs[:3]) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")


def _run_row(record: RunRecord) -> dict[str, object]:
    row: dict[str, object] = {field.name: getattr(record, field.name) for field in fields(RunRecord)}
    return row | {"seed": str(record.seed), "arms": json.dumps(record.arms)}


def _trial_row(record: TrialRecord) -> dict[str, object]:
    row: dict[str, object] = {field.name: getattr(record, field.name) for field in fields(TrialRecord)}
    return row | {"params": json.dumps(dict(record.params)), "facts": json.dumps(dict(record.facts))}


def _trial(row: tuple[Any, ...]) -> TrialRecord:
    trial = TrialRecord(*filled(row, *_optional(TrialRecord)))
    require_one_of(trial.status, TrialStatus)
    require_one_of(trial.accel, Accel)
    return replace(trial, params=json.loads(row[5]), facts=json.loads(row[-1]))


def _noise_row(run_id: str, reading: NoiseReading) -> dict[str, object]:
    row: dict[str, object] = {field.name: getattr(reading, field.name) for field in fields(NoiseReading)}
    spins = json.dumps([asdict(spin) for spin in reading.spins])
    return row | {"run": run_id, "spins": spins, "pressure": json.dumps(dict(reading.pressure))}


def _noise(row: tuple[Any, ...]) -> NoiseReading:
    reading = NoiseReading(*filled(row, *_optional(NoiseReading)))
    spins = json.loads(str(reading.spins))
    return replace(reading, spins=tuple(CpuSpin(**spin) for spin in spins), pressure=json.loads(str(reading.pressure)))
