"""Pictures, metric depth and instance ids of a scene with things in it. What is drawn is handed over; nothing moves by itself.

Two draws a frame: colour and depth as in ``data.scene.render``, three times as large and averaged, and the ids through the
middle of each pixel. Light, sky, fog, rain and the shadows of things are laid over the picture from its exact depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamx.data.opengl import gl
from dreamx.data.scene.build import Builder, Paint, rectangle
from dreamx.data.scene.render import OVERSAMPLE, Canvas, add_part, air, look, paint, show, sketch
from dreamx.data.scene.scene import MeshPart, Scene, mesh_part
from dreamx.data.sim.bodies import Array, Body, Form, Weather, matrix
from dreamx.data.sim.overlay import Blob, laid_over
from dreamx.geometry.camera import Camera


class Painter:
    """Draws one scene with its bodies; use it in a ``with``."""

    def __init__(self, scene: Scene, bodies: Sequence[Body], width: int, height: int) -> None:
        self.scene, self.bodies, self.width, self.height = scene, tuple(bodies), width, height
        self._size = (width * OVERSAMPLE, height * OVERSAMPLE)
        self._mj = mj = gl(*self._size)
        spec = sketch(mj, scene, self._size)
        skins = _add(mj, spec, scene, self.bodies)
        self._model = model = spec.compile()
        paint(model, (*scene.parts, *skins))
        self._data = mj.MjData(model)
        self._view = mj.MjvScene(model, maxgeom=model.ngeom + 8)
        self._mocap = [int(model.body_mocapid[mj.mj_name2id(model, mj.mjtObj.mjOBJ_BODY, f"b{n}")]) for n in range(len(bodies))]
        names = [mj.mj_id2name(model, mj.mjtObj.mjOBJ_BODY, b) or "" for b in model.geom_bodyid]
        self._body = np.array([int(n[1:]) if n[:1] == "b" and n[1:].isdigit() else -1 for n in names])  # of each geom
        self._thing = np.array([self.bodies[n].thing if n >= 0 else 0 for n in self._body], np.int16)
        self._canvas = Canvas(mj, model, width, height)
        self._ids = np.empty((height, width, 3), np.uint8)

    def __enter__(self) -> Painter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the textures and meshes back."""
        self._canvas.close()

    def render(
        self, camera: Camera, poses: Array, tints: NDArray[np.float32], weather: Weather, moment: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One frame: rgb uint8 ``[3, H, W]``, depth float ``[H, W]`` in metres along z, ids int16 ``[H, W]``.

        poses ``[B, 7]``; tints ``[B, 4]`` multiply colours, and fade by their last column. ``moment``: seconds, for the rain.
        What fades is drawn with and without and mixed, and has a depth and an id from one half on.
        """
        alpha = tints[:, 3] if len(tints) else np.zeros(0, np.float32)
        fading = (alpha > 0.02) & (alpha < 0.98)
        rgb, depth, ids = self._draw(camera, poses, tints, alpha >= 0.5)
        blobs = [b for n, body in enumerate(self.bodies) for b in _blobs(body, poses[n], float(alpha[n]))]
        if fading.any():
            other, _, _ = self._draw(camera, poses, tints, (alpha >= 0.5) ^ fading)
            share = np.float32(np.where(alpha[fading] >= 0.5, alpha[fading], 1 - alpha[fading]).mean())
            rgb = (share * rgb + (1 - share) * other).astype(np.float32)
        rgb = laid_over(rgb, depth, ids, camera, self.scene, blobs, weather, moment)
        return (
            torch.from_numpy((rgb + 0.5).clip(0, 255).astype(np.uint8).transpose(2, 0, 1).copy()),
            torch.from_numpy(depth.copy()),
            torch.from_numpy(ids.copy()),
        )

    def _draw(self, camera: Camera, poses: Array, tints: NDArray[np.float32], shown: NDArray[np.bool_]) \
            -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int16]]:  # fmt: skip
        mj = self._mj
        for slot, pose in zip(self._mocap, poses, strict=True):
            self._data.mocap_pos[slot], self._data.mocap_quat[slot] = pose[:3], pose[3:]
        for geom, body in enumerate(self._body):
            if body >= 0:
                self._model.geom_rgba[geom] = (*np.minimum(tints[body, :3], 1.0), float(shown[body]))
        show(mj, self._model, self._data, self._view)
        look(self._view, camera)
        rgb, depth = self._canvas.draw(self._view)
        rgb = air(rgb, depth, camera.lens, self.scene)
        ids = np.zeros((self.height, self.width), np.int16)
        if len(self.bodies):
            for flag in (mj.mjtRndFlag.mjRND_SEGMENT, mj.mjtRndFlag.mjRND_IDCOLOR):
                self._view.flags[flag] = 1
            small = mj.MjrRect(0, 0, self.width, self.height)
            self._canvas.bind()
            mj.mjr_render(small, self._view, self._canvas.context)
            mj.mjr_readPixels(self._ids, None, small, self._canvas.context)
            for flag in (mj.mjtRndFlag.mjRND_SEGMENT, mj.mjtRndFlag.mjRND_IDCOLOR):
                self._view.flags[flag] = 0
            seen = self._ids[::-1].astype(np.int64) @ np.array((1, 256, 65536)) - 1  # number in the view, -1 for nothing
            of = np.zeros(self._view.ngeom + 1, np.int16)
            for geom in self._view.geoms[: self._view.ngeom]:
                of[geom.segid] = self._thing[geom.objid]
            ids = of[np.where((seen >= 0) & (seen < self._view.ngeom), seen, self._view.ngeom)]
        return rgb, depth, ids


def _blobs(body: Body, pose: Array, alpha: float) -> list[Blob]:
    """Return the balls that cast a body's shadows, one to six for each solid."""
    r = matrix(pose[3:])
    out: list[Blob] = []
    for form in body.forms if alpha > 0.02 else ():
        long = int(np.argmax(form.size))
        thick = (sum(form.size) - form.size[long]) / 2
        count = min(max(round(form.size[long] / max(thick, 0.05)), 1), 6)  # along what is long
        for k in range(count):
            at = np.array(form.at, float)
            at[long] += form.size[long] * ((k + 0.5) / count - 0.5)
            out.append(Blob(pose[:3] + r @ at, 0.55 * thick, alpha))
    return out


def _add(mj: Any, spec: Any, scene: Scene, bodies: Sequence[Body]) -> list[MeshPart]:
    """Every body as a mesh for each of its paints, in the scene's look; returns the parts whose textures are to be filled in."""
    skins: list[MeshPart] = []
    for number, body in enumerate(bodies):
        made = spec.worldbody.add_body(name=f"b{number}", pos=body.at, mocap=True)
        b = Builder(scene.style, 1.0, np.random.default_rng([scene.seed, body.thing, 5]))
        for form in body.forms:
            _draw(b, form)
        parts = [mesh_part(b, skin) for skin in b.meshes]
        for i, part in enumerate(parts):
            add_part(mj, spec, made, f"b{number}_{i}", part)
        skins += parts
    return skins


def _draw(b: Builder, form: Form) -> None:
    """One solid of a body into the builder, about its place."""
    skin, (x, y, z), (sx, sy, sz) = Paint(form.colour, form.pattern), form.at, form.size
    low, high = z - sz / 2, z + sz / 2
    if form.shape == "box":
        b.box((x, y), (sx, sy), (low, high), skin, solid=False)
        b.quad([(*p, low) for p in rectangle((x, y), (sx, sy))[::-1]], skin)
    elif form.shape == "ball":
        b.ball((x, y, z), (sx / 2, sz / 2), skin, sides=14)
    elif form.shape == "cone":
        b.round((x, y), sx / 2, (low, high), skin, taper=0.0, solid=False, sides=10)
    elif form.shape == "rod":
        b.round((x, y), sx / 2, (low, high), skin, solid=False, sides=12)
    else:  # a limb: a rod with round ends
        r = sx / 2
        b.round((x, y), r, (low + r, high - r), skin, solid=False, sides=8)
        for end in (low + r, high - r):
            b.ball((x, y, end), (r, r), skin, sides=8)
