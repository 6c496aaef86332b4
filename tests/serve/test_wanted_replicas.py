"""How many replicas a house wants."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dreamx.serve.wanted_replicas import OpenSessions, wanted_replicas


@pytest.mark.parametrize(
    ("sessions", "waiting", "spare", "wanted"),
    [(0, 0, 0, 1), (4, 0, 0, 1), (4, 0, 1, 2), (4, 1, 0, 2), (8, 0, 0, 2), (8.2, 0, 0, 3), (3, 9, 1, 4), (99, 99, 9, 6)],
)
def test_for_all_that_play_wait_and_may_come(sessions: float, waiting: float, spare: int, wanted: int) -> None:
    assert wanted_replicas(sessions, waiting, places=4, least=1, most=6, spare=spare) == wanted


def test_the_policy_adds_up_sessions_and_counts_each_waiting_page_once() -> None:
    wants = OpenSessions(places=4, least=1, most=9, spare=0)
    said = {"sessions": {"a": 4.0, "b": 3.0}, "waiting": {"a": 6.0, "b": 5.0}}  # b heard of it a moment earlier
    assert wants(SimpleNamespace(aggregated_metrics=said, target_num_replicas=2)) == (4, {})
    for nothing in (None, {}, {"sessions": {}}):
        assert wants(SimpleNamespace(aggregated_metrics=nothing, target_num_replicas=2)) == (2, {})
