"""Fine-tuning a checkpoint: objective, gradients, what is trained, what is written, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import finetune_house
import micro
from dreamx.checkpoints import transformer, weight_files
from dreamx.data.encode import EncodeConfig, encode
from dreamx.data.latent_file import Latents
from dreamx.geometry.controls import from_keys
from dreamx.geometry.official import autoregressive_latents, bidirectional_latents
from dreamx.model.dit import DiT
from dreamx.recipes import wan_micro
from dreamx.session import find
from dreamx.train import finetune
from dreamx.train.adapters import AdapterConfig
from dreamx.train.finetune import FinetuneStage
from dreamx.train.finetune_subject import as_trained, open_lesson, open_subject
from dreamx.train.trainable import Trainable
from dreamx.world import World


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal and a bidirectional checkpoint, and latents for both."""
    root = tmp_path_factory.mktemp("house")
    finetune_house.encoded(root, finetune_house.stand_in(root))
    finetune_house.stand_in(root, "cam")
    return root


def stage(house: Path, root: Path, kind: str = "causal", **more: object) -> FinetuneStage:
    return finetune_house.stage(root, "a", house / kind, house / "latents.safetensors", **more)


def short(cfg: FinetuneStage, steps: int = 1) -> FinetuneStage:
    return replace(cfg, run=replace(cfg.run, steps=steps, clip=None, save_steps=None))


