"""The main job: real runs of the command line over the bare host, a container and a guest, and what they leave."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest
from leftovers import leftovers
from report_browser import VIEWS, open_browser, open_page
from waiting import eventually, running

pytestmark = [pytest.mark.host, pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(900)]

BENCH = Path(sys.executable).with_name("bench")
ARMS = ("native", "container", "vm")
COLUMNS = "run suite workload params arm runtime accel block trial iteration metric value unit better"
COMPARED = "workload params metric unit better arm baseline n ratio ci_low ci_high p_value verdict"
NOTHING = {key: [] for key in leftovers()}

SUITE = """
name: mixed
baseline: native
limits: {cpus: 1, memory: 256M}
arms:
  native: {runtime: native}
  container: {runtime: container}
  vm: {runtime: vm, accel: tcg}
workloads: [%s]
sampling: {blocks: %d, seed: 3}
"""

BROKEN = """
name: broken
description: Fails in every arm.
packages: [fio, iperf3, redis-server, redis-tools, sysbench]
run: {shell: "echo score: 1; echo out of luck >&2; exit 5"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""


HOG = """
name: hog
description: Wants more memory than it may have.
packages: [fio, iperf3, redis-server, redis-tools, sysbench]
run: [dd, if=/dev/zero, of=/dev/null, bs=400M, count=1]
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""


CROWD = """
name: crowd
description: Wants more processes than it may have.
packages: [fio, iperf3, redis-server, redis-tools, sysbench]
run: {shell: "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 5 & done; wait; echo score: 1"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""


def bench(*arguments, store, check=0):
    finished = subprocess.run(
        [BENCH, *arguments, "--store", store], capture_output=True, text=True, timeout=800, check=False
    )
    assert finished.returncode == check, finished.stdout + finished.stderr
    return finished


@pytest.fixture(autouse=True)
def nothing_left():
    """No test finds anything of ours, and none leaves anything."""
    assert leftovers() == NOTHING
    yield
    assert leftovers() == NOTHING


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """The quick suite, one block of it, by the command that a user types."""
    store = tmp_path_factory.mktemp("quick") / "store"
    return store, bench("run", "quick", "--blocks", "1", store=store)


@pytest.fixture
def write_suite(tmp_path):
    def write(workloads, blocks=1, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        path = tmp_path / "suite.yaml"
        path.write_text(SUITE % (workloads, blocks))
        return path

    return write


def test_the_quick_suite_says_what_it_found_and_where_the_report_is(quick_run):
    _, finished = quick_run
    assert "startup_time" in finished.stdout
    assert "software emulation" in finished.stdout or "kvm" in finished.stdout
    report = Path(finished.stdout.split("report  ")[-1].strip())
    assert report.name == "report.html"
    assert report.exists()


def test_export_has_every_metric_in_every_arm(quick_run):
    store, _ = quick_run
    rows = list(csv.DictReader(io.StringIO(bench("export", "latest", "--format", "csv", store=store).stdout)))
    assert list(rows[0]) == COLUMNS.split()
    throughputs = {
        "events_per_second",
        "mib_per_second",
        "iops",
        "mb_per_second",
        "gbit_per_second",
        "requests_per_second",
    }
    for arm in ARMS:
        metrics = {row["metric"] for row in rows if row["arm"] == arm}
        assert metrics >= {"startup_time", "memory_footprint", "memory_peak", "cpu_time", "shutdown_time", "image_size"}
        measured = {row["workload"] for row in rows if row["arm"] == arm and row["metric"] in throughputs}
        assert measured == {"sysbench-cpu", "sysbench-memory", "fio", "iperf3", "redis"}
    assert all(float(row["value"]) > 0 for row in rows if row["metric"] in throughputs)
    assert {row["accel"] for row in rows if row["arm"] != "vm"} == {"none"}
    assert {row["accel"] for row in rows if row["arm"] == "vm"} <= {"kvm", "tcg"}


def test_the_figures_are_plausible(quick_run):
    store, _ = quick_run
    rows = list(csv.DictReader(io.StringIO(bench("export", "latest", "--format", "csv", store=store).stdout)))

    def value(arm, metric):
        """The median over all cases, which a single start that was held up does not move."""
        return median(float(row["value"]) for row in rows if (row["arm"], row["metric"]) == (arm, metric))

    assert value("native", "startup_time") < value("container", "startup_time")
    assert value("container", "startup_time") * 10 < value("vm", "startup_time")
    assert value("container", "memory_footprint") < 16 << 20
    assert value("vm", "memory_footprint") > 32 << 20
    assert value("vm", "image_size") > value("container", "image_size") == value("native", "image_size")


def test_show_compare_list_and_export_read_the_run(quick_run, tmp_path):
    store, _ = quick_run
    run = json.loads(bench("list", "--format", "json", store=store).stdout)[0]["run"]
    compared = json.loads(bench("compare", run[:-1], "--format", "json", store=store).stdout)
    keys = COMPARED.split()
    assert all(set(keys) <= set(row) for row in compared)
    assert {row["arm"] for row in compared} == {"container", "vm"}
    assert json.loads(bench("show", "latest", "--format", "json", store=store).stdout)
    for form in ("json", "parquet"):
        target = tmp_path / f"samples.{form}"
        bench("export", "latest", "--format", form, "-o", str(target), store=store)
        assert target.stat().st_size > 1000


def test_what_is_recorded_of_every_trial(quick_run):
    store, _ = quick_run
    (run,) = (store / "runs").iterdir()
    host = json.loads((run / "host.json").read_text())
    assert {"kernel", "clocksource"} & {row["fact"] for row in host["fairness"]}
    trials = sorted((run / "trials").iterdir())
    assert len(trials) == 21
    assert all((trial / "log.txt").stat().st_size > 0 for trial in trials)
    guests = [trial for trial in trials if (trial / "domain.xml").exists()]
    assert len(guests) == 7
    assert all("qemu" in (guest / "qemu-argv").read_text() for guest in guests)


@pytest.mark.browser
@pytest.mark.parametrize("view", VIEWS)
def test_the_report_opens_in_a_browser(quick_run, view):
    store, _ = quick_run
    (page,) = store.glob("runs/*/report/report.html")
    with open_browser() as browser:
        open_page(browser, page, view)
        assert browser.get_log("browser") == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= VIEWS[view][0]
        charts = browser.execute_script(
            "return [...document.querySelectorAll('figure')].map(figure => [figure.id,"
            " [...figure.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().height > 50).length])"
        )
    shown = dict(charts)
    assert set(shown) >= {
        "chart-startup",
        "chart-startup-phases",
        "chart-memory",
        "chart-memory-peak",
        "chart-throughput",
        "chart-cpu-time",
        "chart-image-size",
    }
    assert set(shown.values()) == {1}


def test_a_failed_trial_is_told_logged_and_leaves_nothing(write_suite, tmp_path):
    suite = write_suite("null, ./broken.yaml", broken=BROKEN)
    finished = bench("run", str(suite), store=tmp_path / "store", check=1)
    assert finished.stdout.count("FAILED: /usr/bin/env: exit status 5: out of luck") == 3
    assert "3 trials failed" in finished.stderr
    shown = json.loads(bench("list", "--format", "json", store=tmp_path / "store").stdout)
    assert shown[0]["status"] == "complete"
    rows = list(csv.DictReader(io.StringIO(bench("export", "--format", "csv", store=tmp_path / "store").stdout)))
    assert {row["workload"] for row in rows} == {"null"}


def test_running_out_of_memory_is_named(write_suite, tmp_path):
    suite = write_suite("./hog.yaml", hog=HOG)
    finished = bench("run", str(suite), store=tmp_path / "store", check=1)
    for arm in ("native", "container"):
        assert (
            f"in {arm}: FAILED: out of memory: the kernel killed a process of the instance; dd: killed"
            in finished.stdout
        )
    assert "in vm: FAILED: dd: " in finished.stdout


def test_running_out_of_processes_is_named(write_suite, tmp_path):
    suite = write_suite("./crowd.yaml", crowd=CROWD)
    text = suite.read_text()
    for arm in ("native", "container"):
        text = text.replace(f"{{runtime: {arm}}}", f"{{runtime: {arm}, limits: {{pids: 12}}}}")
    suite.write_text(text)
    finished = bench("run", str(suite), "--arm", "native", "--arm", "container", store=tmp_path / "store", check=1)
    for arm in ("native", "container"):
        assert f"in {arm}: FAILED: the limit of 12 processes was hit" in finished.stdout


def start_run(suite, store, *options):
    return running(
        # A background job's signals may be ignored, and so would its children's be.
        ["env", "--default-signal=INT,TERM,HUP", BENCH, "run", suite, "-v", "--store", store, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_line(process, wanted):
    for line in process.stdout:
        if wanted in line:
            return
    pytest.fail(f"the run ended without '{wanted}': {process.stderr.read()}")


@pytest.mark.parametrize(("arm", "number"), [*((arm, signal.SIGINT) for arm in ARMS), ("vm", signal.SIGTERM)])
def test_an_interrupted_run_keeps_its_trials_and_leaves_nothing(write_suite, tmp_path, arm, number):
    suite = write_suite("{workload: sysbench-cpu, params: {runtime: 3}}, null", blocks=9)
    store = tmp_path / "store"
    # Of the other arms there is only the baseline, which is always run.
    with start_run(suite, store, "--arm", arm) as process:
        wait_for_line(process, f"[1/{18 if arm == 'native' else 36}] block 1")
        wait_for_line(process, f"in {arm}")
        time.sleep(0.7)  # into the middle of whatever goes on
        os.killpg(process.pid, number)
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)  # an impatient second one
        process.communicate(timeout=60)
    assert process.returncode == 130
    run = json.loads(bench("list", "--format", "json", store=store).stdout)[0]
    assert (run["status"], run["stopped_because"]) == ("partial", "interrupted")
    assert bench("export", "--format", "csv", store=store).stdout.count("startup_time") >= 1


def test_what_a_killed_run_leaves_is_reclaimed(write_suite, tmp_path):
    suite = write_suite("{workload: fio, params: {size: 32M, runtime: 3}}", blocks=9)
    store = tmp_path / "store"
    with start_run(suite, store) as process:
        wait_for_line(process, "in vm: ok")
        wait_for_line(process, "in container: ok")
        wait_for_line(process, "begins")
        # All kinds of things are there, and seen: this is what makes their absence in other tests mean something.
        assert eventually(lambda: all(leftovers().values()), 60)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert leftovers() != NOTHING
    cleaned = subprocess.run([BENCH, "clean"], capture_output=True, text=True, timeout=60, check=True)
    assert "removed" in cleaned.stdout
    assert json.loads(bench("list", "--format", "json", store=store).stdout)[0]["status"] == "partial"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("cpus: 1", "cpus: 4096"), "4096"),
        (("memory: 256M", "memory: 1000T"), "memory"),
        (("cpus: 1", "cpus: 1, cpuset: [4095]"), "4095"),
    ],
)
def test_a_limit_that_the_host_cannot_give_is_said_before_anything_starts(write_suite, tmp_path, change, expected):
    suite = write_suite("null")
    suite.write_text(suite.read_text().replace(*change))
    finished = bench("run", str(suite), store=tmp_path / "store", check=2)
    assert expected in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list((tmp_path / "store").glob("runs/*")) == []


def test_kvm_where_it_does_not_run_is_said_before_anything_starts(write_suite, tmp_path):
    doctor = json.loads(
        subprocess.run([BENCH, "doctor", "--format", "json"], capture_output=True, text=True, check=False).stdout
    )
    works = next(check["status"] == "ok" for check in doctor if check["name"] == "KVM")
    suite = write_suite("null")
    suite.write_text(suite.read_text().replace("accel: tcg", "accel: kvm"))
    finished = bench("run", str(suite), store=tmp_path / "store", check=0 if works else 2)
    if not works:
        assert "kvm" in finished.stderr.lower()
        assert list((tmp_path / "store").glob("runs/*")) == []


def test_a_package_that_does_not_exist_is_named_with_its_nearest(write_suite, tmp_path):
    suite = write_suite("./broken.yaml", broken=BROKEN.replace("sysbench", "sysbnech"))
    finished = bench("run", str(suite), store=tmp_path / "store", check=2)
    assert "sysbnech" in finished.stderr
    assert "sysbench" in finished.stderr
    assert "Traceback" not in finished.stderr
