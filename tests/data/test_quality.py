"""Quality control: a clean clip passes every rule, and for each rule there is a clip that breaks it and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from dreamx.clip import Clip
from dreamx.data.quality import basic
from dreamx.data.quality.description import tags
from dreamx.data.quality.geometric import rescaled
from dreamx.data.quality.limits import Limits
from dreamx.data.quality.verdict import RULES, judge
from dreamx.geometry.camera import Camera, rotation
from room import walk_clip, with_video

pytest.importorskip("scenedetect")
LIMITS = Limits(words=3)


@pytest.fixture(scope="module")
def clean() -> Clip:
    return walk_clip(["w"] * 20 + ["wj"] * 30 + ["l"] * 30)


def short(c: Clip) -> Clip:
    return replace(c, video=c.video[:65], camera=c.camera[:65], actions=c.actions[:65], depth=None)


def slow(c: Clip) -> Clip:
    return replace(c, fps=8.0)


def written(c: Clip) -> Clip:
    frames: list[Tensor] = []
    for frame in c.video:
        picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
        ImageDraw.Draw(picture).text((2, 50), "SUBSCRIBE", fill=(255, 255, 255))
        frames.append(torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(64, 64, 3).permute(2, 0, 1))
    return with_video(c, torch.stack(frames))


def barred(c: Clip) -> Clip:
    video = c.video.clone()
    video[:, :, :4] = video[:, :, -4:] = 3
    return with_video(c, video)


def frozen(c: Clip) -> Clip:
    return with_video(c, c.video[:1].expand_as(c.video))


def spliced(c: Clip) -> Clip:
    return with_video(c, torch.cat([c.video[:40], 255 - c.video[40:].flip(3)]))


def dark(c: Clip) -> Clip:
    return with_video(c, 25.0 + (c.video.float() - 119) * 0.15 - 8)


def bright(c: Clip) -> Clip:
    return with_video(c, 243 + (c.video.float() - 119) * 0.08)


def soft(c: Clip) -> Clip:
    k = torch.exp(-(torch.arange(-9, 10).float() ** 2) / 18)
    k = k / k.sum()
    x = F.pad(c.video.float().flatten(0, 1)[:, None], (9, 9, 9, 9), mode="replicate")
    return with_video(c, F.conv2d(F.conv2d(x, k.view(1, 1, 1, -1)), k.view(1, 1, -1, 1)).view(c.video.shape))


def posed(c: Clip, change: Callable[[Tensor], object]) -> Clip:
    pose = c.camera.pose.clone()
    change(pose)
    return replace(c, camera=Camera(pose, c.camera.lens))


def left_handed(c: Clip) -> Clip:
    return posed(c, lambda p: p[:, :3, 0].neg_())


def not_a_number(c: Clip) -> Clip:
    return posed(c, lambda p: p[7, 0, 3:].fill_(torch.nan))


def sheared(c: Clip) -> Clip:
    return posed(c, lambda p: p[9:, :3, 0].mul_(1.1))


def rolled(c: Clip) -> Clip:
    def change(p: Tensor) -> None:
        spin = torch.zeros(len(p), 3, 3)
        a = torch.deg2rad(torch.linspace(0, 80, len(p)))
        spin[:, 0, 0] = spin[:, 1, 1] = a.cos()
        spin[:, 1, 0], spin[:, 0, 1], spin[:, 2, 2] = a.sin(), -a.sin(), 1
        p[:, :3, :3] = p[:, :3, :3] @ spin

    return posed(c, change)


def zoomed(c: Clip) -> Clip:
    lens = c.camera.lens.clone()
    lens[:, :2] *= torch.linspace(1, 1.2, len(lens))[:, None]
    return replace(c, camera=Camera(c.camera.pose, lens))


def of_another_size(c: Clip) -> Clip:
    return replace(c, camera=Camera(c.camera.pose, c.camera.lens * torch.tensor([9 / 16, 1, 1, 1])))


def jumping(c: Clip) -> Clip:
    return posed(c, lambda p: p[30:, 2, 3].add_(1.0))


def spinning(c: Clip) -> Clip:
    def change(p: Tensor) -> None:
        p[40:, :3, :3] = p[40:, :3, :3] @ rotation("y", torch.tensor(9.0))

    return posed(c, change)


def trembling(c: Clip) -> Clip:
    return posed(c, lambda p: p[:, 1, 3].add_(0.13 * torch.sin(torch.arange(len(p)) * 2.1)))


def silent(c: Clip) -> Clip:
    return replace(c, caption="")


BROKEN: dict[Callable[[Clip], Clip], str] = {
    short: "duration", slow: "fps", written: "text", barred: "border", frozen: "static", spliced: "cut", dark: "exposure",
    bright: "exposure", soft: "blur", left_handed: "rotations", not_a_number: "rotations", sheared: "rotations",
    rolled: "rotations", zoomed: "intrinsics", of_another_size: "intrinsics", jumping: "spikes", spinning: "spin",
    trembling: "bounce", silent: "caption",
}  # fmt: skip


def test_what_stays_before_a_camera_that_stands_is_no_text(clean: Clip) -> None:
    still = replace(clean, camera=clean.camera[torch.zeros(len(clean.video), dtype=torch.long)])
    assert LIMITS.text is not None and basic.text_share(written(clean)) > LIMITS.text
    assert basic.text_share(written(still)) == 0.0


def test_a_clean_clip_passes(clean: Clip) -> None:
    assert judge(clean, LIMITS).reasons == {}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda f: f.__name__)
def test_a_broken_clip_breaks_its_rule_and_no_other(clean: Clip, broken: Callable[[Clip], Clip]) -> None:
    reasons = judge(broken(clean), LIMITS).reasons
    assert list(reasons) == [BROKEN[broken]], reasons
    assert reasons[BROKEN[broken]].strip()


def test_every_rule_has_a_clip_that_breaks_it() -> None:
    assert set(BROKEN.values()) == set(RULES) - {"aesthetic"}, "which is off without a limit: test_aesthetic"


def test_a_rule_that_is_off_says_nothing(clean: Clip) -> None:
    assert judge(trembling(clean), replace(LIMITS, bounce=None)).reasons == {}


def test_a_walk_of_unknown_scale_comes_to_the_official_speed(clean: Clip) -> None:
    pose = clean.camera.pose.clone()
    pose[:, :3, 3] *= 0.05
    assert clean.depth is not None
    far = replace(clean, camera=Camera(pose, clean.camera.lens), depth=(clean.depth.float() * 0.05).half(), extra={})
    again, factor = rescaled(far, LIMITS)
    assert factor == pytest.approx(20, rel=1e-3)
    assert float(again.extra["scale"]) == pytest.approx(factor)
    assert again.depth is not None
    assert torch.allclose(again.camera.pose, clean.camera.pose, atol=1e-3)
    assert torch.allclose(again.depth.float(), clean.depth.float(), rtol=2e-3)
    metric, one = rescaled(clean, LIMITS)
    assert one == 1.0 and torch.equal(metric.camera.pose, clean.camera.pose)


def test_only_what_moves_by_itself_is_4d(clean: Clip) -> None:
    assert tags(clean).kind == "3D"
    assert tags(replace(clean, depth=None)).kind == "3D"
    pattern = (
        torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(0))
        .repeat_interleave(4, 1)
        .repeat_interleave(4, 2)
    )
    video = clean.video.clone()
    for i in range(len(video)):
        x = i % 32
        video[i, :, 16:48, x : x + 32] = pattern.to(torch.uint8)
    assert tags(with_video(clean, video)).kind == "4D"
    assert tags(clean).scene == "indoor" and tags(clean).subject == "none"
    assert tags(replace(clean, caption="A dog runs over the street.", scene="")).subject == "animal"
    assert tags(clean).motion > tags(frozen(clean)).motion


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="limits.blur must be a number"):
        Limits(blur=float("nan"))
