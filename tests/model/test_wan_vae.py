"""The autoencoder of Wan2.2: a stream and a whole clip, our names and those of others, and a world around it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx.checkpoints import native, wan_vae_names
from dreamx.conformance.vectors import read
from dreamx.geometry.reproject import View
from dreamx.model import wan_vae
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.vae import fingerprint
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.model.word_encoder import WordConfig, WordEncoder
from dreamx.rollout import Sampler
from dreamx.session import WorldConfig
from dreamx.world import World
from repo import TESTS

FILE = TESTS / "files/wan22_vae.safetensors"
VECTORS = read(FILE)
OFFICIAL = VECTORS.weights()
CONFIG = replace(
    wan_vae_names.config_of(OFFICIAL),
    mean=tuple(VECTORS["latent_mean"].tolist()),
    std=tuple(VECTORS["latent_std"].tolist()),
)
VIDEO = VECTORS["video"].transpose(1, 2)  # [1, 9, 3, 32, 48]


@pytest.fixture(scope="module")
def vae() -> WanVAE:
    return wan_vae.load(wan_vae_names.from_official(OFFICIAL, CONFIG), CONFIG)


def theirs() -> torch.nn.Module:
    """diffusers' whole autoencoder with the same weights."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    net = AutoencoderKLWan(**wan_vae.arguments(CONFIG))
    net.load_state_dict(wan_vae_names.from_official(OFFICIAL, CONFIG))
    return net.eval()


@torch.inference_mode()
def test_a_stream_is_the_whole_clip_and_what_diffusers_makes(vae: WanVAE) -> None:
    net = theirs()
    mean, std = (torch.tensor(x)[:, None, None] for x in (CONFIG.mean, CONFIG.std))
    z = vae.encode(VIDEO)
    whole = net.encode(VIDEO.transpose(1, 2)).latent_dist.mode().transpose(1, 2)  # pyright: ignore[reportCallIssue]
    assert torch.allclose(z, (whole - mean) / std, atol=2e-6)  # one product over all frames, or one a group
    want = net.decode((z * std + mean).transpose(1, 2)).sample.transpose(1, 2)  # pyright: ignore[reportCallIssue]
    clip = vae.decode(z).rgb
    assert torch.allclose(clip, want, atol=2e-6)
    state, made = None, []
    for latent in z.unbind(1):
        pixels, state = vae.push(latent, state)
        made.append(pixels.rgb)
    assert [x.shape[1] for x in made] == [1, 4, 4]
    assert torch.equal(torch.cat(made, 1), clip)


@torch.inference_mode()
def test_a_stream_forks(vae: WanVAE) -> None:
    """Decoding never changes a state that somebody else holds."""
    a, b, c = vae.encode(VIDEO).unbind(1)
    _, state = vae.push(a, None)
    one, after = vae.push(b, state)
    vae.push(c, after)
    vae.push(c, state)
    two, _ = vae.push(b, state)
    assert torch.equal(one.rgb, two.rgb)
    assert len(state) == len(after)


@torch.inference_mode()
def test_a_stream_remembers_no_more_the_longer_it_is(vae: WanVAE) -> None:
    z = torch.randn(1, CONFIG.latent, 2, 3)
    state, sizes = None, []
    for _ in range(5):
        _, state = vae.push(z, state)
        sizes.append(sum(x.numel() for x in state))
    assert sizes[2] == sizes[3] == sizes[4]


@torch.inference_mode()
def test_half_the_bytes(vae: WanVAE) -> None:
    """bfloat16 weights: the border stays float32, and the picture stays the picture."""
    half = wan_vae.load({k: x.bfloat16() for k, x in vae.state_dict().items()}, CONFIG)
    z = half.encode(VIDEO)
    rgb = half.decode(z).rgb
    assert z.dtype == rgb.dtype == torch.float32
    assert float((z - vae.encode(VIDEO)).abs().max()) < 0.1
    assert float((rgb - vae.decode(vae.encode(VIDEO)).rgb).abs().mean()) < 0.02
    assert fingerprint(half) != fingerprint(vae)


def test_a_video_that_does_not_fit_is_refused(vae: WanVAE) -> None:
    with pytest.raises(ValueError, match="40x32 pixels: width and height must be multiples of 16"):
        vae.encode(torch.zeros(1, 1, 3, 32, 40))
    with pytest.raises(ValueError, match="use 4 k \\+ 1"):
        vae.encode(torch.zeros(1, 4, 3, 32, 32))
    blank = torch.zeros(1, 1, 32, 48)
    with pytest.raises(ValueError, match="reads none"):
        vae.push(torch.zeros(1, 6, 2, 3), None, View(blank[:, :, None], blank, blank))


def test_names_come_back_bit_for_bit(vae: WanVAE) -> None:
    state = wan_vae_names.from_official(OFFICIAL, CONFIG)
    assert all(state[b].data_ptr() == OFFICIAL[a].data_ptr() for a, b in wan_vae_names.names(CONFIG).items())
    back = wan_vae_names.to_official(vae.state_dict(), CONFIG)
    assert back.keys() == OFFICIAL.keys()
    assert all(torch.equal(back[k], x) for k, x in OFFICIAL.items())


