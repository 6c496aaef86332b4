"""Home places: what covers faces, how light is baked onto them, and that each place is whole."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dreamx.data.scene.build import Builder, Paint, rectangle
from dreamx.data.scene.homes import home as homes
from dreamx.data.scene.homes.bake import PAD, bake, pack
from dreamx.data.scene.homes.fittings import SURFACES
from dreamx.data.scene.homes.light import Light, directions, sun_direction
from dreamx.data.scene.homes.palette import PALETTE, tone
from dreamx.data.scene.homes.surfaces import Grain, SurfacePoint
from dreamx.data.scene.scene import CELL, RADIUS, STYLES

pytest.importorskip("mujoco")


def built(name: str) -> tuple[Builder, object]:
    m = homes.HOMES[name]
    b = Builder(m.STYLE, m.HALF, np.random.default_rng([0, 29]))
    return b, m.build(b)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_is_a_colour_everywhere_and_the_same_at_every_call(name: str, style: str) -> None:
    rng = np.random.default_rng(0)
    xyz = rng.uniform((-9, -9, 0), (9, 9, 9), (64, 3))
    spot = SurfacePoint(rng.uniform(0, 4, 64), rng.uniform(0, 4, 64), xyz, tone("ochre", style), 11)
    drawn = SURFACES[name](spot, Grain(style))
    assert np.broadcast_to(drawn, (64, 3)).shape == (64, 3)
    assert float(np.min(drawn)) > -0.3
    assert float(np.max(drawn)) < 1.8
    assert np.array_equal(drawn, SURFACES[name](spot, Grain(style)))


@pytest.mark.parametrize("name", homes.HOMES)
def test_a_place_is_whole(name: str) -> None:
    m = homes.HOMES[name]
    b, _ = built(name)
    assert len(b.landmarks) >= 10
    unknown = {p.pattern for p in b.meshes} - set(SURFACES) | {p.colour for p in b.meshes} - set(PALETTE)
    assert not unknown
    ways = homes.reachable(b.occupied(CELL, RADIUS), m.HALF, m.SPAWN)
    assert len(ways) * 0.09 > 250, "square metres to walk on"
    marks = np.array([(k.x, k.y) for k in b.landmarks])
    near = np.linalg.norm(marks[:, None] - ways[None], axis=-1).min(1)
    assert float(near.max()) < 11, "every landmark can be walked up to, or seen from near"


def test_the_same_seed_builds_the_same_faces() -> None:
    one, two = built("island")[0], built("island")[0]
    assert one.meshes.keys() == two.meshes.keys()
    for paint, mesh in one.meshes.items():
        assert np.array_equal(np.stack(mesh.corners), np.stack(two.meshes[paint].corners))


def test_what_cannot_be_walked_to_is_no_place_to_begin() -> None:
    blocked = np.zeros((100, 100), bool)
    blocked[:, 50:54] = True
    ways = homes.reachable(blocked, 5.0, (-2.0, 0.0))
    assert float(ways[:, 0].max()) < 0.1
    with pytest.raises(ValueError, match="stands in something"):
        homes.reachable(blocked, 5.0, (0.25, 0.0))


def test_faces_do_not_share_texels() -> None:
    rng = np.random.default_rng(1)
    w, h = rng.integers(4, 60, 200), rng.integers(4, 60, 200)
    places = pack(w, h, 640)
    assert places is not None
    taken = np.zeros((640, 640), int)
    for a, b, x, y in zip(w, h, *places, strict=True):
        taken[y - PAD : y + b + PAD, x - PAD : x + a + PAD] += 1
    assert taken.max() == 1
    assert pack(w, h, 128) is None


def test_directions_are_even() -> None:
    d = directions(96)
    assert np.allclose(np.linalg.norm(d, axis=1), 1)
    assert float(np.abs(d.mean(0)).max()) < 0.02
    up = d[:, 2].clip(0)
    assert abs(float(up.sum()) * 4 / 96 - 1) < 0.02, "an open sky of brightness 1 gives 1"


LIGHT = Light(90, 40, (3, 3, 3), (0.4, 0.5, 0.8), (0.5, 0.5, 0.6))


def yard() -> Builder:
    """A white floor of 12 m with a block that stands in its middle; the sun is in the north."""
    b = Builder("stylised", 6.0, np.random.default_rng(0))
    b.quad([(-6, -6, 0), (6, -6, 0), (6, 6, 0), (-6, 6, 0)], Paint("chalk", "plain"))
    b.prism(rectangle((0, 0), (2, 2)), (0, 2), Paint("wine", "plain"))
    return b


def test_light_falls_where_it_can() -> None:
    baked = bake(yard(), SURFACES, LIGHT, outdoors=True, side=512, density=16, samples=3)
    assert baked.texture.shape == (512, 512, 3)
    places = baked.places.reshape(-1, 4, 2)
    floor = next(k for k in range(len(places)) if float(np.ptp(baked.corners.reshape(-1, 4, 3)[k, :, 0])) > 10)

    def at(x: float, y: float) -> float:
        s, t = (x + 6) / 12, (y + 6) / 12
        u = (
            places[floor, 0] * (1 - s) * (1 - t)
            + places[floor, 1] * s * (1 - t)
            + places[floor, 2] * s * t
            + places[floor, 3] * (1 - s) * t
        )
        return float(baked.texture[int((1 - u[1]) * 512), int(u[0] * 512)].mean())

    lit, shaded = at(4, 0), at(0, -2.2)
    assert lit > shaded + 60, "behind the block there is shadow"
    assert at(0, 1.6) > shaded + 40, "before it there is none"
    assert shaded > 20, "the sky lights the shadow"


def test_a_face_that_glows_keeps_its_colour() -> None:
    b = yard()
    b.quad([(3, 3, 0.1), (5, 3, 0.1), (5, 5, 0.1), (3, 5, 0.1)], Paint("lamp", "plain", glow=True))
    baked = bake(b, SURFACES, LIGHT, outdoors=True, side=512, density=8, samples=1)
    u = baked.places.reshape(-1, 4, 2)[-1].mean(0)
    assert np.allclose(baked.texture[int((1 - u[1]) * 512), int(u[0] * 512)], 255 * tone("lamp", "stylised"), atol=3)


def test_the_sun_stands_where_it_is_said_to() -> None:
    d = sun_direction(LIGHT)
    assert np.allclose(d, (0, np.cos(np.radians(40)), np.sin(np.radians(40))))


def test_a_place_is_baked_once(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls: list[int] = []

    def fake(b: Builder, *_: object, **__: object) -> SimpleNamespace:
        calls.append(1)
        return SimpleNamespace(
            corners=np.zeros((4, 3)), normals=np.zeros((4, 3)), places=np.zeros((4, 2)), texture=np.zeros((8, 8, 3), np.uint8)
        )

    monkeypatch.setattr(homes.bake, "bake", fake)
    homes.home.cache_clear()
    first = homes.home("workshop")
    homes.home.cache_clear()
    second = homes.home("workshop")
    homes.home.cache_clear()
    assert len(calls) == 1
    assert np.array_equal(first.parts[0].texture, second.parts[0].texture)
    assert first.indoors
    with pytest.raises(ValueError, match="is not one of village"):
        homes.home("nowhere")
