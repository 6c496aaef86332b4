"""Sizes of the fields of places that are known by heart (``model.place_field``)."""

from __future__ import annotations

from dataclasses import dataclass, field

from dreamx.bounds import NonNegativeInt, PositiveFloat, PositiveInt, Width
from dreamx.config import LATER
from dreamx.model.hash_table import HashTable


@dataclass(frozen=True)
class PlaceFieldConfig:
    """Sizes of the fields."""

    names: tuple[str, ...]
    """The places, each with a field of its own."""
    half: tuple[PositiveFloat, ...] = ()
    """Metres from the middle of each place to its edges; of none: what the clips that a field is learned from show."""
    height: PositiveFloat = 9.0
    """Metres from the ground to the top of a field; what is higher counts as sky."""
    floor: PositiveFloat = 0.8
    """Metres from the ground down to the bottom of a field."""
    cells: PositiveInt = 144
    """Cells of density along both sides of the ground."""
    layers: PositiveInt = 26
    """Cells of density along the height."""
    near: PositiveFloat = 0.3
    """Depth of the first sample of a ray, metres; the others follow at equal ratios."""
    far: PositiveFloat = 100.0
    """Depth of the last sample of a ray, metres, and of the sky."""
    samples: PositiveInt = 96
    """Samples of density along a ray."""
    refine: PositiveInt = 6
    """Further samples about the one at which a ray stops."""
    levels: tuple[PositiveInt, ...] = (32, 64, 160, 400)
    """Cells of features along the side of a place, of each level."""
    entries: PositiveInt = 2**17
    """Most entries of a level's table, a power of two; where there are more cells, they share."""
    channels: Width = 2
    """Features of a cell."""
    fine: NonNegativeInt = field(default=0, metadata=LATER)
    """Cells along the side of a place of finer densities, which are added where the grid is not empty, hashed; 0: none."""
    fine_entries: PositiveInt = field(default=2**18, metadata=LATER)
    """Most entries of the table of these, a power of two."""
    sky: tuple[PositiveInt, PositiveInt] = (64, 192)
    """Rows and columns of the sky, from 30 degrees below the horizon to the zenith, and all around."""
    hidden: Width = 64
    """Hidden channels of the network that makes colours."""
    pixels: PositiveFloat = 40.0
    """Across what is 1 m wide and 1 m away, in the pictures it learns from: a cell finer than a pixel is left out."""

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"places.names must be different names, one at least, not {list(self.names)}")
        if self.half and len(self.half) != len(self.names):
            raise ValueError(f"places.half must be {len(self.names)} numbers, one for each of places.names, not {len(self.half)}")
        for name in ("cells", "layers", "samples", "refine", "entries", "sky", "levels", "fine", "fine_entries"):
            said = getattr(self, name)
            for n in said if isinstance(said, tuple) else (said,) if said or name != "fine" else ():
                if not 2 <= n <= _MOST[name]:
                    raise ValueError(f"places.{name} must lie between 2 and {_MOST[name]}, not {n}")
        if not 1 <= len(self.levels) <= _LEVELS:
            raise ValueError(f"places.levels must be 1 to {_LEVELS} numbers, not {len(self.levels)}")
        for name in ("entries", "fine_entries"):
            if (said := getattr(self, name)) & (said - 1):
                raise ValueError(f"places.{name} must be a power of two, not {said}")
        if self.far <= self.near:
            raise ValueError(f"places.far must be more than places.near, {self.near}, not {self.far}")

    def colours(self, place: int) -> HashTable:
        """The table of features of a place."""
        return HashTable(2 * self.half[place], self.height + self.floor, self.levels, self.entries)

    def densities(self, place: int) -> HashTable:
        """The table of finer densities of a place."""
        return HashTable(2 * self.half[place], self.height + self.floor, (self.fine,), self.fine_entries)


_MOST = {"cells": 512, "layers": 256, "samples": 512, "refine": 64, "entries": 2**22, "sky": 1024, "levels": 4096}
_MOST |= {"fine": 4096, "fine_entries": 2**22}
_LEVELS = 12
