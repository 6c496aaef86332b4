"""A clip: what was seen, from where, under which keys, and what was said to be there. What the data engine makes.

On disk a clip is one ``.safetensors`` file, written whole or not at all; the words (caption, source, licence, ...) are the
file's metadata.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import atomic, tensor_file
from dreamx.config import from_json, to_json
from dreamx.events import Contact, Story
from dreamx.geometry.camera import Camera
from dreamx.plaintext import parse_json, readable

#: Scene seeds from here on belong to evaluation alone; training refuses them.
FIRST_HELD_OUT_SEED = 1_000_000


@dataclass(frozen=True)
class Clip:
    """One continuous shot.

    video:   ``[F, 3, H, W]`` uint8 RGB.
    camera:  ``[F]`` cameras, one a frame.
    actions: ``[F, 8]`` held keys (order ``wasdijkl``) that led to each frame; row 0 is zeros. Float, 0 to 1.
    depth:   ``[F, H, W]`` float16 metres along z, or None where nobody knows it.
    fps:     frames per second.
    caption: what there is to see; ``style`` one of photoreal, game, stylised; ``scene`` the kind of place.
    seed:    the scene's seed (-1 for real video); ``source`` and ``licence`` say where it comes from.
    extra:   other words about it, by name.
    story:   what is said to happen, or None where nothing is.
    segments: ``[F, H, W]`` int16 ids of the things seen, 0 for the scene itself; ``entities`` names them by id. None: unknown.
    contacts: what touched what, in the order of frames.
    subject: ``[F, 4]`` of third person: x, y, z in metres (the axes of the cameras), heading in degrees right of +z; or None.
    """

    video: Tensor
    camera: Camera
    actions: Tensor
    depth: Tensor | None
    fps: float
    caption: str
    style: str = ""
    scene: str = ""
    seed: int = -1
    source: str = ""
    licence: str = ""
    extra: dict[str, str] = field(default_factory=dict[str, str])
    story: Story | None = None
    segments: Tensor | None = None
    entities: dict[int, str] = field(default_factory=dict[int, str])
    contacts: tuple[Contact, ...] = ()
    subject: Tensor | None = None

    def __post_init__(self) -> None:
        f, _, h, w = self.video.shape
        for name, got, want in (
            ("camera", self.camera.shape, (f,)),
            ("actions", self.actions.shape, (f, 8)),
            ("depth", self.depth.shape if self.depth is not None else (f, h, w), (f, h, w)),
            ("segments", self.segments.shape if self.segments is not None else (f, h, w), (f, h, w)),
            ("subject", self.subject.shape if self.subject is not None else (f, 4), (f, 4)),
        ):
            if tuple(got) != want:
                raise ValueError(f"clip.{name} must be {want} to go with {f} frames of {w}x{h}, not {tuple(got)}")

    def at(self, frames: slice | Tensor) -> Clip:
        """These frames alone, or in another order: pictures, cameras, keys and maps. Words and contacts stay as they are."""
        maps = {k: x[frames] for k in _OPTIONAL if (x := getattr(self, k)) is not None}
        return replace(self, video=self.video[frames], camera=self.camera[frames], actions=self.actions[frames], **maps)

    def save(self, path: Path) -> None:
        """Write to ``path`` (``.safetensors``), through a temporary name, so that no half a clip is ever seen."""
        tensors = {"video": self.video, "pose": self.camera.pose, "lens": self.camera.lens, "actions": self.actions}
        tensors |= {k: v for k in _OPTIONAL if (v := getattr(self, k)) is not None}
        words = {k: getattr(self, k) for k in _WORDS}
        if self.story is not None:
            words["story"] = to_json(self.story)
        if self.entities:
            words["entities"] = self.entities
        if self.contacts:
            words["contacts"] = [to_json(contact) for contact in self.contacts]
        with atomic.whole(path) as temporary:
            save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, {"clip": json.dumps(words)})

    @staticmethod
    def load(path: Path) -> Clip:
        """Read what ``save`` wrote; ValueError with the file's name when it is not a clip."""
        with readable(path, "clip", "render it again"):
            with tensor_file.opened(path) as f:
                words = parse_json(f.metadata()["clip"])
                t: dict[str, Tensor] = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)
            if "story" in words:
                words["story"] = from_json(Story, words["story"])
            words["entities"] = {int(k): v for k, v in words.get("entities", {}).items()}
            words["contacts"] = tuple(from_json(Contact, contact) for contact in words.get("contacts", ()))
            words |= {k: t.get(k) for k in _OPTIONAL}
            return Clip(t["video"], Camera(t["pose"], t["lens"]), t["actions"], **words)


_OPTIONAL = ("depth", "segments", "subject")
_WORDS = ("fps", "caption", "style", "scene", "seed", "source", "licence", "extra")


def refuse_held_out(seed: int) -> None:
    """ValueError when a scene seed is reserved for evaluation; every training loader calls this."""
    if seed >= FIRST_HELD_OUT_SEED:
        raise ValueError(f"scene seed {seed} is reserved for evaluation (>= {FIRST_HELD_OUT_SEED}); train on smaller seeds")


def check_seeds(first: int, end: int) -> None:
    """ValueError where scenes ``first`` up to ``end`` are none, or some of them are reserved for evaluation."""
    if not first < end:
        raise ValueError(f"end_seed must be more than first_seed, not {end} beside {first}")
    refuse_held_out(end - 1)


def latent_count(frames: int) -> int:
    """Video frames F -> latent frames T, ``F = 4 (T - 1) + 1``; ValueError where F is not of that form."""
    if frames < 1 or (frames - 1) % 4:
        raise ValueError(f"a video of {frames} frames has no whole number of latents; use 4 k + 1 frames")
    return (frames - 1) // 4 + 1


def latent_cameras(camera: Camera) -> Camera:
    """The cameras of the latent frames: of the *last* video frame of each group, 0, 4, 8, ... along the time axis."""
    axis = len(camera.shape) - 1
    index = torch.arange(0, camera.shape[-1], 4, device=camera.pose.device)
    return camera.map(lambda x: x.index_select(axis, index))
