"""Made-up trials with more than one instance: densities, and workloads beside neighbours."""

from __future__ import annotations

from results.records import Sample

RATE = ("rate", "1/s", "higher")
DELAY = ("delay", "s", "lower")


def fill(run, arm, block, each, *, most=4, knee=None, unsettled=0, **options):
    """One trial whose instances take ``each`` bytes."""
    steps = [
        Sample(f"density.{name}", value, unit, "neutral", index)
        for index in range(most)
        for name, value, unit in (
            ("instances", index + 1, "instances"),
            ("footprint", (index + 1) * each, "bytes"),
            ("start_time", 0.1, "s"),
        )
    ]
    whole = [
        Sample("marginal_memory", each, "bytes", "lower", primary=True),
        Sample("marginal_memory.pss", each / 2, "bytes", "lower"),
        Sample("marginal_memory.host_available", each * 2, "bytes", "lower"),
        Sample("start_time_growth", 1.5, "ratio", "lower"),
        Sample("instances_reached", most, "instances", "higher"),
        Sample("unsettled_steps", unsettled, "steps", "neutral"),
        *([] if knee is None else [Sample("memory_knee", knee, "instances", "higher")]),
    ]
    run.trial(block, arm, *whole, *steps, workload="density", params={"instances": most}, **options)


def measure(run, arm, values, beside=None, metric=RATE, primary=True, **options):
    """A trial a block."""
    params = {"n": 1} | ({} if beside is None else {"beside": beside})
    for block, value in enumerate(values, start=1):
        name, unit, better = metric
        sample = Sample(name, value, unit, better, primary=primary)
        run.trial(block, arm, sample, params=params, **options)
