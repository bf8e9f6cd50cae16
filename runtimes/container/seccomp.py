"""The filter of system calls: a profile, which is data, made into what the kernel takes by libseccomp."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from runtimes.base import HostError

PROFILE = Path(__file__).with_name("seccomp.yaml")

_OPTIMISE = 8  # SCMP_FLTATR_CTL_OPTIMIZE (seccomp_attr_set(3))
_BINARY_TREE = 2
_UNKNOWN = -1  # __NR_SCMP_ERROR (seccomp_syscall_resolve_name(3))


def _errno(name: object) -> int:
    number = getattr(errno, str(name), None)
    if not isinstance(number, int):
        raise ValueError(f"'{name}' is no error of the kernel; expected a name such as EPERM")  # noqa: TRY004 - pydantic's
    return number


_Errno = Annotated[int, PlainValidator(_errno)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Part):
    """What an argument must have for a call to be allowed.

    Attributes:
        call: name of the system call.
        argument: which argument, from 0.
        mask: what of it is looked at; all of it where there is none.
        equals: what it must be, under the mask.
        differs: or what it must not be.
    """

    call: str
    argument: Annotated[int, Field(ge=0, le=5)]
    mask: int | None = None
    equals: int | None = None
    differs: int | None = None

    @model_validator(mode="after")
    def _one_comparison(self) -> Condition:
        if (self.equals is None) == (self.differs is None) or (self.mask is not None and self.equals is None):
            raise ValueError("expected either 'equals', with or without a mask, or 'differs'")
        return self


class Profile(_Part):
    """Which system calls may be made.

    Attributes:
        otherwise: the error of a call that is not named here.
        allow: names of calls that are allowed whatever their arguments.
        errors: the errors of calls that have one of their own.
        conditions: calls that are allowed by their arguments; several for one call are alternatives.
    """

    otherwise: _Errno
    allow: tuple[str, ...]
    errors: dict[str, _Errno] = Field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()


def load_profile(path: Path = PROFILE) -> Profile:
    """The profile in a file."""
    return Profile.model_validate(yaml.safe_load(path.read_text()))


def compile_profile(profile: Profile) -> bytes:
    """The filter for this machine's own system calls, an array of ``struct sock_filter``.

    Names that libseccomp does not know, being newer, are passed over: they keep the error of all others. The calls are
    sorted into a binary tree, which the kernel has to walk for every one that it cannot decide by number alone.

    Raises:
        HostError: libseccomp is not there.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise HostError(
            f"seccomp: libseccomp cannot be loaded ({error}): apt-get install libseccomp2, or give the arm "
            "`seccomp: false`"
        ) from error
    filters = pyseccomp.SyscallFilter(pyseccomp.ERRNO(profile.otherwise))
    filters.set_attr(_OPTIMISE, _BINARY_TREE)
    native = pyseccomp.system_arch()

    def add(action: int, call: str, *comparisons: object) -> None:
        if pyseccomp.resolve_syscall(native, call) != _UNKNOWN:
            filters.add_rule(action, call, *comparisons)

    for call in profile.allow:
        add(pyseccomp.ALLOW, call)
    for call, number in profile.errors.items():
        add(pyseccomp.ERRNO(number), call)
    for condition in profile.conditions:
        add(pyseccomp.ALLOW, condition.call, _comparison(condition))
    with tempfile.TemporaryFile() as file:
        filters.export_bpf(file)
        file.seek(0)
        return file.read()


def _comparison(condition: Condition) -> object:
    import pyseccomp

    if condition.differs is not None:
        return pyseccomp.Arg(condition.argument, pyseccomp.NE, condition.differs)
    if condition.mask is not None:
        return pyseccomp.Arg(condition.argument, pyseccomp.MASKED_EQ, condition.mask, condition.equals)
    return pyseccomp.Arg(condition.argument, pyseccomp.EQ, condition.equals)
