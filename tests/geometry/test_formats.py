"""Every dialect: what its files mean, its way there and back, and what happens to files that are none."""

from __future__ import annotations

import json
import os
import random
from math import cos, radians, sin

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from dreamx.geometry.camera import Camera, level, relative_to, rigid, rotation, se3_inverse
from dreamx.geometry.controls import from_keys, walk
from dreamx.geometry.formats import DIALECTS, Motion, MotionOptions, read, write
from dreamx.geometry.formats.arrays import read_npy, read_npz, write_npy, write_npz
from dreamx.geometry.official import rows
from repo import TESTS

#: Each test shares out so many examples over the dialects; DREAMX_EXAMPLES=10000 pytest -k test_formats takes a while.
EXAMPLES = max(40, int(os.environ.get("DREAMX_EXAMPLES", "0")) // len(DIALECTS))
MANY = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
#: What every dialect may be asked; those that know it themselves do not look.
ASKED = MotionOptions(fps=16.0, size=(640, 360), lens=(0.6, 0.9, 0.5, 0.5), frames=33, image="a.png", caption="a park")
POSES = [
    "dreamx", "dreamx-rows", "hy-inference", "hy-training", "lingbot", "matrix-game-3.5", "matrix-game-3.5-w2c", "realestate10k",
    "colmap", "dl3dv", "megasam", "vipe", "tum", "kitti",
]  # fmt: skip
KEYS = [d for d in DIALECTS if d not in POSES]


def text(name: str, words: str, asked: MotionOptions = ASKED) -> Motion:
    return read(name, {"": words.encode()}, asked)


def place(motion: Motion, at: int = -1) -> list[float]:
    return [round(x, 6) for x in motion.camera.pose[at, :3, 3].tolist()]


def free(seed: int, frames: int = 33, far: float = 1.0, lens: tuple[float, ...] = (0.6, 0.9, 0.5, 0.5)) -> Motion:
    """A smooth path that nobody's keys made, anywhere in the world, with roll."""
    rng = torch.Generator().manual_seed(seed)
    start = torch.randn(6, generator=rng).double()
    step = torch.randn(6, generator=rng).double() * 0.02
    poses = [rigid(torch.linalg.matrix_exp(skew(start[:3] * min(far, 1.0))), start[3:] * far * 10)]
    twist = torch.zeros(4, 4, dtype=torch.float64)
    twist[:3, :3], twist[:3, 3] = skew(step[:3]), step[3:]
    for _ in range(frames - 1):
        poses.append(poses[-1] @ torch.linalg.matrix_exp(twist))
    pose = torch.stack(poses)
    return Motion(Camera(pose, torch.tensor(lens, dtype=torch.float64).expand(frames, 4).clone()), 16.0)


def skew(v: torch.Tensor) -> torch.Tensor:
    x, y, z = v.tolist()
    return torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)


def test_every_dialect_is_in_one_list_or_the_other() -> None:
    assert set(POSES) | set(KEYS) == set(DIALECTS)
    assert all(d in DIALECTS for d in POSES)


def test_w_31_means_what_its_dialect_says() -> None:
    hy, lingbot = text("hy-string", "w-31", MotionOptions()), text("lingbot-string", "w-31", MotionOptions())
    assert (len(hy.camera), hy.fps, place(hy)) == (125, 24.0, [0, 0, 2.48])
    assert (len(lingbot.camera), lingbot.fps, place(lingbot)) == (32, 16.0, [0, 0, 1.55])
    with pytest.raises(ValueError, match=r"dialect: there is no 'string'; like it are hy-string, lingbot-string"):
        text("string", "w-31")


def test_the_public_poses_to_the_fifth_digit() -> None:
    """The two meanings of an ``eval.json``, against the official scripts' own poses."""
    with safe_open(TESTS / "files/trajectories.safetensors", "pt") as f:
        for case, words in f.metadata().items():
            said = json.loads(words)
            entry = [{"image_path": "", "caption": "", "action_seq": said["actions"], "action_speed_list": said["speeds"]}]
            name = "dreamx-cam" if bool((f.get_tensor(f"{case}.intrinsics")[:2, 2] == 0).all()) else "dreamx-ar"
            motion = text(name, json.dumps(entry), MotionOptions(frames=said["num_frames"]))
            assert float((rows(motion.camera) - f.get_tensor(f"{case}.w2c").double()).abs().max()) < 1e-5, case