def test_diffusers_reads_what_we_write_and_we_what_it_writes(vae: WanVAE, tmp_path: Path) -> None:
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    save_file(vae.state_dict(), tmp_path / "diffusion_pytorch_model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(wan_vae_names.write_config(CONFIG)))
    net = AutoencoderKLWan.from_pretrained(str(tmp_path), local_files_only=True)
    state = wan_vae_names.from_diffusers(net.state_dict(), CONFIG)
    assert all(torch.equal(state[k], x) for k, x in vae.state_dict().items())
    assert wan_vae_names.read_config(dict(net.config)) == CONFIG


def test_the_full_size_has_the_released_number_of_parameters() -> None:
    found = wan_vae.shapes(WanVAEConfig())
    assert sum(s.numel() for s in found.values()) == 704_688_668
    assert WanVAEConfig().shrink == 16
    assert WanVAEConfig().group == 4
    with torch.device("meta"):
        blank = {a: torch.empty(found[b]) for a, b in wan_vae_names.names(WanVAEConfig()).items()}
    assert wan_vae_names.config_of(blank) == WanVAEConfig()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("blocks.0.self_attn.q.weight", "transformer weights"),
        ("blocks.0.attn1.to_q.weight", "transformer weights"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "text encoder weights"),
        ("encoder.downsamples.0.residual.0.gamma", "Wan2.1"),
        ("encoder.downsamples.9.downsamples.0.residual.0.gamma", "larger network"),
    ],
)
def test_an_unknown_key_is_named_with_its_likely_cause(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^'{name}' has no place in the autoencoder of Wan2.2: .*{said}"):
        wan_vae_names.from_official({**OFFICIAL, name: torch.zeros(1)}, CONFIG)
    if "larger" not in said:
        with pytest.raises(ValueError, match=f"no autoencoder of Wan2.2: .*{said}"):
            wan_vae_names.config_of({name: torch.zeros(1)})


def test_a_missing_or_misshapen_key_is_named() -> None:
    less = {k: x for k, x in OFFICIAL.items() if k != "conv2.bias"}
    with pytest.raises(ValueError, match=r"'conv2.bias' is missing.*cut"):
        wan_vae_names.from_official(less, CONFIG)
    with pytest.raises(ValueError, match=r"'conv2.bias' is \(2,\) where the config makes it \(6,\)"):
        wan_vae_names.from_official({**OFFICIAL, "conv2.bias": torch.zeros(2)}, CONFIG)


def test_a_config_of_another_autoencoder_is_refused() -> None:
    said = wan_vae_names.write_config(CONFIG)
    for key, value, why in (
        ("is_residual", False, "Wan2.1"),
        ("attn_scales", [1.0], "attn_scales"),
        ("z_dim", None, "no usable"),
        ("latents_mean", [0.0], "one number for each"),
        ("temperal_downsample", [True], "each of the 3 steps"),
    ):
        with pytest.raises(ValueError, match=why):
            wan_vae_names.read_config({**said, key: value})
    with pytest.raises(ValueError, match="z_dim: is missing"):
        wan_vae_names.read_config({k: v for k, v in said.items() if k != "z_dim"})


def world(vae: WanVAE) -> World:
    torch.manual_seed(0)
    dit = DiT(DiTConfig(CONFIG.latent, 24, 2, 1, 48, 16, patch=1, frequencies=16, view=ViewConfig(16, 2)))
    for p in dit.parameters():
        torch.nn.init.normal_(p, std=0.2)
    config = WorldConfig(32, 48, (0.5, 0.9, 0.5, 0.5), sampler=Sampler(steps=2, chunk=3, window=6, sinks=1))
    return World(config, dit, vae, WordEncoder(WordConfig(16, 2, 1, 64, 8)))  # pyright: ignore[reportArgumentType]


def test_a_world_walks_on_it_and_a_session_goes_on_bit_for_bit(vae: WanVAE, tmp_path: Path) -> None:
    picture = ((VIDEO[0, 0] + 1) * 127.5).round().to(torch.uint8)
    one = world(vae)
    assert one.reset(picture, "a", seed=3).shape == (1, 3, 32, 48)
    assert [len(x) for x in one.play(["w"] * 8)] == [8]
    one.save(tmp_path / "a.session")
    two = world(vae)
    two.load(tmp_path / "a.session")
    a, b = (torch.cat(list(w.play(["wj"] * 12))) for w in (one, two))
    assert torch.equal(a, b)
    assert a.float().std() > 1


def test_our_folder_holds_it(vae: WanVAE, tmp_path: Path) -> None:
    native.save(tmp_path, {"vae": (vae, CONFIG)})
    config = native.read_config(tmp_path, "vae", WanVAEConfig)
    assert config == CONFIG
    again = wan_vae.load(wan_vae_names.from_diffusers(native.read(tmp_path / "vae.safetensors"), config), config)
    assert _same(again.state_dict(), vae.state_dict())


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], x) for k, x in b.items())
