"""LoRA files that others read, in the names of peft, the release, diffusers or ComfyUI; ``lora_file.read`` reads each back.

Our layers are named as released; the patch's factor is a matrix here, and the head's rows are put back into their order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor

from dreamx import atomic
from dreamx.checkpoints import diffusers_names, official_names
from dreamx.checkpoints.lora import Lora
from dreamx.model.dit import DiTConfig

Naming = Literal["peft", "official", "diffusers", "comfyui"]
#: What the file is called in each naming.
FILES: dict[Naming, str] = {
    "peft": "adapter_model.safetensors",
    "official": "lora.safetensors",
    "diffusers": "pytorch_lora_weights.safetensors",
    "comfyui": "lora_comfyui.safetensors",
}


def write(folder: Path, lora: Lora, config: DiTConfig, naming: Naming) -> Path:
    """Write the factors of a LoRA of ``DiT(config)`` (no whole differences) into ``folder``; the file.

    peft's settings lie beside it in ``adapter_config.json``, and those of diffusers in the header. ValueError where it holds more
    than factors.
    """
    theirs = {ours.removesuffix(".weight"): name.removesuffix(".weight") for name, ours in official_names.names(config).items()}
    layers = [k.removesuffix(".down") for k in lora.factors if k.endswith(".down")]
    if strange := [k for k in lora.factors if not k.endswith((".down", ".up"))]:
        raise ValueError(f"{strange[0]!r} is no factor of a LoRA with one alpha; merge it into the weights instead")
    down, up = ("lora_down", "lora_up") if naming == "comfyui" else ("lora_A", "lora_B")
    tensors: dict[str, Tensor] = {}
    for layer in layers:
        name = _spelled(theirs[layer], naming)
        tensors[f"{name}.{down}.weight"] = lora.factors[f"{layer}.down"].contiguous()
        tensors[f"{name}.{up}.weight"] = _rows(layer, lora.factors[f"{layer}.up"], config).contiguous()
        if naming in ("official", "comfyui"):
            tensors[f"{name}.alpha"] = lora.factors[f"{layer}.up"].new_tensor(lora.config.alpha)
    folder.mkdir(parents=True, exist_ok=True)
    file, said = folder / FILES[naming], _settings(lora, [theirs[layer] for layer in layers])
    notes = {"format": "pt"}
    if naming == "diffusers":
        spelled = {f"transformer.{k}": x for k, x in said.items() if k in ("r", "lora_alpha")}
        notes = {"lora_adapter_metadata": json.dumps(spelled)}
    with atomic.whole(file) as temporary:
        save_file(tensors, temporary, notes)
    if naming == "peft":
        atomic.write_json(folder / "adapter_config.json", said)
    return file


def _spelled(layer: str, naming: Naming) -> str:
    match naming:
        case "peft":
            return f"base_model.model.{layer}"
        case "official":
            return layer
        case "diffusers":
            return f"transformer.{diffusers_names.to_diffusers(layer)}"
        case "comfyui":
            return f"diffusion_model.{layer}"


def _rows(layer: str, up: Tensor, config: DiTConfig) -> Tensor:
    """The upper factor with its rows in the released order."""
    if layer != "head":
        return up
    p = config.patch  # ours: channel, row, column; theirs: row, column, channel
    return up.unflatten(0, (config.channels, p, p)).movedim(0, 2).flatten(0, 2)


def _settings(lora: Lora, layers: list[str]) -> dict[str, Any]:
    """``adapter_config.json`` of peft."""
    return {
        "peft_type": "LORA",
        "r": lora.config.rank,
        "lora_alpha": lora.config.alpha,
        "target_modules": layers,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "use_rslora": False,
        "use_dora": False,
        "base_model_name_or_path": None,
        "task_type": None,
    }
