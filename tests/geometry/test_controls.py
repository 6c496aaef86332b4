from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from dreamx.geometry.camera import Camera, cat, level, rigid, rotation, se3_inverse
from dreamx.geometry.controls import KEYS, Controls, Speed, check_keys, from_keys, key_vector, walk
from repo import TESTS

OFFICIAL = TESTS / "files/trajectories.safetensors"
UP = torch.tensor([0.0, -1.0, 0.0])
HELD = st.text(KEYS, max_size=4)


def end(keys: list[str], up: torch.Tensor | None = None, start: Camera | None = None) -> Camera:
    return walk(level(dtype=torch.float64) if start is None else start, from_keys(keys), up)[-1]


def forward(camera: Camera) -> torch.Tensor:
    return camera.pose[:3, 2]


@pytest.mark.parametrize("case", [f"case{i}" for i in range(5)])
def test_agrees_with_the_official_autoregressive_generator(case: str):
    with safe_open(OFFICIAL, "pt") as f:
        script = json.loads(f.metadata()[case])
        w2c = f.get_tensor(f"{case}.w2c")
    frames, weights = script["num_frames"], script["speeds"]
    keys: list[str] = []
    for action, weight in zip(script["actions"], weights, strict=True):  # the speeds are relative durations there
        keys += [action] * int(frames * weight / sum(weights))
    keys += script["actions"][-1:] * (frames - len(keys))
    ours = se3_inverse(walk(level(), from_keys(keys)).pose)[:, :3]
    assert torch.allclose(ours, w2c, atol=1e-5, rtol=0)


