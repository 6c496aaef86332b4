"""How many replicas a house wants for the sessions that are open and the pages that wait."""

from __future__ import annotations

from math import ceil


def wanted_replicas(sessions: float, waiting: float, places: int, least: int, most: int, spare: int = 0) -> int:
    """Return the replicas, of so many ``places`` each, for all sessions, all that wait, and ``spare`` places more."""
    return min(most, max(least, ceil((sessions + waiting + spare) / places)))
