"""First frames of windows as pictures: what teacher, critic and student are given, from which cameras, and resume bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

import latents_of_chance
from dreamx.checkpoints import beside, native
from dreamx.frames import Frames
from dreamx.geometry.camera import Camera, lens_from_fov, level, se3_inverse
from dreamx.geometry.controls import from_keys, walk
from dreamx.model.attention import Attend
from dreamx.model.causal_config import CausalConfig
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.model.positions import FramePositions, Rope
from dreamx.model.vae import VAE, fingerprint
from dreamx.rollout import Sampler
from dreamx.train import distill
from dreamx.train.distill import DistillStage
from dreamx.train.latents import LatentClips
from dreamx.train.run_config import RunConfig
from dreamx.train.score_matching import ScoreConfig, StudentWindow, critic_loss, student_loss
from dreamx.train.student_stream import StreamConfig, StudentStream, check_stream
from dreamx.train.window_pictures import WindowPictures, open_pictures
from repo import TESTS
from test_distill import networks, rows

START = TESTS / "golden/start"
CPU = torch.device("cpu")
SAMPLER = Sampler(steps=2, shift=3.0, chunk=2, window=6, sinks=2)
STREAM = StreamConfig(batch=2, window=4, overlap=2, lengths=(10,), drop_hint=0.0)
#: A camera lane that sees its chunk alone, with cameras seen from the chunk before: the past of the released causal model.
RELEASED = CausalConfig(2, 6, 2)


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def autoencoder() -> VAE:
    vae = beside.open_autoencoder(START / "autoencoder").eval().requires_grad_(False)
    assert isinstance(vae, VAE)
    return vae


def long_clips(root: Path, length: int = 12) -> LatentClips:
    """Clips along one bending walk."""
    torch.manual_seed(0)
    latents_of_chance.save(root / "long.safetensors", 3, length, 8, lens_from_fov(70, 64, 64))
    return LatentClips(root / "long.safetensors")


def test_the_first_frame_of_a_window_is_the_last_picture_of_its_latent(tmp_path: Path) -> None:
    """Against the plain way: decode the whole sequence up to that latent, take the last frame, encode it alone."""
    vae, nets, data = autoencoder(), networks(), long_clips(tmp_path)
    plain = StudentStream(STREAM, SAMPLER, data, CPU)
    shown = StudentStream(STREAM, SAMPLER, data, CPU, pictures=WindowPictures(vae))
    seeds = [rng(i) for i in (1, 2, 1, 2)]
    whole: list[Tensor] = []
    for number in range(7):  # a sequence is four windows, so that the fifth begins another
        a = plain.next(nets, 0.0, seeds[0], seeds[1], 1)
        b = shown.next(nets, 0.0, seeds[2], seeds[3], 1)
        assert torch.equal(a.frames.z[:, 1:], b.frames.z[:, 1:]), "nothing else of a window differs"
        n = number % 4
        if not n:
            whole = [a.frames.z.detach()]
            assert torch.equal(a.frames.z, b.frames.z), "a sequence begins with the picture itself"
        else:
            with torch.no_grad():
                rgb = vae.decode(torch.cat(whole, 1)[:, : 2 * n + 1]).rgb
                want = vae.encode(rgb[:, -1:])
            assert rgb.shape[1] == 8 * n + 1
            assert torch.allclose(b.frames.z[:, :1], want, atol=1e-4)
            assert (b.frames.z[:, :1] - a.frames.z[:, :1]).abs().mean() > 0.01, "it is another latent"
            whole.append(a.frames.z[:, 2:].detach())
        assert torch.equal(a.counted, b.counted) and torch.equal(a.known, b.known)
        assert shown.before is not None and plain.before is not None
        assert torch.equal(shown.before.z, plain.before.z), "the student goes on from its own frames"


def test_teacher_and_critic_are_given_the_picture_and_neither_loss_counts_it(tmp_path: Path) -> None:
    nets = networks()
    long = StudentStream(STREAM, SAMPLER, long_clips(tmp_path), CPU, pictures=WindowPictures(autoencoder()))
    long.next(nets, 0.0, rng(), rng(), 1)
    window = long.next(nets, 0.0, rng(), rng(1), 1)
    picture, seen = window.frames.z[:, 0].detach(), list[tuple[Tensor, Tensor]]()

    def net(frames: Frames, _: list[str], attend: Attend) -> Tensor:
        seen.append((frames.z[:, 0], frames.sigma[:, 0]))
        return frames.z * 0.5

    noisy, target = window.noised(ScoreConfig(), rng())
    v = window.velocity(net, noisy, None, 3.0)
    assert len(seen) == 2 and all(torch.equal(z, picture) and not sigma.any() for z, sigma in seen)
    worse = torch.cat([v[:, :1] + 5, v[:, 1:]], 1)
    assert critic_loss(v, target, window) == critic_loss(worse, target, window)
    losses = [student_loss(window, noisy, x, v * 0.9)[0] for x in (v, worse)]
    assert losses[0] == losses[1]
    window.frames.z.retain_grad()
    losses[0].backward()
    assert window.frames.z.grad is not None and not window.frames.z.grad[:, :2].any() and window.frames.z.grad[:, 2:].any()


def test_cameras_of_student_and_teacher_are_of_one_trajectory(tmp_path: Path) -> None:
    """The student's seen from the last latent before each chunk, the teacher's from the first of its window."""
    path = walk(level(lens_from_fov(70, 64, 64), torch.float64), from_keys(["wj"] * 12)).pose
    data = long_clips(tmp_path)
    data.camera = Camera(path.expand(3, -1, -1, -1), data.camera.lens.double())  # exact, in the axes of the walk
    asked: dict[int, Tensor] = {}

    def student(frames: Frames, _: list[str], attend: Attend) -> Tensor:
        attend_once(frames, attend)
        if float(frames.sigma.max()) == 1:
            asked[int(frames.index[0, 0])] = frames.camera.pose
        return 0.1 * frames.z

    stream = StudentStream(STREAM, SAMPLER, data, CPU, RELEASED, WindowPictures(autoencoder()))
    for number in range(4):
        window = stream.next(student, 0.0, rng(), rng(), 1)
        first = 2 * number
        want = se3_inverse(path[first]) @ path[first : first + 4]
        assert (window.frames.camera.pose - want).abs().max() < 1e-12, "seen from the window's first frame"
        noisy, _ = window.noised(ScoreConfig(), rng())
        assert torch.equal(noisy.camera.pose, window.frames.camera.pose)
    assert sorted(asked) == [0, 2, 4, 6, 8]
    for first, pose in asked.items():
        want = se3_inverse(path[max(0, first - 1)]) @ path[first : first + 2]
        assert (pose - want).abs().max() < 1e-12, "seen from the last latent before the chunk"


def attend_once(frames: Frames, attend: Attend) -> None:
    """One layer that asks the cache, as a network does."""
    x = frames.z.flatten(3).transpose(2, 3)[:, :, :, None].contiguous().double()  # [B, T, P, 1, C]
    rows, cols = frames.z.shape[-2:]
    attend((0, "time"), x, x, x, Rope(FramePositions(frames.index, frames.camera), rows, cols, x.shape[-1]))


def test_axes_of_each_chunk_change_nothing_where_the_camera_lane_sees_the_chunk_alone(tmp_path: Path) -> None:
    nets, data = networks(), long_clips(tmp_path)
    made = list[Tensor]()
    with torch.no_grad():
        for past in (RELEASED, replace(RELEASED, from_before=False), None):
            stream = StudentStream(STREAM, SAMPLER, data, CPU, past)
            seeds = rng(1), rng(2)
            made.append(torch.cat([stream.next(nets, 0.0, *seeds).frames.z for _ in range(3)], 1))
    assert torch.allclose(made[0], made[1], atol=1e-4)
    assert (made[0] - made[2]).abs().max() > 1e-2, "a lane that sees the past is another"


def stage(root: Path) -> DistillStage:
    run = RunConfig(root / "run", 6, decay=0.0, warmup=0.0, ema=0.9, save_seconds=None, save_steps=3, threads=1)
    folders = START / "latents.safetensors", START / "camera", root / "model", START / "camera"
    sampler = Sampler(steps=3, shift=3.0, chunk=1, window=4, sinks=1, context_noise=0.1)
    stream = StreamConfig(batch=2, window=4, overlap=2, lengths=(9,), switch=0.5)
    vae, packed = START / "autoencoder", PackedMemoryConfig(frames=2, metres=0.01, degrees=1.0)
    past = CausalConfig(1, 4, 1, alone=(), from_before=False, packed=packed)
    return DistillStage(run, *folders, sampler=sampler, vae=vae, past=past, stream=stream, ratio=2, lr=1e-3, critic_lr=1e-3)


def test_a_killed_run_goes_on_bit_for_bit_with_its_decoder_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distill.main(stage(tmp_path / "whole"))
    left = [4]

    def dying(v: Tensor, target: Tensor, made: StudentWindow) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return critic_loss(v, target, made)

    with monkeypatch.context() as patched:
        patched.setattr(distill, "critic_loss", dying)
        with pytest.raises(KeyboardInterrupt):
            distill.main(stage(tmp_path / "parts"))
    kept = torch.load(tmp_path / "parts/run/checkpoints/step-00000003/own-0.pt", weights_only=True)["kept"]
    assert kept["pictures"]["decoder"] is not None and kept["pictures"]["unread"].shape[1] >= 1, "within a sequence"
    assert all(len(memory["z"]) > 2 for memory in kept["memory"])
    distill.main(stage(tmp_path / "parts"))
    weights = [native.read(tmp_path / name / "model/dit.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(w, weights[1][k]) for k, w in weights[0].items())
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    distill.main(replace(stage(tmp_path / "off"), vae=None, run=replace(stage(tmp_path / "off").run, steps=2)))
    assert rows(tmp_path / "off")[1] != rows(tmp_path / "whole")[1], "the switch does something"


def test_senseless_settings(tmp_path: Path) -> None:
    other = autoencoder()
    with torch.no_grad():
        other.to_latent.weight.mul_(2)
    native.save(tmp_path / "other", {"vae": (other, other.config)})
    name = fingerprint(autoencoder())
    with pytest.raises(ValueError, match=rf"vae: .* is the autoencoder \w+, and the latents were encoded by {name}"):
        distill.main(replace(stage(tmp_path), vae=tmp_path / "other"))
    assert open_pictures(START / "autoencoder", "", CPU).vae.config == autoencoder().config, "where nobody knows, any will do"
    for past, said in (
        (replace(RELEASED, chunk=3), r"past\.chunk must be sampler\.chunk, 2, not 3"),
        (replace(RELEASED, window=None), r"past\.window must be sampler\.window, 6, not None"),
        (replace(RELEASED, sinks=1), r"past\.sinks must be sampler\.sinks, 2, not 1"),
        (replace(RELEASED, alone=()), r"past\.from_before: .* add view to past\.alone"),
    ):
        with pytest.raises(ValueError, match=said):
            check_stream(STREAM, SAMPLER, past)
    check_stream(STREAM, SAMPLER, replace(RELEASED, alone=(), from_before=False))