def test_one_list_two_motions() -> None:
    entry = json.dumps([{"action_seq": ["w"], "action_speed_list": [4]}])
    assert place(text("dreamx-ar", entry, MotionOptions()), -1) == [0, 0, pytest.approx(6.075, abs=1e-5)]
    assert place(text("dreamx-cam", entry, MotionOptions()), -1) == [0, 0, pytest.approx(3.950617, abs=1e-5)]


def test_hy_files_are_c2w_for_inference_and_w2c_for_training() -> None:
    pose = rigid(rotation("y", torch.tensor(30.0).double()), torch.tensor([1.0, 2.0, 3.0]).double()).tolist()
    k = [[969.69697, 0, 960], [0, 969.69697, 540], [0, 0, 1]]
    one = text("hy-inference", json.dumps({"0": {"extrinsic": pose, "K": k}, "1": {"extrinsic": pose, "K": k}}))
    assert len(one.camera) == 5
    assert place(one) == [1, 2, 3]
    assert one.camera.lens[0].tolist() == pytest.approx([0.505050, 0.897868, 0.5, 0.5], abs=1e-5)
    two = text("hy-training", json.dumps({"0": {"w2c": pose, "intrinsic": k}}))
    assert torch.allclose(two.camera.pose[0], se3_inverse(torch.tensor(pose).double()))
    with pytest.raises(ValueError, match="hy-training: entry '0' has no 'w2c'"):
        text("hy-training", json.dumps({"0": {"extrinsic": pose, "K": k}}))
    every = {str(i): {"w2c": pose, "intrinsic": k} for i in range(8)}
    assert len(text("hy-training", json.dumps(every)).camera) == 8
    assert len(text("hy-training", json.dumps({str(4 * int(i)): v for i, v in every.items()})).camera) == 29


def test_hy_keys_turn_before_they_step_and_lengths_are_floored() -> None:
    motion = text("hy-string", "right-2.9, w-1, up-0.5")
    assert len(motion.camera) == 13
    a = radians(6)
    assert place(motion) == [round(0.08 * sin(a), 6), 0, round(0.08 * cos(a), 6)]


def test_lingbot_steps_stay_on_the_level_and_pitch_stops() -> None:
    motion = text("lingbot-string", "i-50,w-10，none-3, LJ-1")
    assert len(motion.camera) == 65
    assert place(motion) == [0, 0, 0.5]
    assert float(torch.rad2deg(torch.asin(-motion.camera.pose[50, 1, 2]))) == pytest.approx(85)


def test_matrix_game_3_walks_in_unreal_units() -> None:
    data = {
        "keyboard_condition": [[1, 0, 0, 0, 0, 0]] * 2 + [[1, 0, 0, 1, 0, 0]] * 2,
        "mouse_condition": [[0, 0]] * 3 + [[0.1, 0.1]],
    }
    motion = text("matrix-game-3", json.dumps(data))
    assert place(motion) == [0.0873, 0, round(2 * 0.1235 + 0.0873, 6)]
    data["mouse_condition"] = [[0.1, 0.0], [0.01, 0.2], [0, 0], [0, 0]]
    turned = text("matrix-game-3", json.dumps(data)).camera.pose
    assert float(torch.rad2deg(torch.asin(-turned[1, 1, 2]))) == pytest.approx(1.5)  # up
    assert float(torch.rad2deg(torch.atan2(turned[2, 0, 2], turned[2, 2, 2]))) == pytest.approx(3.0)  # right, and 0.01 is nothing
    assert float(turned[2, 0, 3]) == pytest.approx(0.1235 * sin(radians(1.5)))  # halfway between the old yaw and the new


def test_matrix_game_2_and_abot_take_dreamx_speeds_and_say_so() -> None:
    two = text("matrix-game-2", json.dumps({"keyboard_condition": [[1, 0, 0, 0]] * 5, "mouse_condition": [[0.1, 0]] * 5}))
    assert "gives no speeds" in two.notes[0]
    expected = walk(level(dtype=torch.float64), from_keys(["wi"] * 4))
    assert torch.allclose(two.camera.pose[1:], expected.pose, atol=1e-6)
    frame = {"keys": {"W": True, "J": True, "S": False}, "frame_id": "000000"}
    abot = text("abot", json.dumps({"total_frames": 5, "fps": 16, "frames": [frame] * 5}))
    assert torch.allclose(abot.camera.pose[1:], walk(level(dtype=torch.float64), from_keys(["wj"] * 4)).pose, atol=1e-6)


