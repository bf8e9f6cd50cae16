"""Podman."""

from __future__ import annotations

import pytest
from conformance import RuntimeConformance

from runtimes.podman import PodmanOptions, PodmanRuntime


class TestPodman(RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with PodmanRuntime.open(facilities, PodmanOptions(program="runc")) as opened:
            yield opened

    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = [name for name, _ in instance.timeline.phases()]
            assert phases == ["cgroup", "network", "podman", "conmon", "runtime", "ready"]
