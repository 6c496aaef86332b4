"""How pleasing a clip is: by a network and a head that are given, or by a stand-in under a name of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dreamx.clip import Clip
from dreamx.data.quality.aesthetic import aesthetic, aesthetic_of, stand_in
from dreamx.data.quality.limits import Limits
from dreamx.data.quality.verdict import judge, verdict_of, words_of
from room import walk_clip, with_video


@pytest.fixture(scope="module")
def clean() -> Clip:
    return walk_clip(["w"] * 12)


class Mean(nn.Module):
    """The mean colour of each picture: three features."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean((2, 3))


def given(folder: Path) -> Path:
    torch.jit.save(torch.jit.script(Mean()), folder / "clip.pt")
    return folder / "clip.pt"


def test_the_stand_in_likes_colour_contrast_and_sharpness(clean: Clip) -> None:
    grey = with_video(clean, clean.video.float().mean(1, keepdim=True).expand(-1, 3, -1, -1))
    flat = with_video(clean, 128 + (clean.video.float() - 128) * 0.2)
    assert 1 >= stand_in(clean) > max(stand_in(grey), stand_in(flat)) >= 0
    name, score = aesthetic_of(clean, Limits())
    assert name == "aesthetic_stand_in" and score == stand_in(clean)
    assert aesthetic(clean, Limits()) is None
    said = aesthetic(grey, Limits(aesthetic_stand_in=0.99))
    assert said is not None and "by the stand-in" in said


def test_a_head_on_given_features_is_laions_normalised_and_linear(clean: Clip, tmp_path: Path) -> None:
    net, one, two = given(tmp_path), tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save_file({"weight": torch.tensor([[1.0, 2.0, 3.0]]), "bias": torch.tensor([4.0])}, one)
    save_file({"layers.0.weight": 2 * torch.eye(3), "layers.0.bias": torch.ones(3), "layers.10.weight": torch.ones(1, 3)}, two)
    grey = with_video(clean, torch.full_like(clean.video, 128))
    unit = 3**-0.5  # of each of three equal features
    assert aesthetic_of(grey, Limits(aesthetic_net=net, aesthetic_head=one)) == ("aesthetic", pytest.approx(6 * unit + 4))
    assert aesthetic_of(grey, Limits(aesthetic_net=net, aesthetic_head=two)) == ("aesthetic", pytest.approx(6 * unit + 3))
    said = aesthetic(grey, Limits(aesthetic_net=net, aesthetic_head=one, aesthetic=9))
    assert said == "its aesthetic score is 7.46, and 9 are wanted"


def test_what_does_not_fit_is_one_sentence(clean: Clip, tmp_path: Path) -> None:
    net, head = given(tmp_path), tmp_path / "head.safetensors"
    save_file({"weight": torch.ones(1, 5)}, head)
    with pytest.raises(ValueError, match="aesthetic_head: .* takes 5 features, and limits.aesthetic_net gives 3"):
        aesthetic_of(clean, Limits(aesthetic_net=net, aesthetic_head=head))
    with pytest.raises(ValueError, match="must give one finite number a picture; give limits.aesthetic_head"):
        aesthetic_of(clean, Limits(aesthetic_net=net))
    with pytest.raises(ValueError, match="limits.aesthetic needs limits.aesthetic_net"):
        Limits(aesthetic=5)
    with pytest.raises(ValueError, match="limits.aesthetic_net: there is no file"):
        Limits(aesthetic_net=tmp_path / "none.pt2")
    save_file({"weight": torch.ones(2, 3)}, head := tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="end in one number"):
        aesthetic_of(clean, Limits(aesthetic_net=net, aesthetic_head=head))


def test_the_tag_says_what_it_was_taken_with(clean: Clip) -> None:
    pytest.importorskip("scenedetect")
    verdict = judge(clean, Limits(seconds=None))
    words = words_of(verdict)
    assert float(words["tag_aesthetic_stand_in"]) == pytest.approx(stand_in(clean), abs=1e-4) and "tag_aesthetic" not in words
    assert verdict_of(words) == replace(verdict, reasons={})
    assert "aesthetic" in judge(clean, Limits(aesthetic_stand_in=1.0)).reasons
