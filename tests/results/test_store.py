from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from stored_runs import RunBuilder, run_record

from results.errors import StoreError
from results.records import Acknowledgement, Baseline, Sample
from results.store import Store


def tree(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_a_run_reads_back_as_it_was_written(store: Store) -> None:
    record = run_record(seed=2**70, stop_reason=None)
    store.add_run(record)
    assert store.resolve(record.id) == record
    assert store.run_directory(record.id).is_dir()
    store.finish_run(record.id, "complete", "2026-11-24T11:50:00Z", "all blocks done")
    finished = store.resolve(record.id)
    assert (finished.status, finished.ended) == ("complete", "2026-11-24T11:50:00Z")
    assert finished.stop_reason == "all blocks done"


def test_trials_read_back_with_their_parameters_in_order_of_execution(run: RunBuilder) -> None:
    params = {"bs": "4k", "direct": True, "iodepth": 16, "share": 0.25}
    run.trial(0, "vm", time=1.0, params=params, accel="kvm").trial(0, "native", time=2.0, status="failed")
    first, second = run.store.trials(run.record.id)
    assert (first.trial, first.arm, first.accel, first.params) == (1, "vm", "kvm", params)
    assert [type(value) for value in first.params.values()] == [str, bool, int, float]
    assert (second.status, second.error, second.log) == ("failed", "exited with status 1", "trials/2/log.txt")


def test_a_committed_trial_is_seen_by_another_connection_at_once(run: RunBuilder) -> None:
    with Store(run.store.directory).open(create=False) as other:
        run.trial(0, "native", time=1.0)
        assert len(other.trials(run.record.id)) == 1
        assert other.resolve("latest").status == "running"


def test_a_trial_is_recorded_whole_or_not_at_all(run: RunBuilder) -> None:
    twice = [Sample("time", 1.0, "s", "lower"), Sample("time", 2.0, "s", "lower")]
    with pytest.raises(ValueError, match="trial 1 of run"):
        run.trial(0, "native", *twice)
    assert run.store.trials(run.record.id) == []
    run.trial(0, "native", time=1.0)
    assert len(run.frame) == 1


def test_a_trial_number_is_used_once(run: RunBuilder) -> None:
    run.trial(0, "native", time=1.0)
    run.count = 0
    with pytest.raises(ValueError, match="contradicts the store"):
        run.trial(1, "native", time=1.0)


def test_runs_are_listed_newest_first_and_latest_is_the_newest(store: Store) -> None:
    for minute in ("47", "45", "46"):
        store.add_run(run_record(id=f"20261124-11{minute}00-aaaa", started=f"2026-11-24T11:{minute}:00Z"))
    assert [run.id[9:13] for run in store.runs()] == ["1147", "1146", "1145"]
    assert store.resolve("latest").id == "20261124-114700-aaaa"


def test_a_unique_prefix_means_the_run(store: Store) -> None:
    store.add_run(run_record(id="20261124-114700-aaaa"))
    store.add_run(run_record(id="20261125-114700-aaaa"))
    assert store.resolve("20261124").id == "20261124-114700-aaaa"
    with pytest.raises(StoreError, match=r"beginning of several runs: .*20261125-114700-aaaa"):
        store.resolve("2026112")


@pytest.mark.parametrize("text", ["20261124-114800-aaaa", "", "nonsense"])
def test_an_unknown_run_is_answered_with_the_nearest(store: Store, text: str) -> None:
    store.add_run(run_record(id="20261124-114700-aaaa"))
    for ask in (store.resolve, store.trials, store.frame):
        with pytest.raises(StoreError, match="the nearest: 20261124-114700-aaaa"):
            ask(text)
    with pytest.raises(StoreError, match="the nearest"):
        store.finish_run(text, "complete", "2026-11-27T00:00:00Z", None)


def test_an_empty_store_says_how_to_fill_it(store: Store) -> None:
    with pytest.raises(StoreError, match=r"no run in .* yet: `bench run` makes one"):
        store.resolve("latest")


def test_a_run_id_is_used_once(store: Store) -> None:
    record = run_record()
    store.add_run(record)
    with pytest.raises(StoreError, match="already"):
        store.add_run(record)
    store.finish_run(record.id, "complete", "2026-11-27T00:00:00Z", None)
    with pytest.raises(StoreError, match="already"):
        store.add_run(record)


def test_a_run_left_without_an_end_is_partial(tmp_path: Path) -> None:
    record = run_record()
    with Store(tmp_path).open(create=True) as store:
        store.add_run(record)
    with Store(tmp_path).open(create=False) as store:
        (run,) = store.runs()
    assert (run.status, run.ended) == ("partial", None)
    assert run.stop_reason == "its process ended before it did"


def test_reading_creates_nothing(run: RunBuilder, tmp_path: Path) -> None:
    run.trial(0, "native", time=1.0)
    before = tree(tmp_path)
    with Store(run.store.directory).open(create=False) as reader:
        reader.runs()
        reader.frame(run.record.id)
        reader.trials(run.record.id)
    assert tree(tmp_path) == before


def test_a_store_needs_to_be_open(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        Store(tmp_path).runs()


WRITER = """
    import sys
    from pathlib import Path
    from results.records import RunRecord, Sample, TrialRecord
    from results.store import Store

    now = "2026-11-24T11:45:02Z"
    with Store(Path(sys.argv[1])).open(create=True) as store:
        store.add_run(RunRecord("r", "s", "h", "a", 1, "i", "f", now, None, "running", None, "v", 0.05, None, ("a",)))
        for trial in range(1, 100_000):
            record = TrialRecord("r", trial, trial, 0, "w", {}, "a", "a", "none", "ok", None, now, None)
            store.add_trial(record, [Sample(f"m{number}", trial, "s", "lower") for number in range(200)])
            print(trial, flush=True)
"""


def test_what_was_committed_before_the_process_was_killed_is_whole(tmp_path: Path) -> None:
    for attempt in range(3):
        directory = tmp_path / str(attempt)
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(directory)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(10 + attempt):
                confirmed = int(writer.stdout.readline())
            with Store(directory).open(create=False) as store:
                assert store.resolve("r").status == "running"
            os.kill(writer.pid, signal.SIGKILL)
            confirmed = max([confirmed, *(int(line) for line in writer.stdout.read().split())])
        with Store(directory).open(create=False) as store:
            assert store.resolve("r").status == "partial"
            assert len(store.trials("r")) >= confirmed
            samples = store.frame("r").groupby("trial").size()
        assert len(samples) >= confirmed
        assert set(samples) == {200}


def test_a_name_is_that_of_one_run_and_moves_with_it(store: Store) -> None:
    runs = [run_record(id=f"2026010{day}-000000-aaaa") for day in (1, 2)]
    for run in runs:
        store.add_run(run)
        store.set_baseline(Baseline("release", run.id, "2026-01-03T00:00:00Z", "1.0"))
    assert [(each.name, each.run) for each in store.baselines()] == [("release", runs[1].id)]
    with pytest.raises(StoreError, match="no run 'other'"):
        store.set_baseline(Baseline("release", "other", "2026-01-03T00:00:00Z", ""))
    assert store.remove_baseline("release")
    assert not store.remove_baseline("release")


def test_a_known_change_is_kept_once_with_the_last_reason_and_forgotten_on_request(store: Store) -> None:
    known = Acknowledgement(
        suite="quick",
        suite_hash="5a17e",
        image="0a1b2c",
        host_fingerprint="f00d",
        workload="fio",
        params="bs=4k",
        arm="vm",
        accel="kvm",
        metric="iops",
        run="20260101-000000-aaaa",
        kind="step",
        ratio=0.9,
        reason="new kernel",
        created="2026-01-03T00:00:00Z",
    )
    store.acknowledge(known)
    store.acknowledge(replace(known, reason="new QEMU", created="2026-01-04T00:00:00Z"))
    store.acknowledge(replace(known, metric="bandwidth", created="2026-01-05T00:00:00Z"))
    assert [(each.metric, each.reason) for each in store.acknowledgements()] == [
        ("iops", "new QEMU"),
        ("bandwidth", "new kernel"),
    ]
    store.remove_acknowledgement(known)
    assert [each.metric for each in store.acknowledgements()] == ["bandwidth"]
