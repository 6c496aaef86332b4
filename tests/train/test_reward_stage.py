"""Stage `reward`: kill and resume bit for bit, the networks beside the policy, what it logs, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from dreamx.checkpoints import native
from dreamx.model.vae import VAE
from dreamx.recipes import micro
from dreamx.rollout import Sampler
from dreamx.train import checkpoint, reward
from dreamx.train.candidates import CandidatesConfig
from dreamx.train.clip_rewards import GroupJudge
from dreamx.train.diffusion_nft import NFTConfig, OldPolicyConfig, ReferenceConfig
from reward_stage import START, stage


def rows(root: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (root / "run/log.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def weights(folder: Path) -> Tensor:
    return torch.cat([x.flatten() for _, x in sorted(native.read(folder / "dit.safetensors").items())])


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cfg(name: str) -> reward.RewardStage:
        return replace(stage(tmp_path / name), reference=ReferenceConfig(every=3), draws=2)

    reward.main(cfg("whole"))
    loss, left = reward.nft_loss, [4 * 4 - 2]

    def dying(v: Tensor, old: Tensor, target: Tensor, good: Tensor, sigma: Tensor, beta: float, adaptive: bool) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return loss(v, old, target, good, sigma, beta, adaptive)

    with monkeypatch.context() as patched:
        patched.setattr(reward, "nft_loss", dying)
        with pytest.raises(KeyboardInterrupt):
            reward.main(cfg("parts"))
    assert len(rows(tmp_path / "parts")) == 3, "one more than its checkpoint has"
    reward.main(cfg("parts"))
    assert torch.equal(weights(tmp_path / "whole/model"), weights(tmp_path / "parts/model"))
    assert not torch.equal(weights(tmp_path / "whole/model"), weights(START / "camera"))
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")


def test_the_log_tells_how_rewards_are_earned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reward.main(stage(tmp_path, 4))
    found = rows(tmp_path)
    assert ["watch_quality" in row for row in found] == [True, False, False, True]
    assert all(row[k] > 0 for row in found for k in ("quality_spread", "sharpness", "motion", "data_motion", "history"))
    assert all(row["quality"] < 0 for row in found) and not any("camera" in row for row in found)
    assert found[0]["kl"] < 1e-9 < found[-1]["kl"], "it begins as its reference"
    with Image.open(tmp_path / "run/sheet.png") as sheet:
        assert sheet.size == (9 * 32, 2 * 32), "a row of nine frames for each of two candidates"


def held(root: Path, step: int) -> dict[str, Tensor]:
    """The networks beside the policy, as a checkpoint has them: the largest change of each from where it began."""
    folder = root / f"run/checkpoints/step-{step:08d}"
    manifest = json.loads((folder / "manifest.json").read_text())["tensors"]
    found = {k: torch.zeros(shape, dtype=torch.float64 if k == "drift" else torch.float32) for k, shape in manifest.items()}
    checkpoint.read(folder, found)
    return found


def far(found: dict[str, Tensor], one: str, other: str) -> float:
    keys = [k.removeprefix("policy/weights/") for k in found if k.startswith("policy/weights/dit.blocks")]
    names = {"policy": "policy/weights/"}
    return max(float((found[names.get(one, f"{one}/") + k] - found[names.get(other, f"{other}/") + k]).abs().max()) for k in keys)


def test_the_old_policy_follows_softly_and_the_reference_is_reset_by_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reward.main(stage(tmp_path / "kept", 2))
    found = held(tmp_path / "kept", 2)
    assert 0 < far(found, "old", "reference") < far(found, "policy", "reference"), "it keeps nine tenths of itself"
    start = native.read(START / "camera/dit.safetensors")
    assert all(torch.equal(found[f"reference/dit.{k}"], w) for k, w in start.items()), "the reference is what was distilled"
    assert "reference now" not in capsys.readouterr().out
    reward.main(replace(stage(tmp_path / "every", 2), reference=ReferenceConfig(every=2), old=OldPolicyConfig(0.0)))
    found = held(tmp_path / "every", 2)
    assert far(found, "policy", "reference") == 0.0 == far(found, "policy", "old")
    assert not found["drift"].any()
    assert "step 1: the policy is the reference now; they differed by" in capsys.readouterr().out
    reward.main(replace(stage(tmp_path / "drift", 2), reference=ReferenceConfig(drift=1e-8)))
    assert far(held(tmp_path / "drift", 2), "policy", "reference") == 0.0


def test_a_large_weight_keeps_the_policy_by_its_reference(tmp_path: Path) -> None:
    """The reward's pull is the same; the distance of velocities after as many updates is not."""
    end: list[float] = []
    for kl in (0.0, 1e3):
        cfg = replace(stage(tmp_path / str(kl), 8), nft=NFTConfig(kl=kl, most=1.0))
        reward.main(replace(cfg, run=replace(cfg.run, save_steps=None)))
        end.append(sum(row["kl"] for row in rows(tmp_path / str(kl))[4:]))
    assert end[1] < 0.5 * end[0]


def test_rewards_turn_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bright clips are rewarded, then dark ones: rollouts of the first policy become brighter than those of the second."""
    seen: list[float] = []
    sign = [1.0]

    def judged(self: GroupJudge, group: object, videos: Tensor, watched: bool) -> tuple[Tensor, dict[str, float]]:
        light = videos[:, 1:].double().mean((1, 2, 3, 4))
        seen.append(float(light.mean()))
        return sign[0] * light.reshape(1, -1, 4), {}

    monkeypatch.setattr(GroupJudge, "judge", judged)
    late: list[float] = []
    for sign[0] in (1.0, -1.0):
        seen.clear()
        cfg = stage(tmp_path / str(sign[0]), 14)
        group = CandidatesConfig(histories=2, group=4, clip=2, longest=1)
        reward.main(replace(cfg, candidates=group, nft=NFTConfig(most=1.0), lr=2e-3, draws=2, old=OldPolicyConfig(0.5)))
        late.append(sum(seen[-4:]) / 4)
    assert late[0] > late[1] + 10, late


def test_senseless_settings(tmp_path: Path) -> None:
    good, short = stage(tmp_path), stage(tmp_path / "short")
    other = tmp_path / "other"
    native.save(other, {"vae": (VAE(replace(micro.VAE, latent=4)), replace(micro.VAE, latent=4))})
    wrong: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: replace(good, sampler=Sampler()), r"candidates\.clip must be a multiple of sampler\.chunk \(3\), not 2"),
        (lambda: reward.main(replace(good, vae=other)), "vae: its latents have 4 channels, and those of START 8"),
        (lambda: reward.main(replace(short, frames=1)), "frames: clips of one latent have no path to go"),
    )
    for do, said in wrong:
        with pytest.raises(ValueError, match=said):
            do()
