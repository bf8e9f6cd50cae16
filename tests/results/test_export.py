from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored_runs import RunBuilder, run_record

from results.errors import StoreError
from results.export import FORMATS, export_run
from results.records import Sample

HEADER = "run,suite,workload,params,arm,runtime,accel,block,trial,iteration,metric,value,unit,better"


@pytest.fixture
def filled(run: RunBuilder) -> RunBuilder:
    generator = np.random.default_rng(1)
    for block in range(6):
        for arm in ("vm", "native"):
            values = np.exp(generator.normal(0, 20, 3)).tolist()
            run.trial(block, arm, time=values, workload="null", params={"rw": "randread", "cpus": "0,1"})
    return run.trial(6, "vm", Sample("memory", 2.0**40, "bytes", "neutral")).trial(6, "native", time=1, status="failed")


def expected(run: RunBuilder) -> pd.DataFrame:
    return run.frame.drop(columns="primary").astype(
        dict.fromkeys(run.frame.select_dtypes("category").columns, "str")
        | {"block": "int64", "trial": "int64", "iteration": "int64"}
    )


def exported(run: RunBuilder, form: str, directory: Path) -> Path:
    path = directory / f"run.{form}"
    export_run(run.store, run.record, form, path)
    return path


def test_csv_read_by_pandas_is_the_run(filled: RunBuilder, tmp_path: Path) -> None:
    path = exported(filled, "csv", tmp_path)
    assert path.read_text(encoding="utf-8").partition("\n")[0] == HEADER
    frame = pd.read_csv(path, keep_default_na=False)
    pd.testing.assert_frame_equal(frame, expected(filled), check_exact=True)


def test_json_is_the_run(filled: RunBuilder, tmp_path: Path) -> None:
    rows = json.loads(exported(filled, "json", tmp_path).read_text(encoding="utf-8"))
    assert list(rows[0]) == HEADER.split(",")
    pd.testing.assert_frame_equal(pd.DataFrame(rows), expected(filled), check_exact=True)


def test_parquet_read_by_pandas_is_the_run(filled: RunBuilder, tmp_path: Path) -> None:
    frame = pd.read_parquet(exported(filled, "parquet", tmp_path))
    assert list(frame.columns) == HEADER.split(",")
    pd.testing.assert_frame_equal(frame.astype(expected(filled).dtypes.to_dict()), expected(filled), check_exact=True)


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_without_samples_is_empty_data(run: RunBuilder, tmp_path: Path, form: str) -> None:
    path = exported(run, form, tmp_path)
    if form == "parquet":
        assert pd.read_parquet(path).empty
    else:
        assert path.read_text() == {"csv": f"{HEADER}\n", "json": "[]\n"}[form]


@pytest.mark.parametrize("form", FORMATS)
def test_standard_output_gets_what_a_file_would(
    filled: RunBuilder, tmp_path: Path, form: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    export_run(filled.store, filled.record, form)
    content = capfdbinary.readouterr().out
    if form == "parquet":
        pd.testing.assert_frame_equal(
            pd.read_parquet(io.BytesIO(content)), pd.read_parquet(exported(filled, form, tmp_path))
        )
    else:
        assert content == exported(filled, form, tmp_path).read_bytes()


def test_parquet_is_not_written_to_a_terminal(filled: RunBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(StoreError, match="not written to a terminal: name a file with --output"):
        export_run(filled.store, filled.record, "parquet")


def test_a_file_that_cannot_be_written_is_named(filled: RunBuilder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    long = Path(f"{'x' * 300}-run.csv")
    for path in (tmp_path / "absent" / "run.csv", tmp_path / "file" / "run.csv", Path("/dev/null/run.csv"), long):
        with pytest.raises(StoreError, match=r"cannot write .*run\.csv: .*; name another file with --output"):
            export_run(filled.store, filled.record, "csv", path)


def test_a_failed_export_keeps_the_old_file_and_leaves_no_other(
    filled: RunBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "out"
    directory.mkdir()
    path = exported(filled, "csv", directory)
    before = path.read_bytes()

    def full(self: pd.DataFrame, stream: io.BufferedWriter, **options: object) -> None:
        stream.write(b"half of it")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(StoreError, match="No space left on device"):
        exported(filled, "csv", directory)
    assert [file.name for file in directory.iterdir()] == ["run.csv"]
    assert path.read_bytes() == before


def test_a_device_is_written_not_replaced(filled: RunBuilder, tmp_path: Path) -> None:
    export_run(filled.store, filled.record, "csv", Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_an_unknown_run_writes_nothing(filled: RunBuilder, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run 'absent'"):
        export_run(filled.store, run_record(id="absent"), "csv", tmp_path / "run.csv")
    assert not (tmp_path / "run.csv").exists()


def test_an_unknown_format_is_an_error_that_leaves_no_file(filled: RunBuilder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="xlsx is none of csv, json, parquet"):
        export_run(filled.store, filled.record, "xlsx", tmp_path / "run.xlsx")
    assert list(tmp_path.glob("run*")) == []
