"""The fake does what the runner relies on, as the real ones do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from conformance import SeamConformance, output, shell
from fake import FakeOptions, FakeRuntime

from runtimes.agent.client import AgentGone
from runtimes.base import Image, InstanceError, InstanceSpec, Limits


class TestFake(SeamConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, tmp_path_factory):
        facilities = SimpleNamespace(directory=tmp_path_factory.mktemp("fake"))
        with FakeRuntime.open(facilities, FakeOptions()) as opened:
            yield opened

    @pytest.fixture
    def new_spec(self, tmp_path):
        image = Image("fake", tmp_path)
        return lambda: InstanceSpec("bench-fake", image, Limits(1, (), 1 << 26), None, tmp_path)

    def test_leaving_the_context_ends_it(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            output(instance, "echo alive")
        with pytest.raises(AgentGone):
            shell(instance, "echo dead")

    def test_it_can_refuse_to_start(self, runtime, new_spec):
        facilities = SimpleNamespace(directory=runtime._agent.parent)
        with FakeRuntime.open(facilities, FakeOptions(fail_start=True)) as refusing, pytest.raises(InstanceError):
            refusing.start(new_spec()).__enter__()
