"""Structure from motion by COLMAP (Schoenberger and Frahm 2016), through pycolmap, an optional extra.

It wants texture and parallax: a turn on the spot, a plain wall or a picture of 64 pixels often cannot be read, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dreamx.geometry.camera import Camera, relative_to, se3_inverse
from dreamx.geometry.path import resample

_ENLARGED = 512  # pixels of the shorter side: small pictures are enlarged, for SIFT's sake


@dataclass(frozen=True)
class Colmap:
    """An ``Estimator``. Every ``stride``-th frame is read, and the last; ``overlap``: how many neighbours each is matched with.
    ``least``: the share of these frames that must be placed."""

    stride: int = 4
    overlap: int = 8
    least: float = 0.8

    def __call__(self, video: Tensor, lens: Tensor, fps: float) -> Camera:
        """See ``Estimator``; frames in between lie between. ValueError when too few frames can be placed."""
        frames = sorted({*range(0, len(video), self.stride), len(video) - 1})
        with TemporaryDirectory() as folder:
            placed = reconstruct(Path(folder), video, frames, lens, self.overlap)
        share = len(placed) / len(frames)
        ends = frames[0] in placed and frames[-1] in placed
        if share < self.least or not ends:
            raise ValueError(
                f"COLMAP placed {len(placed)} of {len(frames)} frames; it needs more texture or parallax than there is"
            )
        at = sorted(placed)
        camera = Camera(torch.stack([placed[i] for i in at]), lens.double().expand(len(at), 4))
        index = torch.arange(len(video)).double()
        known = torch.tensor(at).double()
        after = torch.searchsorted(known, index).clamp(1, len(at) - 1)
        times = after - 1 + (index - known[after - 1]) / (known[after] - known[after - 1])
        camera = resample(camera, times)
        return relative_to(camera, camera[0])


def reconstruct(folder: Path, video: Tensor, frames: list[int], lens: Tensor, overlap: int) -> dict[int, Tensor]:
    """Camera-to-world poses ``[4, 4]`` by frame, of the largest model that COLMAP makes; ``folder`` is its desk."""
    try:
        import pycolmap
    except ImportError:
        raise ValueError("COLMAP needs pycolmap; install dreamx with the extra colmap, or choose another estimator") from None
    colmap: Any = pycolmap
    pictures = folder / "pictures"
    pictures.mkdir()
    times = max(1, -(-_ENLARGED // min(video.shape[-2:])))
    height, width = (times * n for n in video.shape[-2:])
    for i in frames:
        picture = Image.fromarray(video[i].permute(1, 2, 0).contiguous().numpy())
        picture.resize((width, height), Image.Resampling.BICUBIC).save(pictures / f"{i:06d}.png")
    fx, fy, cx, cy = (lens.double() * torch.tensor([width, height, width, height])).tolist()
    reader = colmap.ImageReaderOptions()
    reader.camera_model, reader.camera_params = "PINHOLE", f"{fx},{fy},{cx},{cy}"
    database = folder / "database.db"
    colmap.logging.minloglevel = 3
    colmap.extract_features(database, pictures, camera_mode=colmap.CameraMode.SINGLE, reader_options=reader)
    pairing = colmap.SequentialPairingOptions()
    pairing.overlap, pairing.quadratic_overlap, pairing.loop_detection = overlap, True, False
    colmap.match_sequential(database, pairing_options=pairing)
    options = colmap.IncrementalPipelineOptions()
    for refined in ("focal_length", "principal_point", "extra_params"):  # the lens is known
        setattr(options, f"ba_refine_{refined}", False)
    models = colmap.incremental_mapping(database, pictures, folder / "model", options=options)
    if not models:
        return {}
    best = max(models.values(), key=lambda model: model.num_reg_images())
    found: dict[int, Tensor] = {}
    for image in best.images.values():
        if image.has_pose:
            matrix = torch.from_numpy(image.cam_from_world().matrix().copy())
            found[int(Path(image.name).stem)] = se3_inverse(torch.cat([matrix, torch.tensor([[0.0, 0, 0, 1]]).double()]))
    return found
