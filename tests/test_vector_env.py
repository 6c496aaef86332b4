"""Many sessions as one environment: Gymnasium's rules, and the answers that single environments give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from PIL import Image

import dreamx
import micro
from dreamx.env import Env
from dreamx.event_timeline import EventTimeline
from dreamx.geometry import KEYS
from dreamx.memory import MemoryConfig
from dreamx.vector_env import VectorEnv
from dreamx.world import World

FORWARD = np.array([[k == "w" for k in KEYS]] * 3, np.int8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with memory and three start pictures."""
    it = tmp_path_factory.mktemp("world")
    micro.world(memory=MemoryConfig()).export(it)
    (it / "starts").mkdir()
    for i, name in enumerate(("hill", "sea", "town")):
        Image.fromarray(micro.picture(i).permute(1, 2, 0).numpy()).save(it / f"starts/{name}.png")
        (it / f"starts/{name}.txt").write_text(f"the {name}")
    return it


def ahead(frames: NDArray[np.uint8], info: dict[str, Any]) -> float:
    return float(info["pose"][2, 3]) + len(frames)


def close(got: NDArray[np.uint8], want: NDArray[np.uint8]) -> None:
    """Equal but for values on the border of two bytes."""
    assert got.dtype == want.dtype == np.uint8 and got.shape == want.shape
    assert int(np.abs(got.astype(int) - want).max()) <= 1


def same_info(got: dict[str, Any], want: dict[str, Any]) -> None:
    assert got.keys() == want.keys()
    for key in ("pose", "_pose", "chunk", "_chunk"):
        assert np.array_equal(got[key], want[key])
    for one, other in zip(got["recalled"], want["recalled"], strict=True):
        assert np.array_equal(np.array(one), np.array(other))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("every_frame", [False, True])
