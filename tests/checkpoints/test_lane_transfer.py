"""A camera lane in another transformer: the outputs are those of a hand-made sum, and of the donor where the trunks are equal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dreamx.checkpoints import native
from dreamx.checkpoints.lane_transfer import insert_lane
from dreamx.data.latent_file import Latents
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import level
from dreamx.geometry.controls import from_keys, walk
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import QKV, DiT, DiTBlock, Look, ViewConfig
from dreamx.recipes import micro
from dreamx.rollout import Sampler
from dreamx.train import distill
from dreamx.train.distill import DistillStage
from dreamx.train.run_config import RunConfig
from dreamx.train.student_stream import StreamConfig
from dreamx.train.trained_networks import Networks
from repo import TESTS

START = TESTS / "golden/start"
TEXT_ONLY = replace(micro.DIT, view=None)


def network(seed: int, view: ViewConfig | None = micro.DIT.view) -> DiT:
    torch.manual_seed(seed)
    dit = DiT(replace(micro.DIT, view=view))
    for p in dit.parameters():
        nn.init.normal_(p, std=0.1)
    return dit.double().requires_grad_(False)


def given() -> tuple[Frames, Tensor]:
    torch.manual_seed(9)
    camera = walk(level(dtype=torch.float64), from_keys(["wj"] * 4)).map(lambda x: x[None])
    frames = clean(torch.randn(1, 4, micro.DIT.channels, 4, 4, dtype=torch.float64), camera)
    return replace(frames, sigma=torch.full((1, 4), 0.5, dtype=torch.float64)), torch.randn(1, 3, micro.DIT.text).double()


def test_outputs_are_those_of_a_sum_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each block what the donor's lane answers is added to what the student's self-attention answers."""
    student, donor = network(1, None), network(2)
    frames, words = given()
    made = insert_lane(student, donor)(frames, words, MaskedAttention())
    lane = DiTBlock.lane

    def summed(self: DiTBlock, name: str, qkv: QKV, h: Tensor, look: Look) -> Tensor:
        y = lane(self, name, qkv, h, look)
        other = donor.get_submodule(f"blocks.{self.layer}.view")
        assert isinstance(other, QKV)
        q, (k, v) = other.project_q(h), other.project_kv(h)
        o = look("view", q, k, v)
        return y + (o.flatten(-2) @ other.o.weight.mT + other.o.bias)

    by_hand = DiT(TEXT_ONLY).double()
    by_hand.load_state_dict(student.state_dict())
    by_hand.config = donor.config  # for the positions of the lane alone: its blocks have none
    monkeypatch.setattr(DiTBlock, "lane", summed)
    want = by_hand(frames, words, MaskedAttention())
    monkeypatch.undo()
    assert all(block.view is None for block in by_hand.blocks)
    assert (made - want).abs().max() < 1e-12
    assert (made - student(frames, words, MaskedAttention())).abs().max() > 1e-2, "the lane does something"


def test_between_equal_trunks_it_is_the_original() -> None:
    donor, frames_and_words = network(2), given()
    student = DiT(TEXT_ONLY).double()
    student.load_state_dict({k: x for k, x in donor.state_dict().items() if ".view." not in k})
    made = insert_lane(student, donor)
    assert torch.equal(made(*frames_and_words, MaskedAttention()), donor(*frames_and_words, MaskedAttention()))
    assert made.config == donor.config and student.config.view is None
    other = insert_lane(network(3), donor)
    assert all(torch.equal(x, donor.state_dict()[k]) == (".view." in k) for k, x in other.state_dict().items()), (
        "in place of its own"
    )
    assert next(made.parameters()).data_ptr() != next(student.parameters()).data_ptr(), "a copy"


def test_other_shapes_are_refused_in_one_sentence() -> None:
    student = network(1, None)
    with pytest.raises(ValueError, match=r"lane: that transformer has no camera lane \(dit\.view is none\)"):
        insert_lane(student, network(2, None))
    for name, size in (("layers", 3), ("width", 128)):
        donor = DiT(replace(micro.DIT, **{name: size}))  # pyright: ignore[reportArgumentType]
        with pytest.raises(
            ValueError, match=rf"lane: it is of a transformer whose dit\.{name} is {size}, and here it is \d+; give"
        ):
            insert_lane(student, donor)


def test_a_text_only_student_is_distilled_with_the_lane_of_its_teacher(tmp_path: Path) -> None:
    """The learning rate is next to nothing, so that what comes out is what went in: its own trunk, the teacher's lane."""
    torch.manual_seed(4)
    native.save(tmp_path / "text_only", Networks.new(TEXT_ONLY, micro.TEXT).parts())
    run = RunConfig(tmp_path / "run", 1, ema=None, save_seconds=None, threads=1, weight_decay=0.0)
    latents, camera = START / "latents.safetensors", START / "camera"
    sampler, stream = Sampler(2, 3.0, chunk=1, window=3, sinks=1), StreamConfig(1, 3, 1, (3,))
    cfg = DistillStage(run, latents, tmp_path / "text_only", tmp_path / "out", camera, sampler=sampler, stream=stream, lr=1e-12)
    assert Latents.load(latents).z.shape[2] == TEXT_ONLY.channels
    distill.main(replace(cfg, lane=camera))
    made, trunk, lane = (native.read(f / "dit.safetensors") for f in (tmp_path / "out", tmp_path / "text_only", camera))
    assert all(torch.allclose(x, (lane if ".view." in k else trunk)[k], atol=1e-6) for k, x in made.items())
    assert any(".view." in k for k in made)
    with pytest.raises(ValueError, match="lane goes with teacher"):
        replace(cfg, lane=camera, teacher=None)
