"""Files of tensors as other programs write them: safetensors, GGUF, torch's checkpoints, one or in shards; or a folder.

Nothing is read here but names and shapes: tensors are views of memory-mapped files, whose bytes come from disk when they are used
and need no memory of their own. A torch checkpoint is opened with ``weights_only=True``, so that it cannot run code.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import atomic, plaintext, tensor_file
from dreamx.checkpoints import gguf_file

#: Endings of torch's own checkpoints.
PICKLED = (".pth", ".pt", ".bin", ".ckpt")
#: Shards say how many they are.
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.(?:safetensors|pth|pt|bin|gguf))$")
_SMALL = 2**16  # numbers: scales and what says how a layer is stored are smaller, and read
_AGAIN = "copy or download it again"


def find(path: Path) -> Path:
    """The file in which the tensors of ``path`` are listed: itself, or in a folder its index or its only checkpoint.

    A folder in the diffusers layout has each network in a folder of its own: the transformer is meant where there is one, and
    else the only one that is there. ValueError, one sentence, where that does not name exactly one.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if path.is_file():
        return path
    if (path / "transformer").is_dir():
        path = path / "transformer"
    kinds = (
        ("*.safetensors.index.json",),
        ("*.safetensors",),
        ("*.gguf",),
        ("*.index.json",),
        tuple(f"*{end}" for end in PICKLED),
    )
    for patterns in kinds:
        found = sorted(p for pattern in patterns for p in path.glob(pattern) if p.is_file())
        if found and (len(found) == 1 or _SHARD.match(found[0].name)):
            return found[0]
        if found:
            raise ValueError(f"{path}: holds {', '.join(p.name for p in found)}; name the one to read")
    inside = [path / name for name in ("vae", "text_encoder") if (path / name).is_dir()]
    if len(inside) == 1:
        return find(inside[0])
    if inside:
        raise ValueError(f"{path}: holds {', '.join(p.name for p in inside)}; name the one to read")
    if any(path.glob("*.distcp")):
        raise ValueError(
            f"{path}: is a training state of torch.distributed; make one file of it with "
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE.pt"
        )
    kinds_of = f"no safetensors file in it, no GGUF and no {', '.join(PICKLED)}"
    raise ValueError(f"{path}: holds no checkpoint; there is {kinds_of}")


