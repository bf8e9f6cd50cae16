"""Docker, with a daemon of the run's own."""

from __future__ import annotations

import pytest
from conformance import RuntimeConformance

from runtimes.docker import DockerOptions, DockerRuntime


@pytest.fixture(scope="module")
def runtime(facilities):
    with DockerRuntime.open(facilities, DockerOptions()) as opened:
        yield opened


class TestDocker(RuntimeConformance):
    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = [name for name, _ in instance.timeline.phases()]
            assert phases == ["create", "daemon", "shim", "container", "runtime", "ready"]
