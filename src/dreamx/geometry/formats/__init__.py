"""Trajectories of every peer <-> ``Motion``. The dialect is always named, never guessed from what a file looks like.

``read`` and ``write`` work on bytes; whoever has a disk opens the files. ``path_check.problems`` says what is wrong with a path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from dreamx.geometry.formats import actions, estimators, key_samples, poses, scenes, text_lines, transforms
from dreamx.geometry.formats.motion import Files, Motion, MotionOptions
from dreamx.geometry.formats.path_check import refuse_broken
from dreamx.plaintext import named

__all__ = ["DIALECTS", "Dialect", "Files", "Motion", "MotionOptions", "dialect", "read", "write"]


@dataclass(frozen=True)
class Dialect:
    """One way to write a trajectory down.

    says: what it is, in a line. names: the files of its folder; empty where it is a single file. line: short enough to be given
    in place of a file. beside: where a second file may lie that is read along as "intrinsics", from the folder of the first and
    with its ``{name}``, ``{stem}`` and ``{end}``.
    """

    read: Callable[[Files, MotionOptions], Motion]
    write: Callable[[Motion, MotionOptions], dict[str, bytes]]
    says: str
    names: tuple[str, ...] = ()
    line: bool = False
    beside: tuple[str, ...] = ()


DIALECTS: dict[str, Dialect] = {
    "dreamx": Dialect(poses.read_dreamx, poses.write_dreamx, "our own JSON: camera-to-world, lens, fps"),
    "dreamx-ar": Dialect(
        actions.read_dreamx_ar, actions.write_dreamx_ar, "eval.json as DreamX-World-5B reads it: the numbers share out the frames"
    ),
    "dreamx-cam": Dialect(
        actions.read_dreamx_cam, actions.write_dreamx_cam, "eval.json as DreamX-World-5B-Cam reads it: the numbers are speeds"
    ),
    "dreamx-rows": Dialect(poses.read_dreamx_rows, poses.write_dreamx_rows, "DreamX's rows of 19 numbers, world-to-camera"),
    "hy-inference": Dialect(
        poses.read_hy_inference, poses.write_hy_inference, "HY-WorldPlay's JSON for inference: camera-to-world, one a latent"
    ),
    "hy-training": Dialect(
        poses.read_hy_training, poses.write_hy_training, "HY-WorldPlay's JSON for training: world-to-camera, by video frame"
    ),
    "hy-string": Dialect(
        text_lines.read_hy_string, text_lines.write_hy_string,
        'HY-WorldPlay\'s line "w-3, right-1": latents of 4 frames', line=True
    ),
    "minwm": Dialect(text_lines.read_minwm, text_lines.write_minwm, 'minWM\'s line "a*4,w*8": latents of 4 frames', line=True),
    "lingbot": Dialect(
        poses.read_lingbot, poses.write_lingbot, "LingBot-World's folder of arrays", ("poses.npy", "intrinsics.npy")
    ),
    "lingbot-string": Dialect(
        text_lines.read_lingbot_string, text_lines.write_lingbot_string,
        'LingBot-World\'s line "w-10,iw-5,none-3": frames', line=True
    ),
    "matrix-game-2": Dialect(
        key_samples.read_matrix_game_2, key_samples.write_matrix_game_2,
        "Matrix-Game 2's keyboard [T, 4] and mouse [T, 2], as JSON"
    ),
    "matrix-game-3": Dialect(
        key_samples.read_matrix_game_3, key_samples.write_matrix_game_3,
        "Matrix-Game 3's keyboard [T, 6] and mouse [T, 2], as JSON"
    ),
    "matrix-game-3.5": Dialect(
        poses.read_matrix_game_35, poses.write_matrix_game_35, "Matrix-Game 3.5's .npz: camera-to-world, lens in pixels"
    ),
    "matrix-game-3.5-w2c": Dialect(
        poses.read_matrix_game_35_w2c, poses.write_matrix_game_35_w2c, "the same under --camera-convention w2c"
    ),
    "abot": Dialect(key_samples.read_abot, key_samples.write_abot, "ABot-World's JSON of held keys, a frame each"),
    "gamecraft": Dialect(
        text_lines.read_gamecraft, text_lines.write_gamecraft,
        "GameCraft's actions and speeds, 33 frames each, as JSON"
    ),
    "yume": Dialect(text_lines.read_yume, text_lines.write_yume, "Yume's captions, a line for 2 s"),
    "realestate10k": Dialect(
        scenes.read_realestate10k, scenes.write_realestate10k, "RealEstate10K's text: an address, then rows of 19 and times"
    ),
    "colmap": Dialect(
        scenes.read_colmap, scenes.write_colmap, "COLMAP's text model: a folder of images.txt and cameras.txt",
        ("cameras.txt", "images.txt"),
    ),
    "dl3dv": Dialect(transforms.read_dl3dv, transforms.write_dl3dv, "transforms.json of DL3DV and nerfstudio: OpenGL's axes"),
    "megasam": Dialect(estimators.read_megasam, estimators.write_megasam, "MegaSaM's .npz: cam_c2w, intrinsic"),
    "vipe": Dialect(
        estimators.read_vipe, estimators.write_vipe, "ViPE's pose/NAME.npz: data, inds; intrinsics/NAME.npz beside it",
        beside=("../intrinsics/{name}", "{stem}_intrinsics{end}"),
    ),
    "tum": Dialect(
        estimators.read_tum, estimators.write_tum, "rows of time tx ty tz qx qy qz qw: TUM, DROID-SLAM, ORB-SLAM, evo"
    ),
    "kitti": Dialect(estimators.read_kitti, estimators.write_kitti, "KITTI's rows of 12 numbers, camera-to-world"),
}  # fmt: skip


def dialect(name: str) -> Dialect:
    """Find a dialect by its name. ValueError says which are like it."""
    if name not in DIALECTS:
        near = ", ".join(get_close_matches(name, DIALECTS, 4, 0.3) or list(DIALECTS)[:4])
        raise ValueError(f"dialect: there is no {name!r}; like it are {near} (docs/trajectories.md has all {len(DIALECTS)})")
    return DIALECTS[name]


def read(name: str, files: Files, asked: MotionOptions | None = None, broken: bool = False) -> Motion:
    """Read a file (under the name ``""``) or a folder's files in the dialect ``name``.

    ValueError, one sentence, for what cannot be read, and unless ``broken`` for cameras that are no rigid ones.
    """
    found = dialect(name)
    missing = [n for n in found.names or ("",) if n not in files]
    if missing:
        raise ValueError(f"{name}: there is no {missing[0] or 'file'}; it is {found.says}")
    with named(name):
        motion = found.read(files, asked or MotionOptions())
        if not broken:
            refuse_broken(motion)
        return motion


def write(name: str, motion: Motion, asked: MotionOptions | None = None) -> dict[str, bytes]:
    """The files of a dialect, a single one under the name ``""``. ValueError, one sentence, for a path that it cannot say."""
    found = dialect(name)
    with named(name):
        refuse_broken(motion)
        return found.write(motion, asked or MotionOptions())
