from __future__ import annotations

import io
from dataclasses import replace

import pytest
from stored_runs import RunBuilder

from results.compare import compare
from results.noise import (
    CpuSpin,
    NoiseReading,
    blocks_of,
    disturbance_warning,
    disturbed_blocks,
    sentence,
    to_json,
)
from results.store import Store
from results.terminal.compare import compare_json
from results.terminal.show import show_json, show_renderables


def spin(median: float = 1e-4, cpu: int = 1, **values: float) -> CpuSpin:
    figures = {"chunks": 2000, "p99": 2 * median, "longest": 1.0, "gaps": 4, "lost": 0.01} | values
    return CpuSpin(cpu=cpu, median=median, **figures)  # type: ignore[arg-type]


QUIET = NoiseReading(
    block=1, taken="2026-11-24T11:45:02+00:00", seconds=5.0, cost=0.2, spins=(spin(),), steal=0.0, own=1.0,
    outside=0.05, cpus=2, interrupts=300.0, pressure={"cpu": 0.1}, load=0.5,
)  # fmt: skip
FIRST = replace(QUIET, block=0, seconds=None, steal=None, own=None, outside=None, interrupts=None, pressure={})


def readings(*changes: dict[str, object]) -> list[NoiseReading]:
    return [FIRST, *(replace(QUIET, block=number, **change) for number, change in enumerate(changes, 1))]  # type: ignore[arg-type]


def test_a_quiet_block() -> None:
    (block,) = blocks_of(readings({}))
    assert (block.block, block.speed, block.jitter, block.gaps) == (1, 1.0, 2.0, 4)
    assert (block.steal, block.outside, block.disturbed) == (0.0, 0.025, False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outside": 0.11}, "others used 6 % of the host's CPU time"),
        ({"steal": 0.03}, "a hypervisor took 3 % of the measured CPUs"),
        ({"spins": (spin(1.1e-4),)}, "a measured CPU ran at 91 % of its speed"),
    ],
)
def test_each_limit_alone_makes_a_block_a_disturbed_one(change: dict[str, object], reason: str) -> None:
    blocks = blocks_of(readings({}, change))
    assert [block.reasons for block in blocks] == [(), (reason,)]


@pytest.mark.parametrize("change", [{"outside": 0.1}, {"steal": 0.02}, {"spins": (spin(1.05e-4),)}])
def test_what_is_at_its_limit_is_not_beyond_it(change: dict[str, object]) -> None:
    assert not disturbed_blocks(readings({}, change))


def test_a_slow_reading_disturbs_the_blocks_before_and_after_it() -> None:
    slow = {"spins": (spin(2e-4),)}
    assert disturbed_blocks(readings({}, slow, {}, {})) == {2, 3}


def test_speed_is_relative_to_the_fastest_reading_of_the_same_cpu() -> None:
    mixed = {"spins": (spin(1e-4, cpu=1), spin(3e-4, cpu=2))}
    later = {"spins": (spin(1e-4, cpu=1), spin(3.3e-4, cpu=2))}
    blocks = blocks_of(readings(mixed, later))
    assert [block.speed for block in blocks] == [1.0, pytest.approx(1 / 1.1)]


def test_a_block_shorter_than_the_kernel_can_count_is_judged_by_its_speed_alone() -> None:
    (block,) = blocks_of(readings({"seconds": 0.2, "outside": 2.0, "steal": 1.0}))
    assert (block.steal, block.outside, block.disturbed) == (None, None, False)


def test_what_is_not_known_disturbs_nothing() -> None:
    (block,) = blocks_of(
        [replace(QUIET, block=1, seconds=None, steal=None, outside=None, spins=())],
    )
    assert (block.speed, block.jitter, block.gaps, block.disturbed) == (None, None, None, False)


def test_in_words() -> None:
    assert sentence([]) == ""
    assert sentence(blocks_of(readings({}, {}))) == "none of 2 blocks disturbed"
    loud = {"outside": 1.0}
    assert sentence(blocks_of(readings({}, loud))) == (
        "1 of 2 blocks disturbed (block 2: others used 50 % of the host's CPU time)"
    )
    assert sentence(blocks_of(readings(*[loud] * 5))).endswith("; and 2 more)")
    assert disturbance_warning([1, 2, 3], {2, 9}) == ("1 of 3 blocks disturbed",)
    assert disturbance_warning([1, 3], {2, 9}) == ()


def test_as_plain_data() -> None:
    (block,) = to_json(blocks_of(readings({"steal": 0.5})))
    assert block["disturbed"] is True
    assert block["reasons"] == ["a hypervisor took 50 % of the measured CPUs"]


def store_readings(run: RunBuilder, *changes: dict[str, object]) -> None:
    for reading in readings(*changes):
        run.store.add_noise(run.record.id, reading)


def test_readings_read_back_as_they_were_written(run: RunBuilder) -> None:
    full = {"frequency": 3.1e9, "throttled": 2, "temperature": 61.5, "spins": (spin(), spin(cpu=2))}
    store_readings(run, full)
    with Store(run.store.directory).open(create=False) as other:
        assert other.noise(run.record.id) == readings(full)


def test_a_block_has_one_reading(run: RunBuilder) -> None:
    run.store.add_noise(run.record.id, QUIET)
    with pytest.raises(ValueError, match="the reading after block 1 of run"):
        run.store.add_noise(run.record.id, QUIET)
    with pytest.raises(ValueError, match="no-such-run"):
        run.store.add_noise("no-such-run", QUIET)


def test_comparisons_and_tables_tell_of_disturbed_blocks(run: RunBuilder) -> None:
    for block in range(1, 7):
        for arm in ("native", "container"):
            run.trial(block, arm, time=1.0 + block / 100)
    store_readings(run, {}, {"outside": 1.0}, {}, {"steal": 0.3}, {}, {})
    warning = "2 of 6 blocks disturbed"
    assert all(warning not in one.warnings for one in compare(run.frame, "native"))
    assert all(warning in one["warnings"] for one in compare_json(run.store, run.record))  # type: ignore[operator]
    shown = show_json(run.store, run.record)
    assert [block["block"] for block in shown["noise"] if block["disturbed"]] == [2, 4]  # type: ignore[attr-defined]


def test_a_run_without_readings_says_nothing_of_noise(run: RunBuilder, tmp_path: object) -> None:
    run.trial(1, "native", time=1.0)
    from rich.console import Console

    def shown() -> str:
        console = Console(width=120, record=True, file=io.StringIO())
        console.print(*show_renderables(run.store, run.record))
        return console.export_text()

    assert show_json(run.store, run.record)["noise"] == []
    assert "disturbed" not in shown()
    store_readings(run, {})
    assert "none of 1 blocks disturbed" in shown()