def test_gamecraft_and_yume() -> None:
    craft = text("gamecraft", json.dumps({"action_list": ["w", "right_rot"], "action_speed_list": [0.2, 10]}))
    assert len(craft.camera) == 67
    assert place(craft) == [0, 0, 0.2]
    assert float(torch.rad2deg(torch.atan2(craft.camera.pose[-1, 0, 2], craft.camera.pose[-1, 2, 2]))) == pytest.approx(10)
    lines = "A street. Person moves forward and left (W+A). Camera tilts up and turns left (↑←).\n"
    lines += "Person stands still (·). Camera remains still (·).\n"
    yume = text("yume", lines)
    assert len(yume.camera) == 65
    assert torch.allclose(yume.camera.pose[1:33], walk(level(dtype=torch.float64), from_keys(["waij"] * 32)).pose, atol=1e-6)
    with pytest.raises(ValueError, match="yume: line 1 has 0 sentences"):
        text("yume", "somebody walks")


def test_axes_of_dl3dv_and_colmap() -> None:
    """OpenGL's camera looks along -z with y up: the identity there looks back and stands on its head here."""
    still = np.eye(4).tolist()
    data = {"w": 640, "h": 360, "fl_x": 320, "fl_y": 320, "cx": 320, "cy": 180, "frames": [{"transform_matrix": still}]}
    assert text("dl3dv", json.dumps(data)).camera.pose[0].diagonal().tolist() == [1, -1, -1, 1]
    files = {
        "cameras.txt": b"# c\n3 SIMPLE_PINHOLE 640 360 320 320 180\n",
        "images.txt": b"# i\n2 1 0 0 0 0 0 -2 3 b.png\n1.0 2.0 -1\n1 0.70710678 0 0.70710678 0 1 0 0 3 a b.png\n\n",
    }
    colmap = read("colmap", files, ASKED)
    assert [place(colmap, i) for i in (0, 1)] == [[0, 0, -1], [0, 0, 2]]  # by name, not by number; the camera's place, not t
    assert colmap.camera.lens[0].tolist() == pytest.approx([0.5, 0.888889, 0.5, 0.5], abs=1e-5)


def test_megasam_takes_its_size_from_its_pictures() -> None:
    arrays = {"cam_c2w": np.eye(4)[None].repeat(3, 0), "intrinsic": np.diag([100.0, 100.0, 1.0]) + np.eye(3, k=2) * 32}
    arrays["intrinsic"][1, 2] = 24
    import io

    out = io.BytesIO()
    np.savez_compressed(out, images=np.zeros((3, 48, 64, 3), np.uint8), cam_c2w=arrays["cam_c2w"], intrinsic=arrays["intrinsic"])
    motion = read("megasam", {"": out.getvalue()}, MotionOptions(fps=10.0))
    assert motion.camera.lens[0].tolist() == [100 / 64, 100 / 48, 0.5, 0.5]
    with pytest.raises(ValueError, match="megasam: megasam says nothing about time; give fps"):
        read("megasam", {"": out.getvalue()})


def test_realestate10k_has_its_own_clock_and_needs_its_address() -> None:
    row = "0.5 0.9 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1"
    motion = text("realestate10k", f"https://x\n0 {row} 0\n40000 {row} -1\n", MotionOptions())
    assert (motion.fps, place(motion)) == (25.0, [0, 0, 1])
    with pytest.raises(ValueError, match="first line must be the address"):
        text("realestate10k", f"0 {row} 0\n", MotionOptions())
    with pytest.raises(ValueError, match="line 3: its time is not after"):
        text("realestate10k", f"https://x\n5 {row} 0\n5 {row} -1\n", MotionOptions())


