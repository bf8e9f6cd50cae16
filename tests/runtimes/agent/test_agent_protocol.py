from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runtimes.agent
from runtimes.agent import protocol
from runtimes.agent.protocol import Frame, FrameDecoder, FrameType, ProtocolError

frames = st.builds(Frame, st.sampled_from(FrameType), st.integers(0, 2**32 - 1), st.binary(max_size=300))


def cut(data: bytes, positions: list[int]) -> list[bytes]:
    bounds = [0, *sorted(position % (len(data) + 1) for position in positions), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


@given(st.lists(frames, max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_come_back_however_the_stream_is_cut(sent, positions):
    decoder = FrameDecoder()
    stream = b"".join(frame.encode() for frame in sent)
    assert [frame for part in cut(stream, positions) for frame in decoder.feed(part)] == sent


@given(st.lists(frames, max_size=3), st.binary(min_size=16, max_size=64))
def test_frames_before_garbage_are_still_delivered(sent, garbage):
    if garbage[:4] == protocol.MAGIC:
        return
    decoder = FrameDecoder()
    received = []
    with pytest.raises(ProtocolError, match="magic"):
        received.extend(decoder.feed(b"".join(frame.encode() for frame in sent)))
        received.extend(decoder.feed(garbage))
    assert received == sent


@given(st.binary(max_size=2000), st.booleans())
def test_any_bytes_are_frames_or_a_protocol_error(data, with_magic):
    decoder = FrameDecoder()
    try:
        for frame in decoder.feed(protocol.MAGIC + data if with_magic else data):
            assert len(frame.payload) <= frame.type.payload_limit
    except ProtocolError:
        pass


@pytest.mark.parametrize("kind", [FrameType.SPAWN, FrameType.STDOUT])
def test_a_payload_beyond_the_limit_is_neither_sent_nor_taken(kind):
    with pytest.raises(ValueError, match=f"{kind.name}.*at most {kind.payload_limit}"):
        Frame(kind, 1, bytes(kind.payload_limit + 1)).encode()
    header = protocol._HEADER.pack(protocol.MAGIC, kind, 1, kind.payload_limit + 1)
    with pytest.raises(ProtocolError, match="at most"):
        list(FrameDecoder().feed(header))


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (protocol.decode_ready, bytes(15)),
        (protocol.decode_started, bytes(5)),
        (protocol.decode_error, bytes(3)),
        (protocol.decode_exit, bytes(77)),
    ],
)
def test_a_payload_of_the_wrong_size_is_a_protocol_error(decode, payload):
    with pytest.raises(ProtocolError, match=f"{len(payload)} bytes, expected"):
        decode(payload)


@pytest.mark.parametrize(
    ("argv", "env", "cwd", "timeout", "message"),
    [
        ((), {}, "/", None, "at least one argument"),
        (("a", "b\0c"), {}, "/", None, "NUL"),
        (("a",), {"A": "\0"}, "/", None, "NUL"),
        (("a",), {}, "/\0", None, "NUL"),
        (("a",), {"A=B": "c"}, "/", None, "no name for an environment variable"),
        (("a",), {"": "c"}, "/", None, "no name for an environment variable"),
        (("a",), {}, "/", 0.0, "timeout"),
        (("a",), {}, "/", float("nan"), "timeout"),
        (("a",), {}, "/", float("inf"), "timeout"),
        (("a",) * 4097, {}, "/", None, "at most 4096"),
    ],
)
def test_an_impossible_command_is_a_value_error(argv, env, cwd, timeout, message):
    with pytest.raises(ValueError, match=message):
        protocol.encode_spawn(argv, env, cwd, timeout)


def test_both_sides_name_the_same_numbers():
    header = (Path(runtimes.agent.__file__).parent / "wire.h").read_text()
    numbers = {name: int(value) for name, value in re.findall(r"(?:REQUEST|REPLY)_([A-Z]+) = (\d+)", header)}
    assert numbers == {kind.name: kind.value for kind in FrameType}
    assert f"PROTOCOL_VERSION {protocol.PROTOCOL_VERSION}u" in header
    assert f"STRING_LIMIT {protocol.STRING_LIMIT}u" in header
