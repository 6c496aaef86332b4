"""The autoencoder: causal, streaming exactly as it decodes whole clips, and able to learn."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dreamx.checkpoints import native
from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.geometry.reproject import View
from dreamx.model.vae import VAE, VAEConfig, fingerprint
from dreamx.train.autoencoder import AutoencoderStage, Windows, edge_loss, main, psnr, reconstruction_loss
from dreamx.train.run_config import RunConfig
from moving_clips import moving_clip

MICRO = VAEConfig(latent=4, encoder=(8, 12), decoder=(8, 12), blocks=(1, 1), patch=4)


@pytest.fixture
def vae() -> VAE:
    """Float64, with every weight at random: as built, the second convolutions are zero and messages would not matter."""
    torch.manual_seed(0)
    vae = VAE(MICRO).double()
    for p in vae.parameters():
        nn.init.normal_(p, std=0.1)
    return vae


def video(frames: int, batch: int = 2) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.rand(batch, frames, 3, 32, 32, generator=g, dtype=torch.float64) * 2 - 1


def test_shapes(vae: VAE) -> None:
    z = vae.encode(video(13))
    assert z.shape == (2, 4, 4, 4, 4)
    pixels = vae.decode(z)
    assert pixels.rgb.shape == (2, 13, 3, 32, 32)
    assert pixels.depth.shape == (2, 13, 32, 32)
    assert pixels.rgb.abs().max() <= 1
    assert 0.2 - 1e-9 <= pixels.depth.min() <= pixels.depth.max() <= 50 + 1e-9


@torch.no_grad()
def test_push_is_decode(vae: VAE) -> None:
    z = vae.encode(video(17))
    whole = vae.decode(z)
    state, rgb, depth = None, [], []
    for t in range(5):
        pixels, state = vae.push(z[:, t], state)
        assert pixels.rgb.shape[1] == (4 if t else 1)
        rgb.append(pixels.rgb)
        depth.append(pixels.depth)
    torch.testing.assert_close(torch.cat(rgb, 1), whole.rgb, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat(depth, 1), whole.depth, rtol=0, atol=1e-12)


@torch.no_grad()
def test_push_leaves_the_state_it_was_given_alone(vae: VAE) -> None:
    z = vae.encode(video(9))
    _, state = vae.push(z[:, 0], None)
    before = [x.clone() for x in state]
    once, _ = vae.push(z[:, 1], state)
    again, _ = vae.push(z[:, 1], state)
    assert all(torch.equal(a, b) for a, b in zip(before, state, strict=True))
    assert torch.equal(once.rgb, again.rgb)


@torch.no_grad()
def test_encoding_is_causal(vae: VAE) -> None:
    x = video(17)
    z = vae.encode(x)
    for frames in (1, 5, 9, 13):
        torch.testing.assert_close(vae.encode(x[:, :frames]), z[:, : (frames + 3) // 4], rtol=0, atol=1e-12)
        changed = x.clone()
        changed[:, frames:] = -changed[:, frames:]
        torch.testing.assert_close(vae.encode(changed)[:, : (frames + 3) // 4], z[:, : (frames + 3) // 4], rtol=0, atol=1e-12)


@torch.no_grad()
def test_decoding_is_causal_and_remembers(vae: VAE) -> None:
    z = vae.encode(video(17))
    changed = z.clone()
    changed[:, 2] += 1
    a, b = vae.decode(z).rgb, vae.decode(changed).rgb
    torch.testing.assert_close(a[:, :5], b[:, :5], rtol=0, atol=1e-12)
    assert (a[:, 5:9] - b[:, 5:9]).abs().amax() > 1e-3
    assert (a[:, 9:13] - b[:, 9:13]).abs().amax() > 1e-6, "the next group reads the message of the one that changed"


def test_later_frames_matter_to_their_own_latent(vae: VAE) -> None:
    x = video(5).requires_grad_()
    vae.encode(x)[:, 1].square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad.abs().sum((0, 2, 3, 4)) > 0).all())


@torch.no_grad()
def test_measure_makes_unit_variance(vae: VAE) -> None:
    x = video(9, batch=4)
    vae.measure([x[:1], x[1:]])
    z = vae.encode(x)
    torch.testing.assert_close(z.mean((0, 1, 3, 4)), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(z.std((0, 1, 3, 4), correction=0), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="no videos"):
        vae.measure([])


@torch.no_grad()
def test_training_keeps_the_statistics_and_looking_does_not(vae: VAE) -> None:
    vae(video(5))
    kept = vae.mean.clone()
    assert not torch.equal(kept, torch.zeros_like(kept))
    vae.decode(vae.encode(video(9)))
    vae.eval()(video(9))
    assert torch.equal(vae.mean, kept)


def test_depth_plane_round_trip(vae: VAE) -> None:
    depth = torch.tensor([0.2, 0.5, 3.0, 50.0], dtype=torch.float64)
    torch.testing.assert_close(vae.plane_to_depth(vae.depth_to_plane(depth)), depth)
    assert float(vae.depth_to_plane(torch.tensor(1e6))) == pytest.approx(1)


def test_bad_input(vae: VAE) -> None:
    with pytest.raises(ValueError, match="4 k \\+ 1"):
        vae.encode(video(6))
    with pytest.raises(ValueError, match="multiples of 8"):
        vae.encode(video(5)[..., :30])
    with pytest.raises(ValueError, match=r"vae\.encoder"):
        VAEConfig(encoder=(8,))


def test_fingerprint_is_of_the_weights(vae: VAE) -> None:
    name = fingerprint(vae)
    assert name == fingerprint(vae)
    with torch.no_grad():
        next(vae.parameters())[0, 0, 0, 0] += 1
    assert name != fingerprint(vae)


def test_losses_are_zero_at_the_truth_and_ignore_unknown_depth() -> None:
    vae = VAE(MICRO)
    rgb, depth = torch.rand(1, 5, 3, 32, 32) * 2 - 1, torch.rand(1, 5, 32, 32) + 1
    planes = torch.cat([rgb, vae.depth_to_plane(depth)[:, :, None]], 2)
    loss, _ = reconstruction_loss(planes, Windows(rgb, depth), vae, 1, 1)
    assert float(loss) < 1e-6
    unknown = depth.clone()
    unknown[..., :16] = 0
    loss, _ = reconstruction_loss(planes, Windows(rgb, unknown), vae, 1, 1)
    assert float(loss) < 1e-6
    loss, _ = reconstruction_loss(planes, Windows(rgb, depth * 2), vae, 1, 1)
    assert float(loss) > 0.1


def test_edges_see_blur_where_the_mean_does_not() -> None:
    sharp = torch.zeros(1, 3, 16, 16)
    sharp[..., ::2] = 1
    assert float(edge_loss(torch.full_like(sharp, 0.5), sharp)) > 3 * float(edge_loss(sharp + 0.1, sharp)) + 0.1
    assert float(psnr(sharp, sharp + 0.2)[0]) == pytest.approx(20, abs=1e-3)


def stage(tmp: Path, steps: int, name: str = "run") -> AutoencoderStage:
    run = RunConfig(folder=tmp / name, steps=steps, save_steps=3, log_every=1000, threads=1, ema=0.9)
    return AutoencoderStage(run, tmp / "clips", tmp / f"{name}.out", MICRO, frames=9, lr=3e-3, sheet_every=1000)


def test_stage_learns_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clips").mkdir()
    for seed in range(2):
        moving_clip(seed, 13).save(tmp_path / "clips" / f"{seed}.safetensors")
    main(stage(tmp_path, 120))
    reached = float(capsys.readouterr().out.rsplit("sheet: ", 1)[1].split()[0])
    assert reached > 12.5, "a grey picture alone would get 11.2 dB"
    assert (tmp_path / "run" / "sheet.png").exists()
    out = tmp_path / "run.out"
    vae = VAE(native.read_config(out, "vae", VAEConfig))
    native.load_into(vae, out / "vae.safetensors")
    assert vae.config == MICRO
    assert not torch.equal(vae.std, torch.ones(4)), "the latents were measured"


def test_stage_goes_on_from_a_checkpoint_as_if_never_stopped(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    moving_clip(0, 13).save(tmp_path / "clips" / "0.safetensors")
    cfg = stage(tmp_path, 6)
    main(cfg)
    straight = native.read(cfg.out / "vae.safetensors")
    saved = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert len(saved) >= 2
    shutil.rmtree(saved[-1])
    main(cfg)
    resumed = native.read(cfg.out / "vae.safetensors")
    assert all(torch.equal(straight[k], resumed[k]) for k in straight)


def test_stage_refuses_evaluation_scenes_and_short_clips(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    with pytest.raises(ValueError, match="no clips"):
        main(stage(tmp_path, 1))
    moving_clip(0, 5).save(tmp_path / "clips" / "0.safetensors")
    with pytest.raises(ValueError, match="too few"):
        main(stage(tmp_path, 1))
    moving_clip(FIRST_HELD_OUT_SEED, 13).save(tmp_path / "clips" / "0.safetensors")
    with pytest.raises(ValueError, match="reserved for evaluation"):
        main(stage(tmp_path, 1))


def hint_for(frames: int, known: float = 1.0) -> View:
    g = torch.Generator().manual_seed(2)
    depth = torch.rand(2, frames, 32, 32, generator=g, dtype=torch.float64) * 5 + 0.5
    return View(video(frames), depth, torch.full_like(depth, known))


@pytest.fixture
def hinted(vae: VAE) -> VAE:
    torch.manual_seed(0)
    both = VAE(replace(MICRO, hint=True)).double()
    for p in both.parameters():
        nn.init.normal_(p, std=0.1)
    return both


@torch.no_grad()
def test_push_is_decode_with_hints(hinted: VAE) -> None:
    z, hint = hinted.encode(video(9)), hint_for(9)
    whole = hinted.decode(z, hint)
    state, rgb = None, []
    for t, now in enumerate((slice(0, 1), slice(1, 5), slice(5, 9))):
        pixels, state = hinted.push(z[:, t], state, View(hint.rgb[:, now], hint.depth[:, now], hint.known[:, now]))
        rgb.append(pixels.rgb)
    torch.testing.assert_close(torch.cat(rgb, 1), whole.rgb, rtol=0, atol=1e-12)
    assert not torch.allclose(whole.rgb, hinted.decode(z).rgb)


@torch.no_grad()
def test_a_hint_that_knows_nothing_is_no_hint(hinted: VAE) -> None:
    z = hinted.encode(video(9))
    nothing = View(video(9), torch.zeros(2, 9, 32, 32, dtype=torch.float64), torch.zeros(2, 9, 32, 32, dtype=torch.float64))
    a, b = hinted.decode(z, nothing), hinted.decode(z)
    torch.testing.assert_close(a.rgb, b.rgb, rtol=0, atol=1e-12)
    torch.testing.assert_close(a.depth, b.depth, rtol=0, atol=1e-12)


@torch.no_grad()
def test_full_trust_shows_the_hint_itself(hinted: VAE) -> None:
    """The gates open wide: then the remembered pixels are the picture, whatever the latents say."""
    planes = hinted.out.bias
    assert planes is not None
    planes.view(4, 6)[:, 4:] = 1e4
    z, hint = hinted.encode(video(9)), hint_for(9)
    pixels = hinted.decode(z, hint)
    torch.testing.assert_close(pixels.rgb, hint.rgb, rtol=0, atol=1e-9)
    torch.testing.assert_close(pixels.depth, hint.depth, rtol=1e-6, atol=1e-9)
