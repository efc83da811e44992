"""Four-bit weights for GPT-2 on a CPU: NF4 with double quantisation, and LoRA on top. Notebook 03 leans on it.

QLoRA (Dettmers et al. 2023, arXiv 2305.14314) keeps the frozen base in four bits and trains low-rank adapters through it:

    code book   16 quantiles of a normal distribution, since trained weights are roughly normal (`nf4_code_book`)
    blocks      64 weights share one scale, their largest magnitude, so an outlier spoils only its own block
    double      the scales themselves become 8-bit integers, in blocks of 256, after their mean is subtracted
    compute     a layer is dequantised when it is used, forward and backward; in between only codes stay in memory

Left out on purpose: paged optimisers and fused kernels (a GPU's concerns), and the paper's 8-bit *floats* for the scales
(plain integers are simpler and here more exact). GPT-2's `Conv1D` holds its weight as [in, out] and computes x W + b; quantisers
made for `nn.Linear` skip it, and PEFT cannot wrap our layer, so the adapters are ours too (`LoRAConv1D`).
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from src.models import LORA_TARGETS, ModelError, fresh_copy

BLOCK = 64  # weights that share a scale
SCALE_BLOCK = 256  # scales that share a second-level scale


# --- Numbers ---------------------------------------------------------------------------------------------------


def nf4_code_book() -> Tensor:
    """The 16 NormalFloat values, ascending, fp32 [16]: normal quantiles scaled to [-1, 1], with an exact 0.

    Eight positive quantiles, seven negative ones and zero (arXiv 2305.14314, section 3 and appendix E). The outermost
    probability is the paper's 1 - (1/32 + 1/30) / 2: half a code's share of the probability, averaged over a side of 16
    and a side of 15.
    """
    outermost = 1 - (1 / 32 + 1 / 30) / 2

    # quantiles of probabilities from `outermost` down to, but not including, 1/2
    def side(
        count: int,
    ) -> list[float]:
        step = (outermost - 0.5) / count
        return [NormalDist().inv_cdf(outermost - k * step) for k in range(count)]

    values = torch.tensor([-q for q in side(7)] + [0.0] + side(8)[::-1], dtype=torch.float64)
    return (values / values.max()).float()


CODE_BOOK = nf4_code_book()


class Int8(NamedTuple):
    """`codes` int8 [numel], `scales` fp32 [blocks]: value = code / 127 · scale of its block."""

    codes: Tensor
    scales: Tensor
    block: int


class NF4(NamedTuple):
    """A matrix in four bits. `codes` uint8 [numel / 2], two a byte, the first in the high half; `scales` fp32 [blocks],
    or with double quantisation their Int8 form around `mean`; `code_book` fp32 [16]; `shape` of the matrix.
    """

    codes: Tensor
    scales: Tensor | Int8
    mean: Tensor
    code_book: Tensor
    shape: tuple[int, ...]


def quantize_int8(values: Tensor, block: int = BLOCK) -> Int8:
    """Absmax quantisation: each block is scaled so that its largest magnitude becomes ±127, then rounded."""
    rows = _blocks(_finite(values), block)
    scales = rows.abs().amax(1)
    codes = (rows / _never_zero(scales)[:, None] * 127).round().to(torch.int8)
    return Int8(codes.flatten()[: values.numel()], scales, block)


def dequantize_int8(q: Int8) -> Tensor:
    """fp32 values [numel], each within scale / 254 of the original."""
    rows = _blocks(q.codes, q.block) / 127 * q.scales[:, None]
    return rows.flatten()[: q.codes.numel()]


def quantize_nf4(weight: Tensor, double: bool = True, code_book: Tensor = CODE_BOOK) -> NF4:
    """Round every weight to the nearest of the 16 codes times its block's largest magnitude.

    Blocks of 64 run over the matrix in memory order (as in bitsandbytes). `double` also quantises the scales.
    Any other ascending `code_book` of 16 values in [-1, 1] may be given. Raises ValueError for weights that are not finite.
    """
    rows = _blocks(_finite(weight), BLOCK)
    scales = rows.abs().amax(1)
    borders = (code_book[1:] + code_book[:-1]) / 2  # nearest code = number of midpoints below the value
    codes = torch.bucketize(rows / _never_zero(scales)[:, None], borders).flatten()[: weight.numel()]
    mean = scales.mean() if double else torch.zeros(())
    stored = quantize_int8(scales - mean, SCALE_BLOCK) if double else scales
    return NF4(pack(codes), stored, mean, code_book, tuple(weight.shape))


def dequantize_nf4(q: NF4) -> Tensor:
    """The fp32 matrix that the codes stand for. Without double quantisation the error of a weight is at most half the
    widest gap between codes (0.152) times its block's scale; double quantisation adds at most the scale's own error."""
    scales = dequantize_int8(q.scales) + q.mean if isinstance(q.scales, Int8) else q.scales
    rows = _blocks(unpack(q.codes, q.code_book), BLOCK) * scales[:, None]
    return rows.flatten()[: math.prod(q.shape)].view(q.shape)


def pack(codes: Tensor) -> Tensor:
    """Two four-bit codes a byte, the first in the high half: integers [n] -> uint8 [ceil(n / 2)]."""
    pairs = F.pad(codes.to(torch.uint8), (0, codes.numel() % 2)).view(-1, 2)
    return (pairs[:, 0] << 4) | pairs[:, 1]


def unpack(packed: Tensor, code_book: Tensor) -> Tensor:
    """The values of packed codes: uint8 [n] -> fp32 [2n]. A table of all 256 bytes decodes two codes in one look-up."""
    table = torch.cartesian_prod(code_book, code_book)  # row 16 a + b holds (value of a, value of b)
    pairs = table.view(torch.int64).flatten()  # a pair moves as one 64-bit word: four times as fast
    return pairs.index_select(0, packed.int()).view(torch.float32)


def _blocks(values: Tensor, block: int) -> Tensor:
    """[numel] -> [blocks, block] in memory order, the last block filled up with zeros."""
    flat = values.detach().flatten()
    return F.pad(flat, (0, -flat.numel() % block)).view(-1, block)


def _finite(values: Tensor) -> Tensor:
    if bad := int((~values.isfinite()).sum()):
        raise ValueError(f"{bad} values are not finite: they cannot be quantised")
    return values.float()


def _never_zero(scales: Tensor) -> Tensor:
    # a block of zeros has scale 0; its codes are 0 anyway
    return scales.clamp_min(torch.finfo(torch.float32).tiny)


# --- Layers ----------------------------------------------------------------------------------------------------


class _FrozenMatMul(torch.autograd.Function):
    """x W for a quantised W that does not train. Autograd keeps the codes; the dense W exists only inside each call."""

    @staticmethod
    def forward(ctx, x: Tensor, dequantize: Callable[[], Tensor]) -> Tensor:
        ctx.dequantize = dequantize
        return x @ dequantize().to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return grad @ ctx.dequantize().to(grad.dtype).T, None


class NF4Conv1D(nn.Module):
    """GPT-2's `Conv1D` (y = x W + b, W [in, out]) with W frozen in NF4; the codes are buffers, so they are saved and copied."""

    def __init__(self, conv: Conv1D, double: bool = True):
        super().__init__()
        self.nx, self.nf = conv.weight.shape
        q = quantize_nf4(conv.weight, double)
        scale_codes, scales = (q.scales.codes, q.scales.scales) if double else (None, q.scales)
        self.register_buffer("codes", q.codes)
        self.register_buffer("scale_codes", scale_codes)  # None without double quantisation
        self.register_buffer("scales", scales)
        self.register_buffer("scale_mean", q.mean)
        self.bias = nn.Parameter(conv.bias.detach().clone(), requires_grad=False)

    def dequantized(self) -> Tensor:
        """The weight as the layer computes with it: fp32 [in, out]."""
        double = self.scale_codes is not None
        scales = Int8(self.scale_codes, self.scales, SCALE_BLOCK) if double else self.scales
        return dequantize_nf4(NF4(self.codes, scales, self.scale_mean, CODE_BOOK, (self.nx, self.nf)))

    def forward(self, x: Tensor) -> Tensor:
        y = _FrozenMatMul.apply(x, self.dequantized)
        return y + self.bias.to(y.dtype)  # under autocast y is bf16, as a Conv1D's would be


