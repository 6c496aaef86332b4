"""Read ``meta/info.json`` of a LeRobot dataset: whether it is ours, its version, which features are cameras."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from dreamx.plaintext import cause, parse_json

INFO = "meta/info.json"
#: Words of a feature's name, between dots: camera-to-world, world-to-camera, and lenses.
POSES = ("pose", "poses", "c2w", "cam_c2w", "poses_c2w", "camera_pose", "camera_to_world")
INVERSE = ("w2c", "extrinsic", "extrinsics", "camera_extrinsics", "world_to_camera")
LENSES = ("lens", "intrinsic", "intrinsics", "camera_intrinsics")
_KEYS = list("wasdijkl")


class Foreign(ValueError):
    """A dataset that is not ours and cannot be read as it is."""


@dataclass(frozen=True)
class Features:
    """Names of the features that are read: pictures, poses (``inverse``: world-to-camera), lenses, held keys or None."""

    seen: str
    pose: str
    inverse: bool
    lens: str
    keys: str | None


def is_foreign(about: bytes) -> bool:
    """Is this ``info.json`` one that dreamx did not write?"""
    try:
        info = parse_json(about)
    except ValueError:
        return False
    return isinstance(info, dict) and "dreamx" not in info


def features_of(place: str, about: bytes) -> tuple[dict[str, Any], Features]:
    """``info.json``, and the features that are cameras. ValueError, one sentence, for another version or what is missing."""
    try:
        info = parse_json(about)
    except ValueError as e:
        raise Foreign(f"{place}: {INFO} cannot be read ({e}); make the dataset again") from e
    try:
        return info, _cameras(place, info)
    except (TypeError, AttributeError, KeyError) as e:
        raise Foreign(f"{place}: {INFO} cannot be read ({cause(e)}); make the dataset again") from e


def _cameras(place: str, info: dict[str, Any]) -> Features:
    version, features = info.get("codebase_version"), info.get("features")
    if not isinstance(version, str) or not isinstance(features, dict):
        raise Foreign(f"{place}: {INFO} is neither of dreamx nor of LeRobot; give a dataset, or a folder of clips")
    if not version.startswith("v3."):
        raise Foreign(
            f"{place}: a LeRobot dataset of version {version}, and 3.0 is read; bring it there with LeRobot's own"
            " `python -m lerobot.datasets.v30.convert_dataset_v21_to_v30`"
        )
    known = {k: v for k, v in features.items() if isinstance(v, dict)}

    def of(names: tuple[str, ...], sizes: tuple[int, ...]) -> list[str]:
        return [k for k, v in known.items() if set(k.split(".")) & set(names) and prod(v.get("shape") or (0,)) in sizes]

    pose, inverse, lens = of(POSES, (16, 12)), of(INVERSE, (16, 12)), of(LENSES, (4, 9))
    seen = [
        k
        for k, v in known.items()
        if v.get("dtype") in ("video", "image") and not (v.get("info") or {}).get("video.is_depth_map")
    ]
    missing = [
        words
        for there, words in (
            (pose or inverse, "poses of the camera by frame (16 or 12 numbers, observation.pose)"),
            (lens, "its lens (4 or 9 numbers, observation.lens)"),
            (seen, "pictures"),
        )
        if not there
    ]
    if missing:
        raise Foreign(
            f"{place}: a LeRobot dataset that lacks {', and '.join(missing)}; it has {', '.join(sorted(known)) or 'no features'},"
            " and a world model learns from pictures whose cameras are known"
        )
    both = pose or inverse
    if len(seen) > 1 or len(both) > 1 or len(lens) > 1:
        raise Foreign(
            f"{place}: a LeRobot dataset of several cameras ({', '.join((*seen, *both, *lens))}); keep the pictures, poses and"
            " lenses of one"
        )
    keys = "action" if (known.get("action") or {}).get("names") == _KEYS else None
    return Features(seen[0], both[0], not pose, lens[0], keys)
