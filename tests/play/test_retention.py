"""How long a session is kept and which goes first: by a calendar that no clock can push on, and never one's own for another's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from dreamx.play import retention as days_of
from dreamx.play.retention import DAYS, Days, Item, items_to_delete
from dreamx.play.visitor import cookie, visitor


def flood(count: int, owner: str, day: float = 5.0) -> list[Item]:
    return [Item(f"{owner}-{i}", day + i / 1000, owner) for i in range(count)]


MINE = Item("mine", 1.0, "home/firefox/")


@pytest.mark.parametrize(
    "theirs",
    [
        flood(200, "away/chrome/"),
        flood(200, "home/chrome/"),
        [x for i in range(200) for x in flood(1, f"away/browser{i}/")],
        [x for i in range(200) for x in flood(1, f"home//visit{i}")],
        flood(200, "home//visit"),
    ],
    ids=["elsewhere", "another browser", "made-up browsers", "visits", "one visit"],
)
def test_a_flood_takes_nothing_from_others(theirs: list[Item]) -> None:
    gone = items_to_delete([MINE, *theirs], 6.0)
    assert "mine" not in gone
    assert len(theirs) + 1 - len(gone) <= 64
    ages = {x.name: x.day for x in theirs}
    assert max(ages[x] for x in gone) <= min(ages[x] for x in ages if x not in gone) + 0.2, "the oldest go first"


def test_one_visit_does_not_push_out_another_without_a_cookie() -> None:
    gone = items_to_delete([Item("mine", 1.0, "home//first"), *flood(66, "home//second")], 6.0)
    assert gone == [f"home//second-{i}" for i in range(66 + 1 - 32)]


def test_what_runs_stays() -> None:
    running = [Item(str(i), 0.0, "a/b/", stays=True) for i in range(70)]
    assert items_to_delete([*running, Item("x", 1.0, "a/b/")], 40.0) == ["x"]


def test_what_nobody_owns_goes_by_age() -> None:
    items = [Item(str(i), 1.0, order=float(i)) for i in range(70)]
    assert items_to_delete(items, 2.0) == [str(i) for i in range(6)]
    assert items_to_delete(items, 1.5 + DAYS) == [str(i) for i in range(70)]


@given(
    st.lists(
        st.tuples(st.floats(0, 9), st.sampled_from(["", "a/x/", "a/y/", "a//1", "a//2", "b//3"]), st.booleans()), max_size=40
    )
)
def test_bounds_hold_for_all(given: list[tuple[float, str, bool]]) -> None:
    items = [Item(str(i), day, owner, stays=stays) for i, (day, owner, stays) in enumerate(given)]
    gone = set(items_to_delete(items, 10.0, most=8, each=4, days=8.0))
    left = [x for x in items if x.name not in gone]
    assert not any(x.stays for x in items if x.name in gone)
    assert all(x.stays or x.day >= 2 for x in left)
    free = [x for x in left if not x.stays]
    assert len(left) <= 8 or not free
    for owner in ("a/x/", "a/y/"):
        theirs = [x for x in left if x.owner == owner]
        assert len(theirs) <= 4 or all(x.stays for x in theirs)


class Clock:
    """The machine's clocks: one that anybody may set, and one that nobody can."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall, self.steady = 1e9, 0.0
        patch.setattr(days_of.time, "time", lambda: self.wall)
        patch.setattr(days_of.time, "monotonic", lambda: self.steady)

    def passes(self, days: float) -> None:
        self.wall, self.steady = self.wall + days * 86400, self.steady + days * 86400


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_clock_that_jumps_ages_nothing(clock: Clock, tmp_path: Path) -> None:
    days = Days(tmp_path / "days.json")
    clock.passes(2)
    assert days.now() == pytest.approx(2)
    clock.wall += 3650 * 86400
    assert days.now() == pytest.approx(2)
    days.keep()
    clock.wall -= 9999 * 86400
    assert Days(tmp_path / "days.json").now() == pytest.approx(2)


def test_time_without_a_server_counts_for_a_day_at_most(clock: Clock, tmp_path: Path) -> None:
    Days(tmp_path / "days.json").keep()
    clock.passes(0.5)
    days = Days(tmp_path / "days.json")
    assert days.now() == pytest.approx(0.5)
    days.keep()
    clock.passes(400)
    assert Days(tmp_path / "days.json").now() == pytest.approx(1.5)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[" * 100_000, b'{"day": 1e400, "at": 0}', b'{"day": "NaN", "at": 0}'])
def test_a_calendar_that_was_lost_begins_where_the_sessions_are(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "days.json").write_bytes(data)
    assert Days(tmp_path / "days.json", 3.0).now() == pytest.approx(3.0, abs=0.01)


def asks(host: str, value: str = "") -> HTTPConnection:
    headers = [(b"cookie", f"dreamx_visitor={value}".encode())] if value else []
    return HTTPConnection({"type": "http", "client": (host, 1), "headers": headers})


def test_a_visitor_is_known_by_address_and_browser() -> None:
    made = cookie(asks("10.0.0.1"))
    assert made is not None
    value = made.split("=")[1].split(";")[0]
    assert cookie(asks("10.0.0.1", value)) is None
    assert cookie(asks("10.0.0.1", "no such thing")) is not None
    first = visitor(asks("10.0.0.1", value))
    assert first == visitor(asks("10.0.0.1", value)) == visitor(asks("::ffff:10.0.0.1", value))
    assert first.split("/")[0] == visitor(asks("10.0.0.1")).split("/")[0]
    assert first.split("/")[0] != visitor(asks("10.0.0.2", value)).split("/")[0]
    assert visitor(asks("10.0.0.1")) != visitor(asks("10.0.0.1"))
    assert visitor(asks("2001:db8::1", value)) == visitor(asks("2001:db8::ffff:2", value))
    assert visitor(asks("2001:db8::1", value)) != visitor(asks("2001:db8:0:1::1", value))
