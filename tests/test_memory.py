"""Memory: what is kept, what is recalled, what is shown; and worlds that remember are as exact as those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import micro
import sphere
from dreamx.frames import Frames, cat, clean
from dreamx.geometry import from_keys
from dreamx.geometry.camera import Camera, lens_from_fov, rigid, rotation, stack
from dreamx.geometry.reproject import View
from dreamx.memory import Bank, MemoryConfig, add_memory_hint, drop_contradicted, hint_latents, render_memories
from dreamx.model.vae import VAE
from dreamx.session import Switches
from dreamx.world import World

SIZE = 32
CONFIG = MemoryConfig(views=3, capacity=8, metres=0.5, degrees=12.0)


def at(x: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> Camera:
    return Camera(rigid(rotation("y", torch.tensor(yaw)), torch.tensor([x, 0.0, z])), torch.tensor(lens_from_fov(70, SIZE, SIZE)))


def look(bank: Bank, camera: Camera) -> None:
    rgb, depth = sphere.render(camera, SIZE)
    bank.remember(rgb.float() / 127.5 - 1, depth, camera)


def recalled(bank: Bank, camera: Camera) -> list[list[float]]:
    return [[round(float(m.camera.pose[0, 3]), 2), round(float(m.camera.pose[2, 3]), 2)] for m in bank.recall(camera)]


def test_nothing_is_recalled_of_nothing() -> None:
    assert Bank(CONFIG).recall(at()) == []
    assert Bank(CONFIG).state() == {}


def test_only_new_views_are_kept_and_the_latest_is_always_there() -> None:
    bank = Bank(CONFIG)
    for z in (0.0, 0.2, 0.4, 0.6, 0.8):
        look(bank, at(z=z))
    assert [round(float(m.camera.pose[2, 3]), 1) for m in bank.kept] == [0.0, 0.6]
    assert recalled(bank, at(z=0.9)) == [[0, 0], [0, 0.6], [0, 0.8]]
    for yaw in (8.0, 16.0):
        look(bank, at(z=0.6, yaw=yaw))
    assert len(bank.kept) == 3


def test_the_oldest_that_sees_anything_is_trusted_most() -> None:
    walked = Bank(CONFIG)
    for z in range(4):
        look(walked, at(z=0.6 * z))
    assert recalled(walked, at(z=1.9)) == [[0, 0], [0, 1.2], [0, 1.8]], "what was copied least, what sees most, the latest"
    turned = Bank(CONFIG)
    for yaw in range(0, 91, 15):
        look(turned, at(x=0.001 * yaw, yaw=float(yaw)))
    first = turned.recall(at(yaw=95.0))[0]
    assert float(first.camera.pose[0, 3]) == pytest.approx(0.03), "at 30 degrees a sliver is seen still, at 15 none"


def test_what_looks_away_is_not_recalled() -> None:
    bank = Bank(CONFIG)
    look(bank, at(yaw=0.0))
    look(bank, at(yaw=180.0))
    assert len(bank.recall(at(yaw=180.0))) == 1


def test_the_capacity_holds() -> None:
    bank = Bank(CONFIG)
    for z in range(12):
        look(bank, at(z=float(z) / 2))
    assert len(bank.kept) == 8


def test_what_is_shown_is_the_truth() -> None:
    bank = Bank(CONFIG)
    for yaw in (0.0, 20.0, 40.0):
        look(bank, at(yaw=yaw))
    target = stack([at(z=0.3, yaw=30.0), at(z=0.4, yaw=28.0)])
    view = render_memories(bank.recall(target[-1]), target)
    assert view.known.mean() > 0.9
    truth = sphere.film(target, SIZE).float() / 127.5 - 1
    error = ((view.rgb - truth) / 2).square().mean(1)
    assert float((error * view.known).sum() / view.known.sum()) < 10**-2.4


def test_a_fork_and_a_saved_bank_remember_the_same() -> None:
    bank = Bank(CONFIG)
    for z in (0.0, 0.6, 0.7):
        look(bank, at(z=z))
    fork, other = bank.fork(), Bank(CONFIG)
    other.restore(bank.state())
    look(bank, at(z=1.4))
    assert (len(bank.kept), len(fork.kept), len(other.kept)) == (3, 2, 2)
    for a, b in zip(fork.recall(at(z=0.5)), other.recall(at(z=0.5)), strict=True):
        assert torch.equal(a.rgb, b.rgb)
        assert torch.equal(a.depth, b.depth)
        assert torch.equal(a.camera.pose, b.camera.pose)


@torch.no_grad()
def test_a_hint_of_everything_is_the_latent_itself() -> None:
    """If memory shows the very frames, and the frame before stood for a clip's start, the encoder says what it always says."""
    torch.manual_seed(0)
    vae = VAE(micro.ENCODER)
    video = torch.rand(1, 5, 3, SIZE, SIZE) * 2 - 1
    from dreamx.geometry.reproject import View

    known = torch.ones(1, 4, SIZE, SIZE)
    hint = hint_latents(vae, video[:, 0], View(video[:, 1:], known, known))
    torch.testing.assert_close(hint[:, :, :-1], vae.encode(video)[:, 1:])
    assert hint[:, :, -1].min() == 1


