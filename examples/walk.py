"""Walk in a world from Python: a contact sheet, does it stay the same when one comes back, a map.

    pip install '.[examples]' in the checkout
    python examples/walk.py FOLDER [WORLD [FRAMES]]

writes three figures to FOLDER. The cells (``# %%``) can be run one by one in an editor that knows notebooks.
"""

# %% What to open, where to put the figures, how many frames each leg of the walk has
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import dreamx
from dreamx.eval.metrics.psnr import psnr
from dreamx.geometry.path import parse_actions
from dreamx.picture import read_picture
from dreamx.play.gallery import read_starts
from dreamx.session import Switches, find

given = [] if "ipykernel" in sys.modules else sys.argv[1:]
folder = Path(given[0] if given else "out/walk")
name = given[1] if len(given) > 1 else "tiny"
leg = int(given[2]) if len(given) > 2 else 32
folder.mkdir(parents=True, exist_ok=True)
torch.set_grad_enabled(False)

# %% Open the world, and begin from a picture of its gallery (or, where it has none, from words alone)
world = dreamx.load(name)
starts = read_starts(find(name) / "starts")
start = starts.get("park-game") or next(iter(starts.values()), None)
prompt = "a park" if start is None else start.prompt
picture = None if start is None else read_picture(start.png, world.size)[0]
print(f"{name}: {world.size[0]} x {world.size[1]} at {world.fps:g} frames per second, {world.frames_per_step} frames a step")
print(f"begins from {'words' if start is None else start.id}: {prompt}")


def begin(memory: bool = True) -> torch.Tensor:
    """The same beginning every time: the opening picture, uint8 [1, 3, H, W]."""
    world.switches = Switches(memory=memory)
    return world.reset(picture, prompt, seed=7)


# %% Forward, turn left, turn back, backward: each frame of the way back is seen from where one of the way out was
keys = parse_actions(f"w*{leg},j*{leg},l*{leg},s*{leg}")
frames = torch.cat([begin(), *world.play(keys)])  # uint8 [1 + 4 * leg, 3, H, W]

figure, axes = plt.subplots(4, 6, figsize=(9, 6.6))
shown = torch.linspace(0, len(frames) - 1, axes.size).round().int().tolist()
for number, axis in zip(shown, axes.flat, strict=True):
    axis.imshow(frames[number].permute(1, 2, 0))
    axis.set_title(f"{number / world.fps:.1f} s, {(['', *keys][number]) or 'start'}", fontsize=8)
    axis.axis("off")
figure.tight_layout()
figure.savefig(folder / "sheet.png", dpi=120)


# %% Does it remember? PSNR of each frame of the way back against the one of the way out that was seen from the same camera.
# It says that a place stayed the same, not that it is right: fog that stays fog would score well, so look at the sheet, too.
def revisit(memory: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Seconds between the two visits of each place, and PSNR in dB."""
    walked = torch.cat([begin(memory), *world.play(keys)])
    half = len(walked) // 2  # the farthest frame, which is its own way back
    out, back = walked[:half], walked[half + 1 :].flip(0)
    gap = torch.arange(2 * half, 0, -2) / world.fps
    return gap, psnr(back, out)


figure, axis = plt.subplots(figsize=(7, 4))
for memory, label in ((True, "memory on"), (False, "memory off")):
    gap, score = revisit(memory)
    axis.plot(gap, score, label=f"{label}, mean {score.mean():.1f} dB")
    print(f"{label}: {score.mean():.2f} dB in the mean, {score[0]:.2f} dB of the opening picture when one is back")
if world.config.memory is None:
    print("(this world was made without memory: both are the same)")
axis.set_xlabel("seconds until the same place is seen again")
axis.set_ylabel("PSNR, dB")
axis.legend()
figure.tight_layout()
figure.savefig(folder / "revisit.png", dpi=120)

# %% A map from above. ``step`` is ``decode(denoise(...))``, and a dream says where it goes and which views were recalled for it
keys = parse_actions(f"w*{leg},wj*{leg},j*{leg},wj*{leg}")
begin()
path, recalled = [world.camera.pose[None]], []
done = 0
while done + world.frames_per_step <= len(keys):  # in some worlds the first step is shorter than the others: ask before each
    dream = world.denoise(dreamx.from_keys(keys[done : done + world.frames_per_step], world.config.speed))
    world.decode(dream)
    path.append(dream.path.pose)
    recalled.append(dream.recalled.pose)
    done += len(dream.path)

figure, axis = plt.subplots(figsize=(5, 5))
there = torch.cat(path)[:, [0, 2], 3]  # metres to the right and ahead
axis.plot(*there.T, color="tab:blue", label="path")
seen = torch.cat(recalled)
if len(seen):
    at, looks = seen[:, [0, 2], 3], seen[:, [0, 2], 2]  # where a recalled view was seen from, and which way it looks
    axis.quiver(*at.T, *looks.T, angles="xy", scale=18, width=0.004, color="tab:orange", label="recalled views")
axis.plot(*there[0], "o", color="black", label="start")
axis.set_xlabel("metres to the right")
axis.set_ylabel("metres ahead")
axis.set_aspect("equal", adjustable="datalim")
axis.legend()
figure.tight_layout()
figure.savefig(folder / "map.png", dpi=120)
print(f"{len(seen)} recalled views in {len(recalled)} steps; figures in {folder}")
