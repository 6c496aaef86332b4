"""A step of a recipe: its name, what does it, and the config that it is given. A recipe is a table of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from dreamx.data.encode import Latents
from dreamx.model.prompt import Taught, vocabulary
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
class WorldExport:
    """A world of trained networks, each in a folder of its own."""

    world: WorldConfig
    """Settings of the world."""
    out: Path
    """Folder of the world."""
    vae: Path
    """Autoencoder."""
    dit: Path
    """Transformer, with its text encoder."""
    depth: Path | None = None
    """Network for the depth of the first picture."""
    painter: Path | None = None
    """Transformer that draws the first picture from words."""
    places: Path | None = None
    """Fields of the places that it knows by heart."""
    seen: Path | None = None
    """Latents that the transformer learned from: the words of their captions are those that the world was taught."""
    drawn: Path | None = None
    """Latents that the painter learned from."""
    half: bool = False
    """Write weights as float16: half the bytes."""


def export_world(cfg: WorldExport) -> None:
    """Write ``cfg.out``."""
    made = World.from_folders(cfg.world, cfg.vae, cfg.dit, cfg.depth, cfg.painter, cfg.places)
    if cfg.seen is not None and cfg.drawn is not None:
        seen, drawn = (vocabulary(row.caption for row in Latents.load(file).rows) for file in (cfg.seen, cfg.drawn))
        made.taught = Taught(seen, drawn, events=False)
    made.export(cfg.out, cfg.half)