def remembering(chunk: int = 1) -> World:
    return micro.world(chunk, memory=MemoryConfig(views=2))


def walk(world: World, keys: list[str]) -> torch.Tensor:
    return torch.cat([world.step(from_keys([k] * world.frames_per_step)) for k in keys])


KEYS = ["w", "wj", "l", "", "s", "i"]


@pytest.mark.parametrize("chunk", [1, 3])
def test_worlds_that_remember_save_fork_and_replay_bit_for_bit(chunk: int, tmp_path: Path) -> None:
    a = remembering(chunk)
    a.reset(micro.picture(), "a red room", 5)
    walk(a, KEYS)
    a.switches = Switches(memory=False, camera=False)
    walk(a, ["w"])
    a.switches = Switches()
    a.save(tmp_path / "s")
    fork = a.fork()
    want = walk(a, KEYS)
    assert torch.equal(walk(fork, KEYS), want)
    b = remembering(chunk)
    b.load(tmp_path / "s")
    assert torch.equal(walk(b, KEYS), want)
    c = remembering(chunk)
    c.reset(micro.picture(), "a red room", 5)
    again: list[torch.Tensor] = []
    for action in a.actions:
        c.switches = action.switches
        again.append(c.step(action.controls, action.event))
    assert torch.equal(torch.cat(again)[-len(want) :], want)


def test_walls_stop_a_walk_and_the_same_walk_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    x = torch.arange(-4, 4, 0.05)
    ahead = torch.stack([x, torch.zeros_like(x), torch.full_like(x, 1.0)], 1)
    monkeypatch.setattr(Bank, "surfaces", lambda *_: ahead)
    free, stopped, again = (remembering() for _ in range(3))
    for world in (free, stopped):
        world.switches = Switches(walls=world is stopped)
        world.reset(micro.picture(), "a red room", 5)
    want = walk(stopped, ["w"] * 2)
    stopped.save(tmp_path / "s")
    dream = stopped.denoise(from_keys(["w"] * 4))
    assert dream.stopped
    want = torch.cat([want, stopped.decode(dream)])
    assert float(stopped.camera.pose[2, 3]) < 0.61
    walk(free, ["w"] * 3)
    assert float(free.camera.pose[2, 3]) == pytest.approx(0.9, abs=1e-4)
    again.load(tmp_path / "s")
    assert again.switches.walls
    assert torch.equal(walk(again, ["w"]), want[-4:])
    again.reset(micro.picture(), "a red room", 5)
    again.switches = Switches()
    assert not torch.equal(walk(again, ["w"] * 3), want)
    again.reset(micro.picture(), "a red room", 5)
    frames: list[torch.Tensor] = []
    for action in stopped.actions:
        again.switches = action.switches
        frames.append(again.step(action.controls, action.event))
    assert torch.equal(torch.cat(frames), want)


def test_surfaces_are_where_the_depth_says() -> None:
    bank = Bank(CONFIG)
    assert bank.surfaces(at()).shape == (0, 3)
    look(bank, at(x=0.5, yaw=30))
    depth = sphere.render(at(x=0.5, yaw=30), SIZE)[1]
    points = bank.surfaces(at())
    assert points.shape[1] == 3
    far = (points - torch.tensor([0.5, 0.0, 0.0])).norm(dim=1)  # along the rays from the eye
    assert float(far.min()) >= 0.95 * float(depth[depth > 0].min())


def test_memory_is_heard_and_can_be_silenced() -> None:
    on, off = remembering(), remembering()
    for w in (on, off):
        w.reset(micro.picture(), seed=5)
    off.switches = Switches(memory=False)
    assert not torch.equal(walk(on, KEYS), walk(off, KEYS))
    dream = on.denoise(from_keys(["w"] * 4))
    assert 1 <= len(dream.recalled) <= 2
    assert dream.path.shape == (4,)
    on.decode(dream)
    assert len(off.denoise(from_keys(["w"] * 4)).recalled) == 0


