"""Output of a command that makes clips: a folder, a file each, or into a dataset (``dreamx.data.dataset``)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dreamx import manifest, tensor_file
from dreamx.bounds import Crf, PositiveFloat
from dreamx.interrupt import sweep_at_end
from dreamx.plaintext import cause, parse_json

if TYPE_CHECKING:
    from dreamx.data.engine import Shots, Source


@dataclass(frozen=True)
class Into:
    """A folder of clips, or a dataset and how; the clips are the same."""

    dataset: bool = False
    """Write a dataset, not a folder of clips; what follows is of a dataset alone."""
    crf: Crf | None = 14
    """Of H.264; None keeps every bit."""
    engine: Literal["local", "ray"] = "local"
    """Processes here, or Ray."""
    ray_address: str | None = None
    """A Ray cluster; None starts Ray on this machine."""
    patience: PositiveFloat = 3600.0
    """Seconds that one clip may take (local)."""

    def __post_init__(self) -> None:
        if not self.dataset and self.engine == "ray":
            raise ValueError("engine: Ray makes datasets; add --dataset")
        if self.patience <= 0:
            raise ValueError(f"patience must be more than 0 seconds, not {self.patience}")

    def run(self, source: Source | Shots, out: Path, processes: int) -> tuple[int, int]:
        """The clips of ``source`` into a dataset, resumable; says and returns how many were kept and how many dropped. ValueError
        where clips lie in the folder, or where the libraries of datasets are missing."""
        from dreamx.data.dataset import Coding
        from dreamx.data.engine import (  # here, because a folder of clips is written without their libraries
            Local,
            Ray,
            run_engine,
        )

        refuse_folder(out)
        engine = Ray(self.ray_address, processes) if self.engine == "ray" else Local(processes, self.patience)
        count = run_engine(source, (), str(out), engine, Coding(self.crf))
        print(f"{count.kept} clips of {count.frames} frames in {out}, {count.dropped} dropped (reasons in meta/dropped.jsonl)")
        return count.kept, count.dropped


def is_dataset(place: Path) -> bool:
    """Is there a dataset, or one that a run is at?"""
    return (place / "meta").exists() or (place / ".parts").exists()


def open_folder(
    out: Path,
    kind: str,
    files: Sequence[str],
    settings: Mapping[str, Any],
    below: str = "",
    old: Callable[[], None] | None = None,
    stems: Collection[str] = (),
) -> None:
    """Make a folder for clips, and in it the folder ``below``; what a killed run left half-written there goes. ValueError where
    a dataset lies there, or what is somebody else's (``manifest.claim``, which says what the rest means)."""
    if is_dataset(out):
        raise ValueError(f"out: {out} is a dataset; choose another place for a folder of clips")
    manifest.claim(out, kind, [*files, *([below] if below else [])], settings, old, stems)
    sweep_at_end(out)
    if below:
        sweep(out / below)


def sweep(folder: Path) -> None:
    """Make a folder within one of ours, or remove what a killed run left half-written in it."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep_at_end(folder)
    for half_written in folder.glob("*.tmp"):
        half_written.unlink()


def refuse_other_pictures(folder: Path, frames: int, width: int, height: int, fps: float, lens: Sequence[float]) -> None:
    """ValueError where the first clip of a folder from before there were manifests is of other pictures."""
    for path in sorted(folder.glob("*.safetensors"))[:1]:
        try:
            with tensor_file.opened(path) as f:
                count, _, h, w = f.get_slice("video").get_shape()
                rate, seen = float(parse_json(f.metadata()["clip"])["fps"]), f.get_tensor("lens")[0].tolist()
        except Exception as e:
            raise ValueError(f"out: {path} is no clip ({cause(e)}); choose another folder") from None
        if (count, w, h, rate) != (frames, width, height, float(fps)) or any(
            abs(a - b) > 1e-4 for a, b in zip(seen, lens, strict=True)
        ):
            raise ValueError(
                f"out: {folder} holds clips of other settings ({count} frames of {w}x{h} at {rate:g} frames a second, or another "
                "lens); choose another folder"
            )


def refuse_folder(out: Path) -> None:
    """ValueError where a folder of clips lies in the place of a dataset."""
    if next(out.glob("*.safetensors"), None) is not None:
        raise ValueError(f"out: {out} is a folder of clips; choose another place for a dataset")
