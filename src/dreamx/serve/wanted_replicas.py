"""The number of replicas that a house wants for the sessions that are open and the pages that wait."""

from __future__ import annotations

from math import ceil
from typing import Any


def wanted_replicas(sessions: float, waiting: float, places: int, least: int, most: int, spare: int = 0) -> int:
    """Return the replicas, of so many ``places`` each, for all sessions, all that wait, and ``spare`` places more."""
    return min(most, max(least, ceil((sessions + waiting + spare) / places)))


class OpenSessions:
    """Autoscaling policy of Ray Serve, which finds it by its name and applies delays; arguments as of ``wanted_replicas``."""

    def __init__(self, places: int, least: int, most: int, spare: int) -> None:
        self._places, self._least, self._most, self._spare = places, least, most, spare

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """Return how many replicas there should be, by what they say (``WorldReplica.record_autoscaling_stats``)."""
        said = context.aggregated_metrics or {}
        if not said.get("sessions"):  # none has said anything yet
            return context.target_num_replicas, {}
        sessions = sum(said["sessions"].values())
        waiting = max(said.get("waiting", {}).values(), default=0.0)  # all tell of the same line
        return wanted_replicas(sessions, waiting, self._places, self._least, self._most, self._spare), {}
