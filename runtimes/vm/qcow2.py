"""Disks in QEMU's format qcow2, in which what is empty takes no room.

Written here, and not by ``qemu-img``: what is needed of the format are a header and two kinds of tables (QEMU
documentation, interop/qcow2), and the package would be one more on every host.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_ENTRIES = _CLUSTER // 8
"""Of one table that maps clusters of the disk."""

_COUNTS = _CLUSTER // 2
"""Of references, 16 bits each, in one cluster."""

_EMPTY = bytes(_CLUSTER)

_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_MAGIC = b"QFI\xfb"
_VERSION = 3
_COUNT_ORDER = 4
_ONLY_REFERENCE = 1 << 63


def write_qcow2(disk: Path, target: BinaryIO) -> None:
    """Write the disk that a file holds as it is to a file in the format qcow2, which begins empty.

    The same disk gives the same bytes.

    Raises:
        OSError: it cannot be read, or not be written.
    """
    size = disk.stat().st_size
    with disk.open("rb") as source:
        used = [number for number in range(-(-size // _CLUSTER)) if not _is_empty(_cluster(source, number))]
        mapped = sorted({number // _ENTRIES for number in used})
        first_level = -(-size // (_CLUSTER * _ENTRIES))
        first_clusters = -(-first_level // _ENTRIES)
        counts_clusters, counts_table = _room_for_counts(1 + first_clusters + len(mapped) + len(used))
        first_place = 1 + counts_table + counts_clusters
        second_place = first_place + first_clusters
        data_place = second_place + len(mapped)
        _write_header(target, size, first_level, first_place, counts_table)
        _write_table(target, 1, [1 + counts_table + index for index in range(counts_clusters)], only=False)
        target.seek((1 + counts_table) * _CLUSTER)
        target.write(struct.pack(">H", 1) * (data_place + len(used)))
        places = {table: second_place + index for index, table in enumerate(mapped)}
        _write_table(target, first_place, [places.get(table, 0) for table in range(first_level)])
        data = {number: data_place + index for index, number in enumerate(used)}
        for table, place in places.items():
            _write_table(target, place, [data.get(table * _ENTRIES + index, 0) for index in range(_ENTRIES)])
        for number, place in data.items():
            target.seek(place * _CLUSTER)
            target.write(_cluster(source, number).ljust(_CLUSTER, b"\0"))
        target.truncate((data_place + len(used)) * _CLUSTER)


def _room_for_counts(others: int) -> tuple[int, int]:
    """Clusters of counts for so many other clusters and their own, and clusters of the table of those."""
    blocks = table = 0
    while blocks * _COUNTS < others + blocks + table:
        blocks += 1
        table = -(-blocks // _ENTRIES)
    return blocks, table


def _cluster(source: BinaryIO, number: int) -> bytes:
    source.seek(number * _CLUSTER)
    return source.read(_CLUSTER)


def _is_empty(content: bytes) -> bool:
    return content == _EMPTY[: len(content)]


def _write_header(target: BinaryIO, size: int, first_level: int, first_place: int, counts_table: int) -> None:
    target.seek(0)
    target.write(
        _HEADER.pack(
            *(_MAGIC, _VERSION),
            *(0, 0),  # no other file below it
            *(_CLUSTER_BITS, size),
            0,  # not encrypted
            *(first_level, first_place * _CLUSTER),
            *(_CLUSTER, counts_table),
            *(0, 0),  # no snapshots
            *(0, 0, 0),  # no features
            *(_COUNT_ORDER, _HEADER.size),
        )
    )


def _write_table(target: BinaryIO, place: int, clusters: list[int], *, only: bool = True) -> None:
    """Write a table at a cluster that has the places of others, 0 for none."""
    mark = _ONLY_REFERENCE if only else 0
    target.seek(place * _CLUSTER)
    target.write(struct.pack(f">{len(clusters)}Q", *(each * _CLUSTER | mark if each else 0 for each in clusters)))
