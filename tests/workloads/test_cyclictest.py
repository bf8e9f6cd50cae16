"""The percentiles of cyclictest's histogram."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from workloads.loader import load_workload

CAPTURED = Path(__file__).parent / "captured/cyclictest/done.out"


def percentiles(output: str) -> subprocess.CompletedProcess[str]:
    script = next(file for file in load_workload("cyclictest").files if file.name.endswith(".awk"))
    return subprocess.run(["awk", "-f", script.source], input=output, capture_output=True, text=True, check=False)


def written(*threads: dict[int, int], beyond: int = 0, most: int = 1000) -> str:
    """What cyclictest writes of threads with these histograms; the first has further wake-ups beyond the end."""
    described = {
        str(number): {
            "histogram": {str(latency): count for latency, count in counts.items()},
            "cycles": sum(counts.values()) + (beyond if number == 0 else 0),
            "min": 1,
            "max": most,
            "avg": 2.5,
            "cpu": 0,
            "node": 0,
        }
        for number, counts in enumerate(threads)
    }
    return json.dumps({"file_version": 1, "num_threads": len(threads), "thread": described}, indent=2) + "\n"


def test_they_are_those_of_what_was_counted() -> None:
    said, _ = json.JSONDecoder().raw_decode(CAPTURED.read_text())
    (thread,) = said["thread"].values()
    every = sorted(int(latency) for latency, count in thread["histogram"].items() for _ in range(count))
    assert len(every) == thread["cycles"]
    middle, high = (every[-(-len(every) * share // 1000) - 1] for share in (500, 999))
    assert percentiles(CAPTURED.read_text()).stdout == f"p50: {middle} us\np99.9: {high} us\nmax: {thread['max']} us\n"


def test_wake_ups_of_all_threads_count() -> None:
    assert percentiles(written({5: 10}, {7: 1, 9: 89})).stdout == "p50: 9 us\np99.9: 9 us\nmax: 1000 us\n"


def test_a_few_beyond_the_histogram_are_counted_as_late() -> None:
    assert percentiles(written({5: 998, 6: 1}, beyond=1)).stdout == "p50: 5 us\np99.9: 6 us\nmax: 1000 us\n"


def test_a_percentile_beyond_the_histogram_is_a_failure() -> None:
    completed = percentiles(written({5: 998}, beyond=2))
    assert completed.returncode == 1
    assert "p99.9: " not in completed.stdout
    assert "p99.9 is beyond the histogram" in completed.stderr


@pytest.mark.parametrize("output", ["", "{}\n", written({})])
def test_without_a_wake_up_there_is_no_figure(output: str) -> None:
    completed = percentiles(output)
    assert (completed.returncode, completed.stdout) == (1, "")
