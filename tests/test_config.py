"""Configs go to JSON and back, and a wrong key or value is one sentence that names it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamx.config import from_json, to_json


@dataclass(frozen=True)
class Inner:
    width: int = 3
    scales: tuple[float, ...] = (1.0, 2.0)


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: tuple[Inner, ...] = (Inner(),)
    pair: tuple[int, str] = (1, "a")
    names: list[str] = field(default_factory=list[str])
    folder: Path = Path("runs/x")
    start: Path | None = None
    count: int | None = 4
    deep: Inner | None = None
    by_name: dict[str, int] = field(default_factory=dict[str, int])
    flag: bool = False


FULL = Outer(Inner(), names=["b"], start=Path("a"), deep=Inner(2, ()), by_name={"k": 1})


def through_text(config: object) -> Any:
    return json.loads(json.dumps(to_json(config)))


@pytest.mark.parametrize("config", [FULL, Outer(Inner())])
def test_round_trip(config: Outer) -> None:
    assert from_json(Outer, through_text(config)) == config


def test_json_is_plain_and_whole() -> None:
    assert to_json(FULL) == through_text(FULL)
    assert set(to_json(FULL)) == set(Outer.__dataclass_fields__)


@given(st.integers(), st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_round_trip_of_numbers(width: int, scales: list[float]) -> None:
    inner = Inner(width, tuple(scales))
    assert from_json(Inner, through_text(inner)) == inner


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hight": 1}, ["'hight'", "unknown"]),
        ({"inner": {"width": 1, "scales": [], "depth": 2}}, ["Outer.inner", "'depth'", "unknown"]),
        ({"many": [{"width": 1, "scales": []}, {"width": 1}]}, ["Outer.many.1", "'scales'", "missing"]),
        ({"inner": {"width": 0.5, "scales": []}}, ["Outer.inner.width", "whole number", "0.5"]),
        ({"inner": {"width": True, "scales": []}}, ["Outer.inner.width", "whole number"]),
        ({"inner": {"width": 1, "scales": ["2"]}}, ["Outer.inner.scales.0", "a number"]),
        ({"inner": 7}, ["Outer.inner", "width"]),
        ({"flag": "no"}, ["Outer.flag", "true or false"]),
        ({"count": "3"}, ["Outer.count", "'3'"]),
        ({"start": 3}, ["Outer.start", "path"]),
        ({"names": "ab"}, ["'names'", "list"]),
        ({"pair": [1]}, ["Outer.pair"]),
        ({"by_name": {"k": "x"}}, ["Outer.by_name", "k", "whole number"]),
    ],
)
def test_bad_input_names_the_key(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as e:
        from_json(Outer, {**through_text(FULL), **change})
    said = str(e.value)
    assert all(w in said for w in words), said
    assert "\n" not in said


@pytest.mark.parametrize("key", ["inner", "count", "flag"])
def test_a_missing_key_is_an_error_even_with_a_default(key: str) -> None:
    data = through_text(FULL)
    del data[key]
    with pytest.raises(ValueError, match=f"'{key}' is missing"):
        from_json(Outer, data)


def test_only_instances_of_dataclasses() -> None:
    for wrong in (Outer, {"a": 1}, 3):
        with pytest.raises(ValueError, match="instance of a dataclass"):
            to_json(wrong)
    with pytest.raises(ValueError, match="must be an object"):
        from_json(Outer, [1])


def test_reading_stops_at_the_first_fault_and_repeats_little_of_it() -> None:
    """Of a million wrong members each was an error of its own, 2 kB: 9 GB and 150 s for a file of 11 MB."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"many": [1] * 300_000}, "many.0: must be an object"),
        ({"names": [1] * 300_000}, "names.0: must be a string, not 1"),
        ({"inner": {"width": 1, "scales": ["x"] * 300_000}}, "inner.scales.0: must be a number"),
        ({"by_name": dict.fromkeys(map(str, range(100_000)), "x")}, "by_name.0: must be a whole number"),
        ({"pair": list(range(300_000))}, "pair: must be a list of 2, not [0, 1,"),
        ({"by_name": [1]}, "by_name: must be an object, not [1]"),
        ({"many": ["q" * 10**6]}, "many.0: must be an object"),
        ({"names": {"q" * 10**6: 1}}, "'names' must be a list"),
        ({"by_name": {"q" * 10**6: "q" * 10**6}}, "must be a whole number"),
        ({"q" * 10**6: 1}, "is unknown"),
        ({"flag": "q" * 10**6}, "flag: must be true or false"),
    ]
    for change, words in wrong:
        with pytest.raises(ValueError, match=".") as e:
            from_json(Outer, through_text(FULL) | change)
        assert words in str(e.value)
        assert str(e.value).count("q") <= 200
        inner = e.value.__cause__
        while isinstance(inner, BaseExceptionGroup):
            assert len(inner.exceptions) == 1
            inner = inner.exceptions[0]
