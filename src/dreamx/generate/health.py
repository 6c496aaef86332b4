"""Is there still a picture? Black frames, NaN and pure noise are said in one sentence, instead of an hour of them in a file."""

from __future__ import annotations

from torch import Tensor

from dreamx.model.broken import refuse_broken

_BLACK, _FLAT = 4.0, 3.0  # of 255: mean, and deviation
_LIKE = 0.1  # correlation of neighbours below which a frame is noise
_PATIENCE = 12  # frames in a row: a walk may pass through the dark


class VideoHealth:
    """Watch one video. ``opening``: its first picture, uint8 ``[3, H, W]``, as noise may be wanted; ``frames``: seen before."""

    def __init__(self, opening: Tensor, frames: int = 0) -> None:
        self._dark, self._noisy = is_black(opening), is_noise(opening)
        self._black = self._noise = 0
        self._frames = frames

    def latents(self, z: Tensor) -> None:
        """Check latents from the network. ValueError where one is no number."""
        refuse_broken(z, f"after frame {max(0, self._frames - 1)}")

    def look(self, frames: Tensor) -> None:
        """New frames, uint8 ``[n, 3, H, W]``. ValueError when a dozen in a row are black, or noise."""
        for frame in frames:
            self._frames += 1
            self._black = self._black + 1 if is_black(frame) else 0
            self._noise = self._noise + 1 if is_noise(frame) else 0
            for count, expected, what in ((self._black, self._dark, "black"), (self._noise, self._noisy, "pure noise")):
                if count >= _PATIENCE and not expected:
                    raise ValueError(
                        f"the last {count} frames, to frame {self._frames - 1}, are {what}: the weights do not fit their config, "
                        "or the dtype is too small for them; check the checkpoint with dreamx doctor"
                    )


def is_black(frame: Tensor) -> bool:
    """Of a picture uint8 ``[3, H, W]``."""
    x = frame.float()
    return float(x.mean()) < _BLACK and float(x.std()) < _FLAT


def is_noise(frame: Tensor) -> bool:
    """Do neighbours have nothing in common, left and right, above and below? Flat pictures are no noise."""
    x = frame.float()
    x = x - x.mean((1, 2), keepdim=True)
    power = x.square().mean()
    if float(power) < _FLAT**2:
        return False
    aside, below = (x[..., 1:] * x[..., :-1]).mean() / power, (x[:, 1:] * x[:, :-1]).mean() / power
    return float(aside) < _LIKE and float(below) < _LIKE
