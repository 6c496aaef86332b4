"""What pose estimators and their users write: rows with times and numbers, arrays of any shape and type, lists in any order."""

from __future__ import annotations

import io
import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamx.geometry.camera import level
from dreamx.geometry.controls import from_keys, walk
from dreamx.geometry.formats import MotionOptions, read
from dreamx.geometry.formats.arrays import read_npy
from dreamx.trajectory import open_motion

N = 9
POSES = walk(level(dtype=torch.float64), from_keys(["wl"] * N)).pose
LENS = np.array([420.0, 431.0, 416.0, 240.0])
MATRIX = np.array([[420.0, 0, 416], [0, 431, 240], [0, 0, 1]])
ASKED = MotionOptions(fps=16.0, lens=(0.5, 0.9, 0.5, 0.5))


def npy(x: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, x)
    return out.getvalue()


def npz(**arrays: np.ndarray) -> bytes:  # numpy's own signature
    out = io.BytesIO()
    np.savez(out, **arrays)  # pyright: ignore[reportArgumentType]
    return out.getvalue()


def tum(times: list[float], at: list[int] | None = None) -> bytes:
    rows: list[str] = []
    for t, i in zip(times, at or range(N), strict=True):
        half = np.deg2rad(1.5 * (i + 1)) / 2
        rows.append(" ".join(map(repr, [t, *POSES[i, :3, 3].tolist(), 0.0, float(np.sin(half)), 0.0, float(np.cos(half))])))
    return ("# timestamp tx ty tz qx qy qz qw\n" + "\n".join(rows) + "\n").encode()


@pytest.mark.parametrize("poses", [POSES.numpy(), POSES.numpy()[:, :3], POSES.numpy()[None], np.asfortranarray(POSES.numpy())])
@pytest.mark.parametrize("lens", [LENS, LENS[None], np.tile(LENS, (N, 1)), MATRIX, np.tile(MATRIX, (N, 1, 1))])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.longdouble])
def test_arrays_of_any_shape(poses: np.ndarray, lens: np.ndarray, kind: type) -> None:
    motion = read("lingbot", {"poses.npy": npy(poses.astype(kind)), "intrinsics.npy": npy(lens.astype(kind))})
    assert torch.allclose(motion.camera.pose, POSES, atol=1e-6)
    assert torch.allclose(motion.camera.lens, torch.tensor(LENS / [832, 480, 832, 480]).expand(N, 4), atol=1e-6)


def test_long_doubles_of_other_machines() -> None:
    def quad(v: float) -> bytes:
        b = struct.unpack("<Q", struct.pack("<d", v))[0]
        power = (b >> 52 & 0x7FF) - 1023 + 16383 if v else 0
        return ((b >> 63 << 127) | (power << 112) | ((b & (1 << 52) - 1) << 60)).to_bytes(16, "little")

    values = [1.0, -2.25, 3.14159, 0.0, 420.0]
    head = b"{'descr': '<f16', 'fortran_order': False, 'shape': (5,), }\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"".join(map(quad, values))
    assert read_npy(data, "x").tolist() == values
    holes = read_npy(npy(np.array([1, np.nan, -3], dtype=np.longdouble)), "x").tolist()
    assert (holes[0], holes[2]) == (1.0, -3.0) and holes[1] != holes[1]


