"""Clips -> latents: a folder of shots becomes one file that the transformer trains from, each shot also mirrored and reversed.

A mirrored room is a room and a walk back is a walk, so every clip counts four times: as it is, mirrored left to right, backwards
in time, and both. Latents belong to one autoencoder; the file names it by a hash of its weights.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from dreamx.clip import Clip, latent_cameras, refuse_held_out
from dreamx.geometry.camera import Camera
from dreamx.model import weights
from dreamx.model.vae import VAE, VAEConfig, fingerprint


@dataclass(frozen=True)
class EncodeConfig:
    """clips: folder of clips; vae: folder of the trained autoencoder; out: the file to write (``.safetensors``).

    mirror, reverse: also write the variants. threads: of the CPU (0: as many as torch likes).
    """

    clips: Path
    vae: Path
    out: Path
    mirror: bool = True
    reverse: bool = True
    threads: int = 0


@dataclass(frozen=True)
class Row:
    """What is known of one row of latents. variant: empty, ``mirror``, ``reverse`` or ``mirror reverse``."""

    caption: str
    style: str
    scene: str
    seed: int
    variant: str = ""


@dataclass(frozen=True)
class Latents:
    """Encoded clips. z: ``[N, T, C, h, w]`` float16; camera: ``[N, T]``; rows: N; vae: the autoencoder's fingerprint."""

    z: Tensor
    camera: Camera
    rows: tuple[Row, ...]
    vae: str

    def save(self, path: Path) -> None:
        """Write to ``path``, whole or not at all."""
        words = {"clips": json.dumps([vars(row) for row in self.rows]), "vae": self.vae}
        temporary = path.with_suffix(".tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"z": self.z, "pose": self.camera.pose, "lens": self.camera.lens}, temporary, words)
        os.replace(temporary, path)

    @staticmethod
    def load(path: Path) -> Latents:
        """Read what ``save`` wrote; ValueError with the file's name when it is not that."""
        try:
            with safe_open(path, "pt") as f:
                words = f.metadata()
                rows = tuple(Row(**row) for row in json.loads(words["clips"]))
                camera = Camera(f.get_tensor("pose"), f.get_tensor("lens"))
                return Latents(f.get_tensor("z"), camera, rows, words["vae"])
        except Exception as e:
            raise ValueError(f"{path}: not a readable file of latents ({type(e).__name__}: {e}); encode the clips again") from e


def encode(cfg: EncodeConfig) -> Latents:
    """Encode every clip of ``cfg.clips`` and write ``cfg.out``; ValueError for held-out clips and clips of unequal length."""
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    vae = VAE(weights.read_config(cfg.vae, "vae", VAEConfig))
    weights.load_into(vae, cfg.vae / "vae.safetensors")
    files = clip_files(cfg.clips)
    z: list[Tensor] = []
    cameras: list[Camera] = []
    rows: list[Row] = []
    for path in track(files, "encode"):
        clip = Clip.load(path)
        refuse_held_out(clip.seed)
        if cameras and len(clip.video) != 4 * len(cameras[0]) - 3:
            raise ValueError(f"{path}: {len(clip.video)} frames, the clips before had {4 * len(cameras[0]) - 3}; render alike")
        for variant, shot in variants(clip, cfg.mirror, cfg.reverse):
            z.append(latents(vae, shot.video))
            cameras.append(latent_cameras(shot.camera))
            rows.append(Row(shot.caption, shot.style, shot.scene, shot.seed, variant))
    camera = Camera(torch.stack([c.pose for c in cameras]), torch.stack([c.lens for c in cameras]))
    result = Latents(torch.stack(z), camera, tuple(rows), fingerprint(vae))
    result.save(cfg.out)
    return result


@torch.no_grad()
def latents(vae: VAE, video: Tensor) -> Tensor:
    """One video ``[F, 3, H, W]`` uint8 -> normalised latents ``[T, C, h, w]`` float16."""
    return vae.encode(video[None].float() / 127.5 - 1)[0].half().contiguous()


def variants(clip: Clip, mirror: bool, reverse: bool) -> Iterator[tuple[str, Clip]]:
    """The clip and, where asked for, its mirror image, its reversal and both, each with its name."""
    yield "", clip
    if mirror:
        yield "mirror", mirrored(clip)
    if reverse:
        yield "reverse", reversed_in_time(clip)
    if mirror and reverse:
        yield "mirror reverse", mirrored(reversed_in_time(clip))


def mirrored(clip: Clip) -> Clip:
    """The world in a mirror, left for right: what turned left turns right, and says so in the caption."""
    s = torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=clip.camera.pose.dtype)
    fx, fy, cx, cy = clip.camera.lens.unbind(-1)
    camera = Camera(s[:, None] * clip.camera.pose * s, torch.stack([fx, fy, 1 - cx, cy], -1))
    return replace(
        clip,
        video=clip.video.flip(-1),
        depth=clip.depth.flip(-1) if clip.depth is not None else None,
        camera=camera,
        actions=clip.actions[:, _MIRRORED],
        caption=re.sub(r"\b(left|right)\b", lambda m: {"left": "right", "right": "left"}[m[0]], clip.caption),
    )


def reversed_in_time(clip: Clip) -> Clip:
    """The clip backwards. Row f of the actions led to frame f; backwards the opposite keys of row F - f do."""
    back = torch.cat([torch.zeros_like(clip.actions[:1]), clip.actions[1:].flip(0)])
    return replace(
        clip,
        video=clip.video.flip(0),
        depth=clip.depth.flip(0) if clip.depth is not None else None,
        camera=clip.camera.map(lambda x: x.flip(0)),
        actions=back[:, _OPPOSITE],
    )


def clip_files(folder: Path) -> list[Path]:
    """The clips of a folder in order of name; ValueError where there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"no clips (*.safetensors) in {folder}; render some first with `dreamx data`")
    return files


# Columns of the action vector "wasdijkl" in the mirror (a and d, j and l change places) and backwards (all pairs do).
_MIRRORED = [0, 3, 2, 1, 4, 7, 6, 5]
_OPPOSITE = [2, 3, 0, 1, 6, 7, 4, 5]
