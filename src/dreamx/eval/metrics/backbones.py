"""Backbones of the scores: networks from files that the user gives, or stand-ins that need none, under their own names.

The protocol is small: a file of TorchScript or ONNX (``checkpoints.exported``), given pictures, float ``[N, 3, H, W]``, 0 to 1:

- quality (MUSIQ trained on SPAQ): pictures -> ``[N]``, 0 to 100
- flow (RAFT): pictures, pictures -> ``[N, 2, H, W]`` pixels
- middle (AMT): pictures, pictures -> ``[N, 3, H, W]`` in 0 to 1
- distance (LPIPS): pictures, pictures -> ``[N]``, less is more alike
- dino (DINOv2), vpr (a descriptor of places), clip (the picture side of CLIP): pictures -> ``[N, D]``
- points (SuperPoint and LightGlue): pictures, pictures -> ``[N]``, the share of points that match, 0 to 1

The judge of artifacts is the address of a server with the chat protocol (``judge``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from dreamx.checkpoints.exported import network
from dreamx.eval.estimators.features import feature_accuracy as features
from dreamx.eval.metrics import optical_flow, similarity
from dreamx.eval.metrics.appearance import Flow, Middle
from dreamx.eval.metrics.revisit import Compare, Embed
from dreamx.eval.metrics.vlm_judge import VLMJudge

#: What each stand-in is, by the field of ``Backbones``.
STAND_INS = {
    "pose": "alignment with the true render (instead of MegaSaM)",
    "quality": "detail as in the truth (stand-in for MUSIQ)",
    "flow": "Lucas-Kanade (stand-in for RAFT)",
    "middle": "Lucas-Kanade, half way (stand-in for AMT)",
    "distance": "edges (stand-in for LPIPS)",
    "judge": "no breakdown (stand-in for a judge)",
    "dino": "colours on a grid (stand-in for DINO)",
    "vpr": "edge directions on a grid (stand-in for VPR)",
    "points": "SIFT (stand-in for SuperPoint and LightGlue)",
    "clip": "colours on a grid (stand-in for CLIP)",
}


@dataclass(frozen=True)
class Backbones:
    """Files of networks and the judge's address; None: a stand-in. trust_code: the files may run any code (``.pt2``)."""

    quality: Path | None = None
    flow: Path | None = None
    middle: Path | None = None
    distance: Path | None = None
    judge: VLMJudge | None = None
    dino: Path | None = None
    vpr: Path | None = None
    points: Path | None = None
    clip: Path | None = None
    trust_code: bool = False

    def __post_init__(self) -> None:
        for name, file in self.files.items():
            if not file.is_file():
                raise ValueError(f"{name}: there is no file {file}; give an exported network, or leave it out for a stand-in")

    @property
    def files(self) -> dict[str, Path]:
        """The networks that are given, by field."""
        return {f.name: file for f in fields(self) if isinstance(file := getattr(self, f.name), Path)}

    @property
    def names(self) -> dict[str, str]:
        """Describe each backbone, for the table: two tables with other names are not compared."""
        return {name: _named(name, getattr(self, name, None)) for name in STAND_INS}

    def network(self, file: Path) -> Callable[..., Tensor]:
        """One of the networks, opened. ValueError, one sentence, where it cannot be or may run code."""
        return network(file, self.trust_code)

    def rate_of(self) -> Callable[[Tensor], Tensor] | None:
        """The quality of pictures, 0 to 100; None: the stand-in wants the truth."""
        return None if self.quality is None else self.network(self.quality)

    def distance_of(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the distance of pictures, ``[N]``: LPIPS if given, else edges."""
        # `edge_distance` is a likeness with its sign flipped.
        return (lambda a, b: -similarity.edge_distance(a, b)) if self.distance is None else self.network(self.distance)

    def flow_of(self) -> Flow:
        """Return the function of motion between pictures: RAFT if given, else Lucas-Kanade."""
        return optical_flow.optical_flow if self.flow is None else self.network(self.flow)

    def middle_of(self) -> Middle:
        """Return the function of pictures half way: AMT if given, else Lucas-Kanade."""
        return optical_flow.interpolate_midway if self.middle is None else self.network(self.middle)

    def likenesses(self) -> dict[str, Compare]:
        """Return the similarities of DreamX-World 1.0, table 5, by name; a stand-in under its own."""
        given = {
            "edges (for LPIPS)": ("LPIPS", self.distance, similarity.similarity_from_distance),
            "layout (for DINO)": ("DINO", self.dino, similarity.cosine_similarity),
            "gradients (for VPR)": ("VPR", self.vpr, similarity.cosine_similarity),
            "SIFT (for SP-Match)": ("SP-Match", self.points, lambda compare: compare),
        }
        found: dict[str, Compare] = {}
        for name, stand_in in similarity.WEIGHT_FREE.items():
            real, file, by = given.get(name, ("", None, None))
            if file is not None and by is not None:
                found[real] = by(self.network(file))
            elif find_spec("cv2") or "SIFT" not in name:  # OpenCV comes with an extra
                found[name] = stand_in
        return found

    def features_of(self) -> tuple[str, Embed]:
        """Features that sets of pictures are compared by, and their exact name: of ``dino``, or of a small network of ours."""
        if self.dino is not None:
            return _named("dino", self.dino), _in_parts(self.network(self.dino))
        net, own = features.shipped_features("evaluation")
        name = f"a network of ours, {features.features_hash('evaluation')}: {own}"
        return name, lambda pictures: features.features_of(net, pictures)

    def steadiness_of(self) -> tuple[str, Embed]:
        """Return the name of the steadiness score and its embedding: CLIP-V, or a stand-in under its own."""
        return ("CLIP-V", self.network(self.clip)) if self.clip else ("steadiness (for CLIP-V)", similarity.layout_features)


def _in_parts(run: Callable[..., Tensor]) -> Embed:
    """Make an embedding of uint8 pictures that takes ``_BATCH`` of them at a time."""
    return lambda pictures: torch.cat([run(part.float() / 255).flatten(1) for part in pictures.split(_BATCH)])


_BATCH = 64


def _named(name: str, what: Path | VLMJudge | None) -> str:
    if what is None:
        return STAND_INS[name]
    # With a hash: two files of one name would give scores that are not comparable.
    return what.named if isinstance(what, VLMJudge) else f"{what.name} {hashlib.sha256(what.read_bytes()).hexdigest()[:10]}"
