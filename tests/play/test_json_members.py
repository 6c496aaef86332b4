"""JSON that is read member by member is the JSON that is read at once."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamx.play.json_members import KEYS, Cursor, Members, TooMany

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("ab") | st.text(), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


def read(text: str) -> Any:
    """Of ``{"a": {"b": [...]}}`` the list by its members, all else at once; the list made one again."""
    cursor = Cursor(text)
    found: Any = cursor.fields({"a": lambda c: c.fields({"b": Cursor.members})})
    cursor.end()
    if isinstance(found, dict) and isinstance(found.get("a"), dict) and isinstance(b := found["a"].get("b"), Members):
        assert len(b) == len(list(b)) == len(list(b))
        found["a"]["b"] = list(b)
    return found


@settings(deadline=None)
@given(VALUES, st.sampled_from([None, 1, "\n \t"]), st.booleans())
def test_members_are_as_they_are_at_once(value: Any, indent: Any, ascii_: bool) -> None:
    for whole in (value, {"c": value, "a": value}, {"a": {"b": [value, value], "c": [value]}}, {"a": {"b": value}}):
        try:
            text = json.dumps(whole, indent=indent, ensure_ascii=ascii_)
            text.encode()
        except UnicodeEncodeError:
            continue
        assert read(text) == json.loads(text)


@settings(deadline=None)
@given(st.text("{}[],:\"'ab10 \\u\n.-e", max_size=30))
def test_what_is_none_is_none(text: str) -> None:
    for whole in (text, '{"a": ' + text, '{"a": {"b": [' + text, '{"a": {"b": [' + text + "]}}"):
        try:
            expected = json.loads(whole)
        except ValueError:
            with pytest.raises(ValueError, match="."):
                read(whole)
        else:
            assert read(whole) == expected


def test_halves_of_letters_depth_and_many_keys_are_refused() -> None:
    for bad in ('{"a": {"b": ["\\ud800"]}}', '{"\\udfff": 1}', '{"a": ' + "[" * 100_000, '{"a": {"b": [' + "[" * 100_000):
        with pytest.raises(ValueError, match="."):
            read(bad)
    assert read('{"a": {"b": ["\\ud83d\\ude00"]}}') == {"a": {"b": ["\U0001f600"]}}
    assert len(read(json.dumps({str(i): 1 for i in range(KEYS)}))) == KEYS
    with pytest.raises(ValueError, match="more than 64 keys"):
        read(json.dumps({str(i): 1 for i in range(KEYS + 1)}))
    with pytest.raises(ValueError, match="more than 64 keys"):
        read("{" + '"x": 1, ' * KEYS + '"x": 1}')


def test_a_list_that_is_too_long_is_not_read_on() -> None:
    assert len(cast("Members", Cursor("[1, 2, 3]").members(3))) == 3
    with pytest.raises(TooMany):
        Cursor("[1, 2, 3, and what is no JSON at all").members(2)
