"""Reading the host's apt sources and leaving out what is not Debian's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.image import ImageError
from workloads.image.sources import Source, debian_sources, parse_deb822, parse_one_line

DEB822 = """\
# the main archive
Types: deb deb-src
URIs: http://mirror.example/debian
# a comment inside
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security/
Suites: bookworm-security
Components: main

Types: deb
URIs: http://third.example/node
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb [arch=amd64,i386 signed-by=/k.gpg] https://mirror.example/debian bookworm main non-free # comment
deb-src https://mirror.example/debian bookworm main
deb https://third.example/linux/debian bookworm stable
deb cdrom:[Debian]/ bookworm main
deb http://mirror.example/debian bookworm-backports main
deb http://mirror.example/debian stable-updates main
"""


@pytest.fixture
def apt(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_deb822_stanzas_are_read(apt):
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    found = debian_sources("bookworm", apt)
    assert [(source.uri, source.suite) for source in found] == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "bookworm-updates"),
        ("http://mirror.example/debian-security/", "bookworm-security"),
    ]
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n" in found[0].stanza()
    assert "contrib" not in found[0].stanza()


def test_one_line_entries_are_read(apt):
    (apt / "sources.list").write_text(ONE_LINE)
    found = debian_sources("bookworm", apt)
    assert [(source.uri, source.suite) for source in found] == [
        ("https://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "stable-updates"),
    ]
    assert found[0].options == {"Architectures": "amd64 i386", "Signed-By": "/k.gpg"}


def test_a_source_that_stands_twice_is_taken_once(apt):
    (apt / "sources.list").write_text("deb http://mirror.example/debian/ bookworm main\n")
    (apt / "sources.list.d/again.list").write_text("deb http://mirror.example/debian bookworm main\n")
    assert len(debian_sources("bookworm", apt)) == 1


def test_without_any_source_the_release_is_named(apt):
    (apt / "sources.list.d/third.list").write_text("deb https://third.example/x nodistro main\n")
    with pytest.raises(ImageError, match="expected an entry with suite bookworm and component main"):
        debian_sources("bookworm", apt)


def test_an_embedded_key_keeps_its_lines():
    text = (
        "Types: deb\nURIs: http://a.example\nSuites: s\nComponents: main\nSigned-By:\n -----BEGIN KEY-----\n .\n abc\n"
    )
    (source,) = parse_deb822(text)
    assert source.options["Signed-By"] == "\n -----BEGIN KEY-----\n .\n abc"
    assert list(parse_deb822(source.stanza())) == [source]


WORD = st.from_regex(r"[a-z][a-z0-9./-]{0,12}", fullmatch=True)


@given(WORD, WORD, st.dictionaries(st.sampled_from(["Signed-By", "Trusted", "Architectures"]), WORD))
def test_a_stanza_reads_back_as_the_source_it_was_made_from(uri, suite, options):
    source = Source(f"http://{uri}", suite, ("main",), options)
    assert list(parse_deb822(source.stanza())) == [source]


@given(st.text())
def test_no_text_breaks_the_parsers(text):
    list(parse_deb822(text))
    list(parse_one_line(text))
