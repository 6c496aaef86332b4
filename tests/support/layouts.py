"""Small folders in the layouts of published data sets and of pose estimators, all of one walk through the tests' room."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamx.data.sim.walker import path as walked
from dreamx.geometry.camera import Camera, lens_from_fov, level, se3_inverse
from dreamx.geometry.formats import Motion, MotionOptions, write
from dreamx.geometry.path import quaternions
from room import Room

W, H, N, FPS = 64, 48, 21, 10.0


def walk() -> tuple[Tensor, Camera, Tensor]:
    """Video uint8 ``[N, 3, H, W]``, cameras ``[N]`` and depth ``[N, H, W]``: the truth that every reader must find again."""
    camera, _ = walked(level(lens_from_fov(60, W, H)), ["w"] * 8 + ["wj"] * 6 + ["l"] * 6)
    room = Room()
    seen = [room.render(camera[i], W, H) for i in range(N)]
    return torch.stack([a for a, _ in seen]), camera, torch.stack([b for _, b in seen])


def film(path: Path, video: Tensor, fps: float = FPS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "4", "tune": "zerolatency"}
        )
        stream.height, stream.width, stream.pix_fmt = *video.shape[2:], "yuv420p"
        for frame in video:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().numpy(), format="rgb24")))
        file.mux(stream.encode())


def pictures(folder: Path, names: list[str], video: Tensor) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in zip(names, video, strict=True):
        Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(folder / name)


def pixels(camera: Camera) -> Tensor:
    return camera.lens.double() * torch.tensor([W, H, W, H])


def intrinsic(camera: Camera) -> np.ndarray:
    fx, fy, cx, cy = pixels(camera)[0].tolist()
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def exact(camera: Camera) -> Camera:
    return camera.to(dtype=torch.float64)


def realestate10k(root: Path, video: Tensor, camera: Camera, depth: Tensor) -> None:
    film(root / "videos/abc123.mp4", video)
    text = write("realestate10k", Motion(exact(camera), FPS), MotionOptions(caption="https://www.youtube.com/watch?v=abc123"))[""]
    (root / "train").mkdir()
    (root / "train/0f0f.txt").write_bytes(text)


def realestate10k_frames(root: Path, video: Tensor, camera: Camera, depth: Tensor) -> None:
    text = write("realestate10k", Motion(exact(camera), FPS), MotionOptions(caption="https://www.youtube.com/watch?v=xyz"))[""]
    (root / "test").mkdir()
    (root / "test/0f0f.txt").write_bytes(text)
    pictures(root / "frames/test/0f0f", [f"{round(i * 1e6 / FPS)}.png" for i in range(N)], video)


def dl3dv(root: Path, video: Tensor, camera: Camera, depth: Tensor) -> None:
    (root / "1K/hash1").mkdir(parents=True)
    big = MotionOptions(size=(W * 8, H * 8))  # the numbers belong to pictures eight times as large
    (root / "1K/hash1/transforms.json").write_bytes(write("dl3dv", Motion(exact(camera), FPS), big)[""])
    pictures(root / "1K/hash1/images_8", [f"frame_{i:05d}.png" for i in range(N)], video)


def sekai(root: Path, video: Tensor, camera: Camera, depth: Tensor, key: str = "extrinsic") -> None:
    film(root / "videos/ytid_0000000_0000021.mp4", video)
    (root / "cameras").mkdir()
    k = intrinsic(camera) / np.array([[W], [H], [1]])
    np.savez(root / "cameras/ytid_0000000_0000021.npz", **{key: camera.pose.numpy(), "intrinsic": k})
    with (root / "sekai.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow("videoFile cameraFile caption location scene crowdDensity weather timeOfDay".split())
        name = "ytid_0000000_0000021"
        table.writerow([f"{name}.mp4", f"{name}.npz", "A walk, and a turn.", "Nowhere", "indoor", "none", "dry", "noon"])


def sekai_game(root: Path, video: Tensor, camera: Camera, depth: Tensor) -> None:
    sekai(root, video, camera, depth, "cam_c2w")


def spatialvid(root: Path, video: Tensor, camera: Camera, depth: Tensor) -> None:
    film(root / "videos/group_0001/u-1.mp4", video)
    notes = root / "annotations/group_0001/u-1"
    notes.mkdir(parents=True)
    every = list(range(0, N, int(FPS / 5)))
    w2c = se3_inverse(exact(camera).pose)[every]
    q = quaternions(w2c[:, :3, :3])
    np.save(notes / "poses.npy", torch.cat([w2c[:, :3, 3], q[:, [1, 2, 3, 0]]], 1).numpy())
    np.save(notes / "intrinsics.npy", camera.lens[every].numpy())
    (notes / "indexes.txt").write_text("".join(f"{k} {i}\n" for k, i in enumerate(every)))
    (notes / "caption.json").write_text(json.dumps({"SceneSummary": "A painted room.", "CategoryTags": {}}))
    (root / "data/train").mkdir(parents=True)
    with (root / "data/train/SpatialVID_HQ_metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "video path", "annotation path", "fps", "num frames"])
        table.writerow(["u-1", "group_0001/u-1.mp4", "group_0001/u-1", FPS, N])


def omniworld(root: Path, video: Tensor, camera: Camera, depth: Tensor) -> None:
    scene = root / "0a1b2c"
    pictures(scene / "color", [f"{i:06d}.png" for i in range(N)], video)
    (scene / "depth").mkdir()
    for i, z in enumerate(depth):
        near = 0.004 * z.double()  # z = d / (1000 - 999 d) / 0.004, the other way around
        stored = (1000 * near / (1 + 999 * near) * 65535).round().clamp(0, 65535).numpy().astype(np.uint16)
        Image.fromarray(stored).save(scene / f"depth/{i:06d}.png")
    w2c = se3_inverse(exact(camera).pose)
    (scene / "camera").mkdir()
    said = {
        "focals": pixels(camera)[:, 0].tolist(), "cx": W / 2, "cy": H / 2,
        "quats": quaternions(w2c[:, :3, :3]).tolist(), "trans": w2c[:, :3, 3].tolist(),
    }  # fmt: skip
    (scene / "camera/split_0.json").write_text(json.dumps(said))
    (scene / "split_info.json").write_text(json.dumps({"split": [list(range(N))]}))
    (scene / "fps.txt").write_text(f"{FPS}\n")


def megasam(root: Path, video: Tensor, camera: Camera, depth: Tensor) -> None:
    np.savez(
        root / "walk_droid.npz", images=video.permute(0, 2, 3, 1).numpy(), depths=depth.float().numpy(),
        intrinsic=intrinsic(camera).astype(np.float32), cam_c2w=camera.pose.numpy(),
    )  # fmt: skip
    (root / "LICENSE").write_text("CC0-1.0\n\nAll of it.\n")


def vggt(root: Path, video: Tensor, camera: Camera, depth: Tensor) -> None:
    (root / "walk").mkdir()
    k = np.broadcast_to(intrinsic(camera), (N, 3, 3)).astype(np.float32)
    np.savez(
        root / "walk/predictions.npz", extrinsic=se3_inverse(camera.pose)[:, :3].numpy(), intrinsic=k,
        images=(video.float() / 255).numpy(), depth=depth[..., None].float().numpy(),
    )  # fmt: skip
    (root / "LICENSE").write_text("CC0-1.0\n")


def colmap(root: Path, video: Tensor, camera: Camera, depth: Tensor) -> None:
    names = [f"frame_{i:06d}.png" for i in range(N)]
    pictures(root / "walk/images", names, video)
    (root / "walk/sparse/0").mkdir(parents=True)
    for name, data in write("colmap", Motion(exact(camera), FPS), MotionOptions(size=(W, H))).items():
        (root / "walk/sparse/0" / name).write_bytes(data)
    (root / "LICENSE").write_text("CC0-1.0\n")


#: By test name: the kind of ``dreamx data import``, what writes the folder, and whether depth comes with it.
LAYOUTS = {
    "realestate10k": ("realestate10k", realestate10k, False),
    "realestate10k-frames": ("realestate10k", realestate10k_frames, False),
    "dl3dv": ("dl3dv", dl3dv, False),
    "sekai": ("sekai", sekai, False),
    "sekai-game": ("sekai-game", sekai_game, False),
    "spatialvid": ("spatialvid", spatialvid, False),
    "omniworld": ("omniworld", omniworld, True),
    "megasam": ("megasam", megasam, True),
    "vggt": ("vggt", vggt, True),
    "colmap": ("colmap", colmap, False),
}
