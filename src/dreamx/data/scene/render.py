"""Pictures and metric depth of a scene, by MuJoCo's renderer on the CPU: EGL, or OSMesa where there is no EGL.

One draw gives colour and depth. A picture is drawn three times as large and averaged down; the depth is that of the
middle of each pixel, so that it lies on a surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamx.data.opengl import CannotDraw, gl
from dreamx.data.scene.scene import DOME, SKIES, MeshPart, Scene
from dreamx.geometry.camera import Camera, rays

OVERSAMPLE = 3  # odd, so that every pixel has a middle sample
NEAR, FAR = 0.05, 2 * DOME


class Renderer:
    """Draws one scene; use it in a ``with``. Sizes are those of the pictures that come out."""

    def __init__(self, scene: Scene, width: int, height: int) -> None:
        self.scene, self.width, self.height = scene, width, height
        self._size = (width * OVERSAMPLE, height * OVERSAMPLE)
        self._mujoco = gl(*self._size)
        spec = sketch(self._mujoco, scene, self._size)
        model = spec.compile()
        paint(model, scene.parts)
        mj = self._mujoco
        self._view = mj.MjvScene(model, maxgeom=len(scene.parts) + 8)
        show(mj, model, mj.MjData(model), self._view)
        self._canvas = Canvas(mj, model, width, height)

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the scene's textures and meshes back."""
        self._canvas.close()

    def render(self, camera: Camera) -> tuple[Tensor, Tensor]:
        """One picture: rgb uint8 ``[3, H, W]`` and depth float ``[H, W]``, metres along z."""
        look(self._view, camera)
        rgb, depth = self._canvas.draw(self._view)
        rgb = air(rgb, depth, camera.lens, self.scene)
        return torch.from_numpy((rgb + 0.5).astype(np.uint8).transpose(2, 0, 1).copy()), torch.from_numpy(depth)