def test_it_answers_as_single_environments_do(folder: Path, mode: AutoresetMode, every_frame: bool) -> None:
    """Through two limits: seeds, starts, rewards, ends, new episodes and infos of Gymnasium's own ``SyncVectorEnv``."""
    ours = VectorEnv(3, folder, ahead, limit=3, every_frame=every_frame, autoreset=mode)
    theirs = SyncVectorEnv([lambda: Env(folder, ahead, 3, every_frame)] * 3, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    got, want = ours.reset(seed=[5, 1, 9]), theirs.reset(seed=[5, 1, 9])
    close(got[0], want[0])
    same_info(got[1], want[1])
    theirs.action_space.seed(0)
    ended = 0
    for _ in range(9):
        actions = theirs.action_space.sample()
        got, want = ours.step(actions), theirs.step(actions)
        close(got[0], want[0])
        for a, b in zip(got[1:4], want[1:4], strict=True):
            assert a.dtype == b.dtype and np.array_equal(a, b)
        ended += int(got[3].sum())
        if "final_obs" in want[4]:
            for a, b in zip(got[4].pop("final_obs"), want[4].pop("final_obs"), strict=True):
                close(a, b)
            same_info(got[4].pop("final_info"), want[4].pop("final_info"))
            assert got[4].pop("_final_obs").all() and got[4].pop("_final_info").all()
            del want[4]["_final_obs"], want[4]["_final_info"]
        same_info(got[4], want[4])
    assert ended == (6 if mode == AutoresetMode.NEXT_STEP else 9)


def test_episodes_that_are_begun_anew_one_by_one(folder: Path) -> None:
    """``DISABLED``: a mask says which; the others go on, and are then not in step."""
    envs = VectorEnv(3, folder, limit=2, autoreset=AutoresetMode.DISABLED)
    single = [Env(folder, limit=2) for _ in range(3)]
    envs.reset(seed=1)
    for i, env in enumerate(single):
        env.reset(seed=1 + i)
    first, *_ = envs.step(FORWARD)
    kept = first.copy()
    seen, info = envs.reset(seed=[None, 40, None], options={"reset_mask": np.array([False, True, False]), "start": "town"})
    assert np.array_equal(seen[[0, 2]], kept[[0, 2]])
    assert info["_chunk"].tolist() == [False, True, False]
    for i in (0, 2):
        single[i].step(FORWARD[i])
    want, _ = single[1].reset(seed=40, options={"start": "town"})
    assert np.array_equal(seen[1], want)
    seen, _, _, over, info = envs.step(FORWARD)
    assert over.tolist() == [True, False, True]
    assert info["chunk"].tolist() == [2, 1, 2]
    for i, env in enumerate(single):
        close(seen[i], env.step(FORWARD[i])[0])
    with pytest.raises(ValueError, match=r"episode of environment 0 is over; call reset with it in options\['reset_mask'\]"):
        envs.step(FORWARD)
    envs.reset(options={"reset_mask": over})
    assert envs.step(FORWARD)[4]["chunk"].tolist() == [1, 2, 1]


def test_what_is_said_and_seen(folder: Path) -> None:
    """A time line of its own for each, forks of an open world, and the newest frames."""
    world = World.open(folder)
    envs = VectorEnv(2, world, starts=folder / "starts", render_mode="rgb_array", timeline=EventTimeline(((0.0, "rain"),)))
    assert VectorEnv(1, world).render() is None
    seen, _ = envs.reset(seed=3)
    for _ in range(2):
        seen, *_ = envs.step(FORWARD[:2])
    shown = envs.render()
    assert shown is not None and np.array_equal(np.stack(shown), seen)
    assert [[a.event for a in env.world.actions] for env in envs.envs] == [["rain", None]] * 2
    assert world.actions == [], "they are forks"
    assert len({id(env.world.dit) for env in envs.envs} | {id(world.dit)}) == 1
    assert not np.array_equal(seen[0], seen[1]), "seeds count up"


def test_gymnasium_makes_it_by_name(folder: Path) -> None:
    envs = gymnasium.make_vec("dreamx/World-v0", num_envs=2, world=str(folder), limit=5)
    assert isinstance(envs, VectorEnv) and envs.num_envs == 2
    assert dreamx.VectorEnv is VectorEnv
    envs.reset(seed=1)
    assert envs.step(envs.action_space.sample())[0].shape == (2, 32, 32, 3)
    envs.close()


def test_bad_input_is_one_sentence_and_nobody_has_moved(folder: Path) -> None:
    envs = VectorEnv(3, folder)
    with pytest.raises(ValueError, match="call reset first"):
        envs.step(FORWARD)
    envs.reset(seed=0)
    wrong = FORWARD.copy()
    wrong[2, 0] = 2
    for actions, words in (
        (FORWARD[:2], r"ones \[3, 8\], a row for each environment, not \[2, 8\]"),
        (wrong, "8 zeros and ones"),
    ):
        with pytest.raises(ValueError, match=words):
            envs.step(actions)
    assert [env.world.chunk for env in envs.envs] == [1, 1, 1]
    for seed, options, words in (
        ([1, 2], None, "given for 3 environments; give one number"),
        (1, {"reset_mask": [True, False, False]}, r"reset_mask must be a bool array \[3\]"),
        (1, {"reset_mask": np.zeros(3, np.bool_)}, "with a True in it"),
        (1, {"start": "moon"}, "no start picture of this world"),
    ):
        with pytest.raises(ValueError, match=words):
            envs.reset(seed=cast(Any, seed), options=options)
    with pytest.raises(ValueError, match="num_envs is 0"):
        VectorEnv(0, folder)
    with pytest.raises(ValueError, match="^starts is 'starts'; give a folder"):
        VectorEnv(2, "nowhere", starts=cast(Any, "starts"))
    with pytest.raises(ValueError, match="^timeline is 3; give a file"):
        VectorEnv(2, "nowhere", timeline=cast(Any, 3))


@pytest.mark.parametrize("seed", [[], [1], [4, -2], -1, 1.5, "12", {1: 2, 3: 4}, [1, "2"]])
def test_what_is_no_seed_is_refused_before_anything_begins(folder: Path, seed: Any) -> None:
    envs = VectorEnv(2, micro.world(), starts=folder / "starts")
    envs.reset(seed=3)
    envs.step(np.zeros((2, 8), np.int8))
    before = [env.world.camera.pose.clone() for env in envs.envs]
    with pytest.raises(ValueError, match="^seed: .*one for each"):
        envs.reset(seed=seed)
    assert all(np.array_equal(env.world.camera.pose, pose) for env, pose in zip(envs.envs, before, strict=True))


def test_seeds_of_numpy_are_seeds(folder: Path) -> None:
    one, other = VectorEnv(2, micro.world(), starts=folder / "starts"), VectorEnv(2, micro.world(), starts=folder / "starts")
    assert np.array_equal(one.reset(seed=[3, 4])[0], other.reset(seed=np.array([3, 4]))[0])  # pyright: ignore[reportArgumentType]
    assert np.array_equal(one.reset(seed=3)[0], other.reset(seed=np.int64(3))[0])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"autoreset": "next_step"}, "autoreset is 'next_step'"),
        ({"num_envs": "2"}, "num_envs is '2'"),
        ({"num_envs": 1.5}, "num_envs"),
    ],
)
def test_what_makes_no_environment_is_one_sentence(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        VectorEnv(**({"num_envs": 1, "world": micro.world()} | wrong))


@pytest.mark.parametrize("actions", [None, 1, np.zeros((2, 9)), np.zeros(8), {0: 1, 1: 2}])
def test_actions_of_another_shape_are_refused(folder: Path, actions: Any) -> None:
    envs = VectorEnv(2, micro.world(), starts=folder / "starts")
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must be zeros and ones \[2, 8\]"):
        envs.step(actions)
    with pytest.raises(ValueError, match="environment 1: action: give 8 zeros and ones"):
        envs.step(np.stack([np.zeros(8), np.full(8, 2)]))  # pyright: ignore[reportArgumentType]
