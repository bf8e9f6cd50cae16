"""The benchmark of a container's start: its figures, and that its peers do what they are compared for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import container_start
import pytest
from click.testing import CliRunner
from figures import OURS, OURS_VETH, figures, table
from measurement import Measurement, quantile
from peers import PEERS, Floor, Peer, open_ground
from starts import Start, Theirs
from traces import host_traces

from runtimes.agent.client import Command

RATIOS = ("ratio_runc", "ratio_bwrap", "ratio_nspawn", "ratio_crun", "ratio_veth_runc")
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


def starts(*milliseconds):
    return [Start(ready, {"clone": ready / 4, "ready": ready * 3 / 4}) for ready in milliseconds]


@pytest.fixture
def measured():
    """Ours at 2, with a network at 5, runc at 10, bwrap at 2, and one outlier in each of the first two."""
    times = {OURS: (2, 2, 20), OURS_VETH: (5, 5, 6), "floor": (1, 1, 1), "runc": (10, 11, 9), "bwrap": (2, 2, 2)}
    return Measurement(
        {name: starts(*of) for name, of in times.items()}, 7, {"crun": "it refuses", "nspawn": "not installed"}
    )


def test_ratios_are_those_of_medians_and_null_where_a_peer_is_absent(measured):
    found = figures(measured)
    assert (found["ready_ms"], found["floor_ms"], found["runc_ms"]) == (2, 1, 10)
    assert [found[name] for name in RATIOS] == [0.2, 1.0, None, None, 0.5]
    assert found["absent"] == {"crun": "it refuses", "nspawn": "not installed"}
    assert (found["n"], found["seed"]) == (3, 7)
    assert found["phases_ms"] == {"clone": 0.5, "ready": 1.5}
    json.dumps(found)


def test_goals_are_met_at_their_figure_and_missed_beyond_it(measured):
    met = {name: goal["met"] for name, goal in figures(measured)["goals"].items()}
    assert met == {
        "ratio_runc": True,
        "ratio_bwrap": False,
        "ratio_veth_runc": False,
        "p99_ratio": False,
        "veth_p99_ratio": True,
    }


def test_the_table_tells_of_every_peer_and_goal(measured):
    lines = {line.split("  ")[0]: line for line in table(figures(measured)).splitlines() if line}
    assert "it refuses" in lines["crun"]
    assert "10.00 ms" in lines["runc"]
    assert "0.20" in lines["runc"]
    assert lines["ratio_bwrap"].endswith("missed")
    assert lines["ratio_runc"].endswith("met")


def test_intervals_need_six_rounds():
    few = {OURS: starts(*[1] * 5), OURS_VETH: starts(*[1] * 5), "runc": starts(*[2] * 5)}
    many = {OURS: starts(*[1] * 6), OURS_VETH: starts(*[1] * 6), "runc": starts(*[2] * 6)}
    assert figures(Measurement(few, 1))["intervals"]["ratio_runc"] is None
    assert figures(Measurement(many, 1))["intervals"]["ratio_runc"] == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (100, 99), (200, 198)])
def test_a_quantile_is_one_of_the_values(count, expected):
    assert quantile(range(count, 0, -1), 0.99) == expected


def test_json_is_all_that_it_prints_and_a_missed_goal_is_no_failure(monkeypatch, measured):
    monkeypatch.setattr(container_start, "run", lambda *_: measured)
    result = CliRunner().invoke(container_start.main, ["--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(json.dumps(figures(measured)))


@pytest.mark.host
def test_it_measures_all_that_is_here_and_leaves_nothing(facilities):
    def traces():
        others = [Path("/run/crun"), Path("/run/systemd/nspawn"), *Path("/sys/fs/cgroup").glob("*/payload")]
        peers = [path.name for path in Path("/sys/fs/cgroup").glob(f"*/{facilities.run}-*")]
        return host_traces(facilities), [path for path in others if path.exists()], peers

    container_start.measure(facilities, rounds=1, seed=1, pause=0)  # a runtime may keep what it needs for the run
    before = traces()
    found = figures(container_start.measure(facilities, rounds=2, seed=1, pause=0))
    assert traces() == before
    assert found["n"] == 2
    assert 0 < found["floor_ms"] < found["ready_ms"]
    assert sum(found["phases_ms"].values()) == pytest.approx(found["ready_ms"], rel=0.2)
    for kind in PEERS:
        assert (found[f"ratio_{kind.name}"] is None) == (kind.name in found["absent"])


@pytest.mark.host
@pytest.mark.parametrize("kind", PEERS)
def test_a_peer_isolates_as_our_container_does(facilities, tmp_path, kind):
    if shutil.which(kind.program) is None:
        pytest.skip(f"{kind.program} is not installed")
    with (
        open_ground(facilities, container_start.LIMITS) as ground,
        Theirs(kind(ground), tmp_path).started() as (agent, _),
    ):
        for name in NAMESPACES:
            link = agent.run(Command(("readlink", f"/proc/1/ns/{name}"))).stdout.decode().strip()
            assert link.startswith(f"{name}:[")
            assert link != str(Path(f"/proc/thread-self/ns/{name}").readlink())
        assert agent.run(Command(("readlink", "/proc/1/exe"))).stdout == b"/usr/lib/bench/agent\n"
        assert agent.run(Command(("touch", "/etc/written"))).ok
        if kind.program in {"runc", "crun"}:
            status = agent.read_file("/proc/1/status").decode()
            assert "\nSeccomp:\t2\n" in status
            assert "\nNoNewPrivs:\t1\n" in status
            assert "\nCapBnd:\t00000000a80425fb\n" in status
            allowed = next(line for line in status.splitlines() if line.startswith("Cpus_allowed_list:"))
            assert allowed.split()[1] == ",".join(map(str, facilities.instance_cpus(container_start.LIMITS)))


@pytest.mark.host
@pytest.mark.parametrize(
    ("argv", "told"),
    [(("sh", "-c", "echo no luck >&2"), "its last words: no luck"), (("no-such-program",), "not inst")],
)
def test_a_peer_that_does_not_run_here_is_absent_with_its_reason(facilities, monkeypatch, argv, told):
    class Broken(Peer):
        name = "broken"
        program = argv[0]

        def arguments(self, number):
            return argv[1:]

    monkeypatch.setattr(container_start, "PEERS", (Broken,))
    measured = container_start.measure(facilities, rounds=1, seed=1, pause=0)
    assert told in measured.absent["broken"]
    assert set(measured.starts) == {OURS, OURS_VETH, Floor.name}
