"""Stage `decoder` that prunes: it begins from what is left, learns from the whole decoder, and resumes bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import latents_of_chance
from dreamx.checkpoints import beside, native
from dreamx.model.vae import VAE
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.recipes import w5b
from dreamx.recipes.dry_run import stage_loaders
from dreamx.train import decoder
from dreamx.train.decoder import DecoderStage
from dreamx.train.run_config import RunConfig
from golden_stages import CLIPS, START

WAN = WanVAEConfig(encoder=4, decoder=8, latent=4, mean=(0.0,) * 4, std=(1.0,) * 4)


def small(root: Path, steps: int = 4) -> DecoderStage:
    run = RunConfig(root / "run", steps, save_steps=2, ema=0.5, betas=(0.5, 0.95))
    return DecoderStage(
        run, CLIPS, START / "autoencoder", root / "model", batch=2, frames=5, critic=(8, 8), alone=1, prune=0.75, probes=2
    )


def wan(root: Path, steps: int = 4) -> DecoderStage:
    root.mkdir(exist_ok=True)
    latents, start = root / "latents.safetensors", root / "wan"
    if not latents.is_file():
        torch.manual_seed(0)
        latents_of_chance.save(latents, 4, 3, 4, (1.0, 1.0, 0.5, 0.5))
        native.save(start, {"vae": (WanVAE(WAN), WAN)})
    return replace(small(root, steps), data=latents, start=start, crop=2, frames=9)


def weights(folder: Path) -> Tensor:
    return torch.cat([x.flatten() for _, x in sorted(native.read(folder / "vae.safetensors").items())])


def rows(root: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (root / "run/log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("stage", [small, wan])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: type) -> None:
    decoder.main(stage(tmp_path / "whole"))
    loss, left = decoder.reconstruction_loss, [3]

    def dying(*given: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return loss(*given)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patched:
        patched.setattr(decoder, "reconstruction_loss", dying)
        with pytest.raises(KeyboardInterrupt):
            decoder.main(stage(tmp_path / "parts"))
    assert len(rows(tmp_path / "parts")) == 3, "one more than its checkpoint has"
    decoder.main(stage(tmp_path / "parts"))
    assert torch.equal(weights(tmp_path / "whole/model"), weights(tmp_path / "parts/model"))
    assert [r["vae.loss"] for r in rows(tmp_path / "whole")] == [r["vae.loss"] for r in rows(tmp_path / "parts")]


def test_what_is_written_opens_as_an_autoencoder_of_a_quarter_of_the_channels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its encoder is the same; its decoder is nearer to the whole one after forty steps than what was left of it."""
    cfg = replace(small(tmp_path / "small", 40), alone=100, lr=5e-3, noise=0.0, hints=0.0)
    decoder.main(cfg)
    assert "numbers of the decoder are left" in capsys.readouterr().out
    made, start = beside.open_autoencoder(cfg.out), beside.open_autoencoder(cfg.start)
    assert isinstance(made, VAE)
    assert isinstance(start, VAE)
    assert made.config == replace(start.config, decoder=(4, 6, 16))
    assert all(torch.equal(x, start.state_dict()[k]) for k, x in made.state_dict().items() if k.startswith("encoder."))
    found = [row["vae.psnr"] for row in rows(tmp_path / "small")]
    assert sum(found[-5:]) / 5 > sum(found[:5]) / 5 + 0.5, "dB to what the whole decoder makes of the same latents"

    cfg = wan(tmp_path / "wan", 30)
    cfg = replace(cfg, alone=100, lr=3e-3, noise=0.0)
    decoder.main(cfg)
    made, start = beside.open_autoencoder(cfg.out), beside.open_autoencoder(cfg.start)
    assert made.config == replace(WAN, decoder=2)
    assert isinstance(made, WanVAE)
    assert all(torch.equal(x, start.state_dict()[k]) for k, x in made.state_dict().items() if k.startswith("encoder."))
    found = [row["vae.psnr"] for row in rows(tmp_path / "wan")]
    assert sum(found[-5:]) / 5 > sum(found[:5]) / 5 + 0.5
    assert (tmp_path / "wan/run/sheet.png").is_file()
    pixels, _ = made.push(torch.zeros(1, 4, 2, 2), None)
    assert pixels.rgb.shape == (1, 1, 3, 32, 32)


def test_the_recipe_of_the_5b_prunes_its_decoder() -> None:
    step = next(s for s in w5b.curriculum(Path("out")) if s.name == "decoder")
    load = stage_loaders(w5b, (step,))["decoder"](None, False)
    with torch.device("meta"):
        whole, left = (WanVAE(WanVAEConfig(decoder=w)) for w in (256, 64))
    learned = sum(p.numel() for k, p in left.named_parameters() if not k.startswith(("encoder.", "quant_conv.")))
    critic = sum(p.numel() for p in decoder.Critic(step.cfg.critic).parameters())
    assert load.trained == learned + critic
    assert load.copies == sum(p.numel() for p in whole.parameters()), "the whole decoder teaches"
    assert step.cfg.prune == 0.75
    assert load.cost.flop > load.cost.forward > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prune": 1.0}, "prune must be below 1, or no channel is left"),
        ({"data": START / "latents.safetensors"}, "data: .* is a file, and this autoencoder learns from a folder of clips"),
    ],
)
def test_what_cannot_be_is_a_sentence(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decoder.main(replace(small(tmp_path), **change))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prune": 0.0}, "prune: a decoder of Wan2.2 is not sharpened, but pruned"),
        ({"data": CLIPS}, r"data: .* is a folder, and a decoder of Wan2\.2 learns from a file of latents"),
        ({"data": START / "latents.safetensors"}, "its latents have 8 channels"),
    ],
)
def test_the_autoencoder_of_wan_learns_from_latents_what_its_whole_decoder_makes(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        decoder.main(replace(wan(tmp_path), **change))  # pyright: ignore[reportArgumentType]
