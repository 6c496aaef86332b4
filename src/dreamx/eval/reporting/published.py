"""Scores that the paper publishes (DreamX-World 1.0, tables 3 and 4): measured by others, on other data, with other networks.

In a table of its own, not for the comparison: our scenes are simulated, small, and scored with what ``tools`` names.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A row: the seven columns in the order of ``columns.PAPER``, and Overall as printed."""

    model: str
    size: str
    scores: tuple[float, float, float, float, float, float, float]
    overall: float


FIVE_SECONDS = (
    Published("HY-WorldPlay 1.5", "8B", (65.12, 68.23, 98.33, 96.45, 99.05, 66.67, 71.66), 80.79),
    Published("LingBot-World", "14B", (71.73, 67.76, 85.00, 94.94, 97.06, 88.33, 58.33), 80.45),
    Published("DreamX-World-1.0-5B", "5B", (73.75, 66.75, 98.33, 96.17, 98.79, 85.83, 73.75), 84.76),
)
THIRTY_SECONDS = (
    Published("HY-WorldPlay 1.5", "8B", (65.86, 63.02, 91.00, 97.00, 99.11, 52.00, 14.00), 68.85),
    Published("LingBot-World", "14B", (63.76, 60.81, 54.00, 96.59, 97.86, 87.00, 12.00), 67.43),
    Published("DreamX-World-1.0-5B", "5B", (62.03, 64.11, 80.00, 96.35, 98.41, 75.00, 17.00), 70.41),
)
PUBLISHED_TITLE = "Published in DreamX-World 1.0"
NOT_COMPARABLE = "Measured by others, on other data, with other networks: not comparable with the tables above."
#: By the suite that is of the same kind.
PUBLISHED = {"basic": FIVE_SECONDS, "long": THIRTY_SECONDS}
