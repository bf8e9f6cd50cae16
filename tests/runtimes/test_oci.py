"""OCI runtimes, called by their command lines."""

from __future__ import annotations

import pytest
from conformance import RuntimeConformance

from runtimes.oci import OciOptions, OciRuntime


class TestRunc(RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with OciRuntime.open(facilities, OciOptions(program="runc")) as opened:
            yield opened

    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = [name for name, _ in instance.timeline.phases()]
            assert phases == ["cgroup", "network", "bundle", "runtime", "ready"]
