from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import parsers
from workloads.document import parse_document, validate
from workloads.loader import load_catalogue, load_workload
from workloads.model import Workload
from workloads.parsers import ParsedMetric, ParseError

CAPTURED = Path(__file__).parent / "captured"


def parse(mine: Workload, stdout: str) -> list[ParsedMetric]:
    return parsers.parse(mine, stdout, host_cpu=3.0)


def workload(parser: str, **keys: object) -> Workload:
    metric = {"unit": "s", "better": "lower", "primary": True, **keys}
    data = {"name": "w", "description": "d", "run": ["tool"], "parser": parser, "metrics": {"figure": metric}}
    return validate(parse_document(json.dumps(data), "w.yaml"), Workload)


def figure(mine: Workload, stdout: str) -> float:
    (parsed,) = parse(mine, stdout)
    return parsed.value


def figures(name: str, captured: str) -> Mapping[str, float]:
    return {item.name: item.value for item in parse(load_workload(name), (CAPTURED / captured).read_text())}


@pytest.mark.parametrize("captured", ["fio/randread.out", "fio/write.out", "fio/randrw.out"])
def test_reads_writes_and_both_have_the_same_metrics(captured: str) -> None:
    found = figures("fio", captured)
    assert list(found) == ["iops", "mb_per_second", "latency_p50", "latency_p99", "latency_p999"]
    assert found["mb_per_second"] == pytest.approx(found["iops"] * 4096 / 1e6, rel=0.01)
    assert 0 < found["latency_p50"] <= found["latency_p99"] <= found["latency_p999"]


def test_iperf3_counts_what_was_received() -> None:
    received = json.loads((CAPTURED / "iperf3/in.out").read_text())["end"]["sum_received"]["bits_per_second"]
    assert figures("iperf3", "iperf3/in.out")["gbit_per_second"] == pytest.approx(received / 1e9)


def test_units_and_directions_travel_with_the_figures() -> None:
    parsed = parse(load_workload("fio"), (CAPTURED / "fio/write.out").read_text())
    assert [(item.unit, item.better, item.primary) for item in parsed] == [
        ("requests/s", "higher", True),
        ("MB/s", "higher", False),
        ("µs", "lower", False),
        ("µs", "lower", False),
        ("µs", "lower", False),
    ]


def test_the_output_is_shown_by_its_beginning_and_end() -> None:
    output = (CAPTURED / "fio/failed.out").read_text()
    with pytest.raises(ParseError) as error:
        parse(load_workload("fio"), output)
    shown = [line for line in output.splitlines() if line.strip()]
    assert shown[0][:160] in str(error.value)
    assert shown[-1][:160] in str(error.value)


@pytest.mark.parametrize("name", [name for name, each in load_catalogue().items() if each.run])
def test_no_output_gives_no_figures(name: str) -> None:
    with pytest.raises(ParseError, match="the output is empty"):
        parse(load_workload(name), "")


def test_null_has_no_figures() -> None:
    assert parse(load_workload("null"), "whatever") == []


def test_regex_takes_the_named_group_or_the_first() -> None:
    assert figure(workload("regex", pattern=r"a=(\d+) b=(\d+)"), "a=1 b=2") == 1
    assert figure(workload("regex", pattern=r"a=(\d+) b=(?P<value>\d+)"), "a=1 b=2") == 2
    assert figure(workload("regex", pattern=r"^x (\S+)$"), "a\nx 1e3\nb") == 1000


def test_one_match_is_expected_unless_the_metric_selects() -> None:
    with pytest.raises(ParseError, match=r"w: no metric 'figure': 3 matches of x\(.\), where one is expected"):
        parse(workload("regex", pattern="x(.)"), "x1 x2 x3")
    assert figure(workload("regex", pattern="x(.)", select="first"), "x1 x2 x3") == 1
    assert figure(workload("regex", pattern="x(.)", select="last"), "x1 x2 x3") == 3
    assert figure(workload("json", path="$.a[*]", select="last"), '{"a": [1, 2]}') == 2
    with pytest.raises(ParseError, match="2 matches"):
        parse(workload("json", path="$.a[*]"), '{"a": [1, 2]}')
    assert figure(workload("csv", column="a", select="first"), "a\n1\n2\n") == 1
    with pytest.raises(ParseError, match="2 matches"):
        parse(workload("csv", column="a"), "a\n1\n2\n")