class Canvas:
    """Off-screen buffer that a compiled model is drawn on; ``context`` is MuJoCo's, None when it is closed."""

    def __init__(self, mj: Any, model: Any, width: int, height: int) -> None:
        self.width, self.height, self._mujoco = width, height, mj
        try:
            self.context: Any = mj.MjrContext(model, mj.mjtFontScale.mjFONTSCALE_50)
        except mj.FatalError as e:
            raise CannotDraw(f"{width}x{height} pixels are more than this machine can draw at once ({e}); ask for fewer") from e
        self.context.readDepthMap = mj.mjtDepthMap.mjDEPTH_ZEROFAR
        w, h = width * OVERSAMPLE, height * OVERSAMPLE
        self._rect = mj.MjrRect(0, 0, w, h)
        self._rgb, self._z = np.empty((h, w, 3), np.uint8), np.empty((h, w), np.float32)

    def bind(self) -> None:
        """Make this the buffer that is drawn on: another canvas, drawn on or closed since, left its own bound, or none."""
        self._mujoco.mjr_setBuffer(self._mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)

    def draw(self, view: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A view (``mjvScene``): rgb ``[H, W, 3]`` from 0 to 255 and depth ``[H, W]``, metres along z."""
        self.bind()
        self._mujoco.mjr_render(self._rect, view, self.context)
        self._mujoco.mjr_readPixels(self._rgb, self._z, self._rect, self.context)
        h, w, k = self.height, self.width, OVERSAMPLE
        rgb = self._rgb[::-1].reshape(h, k, w, k, 3).mean((1, 3), dtype=np.float32)
        depth = metres(self._z[::-1][k // 2 :: k, k // 2 :: k].astype(np.float64)).astype(np.float32)
        return rgb, depth

    def close(self) -> None:
        """Give textures and meshes back."""
        if self.context is not None:
            self.context.free()
            self.context = None


def show(mj: Any, model: Any, data: Any, view: Any) -> None:
    """Put the things of a model, as they now stand, into a view (``mjvScene``), in flat light."""
    mj.mj_kinematics(model, data)
    mj.mj_camlight(model, data)
    mj.mjv_updateScene(model, data, mj.MjvOption(), None, mj.MjvCamera(), mj.mjtCatBit.mjCAT_ALL, view)
    for flag in (mj.mjtRndFlag.mjRND_SHADOW, mj.mjtRndFlag.mjRND_REFLECTION, mj.mjtRndFlag.mjRND_HAZE):
        view.flags[flag] = 0


def look(view: Any, camera: Camera) -> None:
    """Point both eyes of a MuJoCo view (``mjvScene``) along a camera."""
    pose = camera.pose.double().numpy()
    fx, fy, cx, cy = camera.lens.double().tolist()
    position, down, forward = (to_plan(pose[:3, i]) for i in (3, 1, 2))
    for eye in view.camera:
        eye.pos[:], eye.forward[:], eye.up[:] = position, forward, -down
        eye.frustum_bottom, eye.frustum_top = -NEAR * (1 - cy) / fy, NEAR * cy / fy
        eye.frustum_center, eye.frustum_width = NEAR * (0.5 - cx) / fx, NEAR * 0.5 / fx
        eye.frustum_near, eye.frustum_far = NEAR, FAR


def metres(ndc: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert the depth buffer to metres along z; reversed z: 1 is near, 0 is far."""
    return NEAR * FAR / (NEAR + ndc * (FAR - NEAR))


def render_path(scene: Scene, cameras: Camera, width: int, height: int) -> tuple[Tensor, Tensor]:
    """All pictures along a path ``[F]``: video uint8 ``[F, 3, H, W]`` and depth float ``[F, H, W]``."""
    with Renderer(scene, width, height) as renderer:
        pictures = [renderer.render(cameras[i]) for i in range(len(cameras))]
    return torch.stack([p for p, _ in pictures]), torch.stack([d for _, d in pictures])


def air(rgb: NDArray[np.float32], depth: NDArray[np.float32], lens: Tensor, scene: Scene) -> NDArray[np.float32]:
    """A little haze with distance in photographs; the sky has it already."""
    if scene.style != "photoreal" or scene.indoors:
        return rgb
    haze = np.float32(255.0) * np.asarray(SKIES[scene.hour][1], np.float32)
    distance = depth * rays(lens.float(), *depth.shape).norm(dim=-1).numpy()
    share = np.where(distance < 0.85 * DOME, 1 - np.exp(-distance / 90.0), 0.0)[..., None].astype(np.float32)
    return (rgb + share * (haze - rgb)).astype(np.float32)


def to_plan(v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Camera world (x, y down, z) -> plan (x east, y north, z up)."""
    return np.array((v[0], v[2], -v[1]))


def sketch(mj: Any, scene: Scene, size: tuple[int, int]) -> Any:
    """The scene as a MuJoCo specification: one mesh, material and texture for each part. Compile it, then ``paint`` it."""
    spec = mj.MjSpec()
    spec.visual.global_.offwidth, spec.visual.global_.offheight = size
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    ambient, sun, fill = {"photoreal": (0.50, 0.48, 0.14), "game": (0.58, 0.36, 0.12), "stylised": (0.70, 0.26, 0.06)}[
        scene.style
    ]
    if scene.hour == "dusk" and not scene.indoors:
        ambient, sun = 0.72 * ambient, 0.7 * sun
    warm = np.array(SKIES[scene.hour][2]) if not scene.indoors else np.ones(3)
    spec.visual.headlight.ambient[:] = ambient
    spec.visual.headlight.diffuse[:] = 0
    spec.visual.headlight.specular[:] = 0
    spec.stat.extent, spec.stat.center = 1.0, (0, 0, 0)
    a = np.radians(scene.sun)
    for direction, colour in (
        ((-np.cos(a), -np.sin(a), -1.1), sun * warm),
        ((np.cos(a - 1.2), np.sin(a - 1.2), -0.2), fill * np.ones(3)),
    ):
        spec.worldbody.add_light(type=mj.mjtLightType.mjLIGHT_DIRECTIONAL, dir=direction, pos=(0, 0, 30), diffuse=colour,
                                 ambient=(0, 0, 0), specular=(0, 0, 0), castshadow=False)  # fmt: skip
    for i, part in enumerate(scene.parts):
        add_part(mj, spec, spec.worldbody, f"p{i}", part)
    return spec


def add_part(mj: Any, spec: Any, body: Any, name: str, part: MeshPart) -> None:
    """Give a body of the specification a mesh, with a material and a texture of the same name."""
    height, width, _ = part.texture.shape
    spec.add_texture(name=name, type=mj.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3,
                     builtin=mj.mjtBuiltin.mjBUILTIN_FLAT)  # fmt: skip
    material = spec.add_material(name=name, emission=1.0 if part.glow else 0.0, specular=0.0, shininess=0.0)
    material.textures[mj.mjtTextureRole.mjTEXROLE_RGB] = name
    triangles = part.triangles.ravel().tolist()
    spec.add_mesh(name=name, uservert=part.corners.ravel().tolist(), usernormal=part.normals.ravel().tolist(),
                  usertexcoord=part.places.ravel().tolist(), userface=triangles, userfacenormal=triangles,
                  userfacetexcoord=triangles, inertia=mj.mjtMeshInertia.mjMESH_INERTIA_SHELL)  # fmt: skip
    body.add_geom(type=mj.mjtGeom.mjGEOM_MESH, meshname=name, material=name, contype=0, conaffinity=0)


def paint(model: Any, parts: Sequence[MeshPart]) -> None:
    """Fill in the textures of the parts, in the order in which they were added."""
    for part, start in zip(parts, model.tex_adr, strict=True):  # through the spec, as lists, it would take longer than the rest
        model.tex_data[start : start + part.texture.size] = part.texture[::-1].ravel()  # v runs upwards
