"""taew2_2: its published tensors decode as the plain twin does; other files are refused; a released world plays with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import stand_in
from dreamx.budget import fit
from dreamx.checkpoints import native, tiny_decoder_names
from dreamx.checkpoints.tiny_decoder_names import from_published, read, with_decoder
from dreamx.geometry import from_keys
from dreamx.model.tiny_wan_decoder import TinyDecoderConfig, TinyWanDecoder
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.released import Choice
from dreamx.world import World
from reference import plain_tiny_decoder as plain

NARROW = (12, 8, 6, 4)
SMALL = WanVAEConfig(encoder=4, decoder=4)


def decoder(w: dict[str, Tensor]) -> TinyWanDecoder:
    config, tensors = from_published(w)
    net = TinyWanDecoder(config)
    net.load_state_dict(tensors)
    return net.double()


@pytest.mark.parametrize("first", [1, 2])
@torch.inference_mode()
def test_a_stream_is_what_the_plain_twin_makes_of_the_clip(first: int) -> None:
    w = {k: x.double() for k, x in plain.chance(NARROW, first=first).items()}
    net, z = decoder(w), torch.randn(4, 48, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    made, state = list[Tensor](), None
    for latent in z:
        frames, state = net.push(latent[None].repeat(2, 1, 1, 1), state)
        assert torch.equal(frames[0], frames[1]), "rows of a batch are alike"
        made.append(frames[0])
    got, want = torch.cat(made), plain.decode(w, z)
    assert [len(x) for x in made] == [1, 4, 4, 4]
    assert want.shape == (13, 3, 48, 32)
    assert float(want.std()) > 0.1
    assert float(((got / 2 + 0.5).clamp(0, 1) - want).abs().max()) < 1e-6, "planes are float32"


def test_the_published_shapes_are_read_whatever_the_file(tmp_path: Path) -> None:
    w = plain.chance()
    torch.save(w, tmp_path / "taew2_2.pth")
    save_file(w, tmp_path / "taew2_2.safetensors")
    both = [read(tmp_path / f"taew2_2.{kind}") for kind in ("pth", "safetensors")]
    assert both[0][0] == both[1][0] == TinyDecoderConfig()
    assert both[0][1].keys() == both[1][1].keys() == TinyWanDecoder(TinyDecoderConfig()).state_dict().keys()
    held = sum(x.numel() for k, x in w.items() if k.startswith("decoder."))
    assert sum(x.numel() for x in both[0][1].values()) == held == 9_923_532


def without(*keys: str) -> dict[str, Tensor]:
    return {k: x for k, x in plain.chance(NARROW).items() if k not in keys}


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (plain.chance(NARROW, latent=16), "it decodes latents of 16 channels .*; those of Wan2.2 have 48 .*: give taew2_2"),
        (without("decoder.4.conv.2.bias"), r"'decoder\.4\.conv\.2\.bias' is missing, which the small decoder taew2_2 needs"),
        (without("decoder.8.weight"), r"'decoder\.8\.weight' is missing"),
        (
            plain.chance(NARROW) | {"decoder.23.weight": torch.ones(2)},
            "'decoder.23.weight' has no place .* of another architecture",
        ),
        (
            plain.chance(NARROW) | {"decoder.7.conv.weight": torch.ones(5, 12, 1, 1)},
            r"'decoder\.7\.conv\.weight' is \(5, 12, 1, 1\)",
        ),
        (
            {"decoder.0.weight": torch.ones(2), "decoder.1.conv.0.weight": torch.ones(2)},
            "of the kind super, such as taew2_2_super, which is not read; give taew2_2",
        ),
        ({"encoder.conv1.weight": torch.ones(2), "decoder.conv1.weight": torch.ones(2)}, "it is the autoencoder of Wan itself"),
        ({"blocks.0.ffn.0.weight": torch.ones(2)}, "these are transformer weights, not a decoder"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, tensors: dict[str, Tensor], said: str) -> None:
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=rf"^{tmp_path}/other\.safetensors: .*{said}"):
        read(tmp_path / "other.safetensors")


def test_a_decoder_of_other_latents_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = WanVAE(SMALL)
    native.save(tmp_path / "ours", {"vae": (VAE(VAEConfig()), VAEConfig())})
    for name, config in (
        ("far", replace(SMALL, patch=1)),
        ("other", replace(SMALL, mean=(1.0,) * 48)),
    ):
        native.save(tmp_path / name, {"vae": (WanVAE(config), config)})
    for name, said in (
        ("ours", "holds an autoencoder of ours"),
        ("far", "48 channels, 4 frames and 8 x 8 pixels, and this model's has 48 channels, 4 frames and 16 x 16 pixels"),
        ("other", "another mean and deviation"),
    ):
        with pytest.raises(ValueError, match=f"^decoder: .*{name} .*{said}"):
            with_decoder(vae, tmp_path / name)


def test_a_pruned_decoder_takes_the_place_of_the_released_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae, narrow = WanVAE(SMALL), replace(SMALL, decoder=2, encoder=8)
    other = WanVAE(narrow)
    native.save(tmp_path / "narrow", {"vae": (other, narrow)})
    made = with_decoder(vae, tmp_path / "narrow")
    assert made.config == replace(SMALL, decoder=2)
    z = torch.randn(1, 2, 48, 2, 2)
    assert torch.equal(made.decode(z).rgb, other.decode(z).rgb)
    video = torch.rand(1, 5, 3, 32, 32)
    assert torch.equal(made.encode(video), vae.encode(video))


def test_a_released_world_is_played_saved_and_gone_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = stand_in.official(tmp_path / "world"), tmp_path / "taew2_2.safetensors"
    save_file(plain.chance(NARROW), file)
    choice = Choice((32, 64), 1, "cpu", decoder=file)
    world, whole = World.open(folder, choice), World.open(folder, replace(choice, decoder=None))
    assert world.identity != whole.identity, "a session goes on with the decoder it was begun with"
    for each in (world, whole):
        each.reset(None, "a road", seed=3)
    keys = from_keys(["w"] * world.frames_per_step, world.config.speed)
    dream = whole.denoise(keys)
    seen = world.step(keys)
    assert seen.shape == whole.decode(dream).shape == (12, 3, 32, 64)
    assert torch.equal(world.camera.pose, whole.camera.pose)
    net, state = decoder({k: x.double() for k, x in plain.chance(NARROW).items()}), None
    assert world.decoder_state is not None
    assert [x.shape for x in world.decoder_state] == [x.shape for x in net.push(torch.zeros(1, 48, 2, 4), state)[1]]
    world.save(tmp_path / "kept.safetensors")
    again = World.open(folder, choice)
    again.load(tmp_path / "kept.safetensors")
    assert torch.equal(again.step(keys), world.step(keys))
    with pytest.raises(ValueError, match="identity|other networks|weights|world"):
        whole.load(tmp_path / "kept.safetensors")
    asked = list[float]()
    monkeypatch.setattr(fit, "must_fit", lambda plan, device, need=None: asked.append(plan.decoder_weights()))
    for each in (choice, replace(choice, decoder=None)):
        fit.world_must_fit(str(folder), each)
    own, small = WanVAEConfig(encoder=8, decoder=12), TinyDecoderConfig(widths=NARROW)
    with torch.device("meta"):
        want = [sum(x.numel() for x in WanVAE(c).state_dict().values()) for c in (replace(own, small=small), own)]
    assert asked == want
    with pytest.raises(ValueError, match="^decoder: tiny is a world of ours"):
        World.open("tiny", Choice(decoder=file))
    with pytest.raises(ValueError, match="odd.safetensors: .*it is something|has no place"):
        save_file({"x": torch.ones(1)}, tmp_path / "odd.safetensors")
        World.open(folder, replace(choice, decoder=tmp_path / "odd.safetensors"))
    assert tiny_decoder_names.names(TinyDecoderConfig())["decoder.22.bias"] == "out.bias"