@pytest.mark.parametrize("name", POSES)
@MANY
@given(seed=st.integers(0, 10**6), chunks=st.integers(0, 12), far=st.sampled_from([0.0, 1.0, 30.0]))
def test_any_path_there_and_back(name: str, seed: int, chunks: int, far: float) -> None:
    lens = (0.6, 0.9, 0.5, 0.5) if seed % 2 or name.startswith("hy") else (0.51, 0.87, 0.49, 0.52)
    motion = free(seed, 4 * chunks + 1, far, lens)
    asked = MotionOptions(16.0, (640, 360), lens)
    back = read(name, write(name, motion, asked), asked)
    tolerance = 1e-4 * max(1.0, far) if name == "lingbot" else 2e-4 if name == "hy-inference" else 1e-8 * max(1.0, far)
    assert back.camera.pose.shape == motion.camera.pose.shape
    at = slice(None, None, 4) if name == "hy-inference" else slice(None)
    assert float((back.camera.pose - motion.camera.pose)[at].abs().max()) < tolerance
    assert torch.allclose(back.camera.lens, motion.camera.lens, atol=1e-6)
    assert back.fps == pytest.approx(24.0 if name.startswith("hy") and asked.fps is None else 16.0, rel=1e-3)


@MANY
@given(
    st.lists(
        st.tuples(st.sampled_from(["w", "s", "a", "d", "up", "down", "left", "right"]), st.integers(1, 9)), min_size=1, max_size=6
    )
)
def test_hy_strings_there_and_back(spans: list[tuple[str, int]]) -> None:
    motion = text("hy-string", ", ".join(f"{k}-{n}" for k, n in spans))
    again = read("hy-string", write("hy-string", motion))
    assert torch.allclose(motion.camera.pose, again.camera.pose, atol=1e-6)
    assert len(motion.camera) == 1 + 4 * sum(n for _, n in spans)


def held() -> st.SearchStrategy[str]:
    """Keys of which none takes another back."""
    axes = [st.sampled_from(pair) for pair in (["", "w", "s"], ["", "a", "d"], ["", "i", "k"], ["", "j", "l"])]
    return st.tuples(*axes).map("".join)


@pytest.mark.parametrize("name", [n for n in KEYS if n not in ("hy-string", "minwm", "gamecraft", "dreamx-cam")])
@MANY
@given(spans=st.lists(st.tuples(held(), st.integers(1, 9)), min_size=1, max_size=5))
def test_keys_there_and_back(name: str, spans: list[tuple[str, int]]) -> None:
    """Whatever keys are held, in any dialect that can say them: the same path comes back."""
    keys = [k for k, n in spans for _ in range(32 if name == "yume" else n)]
    if name == "lingbot-string":
        words = ",".join(f"{k or 'none'}-1" for k in keys)
    elif name == "yume":
        from dreamx.geometry.formats.text_lines import _LOOKS, _MOVES

        pick = lambda k, table: next(v for t, v in table.items() if set(t) == set(k))  # noqa: E731
        words = "\n".join(f"{pick(set(k) & set('wasd'), _MOVES)} {pick(set(k) & set('ijkl'), _LOOKS)}" for k, _ in spans)
    elif name == "abot":
        frames = [{"keys": {c.upper(): c in k for c in "wasdijkl"}, "frame_id": f"{i:06d}"} for i, k in enumerate(["", *keys])]
        words = json.dumps({"total_frames": len(frames), "fps": 16, "frames": frames})
    elif name.startswith("matrix-game"):
        wide = 4 if name == "matrix-game-2" else 6
        rows_ = [[int(c in k) for c in "wsad"] + [0] * (wide - 4) for k in [*keys, ""]]
        mouse = [[0.1 * (("i" in k) - ("k" in k)), 0.1 * (("l" in k) - ("j" in k))] for k in [*keys, ""]]
        words = json.dumps({"keyboard_condition": rows_, "mouse_condition": mouse})
    else:
        words = json.dumps([{"action_seq": [k or " " for k, _ in spans], "action_speed_list": [n for _, n in spans]}])
    motion = text(name, words, MotionOptions(frames=41))
    again = read(name, write(name, motion, ASKED), MotionOptions(frames=41))
    one, two = (relative_to(m.camera, m.camera[0]).pose for m in (motion, again))
    assert one.shape == two.shape
    assert torch.allclose(one, two, atol=1e-5)


