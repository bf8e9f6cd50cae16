"""The real runner over the fake runtime."""

from __future__ import annotations

import json

import pytest
from fake_runs import ECHO

from bench.progress import QuietProgress
from bench.suite import load_suite
from results.errors import StoreError
from results.store import Store

FAILING = """
name: echo
description: Fails.
run: {shell: "echo score: 42; echo no luck >&2; exit 3"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""

SILENT = """
name: echo
description: Prints no figure.
run: {shell: "echo nothing to see"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""

SLOW = """
name: echo
description: Never ends.
run: {shell: "echo score: 42; sleep 100"}
timeout: 300ms
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""

SERVED = """
name: echo
description: Asks a server that writes its port to a file once it is ready.
server:
  command: {shell: "echo 42 > /tmp/bench-test-$$; echo ready $$; exec sleep 100"}
  ready: {log: "ready (\\\\d+)"}
run: {shell: "for file in /tmp/bench-test-*; do echo score: $(cat $file); rm $file; done"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""

DEAD_SERVER = """
name: echo
description: Asks a server that dies.
server:
  command: {shell: "echo bad config >&2; exit 9"}
  ready: {log: "ready"}
run: {shell: "echo score: 42"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""

NOTHING = """
name: small
baseline: one
limits: {cpus: 1, memory: 64M}
arms: {one: {runtime: fake}}
workloads: [null]
sampling: {blocks: 1}
"""


BUSY = """
name: echo
description: Is busy for as long as asked, or sleeps.
run: {shell: "timeout 0.6 %s || echo score: 42"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""

TOLD = """
name: echo
description: Looks whether what it is told of the host is so.
run:
  shell: |
    read -r mine </proc/sys/kernel/random/boot_id
    test "$mine" = "$host_boot_id"
    test -d "/proc/$host_pid"
    case ",$host_namespaces," in *",$(readlink /proc/self/ns/uts | tr -d '[]'),"*) echo score: 42 ;; esac
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""

INTERRUPTING = """
name: echo
description: Interrupts the harness, whose child the agent is.
run: {shell: "kill -INT $(sed -n 's/^PPid:[[:space:]]*//p' /proc/$PPID/status); sleep 10"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""


class Recorder(QuietProgress):
    """Keeps what it is told; may raise at a trial."""

    def __init__(self, interrupt_at=None):
        self.events = []
        self.interrupt_at = interrupt_at

    def planned(self, run, plan):
        self.events.append("planned")

    def trial_started(self, trial):
        self.events.append(("started", trial.number))
        if trial.number == self.interrupt_at:
            raise KeyboardInterrupt

    def trial_finished(self, trial, record, seconds):
        self.events.append(("finished", trial.number, record.status))

    def block_finished(self, block, outlook):
        self.events.append(("block finished", outlook.stop, outlook.blocks))


def test_every_trial_of_the_plan_is_stored_with_its_samples(suite_run):
    result = suite_run.execute()
    assert (result.failed, result.interrupted) == (0, False)
    record = suite_run.record()
    assert (record.status, record.arms, record.seed) == ("complete", ("one", "two"), 1)
    assert record.ended is not None
    trials = suite_run.trials()
    assert sorted((trial.block, trial.arm) for trial in trials) == [(1, "one"), (1, "two"), (2, "one"), (2, "two")]
    frame = suite_run.frame()
    scores = frame[frame.metric == "score"]
    assert list(scores.value) == [42.0] * 4
    assert set(scores.unit) == {"points"}
    for metric in (
        "startup_time",
        "startup.launch",
        "startup.ready",
        "shutdown_time",
        "memory_footprint",
        "memory.pss",
    ):
        assert (frame.metric == metric).sum() == 4, metric
    for metric in ("memory_peak", "cpu_time", "image_size", "image_size.userland", "first_output_time"):
        assert (frame.metric == metric).sum() == 4, metric


def test_phases_of_a_trial_add_up_to_its_startup_time(suite_run):
    suite_run.execute()
    frame = suite_run.frame()
    first = frame[frame.trial == 1].set_index("metric").value
    assert first.filter(like="startup.").sum() == pytest.approx(first["startup_time"], rel=1e-6)
    assert first["first_output_time"] > first["startup_time"]


def test_the_suite_as_run_can_be_loaded_again(suite_run):
    original = suite_run.load()
    suite_run.execute()
    again = load_suite(str(suite_run.run_directory() / "suite.yaml"))
    assert again.hash == original.hash == suite_run.record().suite_hash


def test_observer_is_told_in_order(suite_run):
    observer = Recorder()
    suite_run.with_observer(observer).execute()
    assert observer.events[:3] == ["planned", ("started", 1), ("finished", 1, "ok")]
    assert observer.events.count(("block finished", None, 2)) == 1
    assert observer.events[-1] == ("block finished", "all 2 blocks done", 2)
    assert len(observer.events) == 1 + 2 * 4 + 2


MISSPELT = FAILING.replace("exit 3", "test -n $scroe")


FULL = FAILING.replace("exit 3", "echo disk: No space left on device >&2; echo 5 bytes copied >&2; exit 1")


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        (MISSPELT, "scroe: parameter not set"),
        (FAILING, "exit status 3: no luck"),
        (FULL, "exit status 1: disk: No space left on device"),
        (SILENT, "score"),
        (SLOW, "timed out after 0.3 s"),
        (DEAD_SERVER, "exit status 9 before it was ready: bad config"),
    ],
)
def test_a_failed_trial_keeps_its_log_gives_no_sample_and_the_run_goes_on(suite_run, workload, reason):
    result = suite_run.with_workload(workload).execute()
    assert result.failed == 4
    assert suite_run.record().status == "complete"
    for trial in suite_run.trials():
        assert trial.status == "failed"
        assert reason in trial.error
        log = (suite_run.run_directory() / trial.log).read_text()
        assert reason in log
    assert suite_run.frame().empty


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("oom_kills: 1", "out of memory: the kernel killed a process of the instance; "),
        ("oom_kills: 3", "out of memory: the kernel killed 3 processes of the instance; "),
        ("pids_limit_hits: 1, limits: {pids: 20}", "the limit of 20 processes was hit; "),
        (
            "oom_kills: 1, pids_limit_hits: 4, limits: {pids: 20}",
            "out of memory: the kernel killed a process of the instance; the limit of 20 processes was hit 4 times; ",
        ),
        ("pids_limit_hits: 1", ""),  # a limit of somebody above us
    ],
)
def test_a_limit_that_was_hit_is_named_in_the_failure(suite_run, options, reason):
    suite = suite_run.suite_text.replace("two: {runtime: fake}", f"two: {{runtime: fake, {options}}}")
    suite_run.with_suite(suite).with_workload(FAILING).execute()
    errors = {trial.error for trial in suite_run.trials() if trial.arm == "two"}
    failure = next(trial.error for trial in suite_run.trials() if trial.arm == "one")
    assert errors == {f"{reason}{failure}"}


