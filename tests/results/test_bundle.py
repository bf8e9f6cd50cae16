"""Runs are carried in one file without loss, and a file that is not what it should be leaves nothing behind."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from whole_runs import BASELINE, KNOWN, RUNS, counts, fill, fill_all, tree

from results.bundle import opened_bundle, read, write_bundle
from results.errors import StoreError
from results.merge import Outcome, merge
from results.records import Acknowledgement, Baseline
from results.store import Store


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundle")
    with Store(directory / "store").open(create=True) as store:
        fill_all(store)
        write_bundle(store, store.runs(), directory / "runs.tar")
    return directory / "runs.tar"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "other").open(create=True) as opened:
        yield opened


def bring(path: Path, store: Store, dry_run: bool = False) -> list[Outcome]:
    with store.work_directory() as directory, opened_bundle(path, directory) as source:
        return list(merge(source, store, dry_run))


@pytest.mark.parametrize("end", [".tar", ".tar.gz", ".tar.xz"])
def test_a_bundle_brings_all_of_its_runs(store: Store, other: Store, tmp_path: Path, end: str) -> None:
    fill_all(store)
    path = tmp_path / f"runs{end}"
    write_bundle(store, store.runs(), path)
    outcomes = bring(path, other)
    assert [(outcome.what, outcome.action) for outcome in outcomes] == [
        ("run", "imported"),
        ("run", "imported"),
        ("baseline", "imported"),
        ("acknowledgement", "imported"),
    ]
    assert counts(other) == counts(store)
    for run_id in RUNS:
        assert other.whole_run(run_id) == store.whole_run(run_id)
        assert other.frame(run_id).equals(store.frame(run_id))
        theirs = tree(store.run_directory(run_id))
        del theirs["report/report.html"]  # it is made anew from the rest
        assert tree(other.run_directory(run_id)) == theirs
    assert (other.baselines(), other.acknowledgements()) == ([BASELINE], [KNOWN])
    assert sorted(path.name for path in (other.directory / "runs").iterdir()) == list(RUNS)


def test_the_same_runs_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    fill_all(store)
    written = []
    for number, end in enumerate((".tar.gz", ".tar.gz", ".tar.xz", ".tar.xz")):
        path = tmp_path / f"{number}{end}"
        write_bundle(store, store.runs(), path)
        os.utime(store.run_directory(RUNS[0]) / "suite.yaml", (number, time.time() + number))
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert written[2] == written[3]


def test_what_is_here_already_is_skipped(bundle: Path, other: Store) -> None:
    bring(bundle, other)
    before = tree(other.directory)
    outcomes = bring(bundle, other)
    assert {outcome.action for outcome in outcomes} == {"skipped"}
    assert outcomes[0] == Outcome("run", RUNS[0], "skipped", "it is there already")
    assert tree(other.directory) == before


def test_a_dry_run_tells_the_same_and_does_nothing(bundle: Path, other: Store) -> None:
    told = bring(bundle, other, dry_run=True)
    assert counts(other)["run"] == 0
    assert other.baselines() == other.acknowledgements() == []
    assert bring(bundle, other) == told


def test_another_run_with_the_same_id_is_refused_and_the_rest_comes(bundle: Path, other: Store) -> None:
    fill(other, RUNS[1])  # its values are those of the first of a store, so others than in the bundle
    mine = other.whole_run(RUNS[1])
    outcomes = bring(bundle, other)
    assert [(outcome.name, outcome.action) for outcome in outcomes[:2]] == [(RUNS[0], "imported"), (RUNS[1], "refused")]
    assert "another run with this id" in outcomes[1].reason
    assert other.whole_run(RUNS[1]) == mine


def test_the_same_figures_with_other_files_are_refused(bundle: Path, other: Store) -> None:
    bring(bundle, other)
    log = other.run_directory(RUNS[0]) / "trials/1/log.txt"
    log.write_text("mine")
    assert bring(bundle, other)[0].reason == "there is a run with this id and these figures, and with other files"
    assert log.read_text() == "mine"


def test_baselines_and_known_changes_that_clash_stay_as_they_are_here(bundle: Path, other: Store) -> None:
    fill(other, "20261123-114700-mine")
    mine = Baseline(BASELINE.name, "20261123-114700-mine", "t", "ours")
    other.set_baseline(mine)
    reason = Acknowledgement(**{**{name: getattr(KNOWN, name) for name in KNOWN.__slots__}, "reason": "ours"})
    other.acknowledge(reason)
    outcomes = bring(bundle, other)
    assert outcomes[2] == Outcome(
        "baseline", "release", "skipped", "here it names run 20261123-114700-mine, which stays so"
    )
    assert outcomes[3].action == "skipped"
    assert (other.baselines(), other.acknowledgements()) == ([mine], [reason])


def test_what_is_said_of_a_refused_run_is_not_said_of_ours(bundle: Path, other: Store) -> None:
    fill(other, *reversed(RUNS))  # the figures of each are those that the other one has in the bundle
    outcomes = bring(bundle, other)
    assert [(outcome.what, outcome.action) for outcome in outcomes] == [
        ("run", "refused"),
        ("run", "refused"),
        ("baseline", "refused"),
        ("acknowledgement", "refused"),
    ]
    assert outcomes[2].reason == f"its run {RUNS[0]} was not imported"
    assert other.baselines() == other.acknowledgements() == []


def test_a_name_that_no_baseline_can_have_is_refused_and_the_rest_comes(bundle: Path, other: Store) -> None:
    path = changed(bundle, replace("baselines.json", b'"release"', b'"re<b>lease"'))
    assert [outcome.action for outcome in bring(path, other)] == ["imported", "imported", "refused", "imported"]
    assert other.baselines() == []


def test_another_store_is_merged_without_a_bundle(store: Store, other: Store) -> None:
    fill_all(store)
    fill(other, "20261123-114700-mine")
    outcomes = list(merge(store, other, dry_run=False))
    assert [outcome.action for outcome in outcomes] == ["imported"] * 4
    assert counts(other)["run"] == 3
    assert other.whole_run(RUNS[1]) == store.whole_run(RUNS[1])


def test_a_run_that_is_being_written_is_neither_exported_nor_imported(
    store: Store, other: Store, tmp_path: Path
) -> None:
    from stored_runs import RunBuilder, run_record

    record = run_record(id="20261126-114700-live")
    RunBuilder(store, record).trial(0, "native", time=1.0)
    with pytest.raises(StoreError, match="is being written: wait for it to end"):
        write_bundle(store, [record], tmp_path / "live.tar")
    assert not list(tmp_path.glob("live*"))
    (outcome,) = merge(store, other, dry_run=False)
    assert outcome.action == "skipped"
    assert counts(other)["run"] == 0


def test_a_run_id_that_leads_elsewhere_is_refused(store: Store, other: Store, tmp_path: Path) -> None:
    fill(store, RUNS[0])
    connection = store._connection
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("UPDATE run SET id = '../../escaped'")
    (outcome,) = merge(store, other, dry_run=False)
    assert (outcome.action, outcome.name) == ("refused", "'../../escaped'")
    assert not (tmp_path / "escaped").exists()


def test_a_run_without_files_is_carried_as_it_is(store: Store, other: Store, tmp_path: Path) -> None:
    fill(store, *RUNS)
    for name in ("suite.yaml", "host.json"):
        (store.run_directory(RUNS[0]) / name).unlink()
    shutil.rmtree(store.run_directory(RUNS[1]))
    write_bundle(store, store.runs(), tmp_path / "runs.tar")
    assert [outcome.action for outcome in bring(tmp_path / "runs.tar", other)] == ["imported", "imported"]
    assert [other.whole_run(run_id) for run_id in RUNS] == [store.whole_run(run_id) for run_id in RUNS]


def test_a_directory_without_a_run_is_not_overwritten(bundle: Path, other: Store) -> None:
    orphan = other.run_directory(RUNS[0])
    orphan.mkdir(parents=True)
    (orphan / "log.txt").write_text("of a database that was lost")
    with pytest.raises(StoreError, match=r"is there already, and no run .* in the database: move it away"):
        bring(bundle, other)
    assert (orphan / "log.txt").is_file()
    assert counts(other)["run"] == 0


def test_an_extension_that_says_nothing_is_refused(store: Store, tmp_path: Path) -> None:
    fill(store, RUNS[0])
    with pytest.raises(StoreError, match=r"ends in \.tar, \.tar\.gz, \.tar\.xz"):
        write_bundle(store, store.runs(), tmp_path / "runs.zip")


# --- files that are not what they should be -------------------------------------------------------------------------

Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def changed(bundle: Path, change: Change, checksums: bool = True) -> Path:
    """The bundle with other members, and checksums that agree with them."""
    with tarfile.open(bundle) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    members = [pair for pair in members if pair[0].name != "checksums.json"]
    change(members)
    sums = {member.name: hashlib.sha256(content).hexdigest() for member, content in members}
    if checksums:
        members.append((tarfile.TarInfo("checksums.json"), json.dumps(sums).encode()))
    path = bundle.with_name("changed.tar")
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            if member.type == tarfile.REGTYPE:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def add(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        members.insert(0, (member, b"" if kind != tarfile.REGTYPE else b"hostile"))

    return change


def replace(end: str, old: bytes, new: bytes) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        (place,) = (number for number, (member, _) in enumerate(members) if member.name.endswith(end))
        member, content = members[place]
        assert old in content
        members[place] = (member, content.replace(old, new))

    return change


def refused(path: Path, store: Store, message: str) -> None:
    before = tree(store.directory.parent)
    with pytest.raises(StoreError, match=message):
        bring(path, store)
    assert tree(store.directory.parent) == before
    assert counts(store)["run"] == 0
    assert not list((store.directory / "runs").iterdir())


FILES = f"runs/{RUNS[0]}/files"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add("../escaped"), "leads out of the bundle"),
        (add(f"{FILES}/../../../../../../escaped"), "leads out of the bundle"),
        (add("/tmp/bench-escaped"), "leads out of the bundle"),
        (add(f"{FILES}/link", tarfile.SYMTYPE, "/etc/passwd"), "is no plain file"),
        (add(f"{FILES}/link", tarfile.LNKTYPE, "/etc/passwd"), "is no plain file"),
        (add(f"{FILES}/device", tarfile.CHRTYPE), "is no plain file"),
        (add(f"{FILES}/pipe", tarfile.FIFOTYPE), "is no plain file"),
        (add(f"{FILES}/directory", tarfile.DIRTYPE), "is no plain file"),
        (add(f"{FILES}/sparse", tarfile.GNUTYPE_SPARSE), "is no plain file"),
        (add(f"{FILES}/suite.yaml"), "is in it twice"),
        (add(f"{FILES}/suite.yaml/below"), "is in it twice"),
        (replace("bundle.json", b'"version": 1', b'"version": 2'), "a bundle of version 2, this program knows 1"),
        (replace("bundle.json", b"bench-bundle", b"other-bundle"), "no bundle of bench"),
        (replace("bundle.json", RUNS[0].encode(), b"../../escaped"), "is no id of a run"),
        (replace("bundle.json", RUNS[0].encode(), b"20261124-absent"), r"there is no runs/20261124-absent/run\.json"),
        (replace(f"{RUNS[0]}/run.json", RUNS[0].encode(), RUNS[1].encode()), "is not that of a run that ended"),
        (replace(f"{RUNS[0]}/run.json", b"complete", b"running"), "is not that of a run that ended"),
        (replace(f"{RUNS[0]}/run.json", b'"seed": ', b'"seed": 1.5e'), "run.json: "),
        (replace(f"{RUNS[0]}/run.json", b'"started": "', b'"started": "on '), "run.json: .*is no time"),
        (replace(f"{RUNS[0]}/run.json", b'"ended": "2026-11-27T00:00:00+00:00"', b'"ended": ""'), "is no time"),
        (replace(f"{RUNS[0]}/trials.jsonl", b"+00:00", b""), "trials.jsonl: line 1: trial: .*is no time such as"),
        (replace(f"{RUNS[0]}/trials.jsonl", b'"none"', b'"xen"'), "line 1: trial.accel"),
        (replace(f"{RUNS[0]}/trials.jsonl", b'"value": 1.0', b'"value": Infinity'), "trials.jsonl: line 1"),
        (replace(f"{RUNS[0]}/trials.jsonl", b'"iteration": 1', b'"iteration": 0'), "contradicts itself"),
        (replace(f"{RUNS[0]}/trials.jsonl", RUNS[0].encode(), RUNS[1].encode()), "a trial of another run"),
        (replace(f"{RUNS[0]}/trials.jsonl", b"{", b"["), "trials.jsonl: line 1"),
        (replace(f"{RUNS[0]}/noise.jsonl", b'"cpus": 2', b'"cpus": "two"'), "noise.jsonl: line 1: cpus"),
    ],
)
def test_a_hostile_bundle_is_refused_and_leaves_nothing(
    bundle: Path, other: Store, change: Change, message: str
) -> None:
    refused(changed(bundle, change), other, message)


def test_a_bundle_without_checksums_is_refused(bundle: Path, other: Store) -> None:
    refused(
        changed(bundle, lambda members: None, checksums=False), other, r"has no checksums\.json, so it is no bundle"
    )


def test_an_archive_of_something_else_is_refused(other: Store, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not an archive at all\n" * 100)
    refused(tmp_path / "text", other, "is damaged, or no bundle")
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "text", "text")
    refused(tmp_path / "other.tar.gz", other, r"has no bundle\.json, so it is no bundle")


@pytest.mark.parametrize("end", [".tar", ".tar.gz", ".tar.xz"])
def test_a_bundle_that_ends_early_is_refused(store: Store, other: Store, tmp_path: Path, end: str) -> None:
    fill_all(store)
    path = tmp_path / f"runs{end}"
    write_bundle(store, store.runs(), path)
    content = path.read_bytes().rstrip(b"\0") if end == ".tar" else path.read_bytes()
    for part in range(8):
        path.write_bytes(content[: len(content) * part // 8])
        refused(path, other, "is damaged|is no bundle|is not that of|no bundle")


@pytest.mark.parametrize("end", [".tar", ".tar.gz", ".tar.xz"])
def test_a_bundle_with_a_flipped_byte_is_refused_or_means_the_same(
    store: Store, other: Store, tmp_path: Path, end: str
) -> None:
    """Some bytes mean nothing: padding, and times that nobody reads. All others are noticed."""
    fill_all(store)
    path = tmp_path / f"runs{end}"
    write_bundle(store, store.runs(), path)
    content = path.read_bytes()
    expected = {run_id: store.whole_run(run_id) for run_id in RUNS}
    noticed = 0
    for number in range(24):
        flipped = bytearray(content)
        flipped[(2 * number + 1) * len(content) // 48] ^= 0x10
        path.write_bytes(flipped)
        try:
            with other.work_directory() as directory, opened_bundle(path, directory) as source:
                assert {run_id: source.whole_run(run_id) for run_id in RUNS} == expected
        except StoreError:
            noticed += 1
        assert not list((other.directory / "runs").iterdir())
    assert noticed >= 4


def test_a_bundle_that_unpacks_to_more_than_there_may_be_is_refused(
    bundle: Path, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle.with_suffix(".tar.gz")
    path.write_bytes(gzip.compress(changed(bundle, add_zeros(2 << 20)).read_bytes()))
    monkeypatch.setattr(read, "MOST_BYTES", 1 << 20)
    refused(path, other, "no room to unpack|it is longer than")


def add_zeros(size: int) -> Change:
    return lambda members: members.insert(0, (tarfile.TarInfo(f"{FILES}/zeros"), bytes(size)))


def test_a_header_that_claims_a_size_is_not_believed(other: Store, tmp_path: Path) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 1 << 40
    path = tmp_path / "header.tar"
    path.write_bytes(member.tobuf(tarfile.USTAR_FORMAT if member.size < 1 << 33 else tarfile.GNU_FORMAT) + bytes(1024))
    refused(path, other, "a header of it is too long")


def test_more_files_than_any_bundle_has_are_refused(
    bundle: Path, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "MOST_MEMBERS", 5)
    refused(bundle, other, "has more than 5 files")


def test_unpacking_leaves_room_on_the_disk(bundle: Path, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "SPARE", 1 << 60)
    refused(bundle, other, "no room to unpack")


def test_what_a_killed_import_left_is_cleared_up_by_who_writes_next(bundle: Path, other: Store) -> None:
    with other.work_directory() as directory, opened_bundle(bundle, directory):
        work = directory.parent
        with Store(other.directory).open(create=True):
            assert work.is_dir()  # its owner is alive
        left = work.with_name(".work-dead")
        left.mkdir()
        (left / "file").write_text("left")
    with Store(other.directory).open(create=True):
        assert not list((other.directory / "runs").iterdir())
