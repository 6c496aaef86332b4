"""The stand-in for the released models: its files are read as downloads are, and its networks answer to what they are given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamx.checkpoints import components, transformer
from dreamx.model.umt5 import UMT5
from dreamx.model.wan_vae import WanVAE
from dreamx.recipes.wan_micro import CAM, DIT, PAST, TEXT, VAE, StandIn, write


@pytest.mark.parametrize("kind", ["causal", "cam"])
def test_the_files_are_read_as_downloads_are(tmp_path: Path, kind: str) -> None:
    write(StandIn(tmp_path, "causal" if kind == "causal" else "cam"))
    found = transformer.read(tmp_path)
    assert (found.config, found.kind.past) == ((DIT, PAST) if kind == "causal" else (CAM, None))
    part = components.read(tmp_path / "Wan2.2_VAE.pth", "vae")
    words = components.read(tmp_path / "models_t5_umt5-xxl-enc-bf16.pth", "text_encoder")
    assert part is not None and part.config == VAE
    assert words is not None and words.config == TEXT
    vae, text = components.build(part), components.build(words)
    assert isinstance(vae, WanVAE) and isinstance(text, UMT5)
    said = text(["a red house", "a blue sea"])
    assert float((said[0] - said[1]).abs().max()) > 0.1
    assert said.shape == (2, 512, TEXT.width)
    z = vae.encode(torch.rand(1, 5, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    assert z.shape == (1, 2, 48, 2, 3)
    first, state = vae.push(z[:, 0], None)
    then, _ = vae.push(z[:, 1], state)
    assert first.rgb.shape == (1, 1, 3, 32, 48)
    assert then.rgb.shape == (1, 4, 3, 32, 48)
    assert 0.2 < float(then.rgb.std()) < 0.9, "pictures have contrast"


def test_the_same_seed_is_the_same_weights(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(StandIn(tmp_path / name, seed=seed))
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c