class LoRAConv1D(nn.Module):
    """y = layer(x) + (alpha / r) · x A B around a frozen `NF4Conv1D` or `Conv1D` (Hu et al. 2021, arXiv 2106.09685).

    A [in, r] is uniform in ±1/sqrt(in), as in PEFT; B [r, out] is zero, so a fresh adapter changes nothing.
    """

    def __init__(self, layer: NF4Conv1D | Conv1D, r: int, alpha: float, dropout: float = 0.0):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.nf, self.scaling = layer.nf, alpha / r
        self.dropout = nn.Dropout(dropout)
        self.A = nn.Parameter(torch.empty(layer.nx, r).uniform_(-(layer.nx**-0.5), layer.nx**-0.5))
        self.B = nn.Parameter(torch.zeros(r, layer.nf))

    def update(self) -> Tensor:
        """What the adapter adds to the weight: fp32 [in, out]."""
        return self.scaling * self.A.detach() @ self.B.detach()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.scaling * (self.dropout(x) @ self.A @ self.B)


# --- Models ----------------------------------------------------------------------------------------------------


def quantize_model(model: PreTrainedModel, double: bool = True) -> PreTrainedModel:
    """Put every `Conv1D` of `model` into NF4, in place, and freeze the rest; embeddings, norms and biases stay fp32."""
    for name, conv in _named(model, Conv1D):
        try:
            model.set_submodule(name, NF4Conv1D(conv, double))
        except ValueError as error:
            raise ModelError(f"Cannot quantise {name}: {error}") from error
    return model.requires_grad_(False).eval()


