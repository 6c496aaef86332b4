"""Floor 0: numbers about space. Knows torch and nothing else."""

from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import KEYS, Controls, Speed, from_keys, walk

__all__ = ["KEYS", "Camera", "Controls", "Speed", "from_keys", "walk"]