@pytest.mark.parametrize(
    ("poses", "said"),
    [
        (np.where(np.arange(N)[:, None, None] == 5, np.nan, POSES.numpy()), "frame 5 holds NaN"),
        (np.array([POSES[0].numpy(), None], dtype=object), "pickled objects, which are never opened"),
        (POSES.numpy().transpose(0, 2, 1), "last row of frame 0 is not 0 0 0 1.*transpose the matrices"),
        (POSES.numpy()[:, :2], "must be .frames, 4, 4. or .frames, 3, 4., not .9, 2, 4."),
    ],
)
def test_broken_arrays_say_the_frame(poses: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read("lingbot", {"poses.npy": npy(poses), "intrinsics.npy": npy(LENS)})


def test_megasam_has_a_lens_a_frame() -> None:
    lenses = np.tile(MATRIX, (N, 1, 1))
    lenses[3, 0, 0] = 400
    arrays = {"cam_c2w": POSES.numpy(), "intrinsic": lenses, "images": np.zeros((N, 480, 832, 3), np.uint8)}
    motion = read("megasam", {"": npz(**arrays)}, MotionOptions(fps=16.0))
    assert float(motion.camera.lens[3, 0]) == 400 / 832 and float(motion.camera.lens[4, 0]) == 420 / 832


def test_vipe_with_its_lenses_and_gaps(tmp_path: Path) -> None:
    for folder in ("pose", "intrinsics"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pose/a.npz").write_bytes(npz(data=POSES.numpy().astype(np.float32), inds=np.arange(N)))
    (tmp_path / "intrinsics/a.npz").write_bytes(npz(data=np.tile(LENS, (N, 1)), inds=np.arange(N)))
    motion = open_motion(str(tmp_path / "pose/a.npz"), "vipe", MotionOptions(fps=16.0))
    assert torch.allclose(motion.camera.pose, POSES, atol=1e-6)
    assert motion.camera.lens[0].tolist() == [420 / 832, 431 / 480, 0.5, 0.5] and "832 x 480" in motion.notes[0]
    some = [0, 1, 4, 8]
    motion = read("vipe", {"": npz(data=POSES[some].numpy(), inds=np.array(some))}, ASKED)
    assert len(motion.camera) == N and torch.allclose(motion.camera.pose[some], POSES[some])
    assert float((motion.camera.pose - POSES).abs().max()) < 2e-2 and "Of 9 frames it has 4" in motion.notes[0]
    with pytest.raises(ValueError, match="frame 2: its frame number is not after"):
        read("vipe", {"": npz(data=POSES.numpy(), inds=np.array([0, 1, 1, 3, 4, 5, 6, 7, 8]))}, ASKED)


def test_tum_has_its_own_clock() -> None:
    motion = read("tum", {"": tum([5 + i / 16 for i in range(N)])})
    assert motion.fps == pytest.approx(16) and torch.allclose(motion.camera.pose, POSES) and "no lens" in motion.notes[0]
    whole = tum([float(i) for i in range(N)])
    with pytest.raises(ValueError, match="tum: its times are whole numbers.*give fps"):
        read("tum", {"": whole})
    assert torch.allclose(read("tum", {"": whole}, ASKED).camera.pose, POSES)
    nano = tum([float(10**18 + i * 62_500_000) for i in range(N)])
    assert len(read("tum", {"": nano}, ASKED).camera) == N
    keys = [0, 1, 2, 3, 8]
    motion = read("tum", {"": tum([i / 16 for i in keys], keys)})
    assert len(motion.camera) == N and torch.allclose(motion.camera.pose[keys], POSES[keys], atol=1e-9)
    assert "uneven" in motion.notes[1]
    assert (
        "16 frames a second; 30 are taken" in read("tum", {"": tum([i / 16 for i in range(N)])}, MotionOptions(fps=30.0)).notes[1]
    )


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (lambda x: x.replace(b"0.125", b"0.0625", 1), "line 4: its time is not after that of the one before"),
        (lambda x: x.replace(b"0.125 ", b"nan ", 1), "line 4: 'nan' is not a finite number"),
        (lambda x: x.replace(b"0.125 ", b"0.125 7 ", 1), "line 4 has 9 words where there must be 8"),
        (lambda x: x.replace(b" 0.0 0.99", b" 0.7 0.99", 1), "line 2: its quaternion has the length"),
        (lambda x: x.replace(b"0.125 ", b"0.125 \xe2\x80\x8b", 1), "U.200B ZERO WIDTH SPACE"),
    ],
)
def test_broken_rows_say_the_line(bend: object, said: str) -> None:
    good = tum([i / 16 for i in range(N)])
    with pytest.raises(ValueError, match=said):
        read("tum", {"": bend(good)})  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize("rows", [3, 4])
@pytest.mark.parametrize("between", [" ", ",", "\t", ", "])
def test_kitti_with_numbers_and_whole_matrices(number: bool, rows: int, between: str) -> None:
    lines = [between.join(map(repr, [*([i] if number else []), *p[:rows].flatten().tolist()])) for i, p in enumerate(POSES)]
    data = ("\r\n".join(lines) + "\r\n").encode("utf-16")
    assert torch.equal(read("kitti", {"": data}, ASKED).camera.pose, POSES)


def transforms(names: list[str], lens: dict[str, object]) -> bytes:
    flip = np.diag([1.0, -1, -1, 1])
    frames = [{"file_path": n, "transform_matrix": (p.numpy() @ flip).tolist()} for n, p in zip(names, POSES, strict=True)]
    random.Random(3).shuffle(frames)
    return json.dumps({**lens, "frames": frames}).encode()


