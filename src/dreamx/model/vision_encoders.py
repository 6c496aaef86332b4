"""Picture encoders that transformers knows, from safetensors and the ``config.json`` beside them: no code comes along.

DINOv2 (Oquab et al. 2023), its class token; CLIP's picture side (Radford et al. 2021), the projected one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx import tensor_file
from dreamx.plaintext import brief, cause, read_json

_SIDE = 224  # pixels that DINOv2 is evaluated with
_LARGEST = 2**17  # of any number in a config: words of a vocabulary aside, no encoder of pictures has as much of anything
_LAYERS = 100
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def vision_encoder(file: Path) -> Callable[..., Tensor]:
    """``model.safetensors`` of a DINOv2 or CLIP: pictures float ``[N, 3, H, W]`` in 0 to 1 -> ``[N, D]``.

    ValueError, one sentence, where the architecture is another, the weights are not its own, or transformers is missing.
    """
    beside = file.parent / "config.json"
    try:
        config = read_json(beside)
    except OSError:
        raise ValueError(
            f"{file} is safetensors, which say no architecture; put the config.json of transformers beside it"
        ) from None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in ("dinov2", "clip", "clip_vision_model"):
        raise ValueError(f"{beside}: model_type is {brief(kind)}, and dinov2 and clip are known; give TorchScript or ONNX")
    _refuse_large(config, beside)
    if file.name != "model.safetensors":
        raise ValueError(f"{file}: transformers calls it model.safetensors; name it so")
    try:
        from transformers import CLIPVisionModelWithProjection, Dinov2Model
    except ImportError:
        raise ValueError(
            f"{file} needs transformers: pip install '.[wan]' in the checkout, or give TorchScript or ONNX"
        ) from None
    given: Any = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    try:
        with tensor_file.opened(file):  # looked at before it is believed
            pass
        made: Any = Dinov2Model if kind == "dinov2" else CLIPVisionModelWithProjection
        net, said = made.from_pretrained(file.parent, **given)
        missing = sorted(said["missing_keys"])
    except Exception as e:  # what is in a config breaks in many ways
        raise ValueError(f"{file}: with its config.json it is no {kind} ({cause(e)})") from e
    if missing:  # transformers only warns, and leaves random numbers there
        raise ValueError(f"{file}: {missing[0]!r} is missing; the weights are not of the config.json beside them")
    if broken := [k for k, x in net.state_dict().items() if not bool(torch.isfinite(x).all())]:
        raise ValueError(f"{file}: {broken[0]!r} holds NaN or infinity; copy or download it again")
    net.eval().requires_grad_(False)
    side, (mean, std) = (_SIDE, _IMAGENET) if kind == "dinov2" else (int(net.config.image_size), _CLIP)

    def run(pictures: Tensor) -> Tensor:
        # Bicubic overshoots, hence the clamp.
        small = F.interpolate(pictures, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        normal = (small - small.new_tensor(mean)[:, None, None]) / small.new_tensor(std)[:, None, None]
        answer = net(pixel_values=normal)
        # [N, D]: DINOv2's class token; CLIP's projected one, which its text side is compared with.
        return answer.last_hidden_state[:, 0] if kind == "dinov2" else answer.image_embeds

    return run


def _refuse_large(config: dict[str, Any], file: Path) -> None:
    """ValueError where a config asks for more than any known encoder has: building it would allocate that."""
    inner = config.get("vision_config", config)  # a whole CLIP's config holds two encoders
    for key, value in inner.items() if isinstance(inner, dict) else ():
        most = _LAYERS if key == "num_hidden_layers" else _LARGEST
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and value > most
            and "token_id" not in key
            and key != "vocab_size"
        ):
            raise ValueError(f"{file}: {key} is {value}, and at most {most} are built")
