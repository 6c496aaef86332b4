"""Which replica has a session, and how many places are free."""

from __future__ import annotations

from dreamx.serve.replica_directory import REMEMBERED, SILENT, Announcement, ReplicaDirectory


def said(name: str, *sessions: str, places: int = 2, stopping: bool = False) -> Announcement:
    return Announcement(name, f"http://{name}", "t", "fake", (64, 64), 16.0, places, sessions, stopping)


def directory(*replicas: Announcement) -> ReplicaDirectory:
    found = ReplicaDirectory()
    for x in replicas:
        found.record_announcement(x, now=0.0)
    return found


def took(found: ReplicaDirectory, ticket: int, session: str | None = None) -> str | None:
    taken = found.reserve_place(ticket, session)
    return None if taken is None else taken.replica


def test_pages_go_where_most_places_are_free_until_none_is() -> None:
    found = directory(said("a", places=1), said("b", places=3))
    assert [took(found, i) for i in range(3)] == ["b", "b", "a"]
    assert took(found, 3) is not None
    assert took(found, 4) is None
    assert (found.places, found.taken) == (4, 4)
    found.release_place(0)
    assert took(found, 4) == "b"


def test_a_page_has_one_place_however_often_it_asks() -> None:
    found = directory(said("a", places=2))
    assert [took(found, 7) for _ in range(5)] == ["a"] * 5
    assert found.taken == 1


def test_a_session_goes_on_where_it_is() -> None:
    found = directory(said("a", places=9), said("b", "walk"))
    assert took(found, 1, "walk") == "b"
    assert took(found, 2, "unknown") == "a"


def test_a_session_that_runs_needs_no_further_place_there() -> None:
    found = directory(said("a", places=9), said("b", "walk", "other", places=2))
    assert took(found, 1, "walk") == "b"


def test_a_session_that_rests_at_a_full_replica_goes_on_elsewhere() -> None:
    found = directory(said("a"), said("b", "walk", "x"))
    found.record_announcement(said("b", "x", "y"), now=0.1)
    assert found.replica_of("walk") is None
    found.assign_session("walk", "b")  # it had it last, and has no place now
    assert took(found, 1, "walk") == "a"


def test_what_a_replica_says_counts_where_it_is_more_than_what_the_front_sent_there() -> None:
    found = directory(said("a", "x", "y", places=2))
    assert took(found, 1) is None  # another front sent them, or they are being kept
    found.record_announcement(said("a", "x", places=2), now=0.1)
    assert took(found, 1) == "a"
    assert found.taken == 1


def test_a_replica_that_stops_gets_nobody_and_its_places_do_not_count() -> None:
    found = directory(said("a", "walk", stopping=True), said("b"))
    assert took(found, 1, "walk") == "b"
    assert found.places == 2


def test_a_replica_that_had_no_place_after_all_is_left_alone_until_it_is_heard() -> None:
    found = directory(said("a"))
    assert took(found, 1) == "a"
    found.mark_full("a", 1)
    assert (took(found, 1), found.taken) == (None, 0)
    found.record_announcement(said("a"), now=0.1)
    assert took(found, 1) == "a"


def test_silence_loses_a_replica_and_makes_orphans_of_its_sessions_for_a_while() -> None:
    found = directory(said("a", "walk"), said("b", "other"))
    found.record_announcement(said("b", "other"), now=SILENT)
    assert found.drop_silent(SILENT) == []
    assert found.drop_silent(SILENT + 0.1) == ["a"]
    assert (found.replica_of("walk"), [x.replica for x in found.replicas]) == (None, ["b"])
    assert found.is_orphan("walk") and not found.is_orphan("other")
    found.assign_session("walk", "b")
    assert not found.is_orphan("walk") and found.replica_of("walk") is not None
    assert found.drop_replica("b", now=10.0) and not found.drop_replica("b", now=10.0)
    assert found.is_orphan("walk") and found.is_orphan("other")
    found.drop_silent(10.0 + REMEMBERED + 1)
    assert not found.is_orphan("walk")


def test_an_announcement_of_before_does_not_take_a_session_away_that_began_since() -> None:
    found = directory(said("a"), said("b", places=1))
    found.assign_session("walk", "a")
    found.record_announcement(said("a"), now=0.1)  # it was on its way
    home = found.replica_of("walk")
    assert home is not None and home.replica == "a"


def test_a_replica_that_was_taken_for_lost_and_is_back_does_not_claim_what_went_on_elsewhere() -> None:
    found = directory(said("a", "walk"), said("b"))
    found.drop_replica("a", 1.0)
    found.assign_session("walk", "b")
    found.record_announcement(said("a", "walk"), 2.0)
    assert took(found, 1, "walk") == "b"
    found.record_announcement(said("b", "walk"), 2.0)
    found.record_announcement(said("b"), 3.0)
    assert found.replica_of("walk") is None


def test_a_front_that_did_not_listen_takes_nobody_for_lost() -> None:
    found = directory(said("a"))
    found.forgive_silence(60.0)
    assert found.drop_silent(60.0 + SILENT) == [] and found.drop_silent(60.1 + SILENT) == ["a"]
