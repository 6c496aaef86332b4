"""Networks that a user brings as a file: backbones of scores, as TorchScript, ONNX, safetensors of a known kind, or ``.pt2``.

A file of somebody else must not run code. ONNX is a graph of known operations. TorchScript is a program in a language of its own,
which Python's pickles are no part of, but whose ``torch.save`` writes files, even while it is loaded: so its source is read
first, and a file that names an operation on files, processes or networks is refused. A program of ``torch.export`` (``.pt2``)
holds pickles, and expressions that are run as Python: it is opened only where ``trust_code`` says that it may do what it likes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx.model.vision_encoders import vision_encoder
from dreamx.plaintext import cause

#: Operations of TorchScript that read or write files, by whatever way they are called.
_FILES = re.compile(r"\b(save|from_file\w*|load_tensor)\b")
#: Other libraries of operations than torch's own that only count: ``ops.NAMESPACE.NAME``.
_COUNTING = ("aten", "prim", "quantized", "_quantized", "torchvision")
_OPS = re.compile(r"\bops\s*\.\s*(\w+)")
#: Objects of C++ (process groups, sockets, compiled libraries); those of quantisation hold weights.
_OBJECTS = re.compile(r"torch\.classes\.(?!quantized\b)(\w+)")
_CODE_LIMIT = 64 * 2**20  # bytes of source: thousands of times what a backbone has


@lru_cache(maxsize=8)
def network(file: Path, trust_code: bool = False) -> Callable[..., Tensor]:
    """A network from its file, fed with pictures uint8 or float in 0 to 1.

    trust_code: open programs of ``torch.export``, too, which may run any code. ValueError, one sentence, where the file is no
    network, or may run code.
    """
    if file.suffix == ".onnx":
        run = _onnx(file)
    elif file.suffix == ".pt2":
        run = _exported(file, trust_code)
    elif file.suffix == ".safetensors":
        run = vision_encoder(file)
    else:
        run = _torchscript(file)

    def fed(*pictures: Tensor) -> Tensor:
        with torch.inference_mode():
            return run(*(p.float() / 255 if p.dtype == torch.uint8 else p for p in pictures))

    return fed


def _exported(file: Path, trust_code: bool) -> Callable[..., Tensor]:
    if not trust_code:
        raise ValueError(
            f"{file} is an exported program (.pt2), which may run any code when it is opened, so it was not; "
            "save the network as TorchScript or ONNX, or say trust_code where you made the file yourself"
        )
    try:
        return torch.export.load(file).module()
    except Exception as e:  # broken files break in many ways
        raise ValueError(f"{file} is no exported program ({cause(e)}); export it again") from e


def _onnx(file: Path) -> Callable[..., Tensor]:
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(f"{file} is ONNX, which needs the package onnxruntime: pip install onnxruntime") from None
    try:
        session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]
    except Exception as e:
        raise ValueError(f"{file} is no whole ONNX file ({cause(e)}); export it again") from e

    def run(*pictures: Tensor) -> Tensor:
        given = dict(zip(names, (p.numpy() for p in pictures), strict=True))
        return torch.from_numpy(session.run(None, given)[0])

    return run


def _torchscript(file: Path) -> Callable[..., Tensor]:
    said = f"{file} is no TorchScript"
    try:
        if file.read_bytes()[:4] != b"PK\x03\x04":
            raise ValueError("it does not begin as an archive")
        archive = torch._C.PyTorchFileReader(str(file))  # the reader that torch.jit.load has, so that both see the same
        names = [n for n in archive.get_all_records() if n.startswith("code/") or n in ("data.pkl", "constants.pkl")]
        if not any(n.endswith(".py") for n in names):
            raise ValueError("no code is in it")
        texts = {n: bytes(archive.get_record(n)) for n in names if not n.endswith(".debug_pkl")}
    except Exception as e:  # broken files break in many ways
        raise ValueError(f"{said} ({_first_line(e)}); save the network with torch.jit.save, or as ONNX") from e
    if sum(map(len, texts.values())) > _CODE_LIMIT:
        raise ValueError(f"{said} that is opened here: its code has more than {_CODE_LIMIT // 2**20} MB")
    for name, data in texts.items():
        if (bad := _forbidden(data.decode("latin-1"), name.endswith(".py"))) is not None:
            raise ValueError(f"{file} is TorchScript that names {bad}, which a backbone does not need, so it was not opened")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would rather have .pt2
            return torch.jit.load(file, map_location="cpu").eval()
    except Exception as e:
        raise ValueError(f"{said} ({_first_line(e)}); save the network with torch.jit.save, or as ONNX") from e


def _forbidden(text: str, source: bool) -> str | None:
    """The first thing that code of a backbone has no use for; of pickles (weights, constants) objects alone."""
    if found := _OBJECTS.search(text):
        return f"objects of torch.classes.{found[1]}"
    if not source:
        return None
    if found := _FILES.search(text):
        return repr(found[1])
    other = next((n for n in _OPS.findall(text) if n not in _COUNTING), None)
    return None if other is None else f"operations of {other!r}"


def _first_line(e: Exception) -> str:
    return cause(e)[:120]
