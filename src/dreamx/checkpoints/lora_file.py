"""LoRA files of others: by the names of peft, diffusers, kohya and those who distil, for our ``DiT``.

Which of the trainers wrote a file shows in each name alone, so files that mix them are read, too. A name of kohya, whose dots are
underscores (``lora_unet_blocks_0_self_attn_q``), is found among those of all layers. Every key is added or is an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx.checkpoints import diffusers_names, official_names, weight_files
from dreamx.checkpoints.contents import WRAPPED
from dreamx.checkpoints.lora import Lora, LoraConfig, check
from dreamx.model.dit import DiTConfig
from dreamx.plaintext import brief, named, parse_json

#: A factor: ``lora_A.weight``, ``lora_B.default.weight``, ``lora_down.weight``; ``to_q_lora.up.weight``, ``lora.down.weight``.
_FACTORS = (
    re.compile(r"(?P<base>.+)\.lora_(?P<part>A|B|down|up)(\.(?P<adapter>(?!weight$|bias$)[^.]+))?(\.(?P<leaf>weight|bias))?$"),
    re.compile(r"(?P<base>.+)[._]lora(_linear_layer)?\.(?P<part>down|up)\.(?P<leaf>weight|bias)(?P<adapter>$)"),
)
_ALPHA = re.compile(r"(?P<base>.+)\.(lora_|network_)?alpha$")
_DIFF = re.compile(r"(?P<base>.+)\.(?P<part>diff|diff_b|diff_m|w_norm|b_norm)$")
#: Which parameter of a module a difference changes.
_CHANGED = {"diff": "weight", "w_norm": "weight", "diff_b": "bias", "b_norm": "bias", "diff_m": "modulation"}
#: Parts of names -> what is not read, or not of the transformer.
_BETRAYALS = {
    "dora_scale": "is of a DoRA",
    "lora_magnitude_vector": "is of a DoRA",
    ".hada_": "is of a LoHa",
    ".lokr_": "is of a LoKr",
    ".oft_": "is of an OFT",
    ".boft_": "is of a BOFT",
    ".lora_mid.": "is of a LoCon with a middle factor",
    ".vera_lambda": "is of a VeRA",
    "lora_embedding_": "changes a table of words",
    ".set_weight": "replaces a parameter instead of changing it",
    "modules_to_save": "replaces a whole layer instead of changing it",
    "base_layer.": "is a weight of the model itself, which peft left beside its LoRA",
    "lora_te": "changes the text encoder",
    "text_encoder": "changes the text encoder",
}
#: What stands before the names, in any order and number.
_PREFIXES = re.compile(
    r"^((base_model\.model|diffusion_model|transformer|module|model|pipe|dit|unet|net|lora|state_dict|model_state_dict)\.)+"
)
_FLAT = re.compile(r"^(lora_unet|lora_transformer|lora_dit|lycoris)_+((diffusion_model|transformer|model)_+)?")
#: A training checkpoint of the released scripts holds two.
_NEST = "generator_lora."


def read(path: Path, config: DiTConfig) -> Lora:
    """A LoRA of a released transformer for our ``DiT(config)``.

    The alpha of a layer is taken from the file, else from ``adapter_config.json`` beside it or the header of the file, and else
    is its rank, as in the released yaml. ValueError, one sentence that names the file and the key, when a factor is missing,
    unknown, of another shape, or no number.
    """
    file = weight_files.find(path)
    stored = weight_files.read(path)
    # The generator's alone; the critic's is left.
    tensors = {k.removeprefix(_NEST): x for k, x in stored.items() if k.startswith(_NEST)} or stored
    with named(file, file.parent):
        said = _settings(file, weight_files.notes(path))
        lora = _lora(tensors, said, config, len(stored) - len(tensors))
        check(lora, config)
        return lora


def _lora(tensors: Mapping[str, Tensor], said: Mapping[str, Any], config: DiTConfig, left: int) -> Lora:
    names = _Names(config)
    factors: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    biases: dict[str, Tensor] = {}
    adapters: set[str] = set()
    for key, x in tensors.items():
        name = _PREFIXES.sub("", WRAPPED.sub("", key)).replace(".processor.", ".")  # diffusers' old attention processors
        why = next((why for part, why in _BETRAYALS.items() if part in key), None)
        if why is not None:
            raise ValueError(f"{key!r} {why}, which is not read; give a LoRA of plain factors (lora_A and lora_B) or differences")
        if x.is_floating_point() and x.itemsize == 1:
            x = x.to(torch.bfloat16)  # every number of float8 is one of bfloat16
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"{key!r} holds NaN or infinity, so the LoRA is broken; copy or train it again")
        if found := _ALPHA.match(name):
            if x.numel() != 1:
                raise ValueError(f"{key!r} must be one number, not {tuple(x.shape)}")
            _put(alphas, names.layer(found["base"], key), float(x), key)
        elif found := _DIFF.match(name):
            parameter = names.parameter(found["base"], _CHANGED[found["part"]], key)
            _put(factors, f"{names.ours[parameter]}.diff", names.laid(parameter, x), key)
        elif found := next((m for p in _FACTORS if (m := p.match(name))), None):
            adapters.add(found["adapter"] or "")
            layer = names.layer(found["base"], key)
            down = found["part"] in ("A", "down")  # up @ down, [out, rank] @ [rank, in]: A is the first to meet the input
            if found["leaf"] == "bias" and not down:
                _put(biases, layer, x, key)
            elif found["leaf"] == "bias":
                raise ValueError(f"{key!r} is a bias before the factor that goes up, which is not read")
            else:
                _put(factors, f"{names.our_layer(layer)}.{'down' if down else 'up'}", names.factor(layer, x, down), key)
        else:
            raise ValueError(f"{key!r} is no factor of a LoRA; give whole weights as the checkpoint itself")
    if len(adapters) > 1:
        raise ValueError(f"holds {len(adapters)} LoRAs, {', '.join(sorted(adapters))}; save one of them alone")
    ranks = {k.removesuffix(".down"): len(x) for k, x in factors.items() if k.endswith(".down")}
    if not factors:
        raise ValueError("holds no factor of a LoRA and no difference")
    scales: dict[str, float] = {}
    for theirs, ours in names.layers.items():
        if ours in ranks:
            scales[ours] = _scale(theirs, ranks[ours], alphas.pop(theirs, None), said)
    for theirs, bias in biases.items():  # the factor that goes up adds it after the product: scaled like that
        ours = names.our_layer(theirs)
        if ours not in scales:
            raise ValueError(f"{theirs!r} has the bias of a factor, but no factors: the LoRA was cut")
        change = f"{ours}.bias.diff"
        whole = names.laid(f"{theirs}.bias", scales[ours] * bias.float())
        factors[change] = factors[change].float() + whole if change in factors else whole
    if alphas:  # what is left belongs to no factors
        raise ValueError(f"{next(iter(alphas))!r} has an alpha, but no factors: the LoRA was cut")
    rank = max(ranks.values(), default=1)
    # One number for the config; layers with another keep their alpha.
    usual = Counter(scales.values()).most_common(1)[0][0] if scales else 1.0
    alone = {f"{k}.alpha": torch.tensor(s * ranks[k]) for k, s in scales.items() if s != usual}
    return Lora(factors | alone, LoraConfig(rank, usual * rank), left)


def _put(into: dict[str, Any], name: str, x: object, key: str) -> None:
    if name in into:
        raise ValueError(f"{key!r} is there twice, under two names; save the LoRA again")
    into[name] = x


def _scale(layer: str, rank: int, alpha: float | None, said: Mapping[str, Any]) -> float:
    """Return the factor on the product of a layer's two matrices."""
    if alpha is None:
        patterns = said.get("alpha_pattern") or {}
        try:
            if slow := [k for k in patterns if len(k) > 200 or re.search(r"\)[+*{]", k)]:
                raise ValueError(f"the pattern {slow[0]} repeats a group")  # which takes for ever on the right name
            # peft's patterns are regular expressions on the end of a layer's name.
            other = next((v for k, v in patterns.items() if re.search(rf"(^|\.){k}$", layer)), said.get("lora_alpha"))
            if other is None:
                return 1.0
            alpha = float(other)
        except (TypeError, AttributeError, ValueError, re.error) as e:
            raise ValueError(f"its settings say no number for alpha ({brief(str(e))})") from e
        if said.get("use_rslora"):  # peft: by the root of the rank
            return alpha / rank**0.5
    return alpha / rank


