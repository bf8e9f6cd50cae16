"""A store that is damaged, locked, newer, read-only or on a full disk: one message from each verb, and nothing lost."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from whole_runs import RUNS, counts, fill, fill_all, tree

from bench.cli import run_command_line
from results import database
from results.bundle import write_bundle
from results.store import Store

READERS = {
    "list": ["list"],
    "show": ["show", RUNS[0]],
    "compare": ["compare"],
    "export": ["export", "-o", "{out}/run.csv"],
    "bundle": ["export", "--bundle", "--all", "-o", "{out}/runs.tar"],
    "query": ["query", "SELECT * FROM points"],
    "dry import": ["import", "{good}", "--dry-run"],
    "regress": ["regress"],
    "history": ["history", "time"],
    "acknowledged": ["ack"],
    "baselines": ["baseline", "list"],
}
DRAWERS = {
    "report": ["report", "-o", "{out}/report"],
    "site": ["site", "-o", "{out}/site"],
}
WRITERS = {
    "import": ["import", "{good}"],
    "remove": ["remove", RUNS[1]],
    "name": ["baseline", "set", "release"],
}
VERBS = READERS | DRAWERS | WRITERS


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("good") / "store"
    with Store(directory).open(create=True) as store:
        fill_all(store)
        store.remove_baseline("release")
        for run in store.runs():
            (store.run_directory(run.id) / "suite.yaml").write_text("arms: {}\n")
            (store.run_directory(run.id) / "host.json").write_text("{}\n")
    return directory


@pytest.fixture
def store(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "store"))


def carry_out(
    verb: str, store: Path, good: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> tuple[int, str]:
    """The exit code, and what was said on standard error; any exception that passes fails the test."""
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    arguments = [argument.format(out=out, good=good) for argument in VERBS[verb]]
    code = run_command_line([*arguments, "--store", str(store)])
    return code, capsys.readouterr().err


def said_once(code: int, said: str, expected: str) -> None:
    assert code == 2
    assert said.startswith("bench: ")
    assert said.count("\n") == 1
    assert expected in said


def whole(store: Path, good: Path) -> None:
    """Nothing is lost: every row and every file is as it was."""
    with Store(store).open(create=False) as ours, Store(good).open(create=False) as theirs:
        assert counts(ours) == counts(theirs)
        assert all(ours.whole_run(run_id) == theirs.whole_run(run_id) for run_id in RUNS)
    assert tree(store) == tree(good)


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def header_alone(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096])


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as opened:
        opened.execute(f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (garbage, "is not a database: move it away"),
        (half, "is damaged ("),
        (header_alone, "is damaged ("),
        (newer, "this program knows"),
    ],
)
def test_every_verb_says_once_what_is_wrong_and_leaves_all_as_it_is(
    store: Path,
    good: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    expected: str,
) -> None:
    path = store / "bench.sqlite"
    spoil(path)
    before, files = path.read_bytes(), tree(store)
    for verb in VERBS:
        said_once(*carry_out(verb, store, good, capsys, tmp_path), expected)
        assert path.read_bytes() == before, verb
        assert tree(store) == files, verb
    assert list((tmp_path / "out").iterdir()) == []


def test_a_store_without_a_byte_is_told_by_who_reads(
    store: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing(store / "bench.sqlite")
    for verb in (*READERS, *DRAWERS, "remove", "name"):
        said_once(*carry_out(verb, store, good, capsys, tmp_path), "is empty: move it away")
    # The directories of runs that the database knows nothing of are not taken for those that come.
    said_once(*carry_out("import", store, good, capsys, tmp_path), "is there already, and no run")
    assert tree(store) == tree(good)


def test_bytes_that_have_become_others_are_never_a_traceback(
    store: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite notices damaged pages; a letter in a value it does not, so that this is ours to find."""
    path = store / "bench.sqlite"
    content = path.read_bytes()
    rng = random.Random(4)
    noticed = 0
    for number in range(12):
        spoilt = bytearray(content)
        if number % 3 == 0:
            page = 4096 * rng.randrange(1, len(content) // 4096)
            spoilt[page : page + 4096] = rng.randbytes(4096)
        else:
            for _ in range(30):
                spoilt[rng.randrange(4096, len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(spoilt)
        for verb in READERS:
            code, said = carry_out(verb, store, good, capsys, tmp_path)
            noticed += code != 0
            assert (code, said.count("\n")) in ((0, 0), (2, 1)) or verb == "dry import", (number, verb, said)
        assert path.read_bytes() == spoilt
    assert noticed >= 12


@pytest.mark.parametrize(("place", "letter"), [("arms", "["), ("params", "{"), ("facts", "{"), ("spins", "[")])
def test_a_value_that_cannot_be_is_damage(
    store: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, letter: str
) -> None:
    table = {"arms": "run", "spins": "noise"}.get(place, "trial")
    with closing(sqlite3.connect(store / "bench.sqlite")) as opened:
        opened.execute(f"UPDATE {table} SET {place} = '{letter}'")
        opened.commit()
    said_once(*carry_out("bundle", store, good, capsys, tmp_path), "bench.sqlite is damaged (")


TIMES = ("yesterday", "2026-11-24T11:45:02", "2026-11-24", "20261124T114502Z", "2026-11-24 11:45:02Z")


@pytest.mark.parametrize(
    ("table", "place", "verbs"),
    [
        ("run", "started", ("list", "show", "regress", "history", "dry import", "report", "site")),
        ("run", "ended", ("list", "site", "bundle")),
        ("trial", "started", ("show", "bundle", "report")),
    ],
)
def test_a_time_that_is_none_is_damage(
    store: Path,
    good: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    table: str,
    place: str,
    verbs: Sequence[str],
) -> None:
    for time in TIMES:
        with closing(sqlite3.connect(store / "bench.sqlite")) as opened:
            opened.execute(f"UPDATE {table} SET {place} = ?", (time,))
            opened.commit()
        for verb in verbs:
            code, said = carry_out(verb, store, good, capsys, tmp_path)
            said_once(code, said, "bench.sqlite is damaged (")
            assert time in said, verb
    said_once(run_command_line(["import", str(store), "--store", str(tmp_path / "new")]), capsys.readouterr().err, time)


LOCK = """
    import sqlite3, sys
    other = sqlite3.connect(sys.argv[1], isolation_level=None)
    other.execute("BEGIN {kind}")
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def locked(path: Path, kind: str) -> Iterator[None]:
    """Another process is at the database."""
    program = [sys.executable, "-c", textwrap.dedent(LOCK).format(kind=kind), str(path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        yield
        other.communicate("")


def test_a_store_that_another_process_writes_is_waited_for_and_then_told(
    store: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    with locked(store / "bench.sqlite", "EXCLUSIVE"):
        for verb in VERBS:
            said = carry_out(verb, store, good, capsys, tmp_path)
            said_once(*said, "has been locked by another process for 0.1 s: wait for it to end")
    whole(store, good)


def test_who_only_reads_does_not_wait_for_a_transaction_that_has_just_begun(
    store: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    with locked(store / "bench.sqlite", "IMMEDIATE"):
        for verb in READERS:
            assert carry_out(verb, store, good, capsys, tmp_path) == (0, ""), verb
        for verb in WRITERS:
            said_once(*carry_out(verb, store, good, capsys, tmp_path), "locked by another process")
    whole(store, good)


# Root may write whatever the mode of a directory says, but not what is mounted read-only. The mount is in a namespace
# of the process's own, so that it is gone with it, however it ends.
INSIDE = """
    import os, shutil, subprocess, sys
    from pathlib import Path
    place, good, bundle, options = sys.argv[1:5]
    libc = __import__("ctypes").CDLL(None, use_errno=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "bench-full", place], check=True)
    shutil.copytree(good, place + "/store")
    if options.startswith("size"):
        with open(place + "/filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass
    else:
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    bench = str(Path(sys.executable).with_name("bench"))
    verbs = [["list"], ["query", "SELECT * FROM run"], ["import", bundle], ["remove", sys.argv[5]],
             ["export", "-o", place + "/run.csv"], ["report"]]
    for arguments in verbs:
        done = subprocess.run([bench, *arguments, "--store", place + "/store"], capture_output=True, text=True)
        print(arguments[0], done.returncode, done.stderr.strip().replace(chr(10), "⏎"), sep="|")
    shutil.copytree(place + "/store", sys.argv[6])
"""


@pytest.mark.host
@pytest.mark.parametrize(
    ("options", "reason"),
    [("size=4m", "no room left|No space left"), ("mode=755", "cannot write|Read-only file system")],
)
def test_a_disk_that_is_full_or_read_only_loses_nothing(good: Path, tmp_path: Path, options: str, reason: str) -> None:
    bundle, after = tmp_path / "more.tar", tmp_path / "after"
    with Store(tmp_path / "more").open(create=True) as more:
        fill(more, "20261126-114700-cccc")
        write_bundle(more, more.runs(), bundle)
    (tmp_path / "mount").mkdir()
    program = ["unshare", "--mount", sys.executable, "-c", textwrap.dedent(INSIDE)]
    places = [tmp_path / "mount", good, bundle, options, RUNS[1], after]
    done = subprocess.run([*program, *map(str, places)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = {verb: (int(code), text) for verb, code, text in (line.split("|", 2) for line in done.stdout.splitlines())}
    for verb in ("list", "query"):
        assert said[verb] == (0, "")
    for verb in ("import", "remove", "export", "report"):
        code, text = said[verb]
        assert (code, text[:7], text.count("⏎")) == (2, "bench: ", 0), (verb, text)
        assert re.search(reason, text), (verb, text)
    whole(after, good)