def attach_adapters(
    model: PreTrainedModel,
    r: int = 16,
    alpha: float = 32,
    dropout: float = 0.0,
    target_modules: Sequence[str] | None = None,
) -> PreTrainedModel:
    """`models.attach_lora` for a quantised model: in place, same meaning of the arguments, everything else frozen.

    A name in `target_modules` hits every layer whose last part it is: `c_proj` is the attention's and the MLP's.
    """
    targets = tuple(target_modules or LORA_TARGETS["gpt2"])
    layers = [
        (name, layer)
        for name, layer in _named(model, NF4Conv1D)
        if any(name == target or name.endswith(f".{target}") for target in targets)
    ]
    if not layers:
        raise ModelError(f"No quantised layer is called {' or '.join(targets)}; set target_modules.")
    model.requires_grad_(False)
    for name, layer in layers:
        model.set_submodule(name, LoRAConv1D(layer, r, alpha, dropout))
    return model.eval()


def merge_adapters(model: PreTrainedModel, base: PreTrainedModel | None = None) -> PreTrainedModel:
    """A plain fp32 model with the adapters inside its weights; `model` stays as it is.

    Without `base` the adapters are added to the dequantised weights, which is the function that was trained. With `base`,
    the model before quantisation, they are added to its full-precision weights, without the rounding error they grew up with.
    """
    model = fresh_copy(model)
    origin = dict(base.named_modules()) if base is not None else {}
    for name, wrapped in [*_named(model, LoRAConv1D), *_named(model, NF4Conv1D, needed=False)]:
        if name.endswith(".layer"):
            continue  # the inside of a LoRAConv1D, replaced with it
        layer = wrapped.layer if isinstance(wrapped, LoRAConv1D) else wrapped
        conv = Conv1D(layer.nf, layer.nx)
        weight = origin[name].weight.detach() if origin else layer.dequantized()
        conv.weight.data = weight + (wrapped.update() if wrapped is not layer else 0.0)
        conv.bias.data = layer.bias.detach().clone()
        model.set_submodule(name, conv)
    return model.requires_grad_(True).eval()


def rounded_copy(model: PreTrainedModel, round_trip: Callable[[Tensor], Tensor]) -> PreTrainedModel:
    """A plain copy whose Conv1D weights W are `round_trip(W)`: what a number format does to a model, without its layers."""
    twin = fresh_copy(model)
    for _, conv in _named(twin, Conv1D):
        conv.weight.data = round_trip(conv.weight).view_as(conv.weight)
    return twin


def _named(model: nn.Module, kind: type, needed: bool = True) -> list[tuple[str, Any]]:
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, kind)]
    if needed and not found:
        raise ModelError(
            f"{type(model).__name__} has no {kind.__name__} layer: this works on GPT-2's layers only."
        )
    return found


# --- Memory ----------------------------------------------------------------------------------------------------


def stored_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers as they are stored now, shared tensors once."""
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values())


def memory_report(model: PreTrainedModel) -> list[dict[str, Any]]:
    """Bytes by part in four formats, from shapes alone, so that a plain model on the "meta" device will do.

    Rows: "matrices" (all Conv1D weights), "embeddings" (the tied head once), "norms and biases", "all". Columns: part,
    parameters, and bytes as fp32, int8 (blocks of 64), nf4 (fp32 scales) and nf4_double. Only the matrices are quantised.
    """
    matrices = [conv.weight for _, conv in _named(model, Conv1D)]
    embeddings = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    known = {id(t) for t in (*matrices, *embeddings)}
    rest = [p for p in model.parameters() if id(p) not in known]
    rows = []
    for part, tensors in (("matrices", matrices), ("embeddings", embeddings), ("norms and biases", rest)):
        sizes = [t.numel() for t in tensors]
        row = {"part": part, "parameters": sum(sizes), "fp32": 4 * sum(sizes)}
        for name, count in (("int8", _int8_bytes), ("nf4", _nf4_bytes), ("nf4_double", _nf4_double_bytes)):
            row[name] = sum(map(count, sizes)) if part == "matrices" else row["fp32"]
        rows.append(row)
    return [*rows, {"part": "all"} | {k: sum(row[k] for row in rows) for k in rows[0] if k != "part"}]


def _int8_bytes(numel: int, block: int = BLOCK) -> int:
    return numel + 4 * math.ceil(numel / block)


def _nf4_bytes(numel: int) -> int:
    return math.ceil(numel / 2) + 4 * math.ceil(numel / BLOCK) + 4  # + the mean of the scales, here 0


def _nf4_double_bytes(numel: int) -> int:
    return math.ceil(numel / 2) + _int8_bytes(math.ceil(numel / BLOCK), SCALE_BLOCK) + 4  # + the mean