def gradients(cfg: FinetuneStage, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Those of the first step."""
    found: dict[str, torch.Tensor] = {}

    def apply(self: Trainable, lr: float, decay: float) -> None:
        found.update({k: p.grad.clone() for k, p in self.trained.items() if p.grad is not None})

    with monkeypatch.context() as m:
        m.setattr(Trainable, "apply", apply)
        finetune.main(short(cfg))
    return found


@pytest.mark.parametrize("kind", ["causal", "cam"])
def test_micro_batches_and_forgetting_blocks_change_no_gradient(
    kind: str, house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(name: str, **more: object) -> dict[str, torch.Tensor]:
        return gradients(stage(house, tmp_path / name, kind, **more), monkeypatch)

    whole = of("whole")
    size = max(float(g.abs().max()) for g in whole.values())
    assert size > 0.01
    parts = of("parts", accumulate=4)
    assert parts.keys() == whole.keys()
    assert max(float((parts[k] - whole[k]).abs().max()) for k in whole) < 1e-6 * max(1.0, size)
    again = of("again", checkpoint_blocks=True)
    assert all(torch.equal(again[k], whole[k]) for k in whole)
    some = of("lora", train="lora", checkpoint_blocks=True)
    assert {k.rsplit(".", 1)[1] for k in some} == {"up", "down"}


def test_blocks_are_computed_again_on_the_way_back(house: Path) -> None:
    dit = open_subject(house / "causal", None, None).dit
    times: list[int] = []
    dit.blocks[1].mlp.register_forward_hook(lambda *_: times.append(1))  # pyright: ignore[reportUnknownMemberType,reportAttributeAccessIssue,reportUnknownLambdaType]
    dit.blocks[1].norm_text.register_forward_hook(lambda *_: times.append(1))  # pyright: ignore[reportUnknownMemberType,reportAttributeAccessIssue,reportUnknownLambdaType]
    finetune.recompute_blocks(dit)
    lesson = open_lesson(open_subject(house / "causal", None, None), house / "latents.safetensors", None)
    known, _ = lesson.clips.batch(1, torch.Generator().manual_seed(0))
    as_trained(dit, None, False)
    v = dit(known, torch.zeros(1, 4, wan_micro.TEXT.width), finetune.attention(None, 6))
    before = len(times)
    v.square().mean().backward()
    assert before > 0
    assert len(times) == 2 * before


@pytest.mark.parametrize("kind", ["causal", "cam"])
def test_cameras_are_those_of_the_official_script(kind: str, house: Path) -> None:
    subject = open_subject(house / kind, None, None)
    lesson = open_lesson(subject, house / "latents.safetensors", None)
    path = Latents.load(house / "latents.safetensors").path
    assert path is not None
    own, other = (
        autoregressive_latents(path[0].map(torch.Tensor.double), 3),
        bidirectional_latents(path[0].map(torch.Tensor.double)),
    )
    own, other = (own, other) if kind == "causal" else (other, own)
    assert float((lesson.clips.camera[0].pose - own.pose.float()).abs().max()) < 1e-6
    assert float((lesson.clips.camera[0].pose - other.pose.float()).abs().max()) > 1e-3
    assert not lesson.clips.anywhere


@pytest.mark.parametrize("kind", ["causal", "cam"])
def test_it_learns_its_clips(kind: str, house: Path, tmp_path: Path) -> None:
    cfg = short(stage(house, tmp_path, kind, lr=3e-3, drop_text=0.0), 24)
    finetune.main(replace(cfg, run=replace(cfg.run, clip=1.0)))
    curve = finetune_house.losses(tmp_path, "a")
    assert sum(curve[-6:]) < 0.8 * sum(curve[:6]), curve


@pytest.mark.parametrize(("train", "layout"), [("full", "official"), ("lane", "diffusers"), ("lane", "dreamx")])
def test_only_what_is_asked_for_changes(train: str, layout: str, house: Path, tmp_path: Path) -> None:
    finetune.main(short(stage(house, tmp_path, train=train, layout=layout), 2))
    before, after = transformer.read(house / "causal"), transformer.read(tmp_path / "a/out")
    assert (after.config, after.kind) == (before.config, before.kind)
    changed = {k for k, x in after.tensors.items() if not torch.equal(x, before.tensors[k])}
    lane = {k for k in before.tensors if ".view." in k}
    assert changed == lane if train == "lane" else changed > lane
    finetune.main(short(stage(house, tmp_path, train=train, layout=layout), 2))  # finished already: it is written once more
    again = transformer.read(tmp_path / "a/out")
    assert all(torch.equal(x, after.tensors[k]) for k, x in again.tensors.items())


def test_16_bits_compute_and_32_learn(house: Path, tmp_path: Path) -> None:
    cfg = short(stage(house, tmp_path, train="lora"), 2)
    finetune.main(replace(cfg, run=replace(cfg.run, dtype="bfloat16")))
    rough = finetune_house.losses(tmp_path, "a")
    finetune.main(replace(cfg, run=replace(cfg.run, folder=tmp_path / "b/run"), out=tmp_path / "b/out"))
    fine = finetune_house.losses(tmp_path, "b")
    assert rough == pytest.approx(fine, rel=0.02)
    assert rough != fine
    dit = DiT(wan_micro.DIT).to(torch.bfloat16)
    as_trained(dit, ("view",), spare=True)
    rest = {k for k, p in dit.named_parameters() if p.dtype == torch.bfloat16}
    assert "blocks.0.time.q.weight" in rest
    assert not any(".view." in k or "modulation" in k or "norm" in k for k in rest)


@pytest.mark.parametrize("train", ["full", "lane", "lora"])
def test_a_world_stays_a_world(train: str, tmp_path: Path) -> None:
    micro.world(window=4).export(tmp_path / "world")
    clips = finetune_house.clips(tmp_path)
    encode(EncodeConfig(clips, tmp_path / "world", tmp_path / "latents.safetensors", processes=1))
    finetune.main(
        short(finetune_house.stage(tmp_path, "a", tmp_path / "world", tmp_path / "latents.safetensors", train=train), 2)
    )
    before, after = World.open(tmp_path / "world"), World.open(tmp_path / "a/out")
    after.reset(micro.picture(), "a street")
    assert after.step(from_keys(["w"] * after.frames_per_step)).shape == (4, 3, micro.SIZE, micro.SIZE)
    now, then = after.dit.state_dict(), before.dit.state_dict()
    changed = {k for k in now if not torch.equal(now[k], then[k])}
    assert changed
    if train != "full":
        assert all(".view." in k if train == "lane" else k.startswith("blocks.") for k in changed)
    for a, b in ((after.vae, before.vae), (after.text, before.text)):
        assert all(torch.equal(x, b.state_dict()[k]) for k, x in a.state_dict().items())
    if train == "lora":
        assert (tmp_path / "a/out/lora/adapter_model.safetensors").is_file()


def test_the_shipped_world(tmp_path: Path) -> None:
    tiny = find("tiny")
    clips = finetune_house.clips(tmp_path, 1)
    encode(EncodeConfig(clips, tiny, tmp_path / "latents.safetensors", mirror=False, processes=1))
    finetune.main(short(finetune_house.stage(tmp_path, "a", Path("tiny"), tmp_path / "latents.safetensors", batch=1, lr=1e-5)))
    world = World.open(tmp_path / "a/out")
    assert world.config == World.open("tiny").config
    assert world.standpoints and world.painter is not None and world.places is not None
    assert (tmp_path / "a/out/starts").is_dir()


def untouched(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*"))


def test_bad_input_is_one_sentence_before_anything_is_written(house: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("model.safetensors", "config.json"):
        (alone / name).write_bytes((house / "causal" / name).read_bytes())
    before = untouched(tmp_path)

    def refused(words: str, cfg: FinetuneStage) -> None:
        with pytest.raises(ValueError, match=words) as e:
            finetune.main(cfg)
        assert "\n" not in str(e.value)
        assert untouched(tmp_path) == before, words

    good = stage(house, tmp_path)
    with pytest.raises(ValueError, match="lora: its fields go with train lora, and train is full"):
        stage(house, tmp_path, lora=AdapterConfig(4))
    with pytest.raises(ValueError, match="layout: a LoRA is written apart"):
        stage(house, tmp_path, train="lora", layout="official")
    refused("batch: 4 clips do not divide over 1 processes of 3", replace(good, accumulate=3))
    refused("frames: 4 latents are no whole number of chunks of 3; take 3", replace(good, frames=4))
    refused("lora.layers: no linear layer is called 'dog'", replace(good, train="lora", lora=AdapterConfig(layers=("dog",))))
    refused("vae: .* holds no autoencoder", replace(good, vae=house / "causal/model.safetensors"))
    refused("vae: .* holds a transformer without its autoencoder", replace(good, world=alone))
    refused("encoded by another autoencoder", replace(good, world=Path("tiny")))
    refused("vae: .* says that itself", replace(good, world=Path("tiny"), vae=house / "causal"))


def test_a_checkpoint_without_a_lane_trains_no_lane(house: Path, tmp_path: Path) -> None:
    world = micro.world()
    world.dit = DiT(replace(micro.DIT, view=None))
    world.export(tmp_path / "world")
    encode(EncodeConfig(finetune_house.clips(tmp_path), tmp_path / "world", tmp_path / "latents.safetensors", processes=1))
    with pytest.raises(ValueError, match="train: the transformer of .* has no camera lane"):
        finetune.main(finetune_house.stage(tmp_path, "a", tmp_path / "world", tmp_path / "latents.safetensors", train="lane"))
    assert not (tmp_path / "a").exists()


def test_latents_without_captions_are_refused(house: Path, tmp_path: Path) -> None:
    (tmp_path / "latents.safetensors").write_bytes((house / "latents.safetensors").read_bytes())
    with pytest.raises(ValueError, match="data: .* has no embeddings of its captions"):
        finetune.main(finetune_house.stage(tmp_path, "a", house / "causal", tmp_path / "latents.safetensors"))


def test_a_run_goes_on_with_its_own_settings_alone(house: Path, tmp_path: Path) -> None:
    finetune.main(short(stage(house, tmp_path), 2))
    kept = untouched(tmp_path)
    others: tuple[tuple[dict[str, object], str], ...] = (
        ({"train": "lora"}, "train: .* was begun with full, not lora"),
        ({"lr": 2e-3}, "lr: .* was begun with 0.001, not 0.002"),
        ({"shift": 3.0}, "shift: .* was begun with"),
    )
    for more, words in others:
        with pytest.raises(ValueError, match=words):
            finetune.main(short(replace(stage(house, tmp_path), **more), 2))  # pyright: ignore[reportArgumentType]
    other = finetune_house.stand_in(tmp_path / "elsewhere")
    wan_micro.write(wan_micro.StandIn(other, seed=1))
    (other / "Wan2.2_VAE.pth").write_bytes((house / "causal/Wan2.2_VAE.pth").read_bytes())
    with pytest.raises(ValueError, match="weights: .* was begun with"):
        finetune.main(replace(short(stage(house, tmp_path), 2), world=other))
    assert [p for p in untouched(tmp_path) if not p.startswith("elsewhere")] == kept
    finetune.main(short(stage(house, tmp_path, accumulate=2, checkpoint_blocks=True), 3))  # less memory is no other run
    assert len(finetune_house.losses(tmp_path, "a")) == 3


def test_the_same_run_in_one_piece_and_two(house: Path, tmp_path: Path) -> None:
    """Killed after its first checkpoint and started again in one process: bit for bit."""
    finetune.main(stage(house, tmp_path))
    finetune_house.as_killed(tmp_path, "a", "b")
    finetune.main(finetune_house.stage(tmp_path, "b", house / "causal", house / "latents.safetensors"))
    assert finetune_house.losses(tmp_path, "a") == finetune_house.losses(tmp_path, "b")
    a, b = (weight_files.mapped(tmp_path / name / "out/dit.safetensors") for name in "ab")
    assert all(torch.equal(x, b[k]) for k, x in a.items())
