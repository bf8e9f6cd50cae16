from __future__ import annotations

import numpy as np
import pandas as pd
from stored_runs import RunBuilder, run_record

from results.frame import COLUMNS
from results.records import Sample
from results.store import Store


def test_a_row_holds_everything_about_its_sample(run: RunBuilder) -> None:
    sample = Sample("iops", 84044.25, "1/s", "higher", iteration=3, primary=True)
    run.trial(2, "vm", sample, workload="fio", params={"rw": "randread", "bs": "4k"}, accel="kvm")
    (row,) = run.frame.to_dict("records")
    assert row == {
        "run": run.record.id,
        "suite": "example",
        "workload": "fio",
        "params": "bs=4k,rw=randread",
        "arm": "vm",
        "runtime": "vm",
        "accel": "kvm",
        "block": 2,
        "trial": 1,
        "iteration": 3,
        "metric": "iops",
        "value": 84044.25,
        "unit": "1/s",
        "better": "higher",
        "primary": True,
    }
    assert tuple(run.frame.columns) == (*COLUMNS, "primary")


def test_failed_trials_and_other_runs_are_left_out(run: RunBuilder) -> None:
    other = RunBuilder(run.store, run_record(id="other"))
    other.trial(0, "native", time=9.0)
    run.trial(0, "native", time=1.0).trial(0, "vm", time=2.0, status="failed").trial(1, "vm", time=3.0)
    assert run.frame["value"].tolist() == [1.0, 3.0]
    assert run.frame["trial"].tolist() == [1, 3]


def test_rows_come_by_trial_as_recorded(run: RunBuilder) -> None:
    run.trial(0, "vm", startup=1.0, iops=[5.0, 4.0]).trial(0, "native", iops=6.0, startup=2.0)
    assert run.frame[["trial", "metric", "iteration"]].to_records(index=False).tolist() == [
        (1, "startup", 0),
        (1, "iops", 0),
        (1, "iops", 1),
        (2, "iops", 0),
        (2, "startup", 0),
    ]


def test_arms_are_categories_in_the_order_of_the_suite(run: RunBuilder) -> None:
    run.trial(0, "vm", time=1.0).trial(0, "native", time=1.0)
    assert list(run.frame["arm"].cat.categories) == ["native", "container", "vm"]


def test_the_same_metric_may_have_another_unit_in_another_workload(run: RunBuilder) -> None:
    run.trial(0, "vm", Sample("latency", 1.5, "ms", "lower"), workload="redis")
    run.trial(0, "vm", Sample("latency", 900.0, "µs", "lower"), workload="fio")
    assert run.frame["unit"].tolist() == ["ms", "µs"]


def test_a_run_without_samples_gives_an_empty_frame(run: RunBuilder) -> None:
    run.trial(0, "vm", status="failed")
    assert run.frame.empty
    assert tuple(run.frame.columns) == (*COLUMNS, "primary")


def test_values_survive_to_the_last_bit(run: RunBuilder) -> None:
    generator = np.random.default_rng(5)
    values = np.exp(generator.normal(0, 50, 200))
    run.trial(0, "vm", time=values.tolist())
    assert np.array_equal(run.frame["value"], values)


def test_a_large_run_is_small_in_memory(store: Store) -> None:
    run = RunBuilder(store, run_record())
    for block in range(20):
        run.trial(block, "vm", time=np.arange(1, 2501, dtype=float).tolist(), params={"rw": "randread", "bs": "4k"})
    frame: pd.DataFrame = run.frame
    assert len(frame) == 50_000
    assert frame.memory_usage(deep=True).sum() < 50 * len(frame)
