"""List the clips to encode, from a folder of ``.safetensors`` clips or a dataset, and the parts already done."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamx import atomic, tensor_file
from dreamx.clip import Clip
from dreamx.data.output_options import is_dataset
from dreamx.interrupt import sweep_at_end
from dreamx.plaintext import parse_json

if TYPE_CHECKING:
    from dreamx.data.dataset import Clips


@dataclass(frozen=True)
class ListedClip:
    """A clip by its file, or by its number in the dataset, the tar or the folder of tars at ``place``."""

    place: Path
    number: int | None = None

    def load(self) -> Clip:
        """The clip; ValueError where it cannot be read."""
        return Clip.load(self.place) if self.number is None else _dataset(str(self.place)).clip(self.number)

    def __str__(self) -> str:
        return str(self.place) if self.number is None else f"{self.place}: clip {self.number}"


def shots(folder: Path) -> list[ListedClip]:
    """The clips of a folder, a dataset, a tar or a folder of tars in order; ValueError where there is none."""
    if is_packed(folder):
        return [ListedClip(folder, i) for i in range(len(_dataset(str(folder))))]
    return [ListedClip(path) for path in clip_files(folder)]


def is_packed(place: Path) -> bool:
    """Is it a dataset (or one that a run is at), a WebDataset tar or a folder of tars, and no folder of clips?"""
    ends = (".tar", ".tgz", ".gz", ".bz2", ".xz")
    if place.is_dir():
        if is_dataset(place) or any(place.glob("*.safetensors")):
            return is_dataset(place)
        return any(p.suffix.lower() in ends for p in place.iterdir())
    return place.is_file() and place.suffix.lower() in ends


def clip_files(folder: Path) -> list[Path]:
    """The ``.safetensors`` clips of a folder in order of name; ValueError where there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"no clips (*.safetensors) in {folder}; render some first with `dreamx data`")
    return files


def clip_names(folder: Path) -> list[str]:
    """The clips of a folder, in order. ValueError where there are none."""
    names = sorted(p.stem for p in folder.glob("*.safetensors")) if folder.is_dir() else []
    if not names:
        raise ValueError(f"clips: there are no clips (.safetensors) in {folder}; render or import some first")
    return names


def twin_of(file: Path) -> Path | None:
    """Return where ``dreamx data simulate`` puts the same clip without what happens in it; None for one without such a twin."""
    return next((file.with_name(file.name.replace(a, b)) for a, b in _TWINS.items() if a in file.name), None)


_TWINS = {"_events_": "_still_", "_weather_": "_"}


@cache
def _dataset(place: str) -> Clips:
    from dreamx.data.dataset import read  # here, because a folder of clips is encoded without its libraries

    return read(place)


class Parts:
    """Files of finished work beside ``out``: what is done is not done again by a run that was killed, and is never mixed with
    what another configuration made (``about``)."""

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self._folder = out.with_name(out.name + ".parts")
        sweep_at_end(self._folder)
        self._new = [p for p in self._folder.parents if not p.exists()]
        record, what = self._folder / "begun.json", json.dumps(about)
        if not record.exists() or record.read_text() != what:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            atomic.write_text(record, what)

    def path(self, number: int) -> Path:
        """Return the file of part ``number``, written or not."""
        return self._folder / f"{number:06d}.safetensors"

    def fail(self, hopeless: bool) -> None:
        """The run ends early: parts stay for the next, unless there are none or it would fail likewise (``hopeless``)."""
        if hopeless or not any(self._folder.glob("*.safetensors")):
            shutil.rmtree(self._folder, ignore_errors=True)
            with suppress(OSError):  # something else is there
                for made in self._new:
                    made.rmdir()

    def done(self) -> None:
        """All of it is in ``out``."""
        shutil.rmtree(self._folder)


def stamp(shot: ListedClip) -> list[Any]:
    """A clip's file as it is now: its name, size and time; those of a dataset by the dataset's own record."""
    info = shot.place / "meta/info.json"
    file = info if shot.number is not None and info.is_file() else shot.place
    about = file.stat()
    return [str(shot), about.st_size, about.st_mtime_ns]


def made_from(out: Path, about: dict[str, Any]) -> tuple[str, str]:
    """Hashes of the settings of encoding, folders as seen from ``out`` (all may be moved together), and of the clips' files."""
    places = {k: about[k] and os.path.relpath(about[k], out.parent) for k in ("clips", "depth")}
    settings = {k: v for k, v in about.items() if k not in ("out", "vae", "shots")} | places
    shots = [[Path(place).name, *rest] for place, *rest in about["shots"]]
    settled, files = (hashlib.sha256(json.dumps(x, sort_keys=True).encode()).hexdigest()[:16] for x in (settings, shots))
    return settled, files


def is_finished(out: Path, vae: str, settings: str, files: str) -> bool:
    """Are these latents there already, all of them? ValueError where another file is in their place: a clip, a network, latents
    of another autoencoder or of other settings."""
    if out.suffix != ".safetensors":
        raise ValueError(f"out: {out} does not end in .safetensors; name the file of latents something.safetensors")
    if not out.exists():
        return False
    if out.is_dir():
        raise ValueError(f"out: {out} is a folder; name a file, for example {out / 'latents.safetensors'}")
    try:
        with tensor_file.opened(out) as f:
            theirs = parse_json(f.metadata()["latents"])
            made = tuple(theirs.get("made", ()))
            other = theirs["vae"]
    except Exception:
        raise ValueError(f"out: {out} is there already and no file of latents; give another name") from None
    if other != vae:
        raise ValueError(f"out: {out} holds latents of another autoencoder ({other}, not {vae}); remove it or give another name")
    if made and made[0] != settings:
        raise ValueError(f"out: {out} holds latents of other clips or settings; remove it or give another name")
    return made == (settings, files)