def test_a_limit_that_was_hit_is_no_failure_where_the_workload_copes(suite_run):
    suite_run.with_suite(suite_run.suite_text.replace("two: {runtime: fake}", "two: {runtime: fake, oom_kills: 1}"))
    assert suite_run.execute().failed == 0


def test_all_output_of_a_failed_command_is_in_the_log(suite_run):
    suite_run.with_workload(FAILING).execute()
    log = (suite_run.run_directory() / suite_run.trials()[0].log).read_text()
    for said in ("score: 42", "no luck", "exit status 3", "sh -euc"):
        assert said in log


def test_an_arm_that_never_starts_fails_its_trials_and_spares_the_others(suite_run):
    suite_run.with_suite(suite_run.suite_text.replace("two: {runtime: fake}", "two: {runtime: fake, fail_start: true}"))
    assert suite_run.execute().failed == 2
    outcomes = {(trial.arm, trial.status) for trial in suite_run.trials()}
    assert outcomes == {("one", "ok"), ("two", "failed")}
    assert all("told not to start" in trial.error for trial in suite_run.trials() if trial.arm == "two")


def test_a_server_is_ready_before_the_client_and_stopped_after_it(suite_run):
    suite_run.with_workload(SERVED).execute()
    frame = suite_run.frame()
    assert list(frame[frame.metric == "score"].value) == [42.0] * 4
    log = (suite_run.run_directory() / suite_run.trials()[0].log).read_text()
    assert "[server]" in log
    assert "killed by signal 9" in log