def read(path: Path, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Every tensor of a checkpoint as it is stored, memory-mapped; but blocks of GGUF are dequantised to ``dtype``.

    What a file is, is seen in its first bytes, whatever its ending. ValueError, one sentence, when one is missing, cut or no
    checkpoint.
    """
    return _joined(_parts(find(path)), dtype, False)


def look(path: Path) -> dict[str, Tensor]:
    """The names, shapes and dtypes of ``read`` at the price of the headers: large tensors are on torch's device ``meta``."""
    return {k: x if x.numel() < _SMALL else x.to("meta") for k, x in _joined(_parts(find(path)), None, True).items()}


def notes(path: Path) -> dict[str, str]:
    """Read the metadata in the headers of safetensors files; empty for other files."""
    said: dict[str, str] = {}
    for file in _parts(find(path)):
        if file.is_file() and _is_safetensors(_head(file)):
            with tensor_file.opened(file) as f:
                said |= f.metadata() or {}
    return said


def mapped(file: Path) -> dict[str, Tensor]:
    """Every tensor of one safetensors file. ValueError when it is not there or not whole."""
    if not file.is_file():
        raise ValueError(f"{file}: no such file; {_AGAIN}")
    try:
        return tensor_file.load(file)
    except Exception as e:
        raise ValueError(f"{file}: not a whole safetensors file ({_first_line(e)}); probably cut short: {_AGAIN}") from e


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object; ValueError when it is not there or is none."""
    try:
        found = plaintext.read_json(file)
    except FileNotFoundError as e:
        raise ValueError(f"{file}: no such file") from e
    except ValueError as e:  # not JSON, not even text
        raise ValueError(f"{e}; {_AGAIN}") from e
    if not isinstance(found, dict):
        raise ValueError(f"{file}: must hold a JSON object, not {type(found).__name__}")
    return found


def dtype_of(tensors: Mapping[str, Tensor]) -> torch.dtype:
    """The dtype of most of the numbers: repacks keep norms in float32, and the rest in 16 bits."""
    counts: Counter[torch.dtype] = Counter()
    for x in tensors.values():
        counts[x.dtype] += x.numel()
    return counts.most_common(1)[0][0]


def refuse_broken(name: str, x: Tensor, source: Tensor | None = None) -> None:
    """ValueError that names a tensor that holds NaN or infinity. ``source``: what it was before it was rounded to its dtype."""
    if bool(torch.isfinite(x).all()):
        return
    if source is not None and x.dtype != source.dtype and bool(torch.isfinite(source).all()):
        kind = str(x.dtype).removeprefix("torch.")
        raise ValueError(f"{name!r} has numbers too large for {kind}, so nothing was written; say bfloat16 or float32")
    raise ValueError(
        f"{name!r} holds NaN or infinity, so nothing was written; the source is broken: copy, download or train it again"
    )


def write(folder: Path, stem: str, tensors: Mapping[str, Tensor], dtype: torch.dtype | None, limit: int) -> None:
    """Write ``<stem>.safetensors``, or shards of at most ``limit`` bytes and their index; a cast needs the memory of a shard.

    ValueError when a tensor is NaN or infinite.
    """
    sizes = {k: x.numel() * (dtype or x.dtype).itemsize for k, x in tensors.items()}
    groups: list[list[str]] = [[]]
    room = limit
    for name, size in sizes.items():
        if groups[-1] and size > room:
            groups.append([])
            room = limit
        groups[-1].append(name)
        room -= size
    one = len(groups) == 1
    parts = [""] if one else [f"-{i:05}-of-{len(groups):05}" for i in range(1, len(groups) + 1)]
    files = [f"{stem}{part}.safetensors" for part in parts]
    for file, names in zip(files, groups, strict=True):
        shard = {k: tensors[k].detach().to("cpu", dtype).contiguous() for k in names}
        for name, x in shard.items():
            refuse_broken(name, x, tensors[name])
        with atomic.whole(folder / file) as temporary:
            save_file(shard, temporary, {"format": "pt"})
    if not one:
        places = {name: file for file, names in zip(files, groups, strict=True) for name in names}
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": places}
        atomic.write_json(folder / f"{stem}.safetensors.index.json", index)


def write_pickled(file: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> None:
    """Write torch's own format. Its writer takes whole storages, so that views are copied first: it needs memory for them all.

    ValueError when a tensor is NaN or infinite.
    """
    whole = {k: x.detach().to("cpu", dtype).contiguous() for k, x in tensors.items()}
    for name, x in whole.items():
        refuse_broken(name, x, tensors[name])
    whole = {k: x if x.untyped_storage().nbytes() == x.nbytes else x.clone() for k, x in whole.items()}
    with atomic.whole(file) as temporary:
        torch.save(whole, temporary)


def _parts(file: Path) -> dict[Path, set[str] | None]:
    """The files of a checkpoint, and the names wanted of each where an index says so."""
    if file.suffix == ".json":
        return _indexed(file)
    shard = _SHARD.match(file.name)
    if shard is None:
        return {file: None}
    numbers = range(1, int(shard[3]) + 1)
    return {file.parent / f"{shard[1]}-{n:05}-of-{shard[3]}{shard[4]}": None for n in numbers}


def _indexed(file: Path) -> dict[Path, set[str] | None]:
    places = read_json(file).get("weight_map")
    if not isinstance(places, dict) or not all(
        isinstance(s, str) and Path(s).name == s and len(s) < 250 and "\0" not in s for s in places.values()
    ):
        raise ValueError(f"{file}: has no weight_map of tensor names to file names beside it; {_AGAIN}")
    wanted: dict[Path, set[str] | None] = {}
    for name, shard in places.items():
        names = wanted.setdefault(file.parent / shard, set())
        assert names is not None
        names.add(name)
    return wanted


def _joined(wanted: Mapping[Path, set[str] | None], dtype: torch.dtype | None, look: bool) -> dict[str, Tensor]:
    """The tensors of all shards together; each must hold exactly the names wanted of it, where these are known."""
    gone = [p for p in wanted if not p.is_file()]
    if gone:
        more = f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
        raise ValueError(f"{gone[0]}{more}: this shard of {len(wanted)} is missing; {_AGAIN}")
    found: dict[str, Tensor] = {}
    for shard, names in wanted.items():
        tensors = _loaded(shard, dtype, look)
        odd = sorted(names ^ tensors.keys() if names is not None else found.keys() & tensors.keys())
        if odd:
            raise ValueError(f"{shard}: {odd[0]!r} is in the wrong shard, so this one is of another checkpoint; {_AGAIN}")
        found |= tensors
    return found


def _loaded(file: Path, dtype: torch.dtype | None, look: bool) -> dict[str, Tensor]:
    """One file by what it is, whatever its ending says."""
    head = _head(file)
    if head.startswith(gguf_file.MAGIC):
        return gguf_file.read(file, dtype, look)
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"{file}: is a pointer of Git LFS and not the weights; get them with git lfs pull, or download the file itself"
        )
    if re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        raise ValueError(
            f"{file}: is a web page and not weights; download the file itself, after signing in where that is asked for"
        )
    if head[257:262] == b"ustar":
        raise ValueError(f"{file}: is a tar archive; unpack it, and give the checkpoint that is in it")
    if head.startswith((b"PK\x03\x04", b"\x80\x02")) or (file.suffix in PICKLED and not _is_safetensors(head)):
        return _pickled(file, whole=head.startswith(b"\x80\x02") or file.suffix == ".safetensors")
    if file.suffix == ".gguf" and not _is_safetensors(head):
        raise ValueError(f"{file}: not a whole GGUF file (it does not begin as one); probably cut short: {_AGAIN}")
    return mapped(file)


def _head(file: Path) -> bytes:
    with file.open("rb") as f:
        return f.read(512)


def _is_safetensors(head: bytes) -> bool:
    """Is it a JSON header after its length, of 100 MB at most?"""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000


def _pickled(file: Path, whole: bool) -> dict[str, Tensor]:
    """A checkpoint of torch. ``whole``: not mapped but read, as those from before torch 1.6, and those under a wrong ending."""
    try:
        if whole:
            with file.open("rb") as f:  # of a path torch would believe the ending
                found = torch.load(f, map_location="cpu", weights_only=True)
        else:
            found = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except Exception as e:
        if "weights_only" in str(e).lower() or "unsupported" in str(e).lower():
            raise ValueError(
                f"{file}: holds more than tensors, which may run code when it is read, so it was not; save its state_dict alone"
            ) from e
        if "mmap can only" in str(e):
            raise ValueError(f"{file}: no torch checkpoint, or cut short: {_AGAIN}") from e
        raise ValueError(f"{file}: not a whole torch checkpoint ({_first_line(e)}); probably cut short: {_AGAIN}") from e
    return _flat(found, "")


def _flat(found: object, prefix: str) -> dict[str, Tensor]:
    """Tensors of nested dictionaries, by dotted names; steps, epochs and whatever else is no tensor are left behind."""
    if isinstance(found, Tensor):
        return {prefix[:-1]: found}
    flat: dict[str, Tensor] = {}
    if isinstance(found, Mapping):
        for key, value in found.items():
            flat |= _flat(value, f"{prefix}{key}.")
    return flat


def _first_line(e: Exception) -> str:
    return (str(e).splitlines() or [type(e).__name__])[0].split(". ")[0].rstrip(".")
