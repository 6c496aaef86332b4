"""The autoencoder of Wan2.2, written down plainly: a whole clip at once where the released code goes group by group, float64.

Truth for conformance files of other widths. Tensors have the released names; videos and latents are ``[C, F, H, W]``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv3d, interpolate, pad, silu


class Plain:
    """Functions of the weights ``w``."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.w = {k: x.double() for k, x in weights.items()}

    def encode(self, video: Tensor) -> Tensor:
        """Before normalisation; the first half of what the last layer says."""
        x = video.double()
        c, f, h, w = x.shape
        x = x.reshape(c, f, h // 2, 2, w // 2, 2).permute(0, 5, 3, 1, 2, 4).reshape(c * 4, f, h // 2, w // 2)
        x = self.causal("encoder.conv1", x)
        i = 0
        while f"encoder.downsamples.{i}.downsamples.0.residual.2.weight" in self.w:
            a, before, j = f"encoder.downsamples.{i}.downsamples", x, 0
            while f"{a}.{j}.residual.2.weight" in self.w:
                x = self.residual(f"{a}.{j}", x)
                j += 1
            timed = f"{a}.{j}.time_conv.weight" in self.w
            if f"{a}.{j}.resample.1.weight" in self.w:
                x = conv2d(pad(x.transpose(0, 1), (0, 1, 0, 1)), *self.both(f"{a}.{j}.resample.1"), stride=2).transpose(0, 1)
                if timed and x.shape[1] > 2:
                    later = conv3d(x[None], *self.both(f"{a}.{j}.time_conv"), stride=(2, 1, 1))[0]
                    x = torch.cat([x[:, :1], later], 1)
            x = x + averaged(before, x, 2 if timed else 1)
            i += 1
        x = self.head("encoder", self.middle("encoder", x))
        x = self.causal("conv1", x)
        return x[: len(x) // 2]

    def decode(self, z: Tensor) -> Tensor:
        """Latents as ``encode`` gives them -> video, not clamped."""
        x = self.middle("decoder", self.causal("decoder.conv1", self.causal("conv2", z.double())))
        i = 0
        while f"decoder.upsamples.{i}.upsamples.0.residual.2.weight" in self.w:
            a, before, j = f"decoder.upsamples.{i}.upsamples", x, 0
            while f"{a}.{j}.residual.2.weight" in self.w:
                x = self.residual(f"{a}.{j}", x)
                j += 1
            timed = f"{a}.{j}.time_conv.weight" in self.w
            if f"{a}.{j}.resample.1.weight" in self.w:
                if timed and x.shape[1] > 1:
                    # The first frame stays one, and the others never see it: before them is nothing.
                    later = self.causal(f"{a}.{j}.time_conv", x[:, 1:])
                    later = later.unflatten(0, (2, -1)).permute(1, 2, 0, 3, 4).flatten(1, 2)
                    x = torch.cat([x[:, :1], later], 1)
                big = interpolate(x.transpose(0, 1), scale_factor=2, mode="nearest-exact")
                x = conv2d(big, *self.both(f"{a}.{j}.resample.1"), padding=1).transpose(0, 1)
                x = x + repeated(before, x, 2 if timed else 1)
            i += 1
        x = self.head("decoder", x)
        c, f, h, w = x.shape
        return x.reshape(c // 4, 2, 2, f, h, w).permute(0, 3, 4, 2, 5, 1).reshape(c // 4, f, 2 * h, 2 * w)

    def both(self, name: str) -> tuple[Tensor, Tensor]:
        return self.w[f"{name}.weight"], self.w[f"{name}.bias"]

    def causal(self, name: str, x: Tensor) -> Tensor:
        """A convolution that sees this frame and those before."""
        weight, bias = self.both(name)
        t, h, w = weight.shape[2:]
        return conv3d(pad(x[None], (w // 2, w // 2, h // 2, h // 2, t - 1, 0)), weight, bias)[0]

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Over the channels; gamma may have lengths of 1 behind them."""
        rms = x / x.norm(dim=0, keepdim=True).clamp_min(1e-12) * len(x) ** 0.5
        return rms * self.w[name].reshape(-1, 1, 1, 1)

    def residual(self, a: str, x: Tensor) -> Tensor:
        y = self.causal(f"{a}.residual.2", silu(self.norm(f"{a}.residual.0.gamma", x)))
        y = self.causal(f"{a}.residual.6", silu(self.norm(f"{a}.residual.3.gamma", y)))
        return y + (self.causal(f"{a}.shortcut", x) if f"{a}.shortcut.weight" in self.w else x)

    def middle(self, side: str, x: Tensor) -> Tensor:
        x, a = self.residual(f"{side}.middle.0", x), f"{side}.middle.1"
        qkv = conv2d(self.norm(f"{a}.norm.gamma", x).transpose(0, 1), *self.both(f"{a}.to_qkv"))  # [F, 3 C, h, w]
        q, k, v = qkv.flatten(2).transpose(1, 2).chunk(3, -1)
        seen = ((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v).transpose(1, 2).unflatten(2, x.shape[2:])
        return self.residual(f"{side}.middle.2", x + conv2d(seen, *self.both(f"{a}.proj")).transpose(0, 1))

    def head(self, side: str, x: Tensor) -> Tensor:
        return self.causal(f"{side}.head.2", silu(self.norm(f"{side}.head.0.gamma", x)))


def averaged(x: Tensor, like: Tensor, t: int) -> Tensor:
    """What a level of the encoder adds of its input: neighbours in time and space as channels, groups of these averaged."""
    s = x.shape[2] // like.shape[2]
    x = pad(x, (0, 0, 0, 0, -x.shape[1] % t, 0))
    x = x.unflatten(3, (-1, s)).unflatten(2, (-1, s)).unflatten(1, (-1, t))  # [C, F, t, h, s, w, s]
    x = x.permute(0, 2, 4, 6, 1, 3, 5).flatten(0, 3)
    return x.unflatten(0, (len(like), -1)).mean(1)


def repeated(x: Tensor, like: Tensor, t: int) -> Tensor:
    """What a level of the decoder adds of its input: channels repeated, and dealt out to neighbours in time and space."""
    s = like.shape[2] // x.shape[2]
    x = x.repeat_interleave(len(like) * t * s * s // len(x), 0)
    x = x.unflatten(0, (len(like), t, s, s)).permute(0, 4, 1, 5, 2, 6, 3)  # [C, F, t, h, s, w, s]
    return x.flatten(5, 6).flatten(3, 4).flatten(1, 2)[:, t - 1 :]
