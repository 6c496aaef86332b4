"""Where a command that makes clips puts them: into a folder, a file each, or into a dataset (``dreamx.data.store``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dreamx.data.engine import Shots, Source


@dataclass(frozen=True)
class Into:
    """A folder of clips, or a dataset and how; the clips are the same."""

    dataset: bool = False
    """Write a dataset, not a folder of clips; what follows is of a dataset alone."""
    crf: int | None = 14
    """Of H.264; None keeps every bit."""
    engine: Literal["local", "ray"] = "local"
    """Processes here, or Ray."""
    ray_address: str | None = None
    """A Ray cluster; None starts Ray on this machine."""
    patience: float = 3600.0
    """Seconds that one clip may take (local)."""

    def __post_init__(self) -> None:
        if not self.dataset and self.engine == "ray":
            raise ValueError("engine: Ray makes datasets; add --dataset")
        if self.patience <= 0:
            raise ValueError(f"patience must be more than 0 seconds, not {self.patience}")

    def run(self, source: Source | Shots, out: Path, processes: int) -> tuple[int, int]:
        """The clips of ``source`` into a dataset, resumable; says and returns how many were kept and how many dropped. ValueError
        where clips lie in the folder, or where the libraries of datasets are missing."""
        from dreamx.data.engine import Local, Ray, run  # here, because a folder of clips is written without their libraries
        from dreamx.data.store import Coding

        refuse_folder(out)
        engine = Ray(self.ray_address, processes) if self.engine == "ray" else Local(processes, self.patience)
        count = run(source, (), str(out), engine, Coding(self.crf))
        print(f"{count.kept} clips of {count.frames} frames in {out}, {count.dropped} dropped (reasons in meta/dropped.jsonl)")
        return count.kept, count.dropped


def is_dataset(place: Path) -> bool:
    """Is there a dataset, or one that a run is at?"""
    return (place / "meta").exists() or (place / ".parts").exists()


def open_folder(out: Path, *below: str) -> None:
    """Make a folder for clips, and in it the folders ``below``; what a killed run left half-written there goes. ValueError
    where a dataset lies there."""
    if is_dataset(out):
        raise ValueError(f"out: {out} is a dataset; choose another place for a folder of clips")
    for place in (out, *(out / name for name in below)):
        place.mkdir(parents=True, exist_ok=True)
        for half_written in place.glob("*.tmp"):
            half_written.unlink()


def refuse_folder(out: Path) -> None:
    """ValueError where a folder of clips lies in the place of a dataset."""
    if next(out.glob("*.safetensors"), None) is not None:
        raise ValueError(f"out: {out} is a folder of clips; choose another place for a dataset")