def test_120_frames_of_l_look_back():
    assert torch.allclose(forward(end(["l"] * 120)), torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64), atol=1e-6)
    assert torch.allclose(forward(end(["l"] * 60))[0], torch.tensor(1.0, dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize(("there", "back"), ["ws", "ad", "jl", "ik"])
def test_opposite_keys_return_to_the_start(there: str, back: str):
    assert torch.allclose(end([there] * 37 + [back] * 37).pose, torch.eye(4, dtype=torch.float64), atol=1e-6)


def test_forward_with_a_turn_is_an_arc_of_constant_radius():
    path = walk(level(dtype=torch.float64), from_keys(["wj"] * 240))
    position = path.pose[:, :3, 3]
    assert torch.allclose(position[-1], torch.zeros(3, dtype=torch.float64), atol=1e-5)  # a whole circle closes
    radius = (position - position.mean(0)).norm(dim=-1)
    assert torch.allclose(radius, radius.mean().expand(240), atol=1e-5)
    assert float(radius.mean()) == pytest.approx(0.075 / torch.deg2rad(torch.tensor(1.5)).item(), rel=1e-3)
    assert position[60, 0] < 0  # j looks left


def test_looking_up_lowers_y_and_walking_then_climbs():
    assert forward(end(["i"]))[1] < 0
    assert end(["i"] * 20 + ["w"] * 10).pose[1, 3] < -0.3


def test_default_speeds_are_the_official_ones():
    controls = from_keys(["wl"])
    assert torch.allclose(controls.move, torch.tensor([[0.0, 0.0, 0.075]]))
    assert torch.allclose(controls.turn, torch.tensor([[1.5, 0.0]]))
    half = from_keys(["wl"], Speed(fps=32))
    assert torch.allclose(half.move * 2, controls.move)
    assert torch.allclose(half.turn * 2, controls.turn)


@settings(deadline=None, derandomize=True)
@given(HELD, HELD)
def test_keys_add_up_whatever_their_order(a: str, b: str):
    both, one, other = (from_keys([k]) for k in (a + b, a, "".join(set(check_keys(b)) - set(check_keys(a)))))
    assert torch.allclose(both.move, one.move + other.move)
    assert torch.allclose(both.turn, one.turn + other.turn)
    assert check_keys(a + b) == check_keys((b + a)[::-1].upper())


@pytest.mark.parametrize("pair", ["ws", "ad", "jl", "ik"])
def test_opposite_keys_cancel(pair: str):
    controls = from_keys([pair, KEYS, "", " "])
    assert not controls.move.any()
    assert not controls.turn.any()


def test_key_vector_is_in_the_order_of_keys():
    assert key_vector("lw").tolist() == [1, 0, 0, 0, 0, 0, 0, 1]
    assert key_vector("").tolist() == [0] * 8


def test_a_letter_that_is_no_key_is_named():
    with pytest.raises(ValueError, match="'q' is not a key"):
        from_keys(["w", "wq"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_controls_that_are_not_numbers_are_refused(bad: float):
    with pytest.raises(ValueError, match=r"controls\.move holds NaN or infinity"):
        Controls(torch.full((1, 3), bad), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"controls\.turn holds NaN or infinity"):
        Controls(torch.zeros(1, 3), torch.full((1, 2), bad))


def test_controls_of_another_shape_and_speeds_of_nothing_are_refused():
    with pytest.raises(ValueError, match=r"controls\.move must be \[frames, 3\]"):
        Controls(torch.zeros(3), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"controls\.turn must be \[2, 2\]"):
        Controls(torch.zeros(2, 3), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"speed\.fps must be a positive number, not 0"):
        Speed(fps=0)
    with pytest.raises(ValueError, match=r"speed\.metres_per_second must be a positive number, not nan"):
        Speed(metres_per_second=float("nan"))


def test_walks_start_from_one_camera_and_may_be_empty():
    assert walk(level(), from_keys([])).shape == (0,)
    with pytest.raises(ValueError, match="walk starts from one camera"):
        walk(cat([level()[None]] * 2), from_keys(["w"]))


@settings(deadline=None, derandomize=True)
@given(st.lists(HELD, min_size=2, max_size=12), st.booleans())
def test_walking_in_two_parts_is_walking_at_once(keys: list[str], walker: bool):
    up = UP if walker else None
    whole = walk(level(), from_keys(keys), up)
    first = walk(level(), from_keys(keys[:1]), up)
    rest = walk(first[-1], from_keys(keys[1:]), up)
    assert torch.equal(whole.pose, cat([first, rest]).pose)  # to the bit: chunks do not show


def test_rotations_stay_rotations_over_ten_minutes_of_play():
    camera = walk(level(), from_keys(["wil"] * 9600))[-1]
    r = camera.pose[:3, :3]
    assert torch.allclose(r.T @ r, torch.eye(3), atol=1e-6)


def test_a_walker_stays_on_the_level_and_turns_about_the_vertical():
    path = walk(level(), from_keys(["i"] * 30 + ["wl"] * 40), UP)
    assert torch.allclose(path.pose[:, 1, 3], torch.zeros(70), atol=1e-5)
    assert torch.allclose(path.pose[30:, 1, 2], path.pose[30, 1, 2].expand(40), atol=1e-5)  # the gaze keeps its height
    assert torch.allclose(path.pose[:, 1, 0], torch.zeros(70), atol=1e-5)  # no roll


@pytest.mark.parametrize("length", [1.0, 3.0])
@pytest.mark.parametrize("key", ["i", "k"])
def test_a_walker_looks_up_to_75_degrees_and_down_again(length: float, key: str):
    top = end([key] * 90, UP * length)
    assert 73 < torch.rad2deg(torch.asin(forward(top)[1].abs())) < 75.1
    back = end(["k" if key == "i" else "i"] * 20, UP * length, start=top)
    assert forward(back)[1].abs() < forward(top)[1].abs() - 0.1


@pytest.mark.parametrize("pitch", [80.0, 89.0])
def test_a_walker_that_starts_beyond_75_degrees_can_come_back(pitch: float):
    start = Camera(rigid(rotation("x", torch.tensor(pitch)), torch.zeros(3)), level().lens)
    assert torch.allclose(end(["i"] * 5, UP, start).pose, start.pose, atol=1e-5)
    assert -forward(end(["k"] * 40, UP, start))[1] < 0.7
    assert torch.allclose(end(["w"] * 4, UP, start).pose[:3, 3], torch.tensor([0.0, 0.0, 0.3]), atol=1e-5)
