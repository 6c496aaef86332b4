"""The world as an environment: Gymnasium's own checks, and that it is the world that a player walks in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from PIL import Image

import dreamx
import micro
from dreamx.env import Env
from dreamx.geometry import KEYS, from_keys
from dreamx.memory import MemoryConfig
from dreamx.session import Switches
from dreamx.world import World

FORWARD = np.array([k == "w" for k in KEYS], np.int8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with memory and two start pictures."""
    it = tmp_path_factory.mktemp("world")
    micro.world(memory=MemoryConfig()).export(it)
    (it / "starts").mkdir()
    for i, name in enumerate(("hill", "sea")):
        Image.fromarray(micro.picture(i).permute(1, 2, 0).numpy()).save(it / f"starts/{name}.png")
        (it / f"starts/{name}.txt").write_text(f"the {name}")
    return it


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("every_frame", [False, True])
def test_gymnasium_finds_nothing_wrong(folder: Path, every_frame: bool) -> None:
    env = gymnasium.make("dreamx/World-v0", world=str(folder), every_frame=every_frame, render_mode="rgb_array")
    check_env(env.unwrapped)
    env.close()


def test_it_is_the_world_that_a_player_walks_in(folder: Path) -> None:
    env = Env(folder, every_frame=True)
    seen, info = env.reset(seed=7, options={"start": "sea"})
    world = World.open(folder)
    first = world.reset(micro.picture(1), "the sea", 7)
    assert np.array_equal(seen, np.repeat(first.permute(0, 2, 3, 1).numpy(), 4, 0))
    assert np.array_equal(info["pose"], np.eye(4))
    assert info["chunk"] == 0
    assert info["recalled"] == []
    for chunk in (1, 2):
        seen, reward, terminated, truncated, info = env.step(FORWARD)
        dream = world.denoise(from_keys(["w"] * 4, world.config.speed))
        assert np.array_equal(seen, world.decode(dream).permute(0, 2, 3, 1).numpy())
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert np.array_equal(info["pose"], world.camera.pose.numpy())
        assert info["pose"][2, 3] == pytest.approx(0.3 * chunk)
        assert info["chunk"] == chunk
        assert np.array_equal(np.stack(info["recalled"]), dream.recalled.pose.numpy())


def test_the_newest_frame_or_all_of_a_chunk() -> None:
    """A chunk of three latents: 8 frames at first, then 12."""
    every, newest = (Env(micro.world(chunk=3), every_frame=x, render_mode="rgb_array") for x in (True, False))
    for env in (every, newest):
        assert env.metadata["render_fps"] == 16 / 12
    for env in (every, newest):
        env.reset(seed=1, options={"prompt": "a room"})
    opening = every.render()
    first, *_ = every.step(FORWARD)
    assert first.shape == every.observation_space.shape == (12, 32, 32, 3)
    assert opening is not None
    assert np.array_equal(first[:4], np.repeat(opening[None], 4, 0))
    assert not np.array_equal(first[4], opening)
    second, *_ = every.step(FORWARD)
    assert not np.array_equal(second[0], second[1])
    newest.step(FORWARD)
    last, *_ = newest.step(FORWARD)
    assert np.array_equal(last, second[-1])
    shown = newest.render()
    assert shown is not None
    assert np.array_equal(shown, last)
    assert Env(micro.world()).render() is None


def test_the_reward_is_the_users_and_the_limit_truncates() -> None:
    def ahead(frames: np.ndarray[Any, Any], info: dict[str, Any]) -> float:
        assert frames.shape == (4, 32, 32, 3)
        return float(info["pose"][2, 3])

    env = Env(micro.world(), ahead, limit=2)
    for _ in range(2):  # a new episode counts anew
        env.reset(seed=1)
        ends = [env.step(FORWARD)[1:4] for _ in range(3)]
        assert [x[0] for x in ends] == pytest.approx([0.3, 0.6, 0.9])
        assert [x[1:] for x in ends] == [(False, False), (False, True), (False, True)]
    env = Env(micro.world(), limit=None)
    env.reset()
    assert not any(env.step(FORWARD)[3] for _ in range(3))


