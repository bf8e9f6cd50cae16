"""The example of docs/adding-a-runtime.md, as it stands there, does what every runtime must."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest
from conformance import RuntimeConformance, output

from runtimes.base import HostError, Limits, NetLimits

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-runtime.md"


def example():
    """The last block of code of the page, as a module."""
    *_, code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    module = types.ModuleType("unshare_example")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    return module


@pytest.fixture(scope="module")
def unshare():
    return example()


class TestUnshare(RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities, unshare):
        with unshare.UnshareRuntime.open(facilities, unshare.UnshareOptions()) as opened:
            yield opened

    def test_it_has_namespaces_of_its_own(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert output(instance, "cat /proc/1/comm") == "agent"
            own = {kind: str(Path(f"/proc/thread-self/ns/{kind}").readlink()) for kind in ("pid", "mnt", "uts", "ipc")}
            assert {kind for kind in own if output(instance, f"readlink /proc/self/ns/{kind}") == own[kind]} == set()


def test_it_refuses_what_it_cannot_limit(unshare):
    limits = Limits(1, (), 1 << 26, net=NetLimits(ingress=10**6))
    with pytest.raises(HostError, match=r"limits\.net"):
        unshare.UnshareRuntime.check(unshare.UnshareOptions(), limits)


def test_it_is_as_long_as_the_page_says():
    *_, code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    written = [line for line in code.splitlines() if line.strip()]
    assert 40 < len(written) < 60