@MANY
@given(
    st.lists(
        st.tuples(st.sampled_from(["w", "s", "a", "d", "left_rot", "right_rot", "up_rot", "down_rot"]), st.floats(0, 90)),
        min_size=1,
        max_size=4,
    )
)
def test_gamecraft_there_and_back(chunks: list[tuple[str, float]]) -> None:
    data = {"action_list": [k for k, _ in chunks], "action_speed_list": [v for _, v in chunks]}
    motion = text("gamecraft", json.dumps(data))
    again = read("gamecraft", write("gamecraft", motion))
    assert torch.allclose(motion.camera.pose, again.camera.pose, atol=1e-5)


@MANY
@given(st.lists(st.tuples(held().filter(bool), st.integers(1, 8)), min_size=1, max_size=4))
def test_speeds_there_and_back(spans: list[tuple[str, int]]) -> None:
    words = json.dumps([{"action_seq": [k for k, _ in spans], "action_speed_list": [n for _, n in spans]}])
    motion = text("dreamx-cam", words, MotionOptions(frames=81))
    again = read("dreamx-cam", write("dreamx-cam", motion, ASKED), MotionOptions(frames=81))
    assert torch.allclose(motion.camera.pose, again.camera.pose, atol=1e-5)


def examples() -> dict[str, dict[str, bytes]]:
    """A good file of each dialect."""
    lines = {
        "hy-string": "w-3, right-1, d-4", "minwm": "a*4,w*8", "lingbot-string": "w-10,iw-5,none-3",
        "yume": "Person moves left (A). Camera turns right (→).\n" * 2,
        "gamecraft": '{"action_list": ["w", "left_rot"], "action_speed_list": [0.2, 10]}',
        "abot": json.dumps({"total_frames": 2, "fps": 16, "frames": [{"keys": {"W": True}, "frame_id": "000000"}] * 2}),
        "matrix-game-2": json.dumps({"keyboard_condition": [[1, 0, 0, 0]] * 5, "mouse_condition": [[0.1, 0]] * 5}),
        "matrix-game-3": json.dumps({"keyboard_condition": [[1, 0, 0, 0, 0, 0]] * 5, "mouse_condition": [[0.1, 0]] * 5}),
        "dreamx-ar": '[{"image_path": "a", "caption": "b", "action_seq": ["w", "wj"], "action_speed_list": [4, 6]}]',
        "dreamx-cam": '[{"image_path": "a", "caption": "b", "action_seq": ["w", "wj"], "action_speed_list": [4, 6]}]',
    }  # fmt: skip
    return {n: {"": lines[n].encode()} if n in lines else write(n, free(3, 9), ASKED) for n in DIALECTS}


GOOD = examples()
#: What breaks files: numbers that are none, lists in lists, what looks like code.
WORDS = [
    "NaN",
    "-Infinity",
    "1e999",
    "true",
    "null",
    '"x"',
    "[]",
    "{}",
    "0",
    "-1",
    "1_0",
    "٣",
    "9" * 400,
    "[[[[",
    " ",
    ",",
    "\n",
    "w-1",
    "0x10",
    "-",
    "#",
]


def spoil(data: bytes, rng: random.Random) -> bytes:
    """Cut, flip, insert, replace a number, double, or leave it."""
    way, at = rng.randrange(7), rng.randrange(len(data) + 1)
    if way == 0:
        return data[:at]
    if way == 1 and data:
        at = min(at, len(data) - 1)
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if way == 2:
        return data[:at] + rng.choice(WORDS).encode() + data[at:]
    if way == 3:
        parts = data.split(b",")
        parts[rng.randrange(len(parts))] = rng.choice(WORDS).encode()
        return b",".join(parts)
    if way == 4:
        lines = data.splitlines(True) or [b""]
        del lines[rng.randrange(len(lines))]
        return b"".join(lines)
    return data + data[at:] if way == 5 else data


@pytest.mark.parametrize("name", DIALECTS)
@MANY
@given(seed=st.integers(0, 2**32))
def test_a_spoilt_file_is_read_or_refused_in_a_sentence(name: str, seed: int) -> None:
    rng = random.Random(seed)
    files = {n: spoil(d, rng) for n, d in GOOD[name].items()}
    if rng.random() < 0.2:
        files = {n: spoil(d, rng) for n, d in files.items()}
    _read_or_refused(name, files)


