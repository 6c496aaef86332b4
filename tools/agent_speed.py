"""How many steps of agents a second of one core: ``python tools/agent_speed.py [WORLD] [START] [STEPS]``, 1 to 8 sessions.

The same sessions step in one ``VectorEnv`` and as single ``Env``s one by one, step by step, each first in turn; with re-projected
memory, and without. Seconds are of the processor, on one thread, so that other programs count as little as can be. Seeds
count up, keys are drawn.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import dreamx  # before torch: says how threads wait

# isort: split
import numpy as np
import torch

from dreamx.env import Env
from dreamx.session import Switches, find
from dreamx.vector_env import VectorEnv
from dreamx.world import World

SESSIONS = (1, 2, 4, 8)
HELD = 5  # steps for which keys stay the same


def seconds(run: Callable[[], object]) -> float:
    """Seconds of the processor that a call takes."""
    start = time.process_time()
    run()
    return time.process_time() - start


def measure(world: World, name: str, start: str, sessions: int, steps: int, memory: bool) -> dict[str, float]:
    """Steps of a session a second, together and one by one, and how many times as fast together is."""
    folder, on = find(name) / "starts", Switches(memory=memory)
    batch = VectorEnv(sessions, world, starts=folder, switches=on)
    single = [Env(world, starts=folder, switches=on) for _ in range(sessions)]
    batch.reset(seed=0, options={"start": start})
    for i, env in enumerate(single):
        env.reset(seed=i, options={"start": start})
    rng = np.random.default_rng(0)
    actions = np.zeros((sessions, len(dreamx.KEYS)), np.int8)
    took: list[tuple[float, float]] = []
    for step in range(steps):
        if step % HELD == 0:
            actions = (rng.random(actions.shape) < 0.25).astype(np.int8)

        def together(actions: np.ndarray = actions) -> object:
            return batch.step(actions)

        def alone(actions: np.ndarray = actions) -> object:
            return [env.step(action) for env, action in zip(single, actions, strict=True)]

        if step % 2:
            first = seconds(together)
            took.append((first, seconds(alone)))
        else:
            first = seconds(alone)
            took.append((seconds(together), first))
    a, b = sum(x for x, _ in took), sum(y for _, y in took)
    many = sessions * steps
    return {
        "memory": memory,
        "sessions": sessions,
        "together": round(many / a, 1),
        "one_by_one": round(many / b, 1),
        "times": round(b / a, 2),
    }


def main(name: str, start: str, steps: int) -> None:
    """Print a line of JSON for each number of sessions."""
    world = World.open(name)
    torch.set_num_threads(1)
    print(json.dumps({"world": name, "start": start, "steps": steps}))
    for memory in (True, False):
        for sessions in SESSIONS:
            print(json.dumps(measure(world, name, start, sessions, steps, memory)), flush=True)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(given.get(1, "tiny"), given.get(2, "park-game"), int(given.get(3, "40")))
