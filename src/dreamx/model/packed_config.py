"""Settings of packed memory: frames of the past that are put before the window while a chunk is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from dreamx.bounds import LatentCount, PositiveFloat, Probability
from dreamx.model.gap_rule import GapConfig


@dataclass(frozen=True)
class PackedMemoryConfig:
    """Retrieval of latent frames by camera pose and view overlap (DreamX-World 1.0, memory section, which gives no counts)."""

    frames: Annotated[int, Ge(1), Le(64)] = 4
    """Most latent frames recalled for a chunk."""
    least: Annotated[float, Gt(0), Le(1)] = 0.1
    """Smallest share of what the chunk's cameras see that a frame must show, to be recalled."""
    again: Probability = 0.5
    """Weight of what an earlier choice shows already: 1 takes the frames that show most, 0 none that shows nothing further."""
    capacity: LatentCount = 256
    """Most latent frames that a session keeps; then they are thinned where they lie densest, of two near ones the later."""
    metres: PositiveFloat = 0.25
    """A latent is kept where (distance / metres)^2 + (angle / degrees)^2 is 1 or more to every kept one."""
    degrees: PositiveFloat = 6.0
    """Degrees, in the rule of ``metres``."""
    gaps: GapConfig = GapConfig()
    """Time of a recalled frame, as the network reads it."""