def test_interruption_keeps_what_was_measured_and_marks_the_run_partial(suite_run):
    result = suite_run.with_observer(Recorder(interrupt_at=3)).execute()
    assert result.interrupted
    record = suite_run.record()
    assert (record.status, record.stop_reason) == ("partial", "interrupted")
    assert [trial.trial for trial in suite_run.trials()] == [1, 2]
    assert set(suite_run.frame().trial) == {1, 2}


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("options", ["", ", fail_stop: true"])
def test_interruption_within_a_trial_is_not_taken_for_its_failure(suite_run, options):
    suite_run.with_suite(suite_run.suite_text.replace("{runtime: fake}", f"{{runtime: fake{options}}}"))
    result = suite_run.with_workload(INTERRUPTING).execute()
    assert (result.interrupted, result.failed) == (True, 0)
    assert suite_run.record().status == "partial"
    assert suite_run.trials() == []


def test_a_failed_teardown_fails_the_trial(suite_run):
    suite_run.with_suite(suite_run.suite_text.replace("two: {runtime: fake}", "two: {runtime: fake, fail_stop: true}"))
    assert suite_run.execute().failed == 2
    assert {(trial.arm, trial.status) for trial in suite_run.trials()} == {("one", "ok"), ("two", "failed")}


def test_a_defect_in_the_run_marks_it_failed_and_is_not_swallowed(suite_run):
    class Broken(Recorder):
        def trial_finished(self, trial, record, seconds):
            raise ZeroDivisionError("defect")

    with pytest.raises(ZeroDivisionError):
        suite_run.with_observer(Broken()).execute()
    record = suite_run.record()
    assert record.status == "failed"
    assert "ZeroDivisionError: defect" in record.stop_reason
    assert len(suite_run.trials()) == 1


def test_time_budget_stops_after_the_block_that_used_it_up(suite_run):
    suite_run.with_suite(suite_run.suite_text.replace("blocks: 2", "blocks: 50, time_budget: 1ms"))
    suite_run.execute()
    record = suite_run.record()
    assert record.status == "complete"
    assert "time budget" in record.stop_reason
    assert {trial.block for trial in suite_run.trials()} == {1}
    assert len(suite_run.trials()) == 2


KNOWN = "{min_blocks: 6, max_blocks: 8, ci_width: 5%}"
VARYING = ECHO.replace("echo score: 42", "echo score: $((1$(date +%N) % 1000 + 1))")


def test_blocks_end_as_soon_as_ratios_are_known(suite_run):
    suite_run.with_suite(suite_run.suite_text.replace("{blocks: 2, seed: 1}", KNOWN)).execute()
    record = suite_run.record()
    assert {trial.block for trial in suite_run.trials()} == set(range(1, 7))
    assert record.stop_reason == (
        "all 1 ratios known to 5% after 6 blocks; the widest interval is 0.0 %: echo score in two"
    )
    assert (record.ci_width, record.threshold) == (0.05, 0.05)


def test_blocks_end_at_the_most_where_they_are_not(suite_run):
    suite_run.with_suite(suite_run.suite_text.replace("{blocks: 2, seed: 1}", KNOWN)).with_workload(VARYING).execute()
    assert {trial.block for trial in suite_run.trials()} == set(range(1, 9))
    assert suite_run.record().stop_reason.startswith("all 8 blocks done; 1 of 1 ratios not known to 5%; the widest")


