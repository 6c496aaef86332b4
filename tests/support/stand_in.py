"""The stand-in for a released checkpoint, in each of the three layouts in which one is found."""

from __future__ import annotations

import json
from pathlib import Path

from dreamx.checkpoints.beside import TEXT_FILE, VAE_FILE
from dreamx.convert import ConvertConfig, convert
from dreamx.recipes.wan_micro import StandIn, write

#: Settings of play that fit a test: pictures of 64 x 96, two passes a chunk.
SMALL = {"height": 64, "width": 96, "sampler": {"steps": 2}}


def official(folder: Path) -> Path:
    """As it is downloaded: all files in one folder."""
    write(StandIn(folder))
    (folder / "world.json").write_text(json.dumps(SMALL))
    return folder


def apart(folder: Path) -> Path:
    """As two downloads side by side: the transformer, and Wan2.2-TI2V-5B with the rest."""
    ours = official(folder / "DreamX-World-5B")
    base = folder / "Wan2.2-TI2V-5B"
    base.mkdir()
    for name in (VAE_FILE, TEXT_FILE, "google"):
        (ours / name).rename(base / name)
    return ours


def converted(folder: Path, source: Path) -> Path:
    """As ``dreamx convert`` writes it: three folders."""
    for part, name in ((source, "transformer"), (source / VAE_FILE, "vae"), (source / TEXT_FILE, "text_encoder")):
        convert(ConvertConfig(part, folder / name))
    (folder / "world.json").write_text(json.dumps(SMALL))
    return folder
