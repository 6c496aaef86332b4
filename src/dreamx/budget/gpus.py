"""GPUs by name, for predictions without one: the makers' figures, dense (no sparsity)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

#: Names that ``GPUS`` knows.
GpuName = Literal["A100-40", "A100", "H20", "H100", "H200", "B200", "L40S", "RTX4090", "RTX5090", "MI300X"]
#: Share of a GPU's memory that tensors can have: the rest is CUDA's, the libraries' and what the allocator cannot use.
USABLE = 0.92


@dataclass(frozen=True)
class DataSheet:
    """memory: bytes. narrow: operations a second in bfloat16 products; wide: in float32 products, without TF32."""

    memory: float
    narrow: float
    wide: float

    def peak(self, dtype: torch.dtype) -> float:
        """Return the operations a second in products of a dtype."""
        return self.wide if dtype == torch.float32 else self.narrow

    @property
    def free_bytes(self) -> float:
        """Bytes that tensors can have."""
        return USABLE * self.memory


GPUS: dict[str, DataSheet] = {
    "A100-40": DataSheet(40e9, 312e12, 19.5e12),
    "A100": DataSheet(80e9, 312e12, 19.5e12),
    "H20": DataSheet(96e9, 148e12, 44e12),
    "H100": DataSheet(80e9, 989e12, 67e12),
    "H200": DataSheet(141e9, 989e12, 67e12),
    "B200": DataSheet(180e9, 2250e12, 75e12),
    "L40S": DataSheet(48e9, 362e12, 91.6e12),
    "RTX4090": DataSheet(24e9, 165e12, 82.6e12),
    "RTX5090": DataSheet(32e9, 209e12, 104.8e12),
    "MI300X": DataSheet(192e9, 1307e12, 163.4e12),
}
