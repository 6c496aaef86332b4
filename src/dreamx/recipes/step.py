"""A step of a recipe: its name, what does it, and the config that it is given. A recipe is a table of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dreamx.bounds import InputFile, InputFolder, OutputFolder
from dreamx.config import LATER
from dreamx.data.encode import Latents
from dreamx.events import told
from dreamx.model.prompt import Taught, vocabulary
from dreamx.model.taught_event import TaughtEvent
from dreamx.networks import read_happenings
from dreamx.world import World, WorldConfig

C = TypeVar("C")


@dataclass(frozen=True)
class Step(Generic[C]):
    """``run(cfg)``, under the name by which ``dreamx train curriculum --stage NAME`` runs it alone."""

    name: str
    run: Callable[[C], object]
    cfg: C

    def __call__(self) -> None:
        self.run(self.cfg)

    @property
    def trains(self) -> bool:
        """Return whether all processes of a torchrun take part; every other step is done by the first alone."""
        return self.run.__module__.startswith("dreamx.train.")


#: A table of steps, in their order.
Recipe = tuple[Step[Any], ...]


@dataclass(frozen=True)
class WorldParts:
    """Separately trained networks that make a world, each in a folder of its own."""

    vae: InputFolder
    """Folder of the autoencoder (the OUT of ``dreamx train autoencoder`` or ``decoder``)."""
    dit: InputFolder
    """Folder of the transformer and its text encoder (the OUT of ``dreamx train causal`` or ``consistency``)."""
    out: OutputFolder
    """Folder of the world."""
    depth: InputFolder | None = None
    """Folder of the network for the depth of opening pictures, which memory begins with."""
    painter: InputFolder | None = None
    """Folder of the transformer that draws the first picture from words; None: the main one draws it."""
    places: InputFolder | None = None
    """Folder of the fields of places known by heart."""
    seen: InputFile | None = None
    """Latents that the transformer learned from: the page then says which words were never taught. Goes with DRAWN."""
    drawn: InputFile | None = None
    """Latents that the painter learned from."""
    told: InputFile | None = None
    """Latents of clips with events that the transformer learned from: their words were taught, too. Goes with SEEN."""
    happenings: InputFile | None = None
    """Events that the transformer was taught by name: a JSON list of records with name, begins, lasts, ends, seconds, indoors and
    outdoors (``model.taught_event``)."""
    half: bool = False
    """Write weights as float16: half the bytes."""
    small: bool = field(default=False, metadata=LATER)
    """Write weights in 6 and 8 bits, what is small in float16: a fifth of the bytes of float32."""


@dataclass(frozen=True)
class WorldExport(WorldParts):
    """A world of these parts under settings that a recipe gives."""

    world: WorldConfig = field(kw_only=True)
    """Settings of the world."""


def export_world(cfg: WorldExport) -> None:
    """Write ``cfg.out``."""
    write_world(cfg, cfg.world, read_taught(cfg))


def read_taught(parts: WorldParts, happenings: tuple[TaughtEvent, ...] = ()) -> Taught | None:
    """Return the vocabulary of these parts; None where nothing says it. ValueError where ``happenings`` have other words.

    happenings: those of a world without a file of its own.
    """
    if parts.happenings is not None:
        happenings = read_happenings(parts.happenings)
    seen, drawn = tuple[str, ...](), tuple[str, ...]()
    if parts.seen is not None and parts.drawn is not None:
        seen, drawn = (vocabulary(row.caption for row in Latents.load(file).rows) for file in (parts.seen, parts.drawn))
        rows = () if parts.told is None else Latents.load(parts.told).rows
        seen = vocabulary([*seen, *(words for row in rows for words in (row.caption, told(row.events)))])
    elif not happenings:
        return None
    return Taught(seen, drawn, bool(happenings or parts.told), happenings)


def write_world(parts: WorldParts, config: WorldConfig, taught: Taught | None) -> None:
    """Write the world of these parts under these settings to ``parts.out``. ``taught``: its vocabulary, if known."""
    made = World.from_folders(config, parts.vae, parts.dit, parts.depth, parts.painter, parts.places)
    made.taught = taught
    made.export(parts.out, parts.half, parts.small)