def test_seeds_choose_the_start_and_the_noise(folder: Path) -> None:
    env = Env(folder)
    opened: set[str] = set()
    for seed in range(8):
        env.reset(seed=seed)
        opened.add(env.world.prompt)
        assert env.world.seed == seed
    assert opened == {"the hill", "the sea"}
    env.reset(seed=3)
    two = [(env.reset()[0], env.world.seed) for _ in range(2)]
    assert two[0][1] != two[1][1]
    env.reset(seed=3)
    assert np.array_equal(env.reset()[0], two[0][0])
    picture = micro.picture(5).permute(1, 2, 0).numpy()
    env.reset(seed=3, options={"image": picture, "prompt": "mine"})
    want = World.open(folder).reset(micro.picture(5), "mine", 3)
    shown, _ = env.reset(seed=3, options={"image": picture, "prompt": "mine"})
    assert np.array_equal(shown, want[0].permute(1, 2, 0).numpy())
    env.reset(seed=3, options={"start": "sea", "prompt": "other words"})
    assert env.world.prompt == "other words"


def test_worlds_are_forked_and_switched(folder: Path) -> None:
    world = World.open(folder)
    a, b, off = Env(world), Env(world), Env(world, switches=Switches(memory=False))
    for env in (a, b, off):
        env.reset(seed=2)
    seen = [env.step(FORWARD) for env in (a, b, off)]
    assert np.array_equal(seen[0][0], seen[1][0])
    assert seen[0][4]["recalled"] != []
    assert seen[2][4]["recalled"] == []
    assert world.actions == []


def test_several_at_once(folder: Path) -> None:
    """Infos of different lengths, in Gymnasium's vector of environments."""
    world = World.open(folder)
    both = gymnasium.vector.SyncVectorEnv([lambda: Env(world), lambda: Env(world, switches=Switches(memory=False))])
    both.reset(seed=[1, 2])
    seen, *_, info = both.step(np.stack([FORWARD, FORWARD]))
    assert seen.shape == (2, 32, 32, 3)
    assert [len(x) for x in info["recalled"]] == [1, 0]
    assert info["pose"].shape == (2, 4, 4)


def test_bad_input_is_one_sentence(folder: Path) -> None:
    env = Env(folder, render_mode="rgb_array")
    with pytest.raises(ValueError, match="call reset first"):
        env.step(FORWARD)
    with pytest.raises(ValueError, match="call reset first"):
        env.render()
    for options, words in (
        ({"picture": 1}, "'picture' is unknown; give start, image, prompt"),
        ({"start": "moon"}, "'moon' is no start picture of this world; it has hill, sea"),
        ({"start": "sea", "image": 1}, "start or image, not both"),
        ({"image": np.zeros((8, 8, 3), np.uint8)}, r"uint8 array \[32, 32, 3\], not uint8 \[8, 8, 3\]"),
        ({"image": torch.zeros(32, 32, 3)}, "not Tensor"),
        ({"prompt": 3}, "prompt must be a string"),
    ):
        with pytest.raises(ValueError, match=words):
            env.reset(options=options)
    env.reset(seed=0)
    for action in (np.zeros(7, np.int8), np.full(8, 2, np.int8), np.full(8, 0.5)):
        with pytest.raises(ValueError, match="8 zeros and ones"):
            env.step(cast(Any, action))
    with pytest.raises(ValueError, match="limit is 0"):
        Env(folder, limit=0)
    with pytest.raises(ValueError, match="no world"):
        Env("nowhere")
    for given, words in (
        ({"starts": "starts"}, "^starts is 'starts'; give a folder as pathlib.Path, or None"),
        ({"timeline": "at 3 s: fog"}, "^timeline is 'at 3 s: fog'; give a file as pathlib.Path, or lines"),
    ):
        with pytest.raises(ValueError, match=words):
            Env("nowhere", **cast(Any, given))  # before anything is opened


def test_the_front_door_knows_it_and_waits_for_it() -> None:
    assert dreamx.Env is Env
    program = (
        "import sys, dreamx, dreamx.world; assert 'gymnasium' not in sys.modules; sys.modules['gymnasium'] = None; dreamx.Env"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1] == "ImportError: dreamx.Env needs Gymnasium: pip install '.[gym]' in the checkout"
