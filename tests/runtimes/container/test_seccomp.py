"""The profile and the filter made of it, tried on real calls."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from runtimes.container.seccomp import Profile, compile_profile, load_profile
from runtimes.launcher.build import build_executor
from runtimes.launcher.executor import Executor
from runtimes.launcher.steps import Steps

_TRY = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
for number, *arguments in CALLS:
    ctypes.set_errno(0)
    result = libc.syscall(number, *map(ctypes.c_long, arguments))
    if number == 56 and result == 0:
        os._exit(0)
    print(errno.errorcode.get(ctypes.get_errno(), "ok") if result < 0 else "ok")
"""


def answers(tmp_path, filter_, calls):
    """What each system call, by its number on x86-64, comes to under the filter."""
    out = tmp_path / "out"
    out.touch()
    steps = Steps("run")
    steps.open_as(str(out), os.O_WRONLY, 1)
    steps.call("prctl", 38, 1, 0, 0, 0)
    steps.filter_system_calls(filter_)
    steps.execute((sys.executable, "-I", "-S", "-c", _TRY.replace("CALLS", repr(calls))))
    _, pidfd, outcome = Executor(str(build_executor())).spawn(0, None, steps.encode(), [])
    assert outcome.failed is None
    assert os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status == 0
    os.close(pidfd)
    return out.read_text().split()


MOUNT, UNSHARE, CLONE, CLONE3, SOCKET, PERSONALITY, GETPID, BPF, KEYCTL = 165, 272, 56, 435, 41, 135, 39, 321, 250


def test_the_shipped_profile_refuses_what_it_leaves_out_and_allows_the_rest(tmp_path):
    new_user, child_signal = 0x10000000, 17
    calls = {
        (GETPID,): "ok",
        (MOUNT, 0, 0, 0, 0, 0): "EPERM",
        (UNSHARE, 0): "EPERM",
        (BPF, 0, 0, 0): "EPERM",
        (KEYCTL, 0, 0, 0): "EPERM",
        (CLONE, child_signal, 0, 0, 0, 0): "ok",
        (CLONE, new_user | child_signal, 0, 0, 0, 0): "EPERM",
        (CLONE3, 0, 0): "ENOSYS",
        (SOCKET, 2, 1, 0): "ok",
        (SOCKET, 40, 1, 0): "EPERM",
        (PERSONALITY, 0xFFFFFFFF): "ok",
        (PERSONALITY, 0x0400000): "EPERM",
    }
    assert answers(tmp_path, compile_profile(load_profile()), [list(call) for call in calls]) == list(calls.values())


def test_a_profile_is_what_is_compiled(tmp_path):
    allowed = [name for name in load_profile().allow if name != "getpid"]
    profile = Profile.model_validate({"otherwise": "EDOM", "allow": [*allowed, "of_the_future"]})
    assert answers(tmp_path, compile_profile(profile), [[GETPID], [MOUNT, 0, 0, 0, 0, 0]]) == ["EDOM", "EDOM"]


def test_the_shipped_profile_names_only_calls_that_there_are():
    import pyseccomp

    profile = load_profile()
    names = [*profile.allow, *profile.errors, *(condition.call for condition in profile.conditions)]
    native = pyseccomp.system_arch()
    unknown = [name for name in names if pyseccomp.resolve_syscall(native, name) < 0]
    assert unknown == []
    assert len(set(profile.allow)) == len(profile.allow)


@pytest.mark.parametrize(
    "wrong",
    [
        {"otherwise": "EWHAT", "allow": []},
        {"otherwise": "EPERM", "allow": [], "conditions": [{"call": "clone", "argument": 0}]},
        {"otherwise": "EPERM", "allow": [], "conditions": [{"call": "clone", "argument": 6, "equals": 1}]},
        {"otherwise": "EPERM", "allow": [], "conditions": [{"call": "clone", "argument": 0, "mask": 1, "differs": 1}]},
        {"otherwise": "EPERM", "allow": [], "permit": []},
    ],
)
def test_a_profile_with_a_mistake_is_refused(wrong):
    with pytest.raises(ValidationError):
        Profile.model_validate(wrong)


def test_a_missing_library_is_told_with_a_way_out():
    program = (
        "import sys; sys.modules['pyseccomp'] = None\n"
        "from runtimes.container.seccomp import compile_profile, load_profile\n"
        "from runtimes.base import HostError\n"
        "try:\n    compile_profile(load_profile())\nexcept HostError as error:\n    print(error)"
    )
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "apt-get install libseccomp2" in completed.stdout
    assert "seccomp: false" in completed.stdout
