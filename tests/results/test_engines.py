"""Of what engine an arm's containers were."""

from __future__ import annotations

from types import SimpleNamespace

from results.engines import Engine, engines_of


def trial(arm, status="ok", **facts):
    return SimpleNamespace(arm=arm, status=status, facts=facts)


def test_an_arm_tells_its_engine_and_what_the_daemon_holds():
    told = {"engine": "Docker 20.10", "oci_runtime": "runc", "storage_driver": "overlay2"}
    trials = [
        trial("native"),
        trial("docker", "failed", engine="Docker 1", daemon_memory="1"),
        *(trial("docker", daemon_memory=str(held), **told) for held in (30, 10, 20)),
        trial("lxc", engine="LXC 5"),
    ]
    assert engines_of(trials) == (
        Engine("docker", "Docker 20.10", "runc", "overlay2", 20.0),
        Engine("lxc", "LXC 5", "", "", None),
    )


def test_a_run_without_engines_tells_none():
    assert engines_of([trial("native"), trial("vm", accel="tcg")]) == ()
