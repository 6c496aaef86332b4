"""Draw what is told in places known by heart: a row for each event, before it, while it comes, lasts and goes, and after.

    python tools/weather_sheet.py docs/weather.webp [WORLD]

Each walk begins at a picture of the gallery and turns slowly. The event is told after one second and taken back after five.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image

from dreamx.geometry.controls import from_keys
from dreamx.picture import read_picture
from dreamx.session import find
from dreamx.world import World

ROWS = (
    ("home-village", "fog"),
    ("home-castle", "night"),
    ("home-winter", "rain"),
    ("home-island", "evening"),
    ("home-cottage-2", "night; fog"),
    ("home-workshop-2", "lights out"),
)
SECONDS = (0.5, 1.5, 2.25, 3.0, 4.5, 5.5, 6.25, 8.0)
TOLD, TAKEN_BACK = 1.0, 5.0
SCALE = 2


def row(world: World, start: Path, event: str) -> torch.Tensor:
    """The frames at ``SECONDS`` side by side, uint8 ``[3, H, W]``."""
    picture = read_picture(start.read_bytes(), world.size)[0]
    shown = [world.reset(picture)]
    frames, n = round(SECONDS[-1] * world.fps) + 1, world.frames_per_step
    while (done := sum(map(len, shown))) < frames:
        chunk = (done - 1) // n
        said = {round(TOLD * world.fps / n): event, round(TAKEN_BACK * world.fps / n): ""}.get(chunk)
        shown.append(world.step(from_keys(["w" if chunk % 4 == 3 else "l" if chunk % 2 else ""] * n, world.config.speed), said))
    video = torch.cat(shown)
    return torch.cat([video[round(s * world.fps)] for s in SECONDS], -1)


def main(out: Path, name: str = "tiny") -> None:
    """Write the sheet."""
    world, starts = World.open(name), find(name) / "starts"
    files = [(next(iter(sorted(starts.glob(f"*{place}*.png")))), event) for place, event in ROWS]
    sheet = torch.cat([row(world, file, event) for file, event in files], 1).permute(1, 2, 0).numpy()
    picture = Image.fromarray(sheet)
    picture.resize((SCALE * picture.width, SCALE * picture.height), Image.Resampling.LANCZOS).save(out, quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
