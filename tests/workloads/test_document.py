from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, PlainValidator

from workloads.document import MAX_BYTES, dump_document, parse_document, read_document, validate
from workloads.errors import InvalidInput
from workloads.units import parse_size


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Limits(Strict):
    cpus: int
    cpuset: str = ""
    memory: Annotated[int, PlainValidator(parse_size)] = 0


class Item(Strict):
    name: str
    kind: Literal["lower", "higher"] = "lower"


class Model(Strict):
    limits: Limits = Limits(cpus=1)
    items: list[Item] = []


def read(text: str) -> object:
    return parse_document(text, "f.yaml").data


def refusal(text: str, model: type[BaseModel] = Model) -> str:
    with pytest.raises(InvalidInput) as error:
        validate(parse_document(text, "f.yaml"), model)
    return str(error.value)


def test_an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() -> None:
    assert refusal("limits: {cpus: 1, memry: 512M}") == (
        "f.yaml:1:19: limits.memry: unknown key; expected one of cpus, cpuset, memory; did you mean 'memory'?"
    )


def test_several_mistakes_stand_in_the_order_of_the_file() -> None:
    text = "items:\n  - name: 3\n    kind: hihger\n  - {}\nlimits: {cpus: many, memory: 5X}\n"
    assert refusal(text).splitlines() == [
        "f.yaml:2:11: items[0].name: expected text, got 3",
        "f.yaml:3:11: items[0].kind: 'hihger': expected one of lower, higher; did you mean 'higher'?",
        "f.yaml:4:5: items[1].name: this key is missing",
        "f.yaml:5:16: limits.cpus: expected a valid integer, unable to parse string as an integer, got 'many'",
        "f.yaml:5:30: limits.memory: unknown unit 'X' in '5X'; "
        "the units of size are k, M, G, T (powers of 1024), or none for bytes",
    ]


def test_the_wrong_kind_of_value_is_said_in_the_words_of_yaml() -> None:
    assert refusal("limits: [1]\nitems: {}") == (
        "f.yaml:1:9: limits: expected a mapping, got a list\nf.yaml:2:8: items: expected a list, got a mapping"
    )
    assert refusal("just text") == "f.yaml:1:1: expected a mapping, got 'just text'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.yaml:1:1: the document is empty"),
        ("a: 1\na: 2", "f.yaml:2:1: the key 'a' stands here twice; first in line 1"),
        ("x: {b: 1, b: 1}", "f.yaml:1:11: the key 'b' stands here twice; first in line 1"),
        ("1: a", "f.yaml:1:1: a key must be text; put it in quotes"),
        ("a: [1, 2\nb: 3", "f.yaml:2:2: expected ',' or ']'"),
        ("a: *b", "f.yaml:1:4: found undefined alias 'b'"),
        ("--- 1\n--- 2", "f.yaml:2:1: but found another document"),
        ("a: x\0", "f.yaml:1:5: the character U+0000 is not allowed"),
        ("a: !!python/name:os.system", "f.yaml:1:4: the tag tag:yaml.org,2002:python/name:os.system is not understood"),
        ("a: !!int x", "f.yaml:1:4: not a value of the type tag:yaml.org,2002:int: 'x'"),
        ("a: 1e999", "f.yaml:1:4: the tag"),
        ("a: " + "9" * 5000, "f.yaml:1:4: not a value of the type"),
        ("[" * 5000, "f.yaml:1:51: nested deeper than 50 levels"),
        ("<<: 3", "f.yaml:1:5: << must be followed by a mapping"),
    ],
)
def test_what_is_no_document(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_document(text, "f.yaml")
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {<<: *a}",
        "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20))]),
        "\n".join(["a0: &a0 {}", *(f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 20))]),
    ],
    ids=["list in itself", "mapping in itself", "aliases", "merge keys"],
)
def test_alias_bombs_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="once aliases are followed"):
        parse_document(text, "f.yaml")


def test_scalars() -> None:
    text = "[null, ~, '', no, on, 1:30, 010, 0x10, 1e3, .5, -2, true, 2024-01-01, '7', .inf]"
    assert read(text) == [
        "null",
        None,
        "",
        "no",
        "on",
        "1:30",
        10,
        16,
        1000.0,
        0.5,
        -2,
        True,
        "2024-01-01",
        "7",
        ".inf",
    ]


def test_aliases_and_merge_keys() -> None:
    assert read("a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\nd: {<<: [{p: 9}, *x]}") == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 2},
        "c": {"q": 3, "p": 1},
        "d": {"p": 9, "q": 2},
    }


def test_a_mistake_behind_an_alias_is_shown_where_it_was_written() -> None:
    text = "items:\n  - &x {name: 1}\n  - *x\n"
    assert refusal(text).splitlines() == [
        "f.yaml:2:15: items[0].name: expected text, got 1",
        "f.yaml:2:15: items[1].name: expected text, got 1",
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"a: b\nc: \xe9")
    (tmp_path / "huge").write_bytes(b"#" * (MAX_BYTES + 1))
    for name, said in (
        ("absent", "cannot be read: No such file or directory"),
        ("", "cannot be read: Is a directory"),
        ("latin", ":2:4: not UTF-8 text"),
        ("huge", "larger than 1 MiB"),
    ):
        with pytest.raises(InvalidInput, match=said):
            read_document(tmp_path / name)


def test_a_byte_order_mark_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_document(tmp_path / "f").data == {"a": 1}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text(), plain, max_size=4))
def test_dumped_data_is_read_back_as_the_same(data: dict[str, object]) -> None:
    text = dump_document(data)
    assert read(text) == data
    assert yaml.safe_load(text) == data


@pytest.mark.parametrize("text", ["1e3", "0o17", "null", "no", "~", "<<", "1:30", "010"])
def test_text_that_looks_like_something_else_is_dumped_in_quotes(text: str) -> None:
    assert read(dump_document([text])) == [text]
    assert yaml.safe_load(dump_document([text])) == [text]


@given(st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from(list("[]{}:,-&*!|>'\"#%@ \n\t<")), max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        parse_document(text, "f.yaml")
    except InvalidInput as error:
        assert str(error).startswith("f.yaml:")