def test_an_optional_metric_may_be_absent_but_not_wrong() -> None:
    assert parse(workload("regex", pattern="x=(.+)", optional=True), "y") == []
    with pytest.raises(ParseError, match="'fast' is no number"):
        parse(workload("regex", pattern="x=(.+)", optional=True), "x=fast")


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-Infinity", "1e999", "", "1,5", "0x10", "true"])
def test_what_is_no_finite_number_is_no_figure(text: str) -> None:
    with pytest.raises(ParseError, match=r"no number|no finite number"):
        parse(workload("regex", pattern="x=(.*)"), f"x={text}")
    with pytest.raises(ParseError, match=r"no number|no finite number"):
        parse(workload("csv", column="a"), f'a,b\n"{text}",1\n')


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "null", "true", "[1]", "{}", '"fast"', "1e999"])
def test_what_is_no_finite_number_in_json(value: str) -> None:
    with pytest.raises(ParseError):
        parse(workload("json", path="$.a"), f'{{"a": {value}}}')


def test_json_may_follow_notes_but_nothing_may_follow_it() -> None:
    mine = workload("json", path="$.a")
    assert figure(mine, 'note: both {things}\nnote\n{"a": 1}\n') == 1
    with pytest.raises(ParseError, match="not valid JSON"):
        parse(mine, '{"a": 1}\nand {"a": 2}')
    with pytest.raises(ParseError, match="holds no JSON"):
        parse(mine, "error: nothing")
    with pytest.raises(ParseError, match="not valid JSON"):
        parse(mine, "[" * 100_000)


def test_csv_chooses_a_row_by_its_other_columns() -> None:
    table = 'op,size,rate\nget,1,10\nset,1,20\n"get",2,30\n'
    assert figure(workload("csv", column="rate", row={"op": "get", "size": "2"}), table) == 30
    with pytest.raises(ParseError, match="2 matches"):
        parse(workload("csv", column="rate", row={"op": "get"}), table)
    with pytest.raises(ParseError, match="nothing matches"):
        parse(workload("csv", column="rate", row={"op": "del"}), table)
    with pytest.raises(ParseError, match="no column 'speed' among op, size, rate"):
        parse(workload("csv", column="speed"), table)


@pytest.mark.parametrize("table", ["a,b\n1\n", "a,a\n1,2\n", 'a\n"1', "", "\n\n"])
def test_what_is_no_table(table: str) -> None:
    with pytest.raises(ParseError, match="CSV"):
        parse(workload("csv", column="a"), table)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, st.text(alphabet=st.characters(codec="utf-8", exclude_characters="="), max_size=30))
def test_any_finite_number_is_found_as_it_was_written(number: float, around: str) -> None:
    assert (
        figure(workload("regex", pattern=r"figure=(\S+) end"), f"{around}\nfigure={number!r} end\n{around}") == number
    )
    assert figure(workload("json", path="$.x.'a b'"), json.dumps({"x": {"a b": number}, "y": around})) == number
    assert figure(workload("csv", column="n"), f"m,n\n1,{number!r}\n") == number


@given(st.sampled_from([name for name, each in load_catalogue().items() if each.run]), st.text())
def test_any_output_is_read_or_refused(name: str, output: str) -> None:
    try:
        parsed = parse(load_workload(name), output)
    except ParseError as error:
        assert str(error).startswith(f"{name}: ")
    else:
        assert all(math.isfinite(item.value) for item in parsed)


def test_a_rate_of_nothing_is_no_figure() -> None:
    rate = workload("regex", pattern="x=(.+)", better="higher")
    assert figure(rate, "x=0.1") == 0.1
    for nothing in ("0", "0.000", "-1"):
        with pytest.raises(ParseError, match="nothing was done"):
            parse(rate, f"x={nothing}")
    assert figure(workload("regex", pattern="x=(.+)"), "x=0") == 0
    assert figure(workload("regex", pattern="x=(.+)", better="higher", unit="check"), "x=0") == 0