@pytest.mark.parametrize("name", DIALECTS)
@MANY
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_anything_is_read_or_refused_in_a_sentence(name: str, data: bytes) -> None:
    _read_or_refused(name, dict.fromkeys(DIALECTS[name].names or ("",), data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["0", "extrinsic", "K", "w2c", "intrinsic", "frames", "keys", "fps", "action_seq", "poses"]), inner
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("name", [n for n, files in GOOD.items() if files.get("", b"x")[:1] in b"[{"])
@MANY
@given(data=JSON)
def test_any_json_is_read_or_refused_in_a_sentence(name: str, data: object) -> None:
    _read_or_refused(name, {"": json.dumps(data).encode()})


def _read_or_refused(name: str, files: dict[str, bytes]) -> None:
    try:
        motion = read(name, files, ASKED)
    except ValueError as e:
        words = str(e)
        assert words.startswith(f"{name}: ")
        assert "\n" not in words and 15 < len(words) < 500, words
        assert not any(x in words for x in ("Traceback", "tensor(", "object at", "could not convert", "invalid literal")), words
        return
    r = motion.camera.pose[:, :3, :3]
    assert torch.isfinite(motion.camera.pose).all()
    assert float((r @ r.mT - torch.eye(3)).abs().max()) < 2e-3
    assert 0 < motion.fps < float("inf")
    assert bool((motion.camera.lens[:, :2] > 0).all())


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8", "<f2", "<i4", "|u1", "|b1", ">i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpys_files_are_read_as_numpy_reads_them(dtype: str, order: str) -> None:
    import io

    x = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, dtype=dtype, order=order)  # pyright: ignore[reportArgumentType, reportCallIssue]
    out = io.BytesIO()
    np.save(out, x)
    ours = read_npy(out.getvalue(), "x")
    assert np.array_equal(ours.numpy(), x.astype(x.dtype.newbyteorder("=")))
    assert np.array_equal(np.load(io.BytesIO(write_npy(ours))), x)
    z = write_npz({"a": ours, "b": ours[:0]})
    assert np.load(io.BytesIO(z))["b"].shape == (0, 3, 4)
    assert list(read_npz(z)) == ["a", "b"]


@pytest.mark.parametrize("shape", ["9" * 400, "9, " * 300, "9 " * 300, " " * 900])
def test_a_long_header_is_refused_at_once(shape: str) -> None:
    """With a pattern that can be tried in many ways this would take longer than the world stands."""
    text_ = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, " + shape
    data = b"\x93NUMPY\x01\x00" + len(text_).to_bytes(2, "little") + text_.encode()
    with pytest.raises(ValueError, match="x holds no array of plain numbers"):
        read_npy(data, "x")


def test_nothing_is_unpickled() -> None:
    import io

    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="poses.npy holds no array of plain numbers"):
        read("lingbot", {"poses.npy": out.getvalue(), "intrinsics.npy": out.getvalue()}, ASKED)


@pytest.mark.parametrize(
    "name", ["hy-string", "minwm", "lingbot-string", "dreamx-ar", "dreamx-cam", "abot", "gamecraft", "yume", "matrix-game-3"]
)
def test_keys_cannot_say_what_they_do_not_make(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: .*(poses|hy-inference|rows|33 frames)"):
        write(name, free(5, 67 if name == "gamecraft" else 33))


def test_what_must_be_asked_is_asked() -> None:
    for name, words in (("kitti", "give lens"), ("matrix-game-3.5", "give size"), ("colmap", "give fps"), ("dl3dv", "give fps")):
        with pytest.raises(ValueError, match=words):
            read(name, GOOD[name], MotionOptions())
    for bad in (MotionOptions,):
        with pytest.raises(ValueError, match="fps"):
            bad(fps=0.0)
        with pytest.raises(ValueError, match="size"):
            bad(size=(0, 4))
        with pytest.raises(ValueError, match="lens"):
            bad(lens=(0.0, 1.0, 0.5, 0.5))


def test_a_lens_that_changes_has_no_place_in_colmap() -> None:
    motion = free(1, 5)
    motion.camera.lens[2, 0] = 0.7
    with pytest.raises(ValueError, match="one lens for all frames"):
        write("colmap", motion, ASKED)
    assert torch.equal(read("dreamx", write("dreamx", motion)).camera.lens, motion.camera.lens)
