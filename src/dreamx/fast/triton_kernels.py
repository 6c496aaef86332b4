"""The kernels of ``fused_kernels`` themselves; importing this needs Triton. A program computes one row of tokens, in float32."""

# Triton reads these functions' source: no annotations but its own, and names as its language has them.
# pyright: basic, reportMissingImports=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false
import triton
import triton.language as tl


@triton.jit
def modulate(x, shift, scale, out, width, each, eps, BLOCK: tl.constexpr):
    """``each``: tokens of a frame."""
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < width
    v = tl.load(x + row * width + at, mask=inside, other=0.0).to(tl.float32)
    mean = tl.sum(v, 0) / width
    away = tl.where(inside, v - mean, 0.0)
    even = away / tl.sqrt(tl.sum(away * away, 0) / width + eps)
    frame = (row // each) * width + at
    a = tl.load(shift + frame, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(scale + frame, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + at, (a + even * (1 + b)).to(out.dtype.element_ty), mask=inside)


@triton.jit
def norm_rope(x, weight, turns, out, width, dim, eps, BLOCK: tl.constexpr):
    """``turns``: cosine and sine of each pair of a head's ``dim`` channels. BLOCK: pairs of a row."""
    row = tl.program_id(0)
    pair = tl.arange(0, BLOCK)
    inside = pair < width // 2
    first = row * width + 2 * pair
    a = tl.load(x + first, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(x + first + 1, mask=inside, other=0.0).to(tl.float32)
    size = 1 / tl.sqrt(tl.sum(a * a + b * b, 0) / width + eps)
    a = a * size * tl.load(weight + 2 * pair, mask=inside, other=0.0).to(tl.float32)
    b = b * size * tl.load(weight + 2 * pair + 1, mask=inside, other=0.0).to(tl.float32)
    turn = row * dim + 2 * (pair % (dim // 2))
    cos = tl.load(turns + turn, mask=inside, other=0.0)
    sin = tl.load(turns + turn + 1, mask=inside, other=0.0)
    tl.store(out + first, (a * cos - b * sin).to(out.dtype.element_ty), mask=inside)
    tl.store(out + first + 1, (a * sin + b * cos).to(out.dtype.element_ty), mask=inside)


@triton.jit
def add_gated(x, y, gate, out, width, each, BLOCK: tl.constexpr):
    """``each``: tokens of a frame."""
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < width
    v = tl.load(x + row * width + at, mask=inside, other=0.0).to(tl.float32)
    w = tl.load(y + row * width + at, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(gate + (row // each) * width + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + at, (v + w * g).to(out.dtype.element_ty), mask=inside)