def test_a_world_that_remembers_does_not_dream_ahead() -> None:
    world = remembering()
    assert not world.can_pipeline
    assert micro.world().can_pipeline
    world.reset(micro.picture(), seed=5)
    dream = world.denoise(from_keys(["w"] * 4))
    with pytest.raises(ValueError, match="show"):
        world.denoise(from_keys(["w"] * 4))
    world.decode(dream)
    world.denoise(from_keys(["w"] * 4))


def test_frames_without_a_hint_stand_beside_frames_with_one() -> None:
    from dreamx.frames import clean

    z = torch.randn(1, 2, 4, 3, 3)
    camera = stack([at(), at()]).map(lambda x: x[None])
    bare = clean(z, camera)
    hinted = Frames(z, bare.sigma, bare.index, camera, torch.ones(1, 2, 5, 3, 3))
    both = cat(bare, hinted)
    assert both.hint is not None
    assert (float(both.hint[:, :2].abs().sum()), float(both.hint[:, 2:].mean())) == (0, 1)
    assert cat(bare, bare).hint is None
    with pytest.raises(ValueError, match="hint"):
        Frames(z, bare.sigma, bare.index, camera, z)


def test_what_is_known_by_heart_goes_before_what_was_dreamt() -> None:
    torch.manual_seed(0)
    vae = VAE(micro.ENCODER).eval()
    bank = Bank(MemoryConfig(views=2))
    look(bank, at())
    path = stack([at(z=0.01 * i) for i in range(4)])
    z = torch.zeros(1, 1, vae.config.latent, micro.SIZE // vae.config.shrink, micro.SIZE // vae.config.shrink)
    chunk = clean(z, path[-1].map(lambda x: x[None, None]))
    known = torch.ones(4, micro.SIZE, micro.SIZE)
    whole = View(torch.full((4, 3, micro.SIZE, micro.SIZE), 0.25), known * 7, known)
    hinted, memories, view = add_memory_hint(vae, bank, chunk, path, whole)
    assert memories == []
    assert view is not None
    assert torch.equal(view.rgb[0], whole.rgb)
    assert hinted.hint is not None
    assert bool((hinted.hint[:, :, -1] == 1).all())
    _, memories, past = add_memory_hint(vae, bank, chunk, path)
    assert past is not None
    left = torch.arange(micro.SIZE) < micro.SIZE // 2
    part = View(whole.rgb * left, whole.depth * left, known * left)
    _, used, both = add_memory_hint(vae, bank, chunk, path, part)
    assert len(used) == len(memories) > 0
    assert both is not None
    assert torch.equal(both.rgb[..., left], whole.rgb[None][..., left])
    assert torch.equal(both.rgb[..., ~left], past.rgb[..., ~left])
    _, used, alone = add_memory_hint(vae, bank, chunk, path, part, remembers=False)
    assert used == []
    assert alone is not None
    assert torch.equal(alone.known[0], part.known)
    assert add_memory_hint(vae, bank, chunk, path, None, remembers=False)[2] is None
    assert add_memory_hint(vae, None, chunk, path, whole)[2] is None


def test_the_decoder_is_not_shown_what_a_dream_contradicts() -> None:
    config = MemoryConfig(contradicted=0.5)
    hint = View(torch.ones(1, 8, 3, 16, 24), torch.full((1, 8, 16, 24), 2.0), torch.ones(1, 8, 16, 24))
    z = torch.zeros(1, 2, 4, 2, 3)
    said = torch.cat([z, torch.ones(1, 2, 1, 2, 3)], 2)
    z[0, 1, :, 1, 2] = torch.tensor([0.9, -0.9, 0.9, -0.9])  # of the second latent the lower right corner: 0.9 off in the mean
    z[0, 0, :, 0, 0] = torch.tensor([0.9, 0.0, 0.0, 0.0])  # 0.225 in the mean: it still agrees
    shown = drop_contradicted(config, z, said, hint)
    assert shown is not None
    expected = torch.ones(1, 8, 16, 24)
    expected[:, 4:, 8:, 16:] = 0
    for got, full in ((shown.known, 1.0), (shown.depth, 2.0), (shown.rgb[:, :, 1], 1.0)):
        assert torch.equal(got, full * expected)
    for other, words, view in ((MemoryConfig(), said, hint), (None, said, hint), (config, None, hint), (config, said, None)):
        assert drop_contradicted(other, z, words, view) is view  # worlds without a limit are as they were