FLAT = {"w": 640, "h": 360, "fl_x": 320.0, "fl_y": 320.0, "cx": 320.0, "cy": 180.0}


def test_transforms_are_in_the_order_of_their_names() -> None:
    for names in ([f"images/frame_{i:05d}.png" for i in range(N)], [f"images/frame_{i + 5}.png" for i in range(N)]):
        motion = read("dl3dv", {"": transforms(names, dict(FLAT))}, MotionOptions(fps=16.0))
        assert torch.allclose(motion.camera.pose, POSES, atol=1e-12) and motion.notes == ()
    with pytest.raises(ValueError, match="are both of the file 'a.png'"):
        read("dl3dv", {"": transforms(["a.png"] * N, dict(FLAT))}, MotionOptions(fps=16.0))


def test_transforms_of_other_lenses() -> None:
    names = [f"r_{i}" for i in range(N)]
    motion = read("dl3dv", {"": transforms(names, {"camera_angle_x": 1.5707963267948966})}, MotionOptions(fps=16.0))
    assert motion.camera.lens[0].tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5]) and "as high as wide" in motion.notes[0]
    motion = read(
        "dl3dv", {"": transforms(names, {"camera_angle_x": 1.5707963267948966})}, MotionOptions(fps=16.0, size=(640, 320))
    )
    assert motion.camera.lens[0].tolist() == pytest.approx([0.5, 1.0, 0.5, 0.5]) and motion.notes == ()
    motion = read("dl3dv", {"": transforms(names, {**FLAT, "k1": 0.03})}, MotionOptions(fps=16.0))
    assert "The lens is distorted (k1)" in motion.notes[0]
    with pytest.raises(ValueError, match="neither 'fl_x' nor 'camera_angle_x'"):
        read("dl3dv", {"": transforms(names, {"w": 4, "h": 4})}, MotionOptions(fps=16.0))


def test_colmap_is_in_natural_order_and_takes_distorted_lenses() -> None:
    files = {
        "cameras.txt": b"1 OPENCV 640 360 320 320 320 180 0.1 0 0 0\n",
        "images.txt": b"1 1 0 0 0 0 0 -2 1 f_10.png\n\n2 1 0 0 0 0 0 -1 1 f_2.png\n\n",
    }
    motion = read("colmap", files, MotionOptions(fps=16.0))
    assert motion.camera.pose[:, 2, 3].tolist() == [1.0, 2.0] and "distorted (OPENCV)" in motion.notes[0]


def test_hy_inference_is_in_the_order_of_its_numbers() -> None:
    k = [[970.0, 0, 960.0], [0, 970.0, 540.0], [0, 0, 1.0]]
    pose = torch.eye(4).repeat(11, 1, 1)
    pose[:, 2, 3] = torch.arange(11)
    data = json.dumps({str(i): {"extrinsic": pose[i].tolist(), "K": k} for i in range(11)}, sort_keys=True).encode()
    motion = read("hy-inference", {"": data})
    assert motion.camera.pose[::4, 2, 3].tolist() == list(range(11)) and "not in the order of their numbers" in motion.notes[0]


def test_minwm_counts_latents() -> None:
    motion = read("minwm", {"": b"a*4,W*8, u*1,dn*2"})
    assert (len(motion.camera), motion.fps) == (61, 16.0)
    assert [round(x, 6) for x in motion.camera.pose[-1, :3, 3].tolist()] == [-0.32, 0.08, 0.64]
    listed = json.dumps([{"trajectory": "s*1"}, {"trajectory": "j*2"}]).encode()
    assert len(read("minwm", {"": listed}, MotionOptions(item=1)).camera) == 9
    for text, said in (
        ("wj*4", "is not KEY.LATENTS"),
        ("w*0", "is not KEY.LATENTS"),
        ("w-4", "is not KEY.LATENTS"),
        ("w", "KEY.LAT"),
    ):
        with pytest.raises(ValueError, match=said):
            read("minwm", {"": text.encode()})


def test_rows_may_have_commas_and_say_the_line_of_the_file() -> None:
    row = "0.5 0.9 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1"
    rows = f"https://x\r\n\r\n0 {row} 0\r\n40000 {row} -1\r\n".replace(" ", ",").encode("utf-8-sig")
    assert read("realestate10k", {"": rows}).fps == 25.0
    with pytest.raises(ValueError, match="line 4: its time is not after"):
        read("realestate10k", {"": f"https://x\n\n5 {row} 0\n5 {row} -1\n".encode()})
