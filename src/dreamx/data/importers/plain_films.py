"""Plain films without cameras: pycolmap finds them, on the CPU and without a network.

SIFT, matching of frames that follow each other, incremental mapping; all with one thread and a fixed seed, so that a film gives
the same cameras again. Where it fails, it says so: a film that only turns, that has no texture, or that moves too little.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamx.data.importers.datasets import Listed, below
from dreamx.data.importers.source_shot import SourceShot
from dreamx.geometry.camera import Camera, se3_inverse
from dreamx.geometry.formats.motion import rigid_rows
from dreamx.plaintext import natural
from dreamx.video_reader import VIDEO_ENDINGS, frames, timeline

_KEYS = 3.0  # key frames a second that cameras are sought for; between them they are interpolated
LEAST_REGISTERED = 0.8  # share of the key frames that must get a camera


def films(folder: Path, rate: float | None) -> Listed:
    """``*.mp4`` (or .mkv, .webm, .mov, .m4v, .avi, .mts, .ts, .mpg, ...), one shot each; find cuts first."""
    found = [p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_ENDINGS and p.is_file()]
    stems = Counter(p.with_suffix("") for p in found)
    for path in sorted(found, key=lambda p: natural(p.relative_to(folder).as_posix())):
        yield below(path if stems[path.with_suffix("")] > 1 else path.with_suffix(""), folder), partial(_film, path)


def _film(path: Path) -> SourceShot:
    film = timeline(path)
    if film.variable:
        keys = sorted(set(film.even(0, len(film.times) - 1, _KEYS)))
    else:
        keys = list(range(0, len(film.times), max(1, round(film.fps / _KEYS))))
    at, pictures = [], []
    for i, picture in frames(path, set(keys)):
        at.append(i)
        pictures.append(picture)
        if picture.shape != pictures[0].shape:
            raise ValueError(f"frame {i} is {picture.shape[2]} x {picture.shape[1]}, unlike the first: it changes its size")
    found, camera, points = reconstruct(torch.stack(pictures)) if pictures else ([], None, None)
    if camera is None or len(found) < 2:
        raise ValueError("pycolmap finds no cameras for it: it may only turn, move too little or show nothing to hold on to")
    frame = torch.tensor([float(at[i]) for i in found], dtype=torch.float64)
    return SourceShot(path, camera, frame, None, points=points, extra={"cameras": "pycolmap"})


def reconstruct(video: Tensor, focal: float | None = None) -> tuple[list[int], Camera | None, Tensor | None]:
    """Cameras of pictures uint8 ``[F, 3, H, W]`` in an unknown scale: which frames they belong to, ``[K]`` of them, or None, and
    the points ``[P, 3]`` that three of them or more saw.

    focal: fx in pixels where it is known; else it is estimated. ValueError where pycolmap is not installed.
    """
    try:
        import pycolmap
    except ImportError as e:
        raise ValueError(f"cameras of plain films need pycolmap ({e}); pip install '.[colmap]' in the checkout") from None
    pycolmap.logging.minloglevel = 3
    h, w = video.shape[2:]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "images").mkdir()
        for i, picture in enumerate(video):
            Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(root / "images" / f"{i:06d}.png")
        pycolmap.set_random_seed(0)
        reader = pycolmap.ImageReaderOptions()
        if focal is not None:
            reader.camera_params = f"{focal},{w / 2},{h / 2}"
        reader.camera_model = "SIMPLE_PINHOLE"
        extract = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
        database = root / "database.db"
        pycolmap.extract_features(
            database, root / "images", camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader, extraction_options=extract
        )
        match = pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False)
        pairing = pycolmap.SequentialPairingOptions(overlap=6, quadratic_overlap=True, loop_detection=False)
        pycolmap.match_sequential(database, matching_options=match, pairing_options=pairing)
        options = pycolmap.IncrementalPipelineOptions(num_threads=1, random_seed=0, ba_refine_focal_length=focal is None)
        options.min_model_size = 3
        models = pycolmap.incremental_mapping(database, root / "images", root, options)
        if not models:
            return [], None, None
        model = max(models.values(), key=lambda m: m.num_reg_images())
        images = sorted((x for x in model.images.values() if x.has_pose), key=lambda x: x.name)
        if len(images) < LEAST_REGISTERED * len(video):
            return [], None, None
        rows = np.stack([x.cam_from_world().matrix() for x in images])
        k = next(iter(model.cameras.values())).calibration_matrix()
        seen = [p.xyz for p in model.points3D.values() if p.track.length() >= 3]
    points = torch.from_numpy(np.stack(seen)) if seen else None
    pose = se3_inverse(rigid_rows(rows.reshape(len(rows), 12).tolist()))
    lens = torch.tensor([k[0, 0] / w, k[1, 1] / h, k[0, 2] / w, k[1, 2] / h], dtype=torch.float64)
    return [int(Path(x.name).stem) for x in images], Camera(pose, lens.expand(len(pose), 4).clone()), points
