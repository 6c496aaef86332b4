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