def _settings(file: Path, notes: Mapping[str, str]) -> Mapping[str, Any]:
    """Read peft's settings of a LoRA: ``adapter_config.json`` beside it, or the header where diffusers puts them."""
    beside = file.parent / "adapter_config.json"
    if beside.is_file():
        said = weight_files.read_json(beside)
    else:
        try:
            found = parse_json(notes.get("lora_adapter_metadata", "{}"))
        except ValueError:
            found = {}  # of no use, but no harm: alpha is the rank
        said = {k.removeprefix("transformer."): v for k, v in found.items()} if isinstance(found, dict) else {}
    if said.get("use_dora") or said.get("peft_type", "LORA") != "LORA":
        kind = "DoRA" if said.get("use_dora") else said["peft_type"]
        raise ValueError(f"its settings say that it is of the kind {kind}, which is not read; give a plain LoRA")
    return said


class _Names:
    """The layers and parameters of a transformer by all names that they go by. ``ours``: released name -> ours."""

    def __init__(self, config: DiTConfig) -> None:
        self.config, self.ours, self.shapes = config, official_names.names(config), official_names.shapes(config)
        self.layers = {
            k.removesuffix(".weight"): v.removesuffix(".weight")
            for k, v in self.ours.items()
            if k.endswith(".weight") and len(self.shapes[k]) > 1
        }
        modules = {k.rpartition(".")[0] for k in self.ours} | {k for k in self.ours if k.endswith("modulation")}
        self.modules: dict[str, str] = {}
        for module in sorted(modules):
            for spelled in {module, diffusers_names.to_diffusers(module)}:
                # kohya's names: which underscore was a dot is only known from the list of layers.
                for name in {spelled, spelled.replace(".", "_")}:
                    if self.modules.setdefault(name, module) != module:
                        raise ValueError(f"{name!r} may be two layers")  # no released transformer has such names
        self.modules |= {k.removesuffix(".0"): v for k, v in self.modules.items() if k.endswith("to_out.0")}

    def module(self, base: str, key: str) -> str:
        """The released name of a module or parameter; ``key`` is for messages."""
        found = self.modules.get(base) or self.modules.get(_FLAT.sub("", base).replace(".", "_"))
        if found is None:
            raise ValueError(f"{key!r} changes a layer that the transformer has not; the LoRA is of another transformer")
        return found

    def layer(self, base: str, key: str) -> str:
        """The released name of a linear layer."""
        found = self.module(base, key)
        if found not in self.layers:
            raise ValueError(f"{key!r}: {found} is no linear layer, so that it has no factors")
        return found

    def our_layer(self, layer: str) -> str:
        return self.layers[layer]

    def parameter(self, base: str, leaf: str, key: str) -> str:
        """The released name of the parameter that a difference changes."""
        found = self.module(base, key)
        name = found if found in self.ours else f"{found}.{leaf}"
        if name not in self.ours:
            raise ValueError(f"{key!r} changes {name!r}, which the transformer has not; the LoRA is of another transformer")
        return name

    def laid(self, parameter: str, x: Tensor) -> Tensor:
        """A difference of a released parameter in the order and shape of ours."""
        shape = self.shapes[parameter]
        if x.shape != shape and [n for n in x.shape if n > 1] != [n for n in shape if n > 1]:
            raise ValueError(f"the difference of {parameter!r} is {tuple(x.shape)} where the transformer has {tuple(shape)}")
        return official_names.laid(self.ours[parameter], x.reshape(shape), self.config)

    def factor(self, layer: str, x: Tensor, down: bool) -> Tensor:
        """A factor in the order of our layer: the patch is a convolution there, and the head has its rows in another order."""
        if x.ndim < 2:
            raise ValueError(f"a factor of {layer!r} must be a matrix, not {tuple(x.shape)}")
        # The head's output rows are in another order, its inputs are not.
        return x.flatten(1) if down else official_names.laid(f"{self.layers[layer]}.weight", x.flatten(1), self.config)
