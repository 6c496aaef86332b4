"""The point where a walk begins, in a place that the world knows by heart (``model.place_field``); galleries say it.

Beside such a picture ``NAME.png`` its ``NAME.json`` has the ``kind`` of the place and the ``pose`` of its camera. A world that is
opened with the very picture knows where it is; with any other it is nowhere that it knows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera
from dreamx.geometry.reproject import View
from dreamx.model.place_field import PlaceField
from dreamx.picture import read_picture
from dreamx.plaintext import read_json


@dataclass(frozen=True)
class Standpoint:
    """A place, and the pose ``[4, 4]`` of the opening camera in its axes. ValueError for another shape, NaN and infinity."""

    place: str
    pose: Tensor

    def __post_init__(self) -> None:
        if tuple(self.pose.shape) != (4, 4) or not bool(torch.isfinite(self.pose).all()):
            raise ValueError(f"standpoint.pose must be 4 x 4 finite numbers, not {tuple(self.pose.shape)}")

    def to_json(self) -> dict[str, object]:
        """Return the fields that ``from_json`` reads."""
        return {"place": self.place, "pose": self.pose.flatten().tolist()}

    @staticmethod
    def from_json(said: object) -> Standpoint:
        """Read what ``to_json`` gave; ValueError, KeyError or TypeError where it is none."""
        if not isinstance(said, dict) or not isinstance(said["place"], str):
            raise ValueError("a standpoint is an object with the keys place and pose")
        return Standpoint(said["place"], torch.tensor(said["pose"], dtype=torch.float32).view(4, 4))


def known_view(places: PlaceField | None, at: Standpoint | None, path: Camera, size: tuple[int, int]) -> View | None:
    """Return what cameras ``path [F]``, counted from the opening, see in the place where that was; None where none is known.

    size: rows and columns.
    """
    which = number_of(places, at)
    if places is None or at is None or which is None:
        return None
    return places.view(which, Camera(at.pose.to(path.pose) @ path.pose, path.lens), *size)


def number_of(places: PlaceField | None, at: Standpoint | None) -> int | None:
    """Return the number of the place where a walk begins among those that are known; None where it is none of them."""
    names = () if places is None else places.config.names
    return names.index(at.place) if at is not None and at.place in names else None


def picture_key(image: Tensor) -> str:
    """Return a name of a picture uint8 ``[3, H, W]``: a hash of its pixels."""
    return hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()


def read_standpoints(folder: Path, size: tuple[int, int]) -> dict[str, Standpoint]:
    """The standpoints of a gallery's pictures of ``size`` (rows, columns), by ``picture_key``. ValueError names the bad file."""
    found: dict[str, Standpoint] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            said = read_json(file)
            if isinstance(said, dict) and said.get("pose") is not None:
                picture = read_picture(file.with_suffix(".png").read_bytes(), size)[0]
                found[picture_key(picture)] = Standpoint.from_json({"place": said["kind"], "pose": said["pose"]})
        except (KeyError, TypeError, ValueError, RuntimeError, OSError) as e:
            raise ValueError(f"{file}: {e}; delete it, or make the starts again with dreamx data starts") from e
    return found
