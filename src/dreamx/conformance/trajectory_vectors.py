"""The trajectories of the released scripts through ``geometry.official``."""

from __future__ import annotations

import torch

from dreamx.conformance.vectors import Vectors, error, ordinal
from dreamx.geometry import official as scripts
from dreamx.geometry.camera import se3_inverse


def trajectories(vectors: Vectors) -> dict[str, float]:
    """Action lists to world-to-camera rows of the video, and from these to the cameras of the latents.

    Which of the two released scripts made a case shows in its intrinsics: the bidirectional one counts the principal point
    from the middle of the picture, the autoregressive one from its corner.
    """
    errors: dict[str, float] = {}
    for name in sorted((k for k in vectors.tensors if k.endswith(".w2c")), key=ordinal):
        case = name.removesuffix(".w2c")
        lens = vectors[f"{case}.intrinsics"]
        middle = bool((lens[..., :2, 2] == 0).all())
        how = scripts.bidirectional if middle else scripts.autoregressive
        camera = how(*(vectors.word(case, part) for part in ("actions", "speeds", "num_frames")))
        if middle:
            latents = scripts.bidirectional_latents(camera)
        else:
            latents = scripts.autoregressive_latents(camera, 3 if vectors.word(case, "chunk_relative") else None)
        k = torch.eye(3)
        k[0, 0], k[1, 1], k[:2, 2] = latents.lens[0, 0], latents.lens[0, 1], 0.0 if middle else 0.5
        errors[name] = error(scripts.rows(camera), vectors[name])
        errors[f"{case}.viewmats"] = error(se3_inverse(latents.pose), vectors[f"{case}.viewmats"])
        errors[f"{case}.intrinsics"] = error(k.expand_as(lens), lens)
    return errors
