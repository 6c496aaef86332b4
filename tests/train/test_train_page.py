"""The commands of docs/train.md are commands, and its training in a minute trains a world."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest

from dreamx import cli, flags
from dreamx.recipes import tiny
from dreamx.recipes.curriculum import Curriculum
from dreamx.recipes.overrides import override_recipe
from dreamx.world import World
from repo import ROOT, TESTS

TEXT = (ROOT / "docs/train.md").read_text()
COMMANDS = [m[1] for m in re.finditer(r"^(?:    )?(?:torchrun .*-m )?(dreamx [a-z].*)$", TEXT, re.M)]
SMALL = re.findall(r"^dreamx .*$", TEXT.split("```sh\n")[1].split("```")[0], re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_line_is_a_command(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags, "check_paths", lambda config: None)  # folders of an example are not there
    words = shlex.split(line, comments=True)[1:]
    found: object = cli.COMMANDS
    while isinstance(found, dict):
        found = found[words.pop(0)]
    assert isinstance(found, tuple)
    module, function = found[0].split(":")
    run = getattr(import_module(module), function)
    config = flags.parse(get_type_hints(run)["cfg"], words, "dreamx", *(run.__defaults__ or ()))
    if isinstance(config, Curriculum) and config.scale == "tiny":
        override_recipe(tiny.curriculum(Path("out")), config.overrides)


def test_the_training_in_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as it stands, but that clips were rendered before, and nothing is drawn for the gallery."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/small").mkdir(parents=True)
    (tmp_path / "runs/small/clips").symlink_to(TESTS / "files/micro")
    assert len(SMALL) == 13
    for line in SMALL:
        if not line.startswith(("dreamx data render", "dreamx data starts")):
            cli.main(shlex.split(line)[1:])
    world = World.open(tmp_path / "runs/small/world")
    assert (world.size, world.config.sampler.chunk, world.config.sampler.window) == ((32, 32), 1, 6)
    assert world.config.memory is not None and world.config.causal.packed is not None
    assert world.depth is not None
    assert (tmp_path / "runs/small/walk.mp4").stat().st_size > 0


def test_the_page_is_listed() -> None:
    assert "(train.md)" in (ROOT / "docs/README.md").read_text()