def test_noise_is_read_before_the_first_block_and_after_each(suite_run):
    suite_run.execute()
    with Store(suite_run.store_directory).open(create=False) as store:
        readings = store.noise(store.resolve("latest").id)
    assert [reading.block for reading in readings] == [0, 1, 2]
    assert [reading.seconds is None for reading in readings] == [True, False, False]
    placed = json.loads((suite_run.run_directory() / "host.json").read_text())["placement"]
    assert [spin.cpu for spin in readings[-1].spins] == placed["one"]["instance"]


def test_a_workload_without_metrics_is_run_for_startup_and_footprint(suite_run):
    suite_run.with_suite(NOTHING).execute()
    frame = suite_run.frame()
    assert set(frame[frame.primary].metric) == {"startup_time", "memory_footprint", "shutdown_time"}


@pytest.mark.parametrize(("what", "least", "most"), [("sh -c 'while :; do :; done'", 0.2, 1.2), ("sleep 9", 0, 0.15)])
def test_the_cpus_used_are_those_of_the_run_command(suite_run, what, least, most):
    limited = suite_run.suite_text.replace("[./echo.yaml]", "[{workload: ./echo.yaml, limit: {cpus: cpus_used}}]")
    suite_run.with_suite(limited).with_workload(BUSY % what).execute()
    frame = suite_run.frame()
    used = frame[frame.metric == "cpus_used"]
    assert set(used.unit) == {"CPUs"}
    assert used.value.between(least, most).all(), list(used.value)
    values = frame[frame.trial == 1].set_index("metric").value
    assert values["limit.cpus.asked"] == 1
    assert values["limit.cpus.given"] == values["cpus_used"]
    assert values["limit.cpus.error"] == pytest.approx((values["cpus_used"] - 1) * 100)


COUNTED = """
name: echo
description: Counts how often it was run.
prepare: [{shell: "echo 0 > /tmp/bench-count-$PPID"}]
run:
  shell: |
    read -r count </tmp/bench-count-$PPID
    count=$((count + 1))
    echo $count >/tmp/bench-count-$PPID
    echo score: $count
    [ $count -lt 3 ] || rm /tmp/bench-count-$PPID
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""


def test_the_command_is_repeated_in_one_instance_and_each_iteration_has_its_figures(suite_run):
    repeated = suite_run.suite_text.replace("[./echo.yaml]", "[{workload: ./echo.yaml, iterations: 3}]")
    suite_run.with_suite(repeated).with_workload(COUNTED)
    assert suite_run.execute().failed == 0
    frame = suite_run.frame()
    scores = frame[(frame.metric == "score") & (frame.trial == 1)]
    assert list(zip(scores.iteration, scores.value, strict=True)) == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert (frame[frame.trial == 1].metric == "startup_time").sum() == 1
    again = load_suite(str(suite_run.run_directory() / "suite.yaml"))
    assert (again.uses[0].iterations, again.hash) == (3, suite_run.load().hash)
    suite_run.with_suite(repeated.replace("iterations: 3", "iterations: 4"))
    assert suite_run.load().hash != again.hash


def test_without_a_run_command_no_cpus_are_used_by_one(suite_run):
    suite_run.with_suite(NOTHING).execute()
    assert "cpus_used" not in set(suite_run.frame().metric)


def test_a_workload_is_told_of_its_host(suite_run):
    assert suite_run.with_workload(TOLD).execute().failed == 0


def test_host_facts_and_fairness_are_written(suite_run):
    suite_run.execute()
    document = json.loads((suite_run.run_directory() / "host.json").read_text())
    assert document["fingerprint"] == suite_run.record().host_fingerprint
    assert document["facts"]["kernel"]
    assert document["fairness"] == []


def test_a_store_that_cannot_be_written_is_said_before_anything_starts(suite_run, tmp_path):
    suite_run.store_directory = tmp_path / "file"
    suite_run.store_directory.write_text("not a directory")
    observer = Recorder()
    with pytest.raises(StoreError):
        suite_run.with_observer(observer).execute()
    assert observer.events == []
