"""Why fine-tuning did what it did: gradients, weights and distributions, each held against a control.

Notebook 05 leans on all of it. Four questions:
- do different templates pull the weights apart? gradient cosines (Yu et al. 2020, "Gradient Surgery"),
  against the same comparison within one template;
- where did the weights move? relative drift by layer;
- where did the predictions move? KL(model || base) token by token over the full vocabulary, and how strange
  the training text was to the base in the first place;
- does LoRA move them in the same directions? effective rank (Roy & Vetterli 2007) and subspace overlap (Hu et
  al. 2021, section 7).

A learning-rate sweep is a loop over configs and lives in the notebook, where `run.cached` keeps its results.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from src.generation import evaluation_mode, trunk_and_head
from src.losses import chunked_sft_loss, kl_divergence
from src.metrics import (
    Difference,
    Interval,
    bootstrap_interval,
    check_fits,
    padded_batches,
    percentile_bounds,
    perplexity,
    prompt_response_rows,
    right_padded,
)
from src.templates import IGNORE, build_prompt, encode_example

SKETCH = 2**20  # longest gradient that `template_interference` keeps as it is


def layer_of(name: str) -> str:
    """The layer that a parameter belongs to: "embeddings", "block 00" …, "final norm" or "head"."""
    if number := re.search(r"\.(\d+)\.", name):
        return f"block {int(number[1]):02d}"
    if re.search(r"wte|wpe|embed", name):
        return "embeddings"
    return "final norm" if re.search(r"ln_f|norm", name) else "head"


# ---------------------------------------------------------------- gradients


def gradient(model, tokenizer, examples: Sequence[tuple[str, str]], *, batch_size: int = 8) -> torch.Tensor:
    """Gradient of the SFT loss (mean over response tokens) of `(prompt, response)` examples, dropout off.

    One flat fp32 vector over the parameters that train, in their order. The model is left as it was: no `.grad` is
    written. Raises ValueError without examples and for a model of which nothing trains.
    """
    if not examples:
        raise ValueError("examples is empty: there is no loss to differentiate")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        raise ValueError("no parameter of the model trains: call model.requires_grad_(True), or attach LoRA")
    rows = [encode_example(tokenizer, prompt, response) for prompt, response in examples]
    for number, (ids, _) in enumerate(rows):
        check_fits(model, ids, number)
    tokens = sum(label != IGNORE for _, labels in rows for label in labels)
    trunk, head = trunk_and_head(model)
    total = torch.zeros(sum(weight.numel() for weight in weights))
    places = total.split([weight.numel() for weight in weights])  # views: a sum needs no second copy
    with evaluation_mode(model), torch.enable_grad():
        for batch in padded_batches([len(ids) for ids, _ in rows], batch_size, model.config.vocab_size):
            ids, mask = right_padded([rows[row][0] for row in batch])
            labels = right_padded([rows[row][1] for row in batch])[0].masked_fill(mask == 0, IGNORE)
            hidden = trunk(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            loss = chunked_sft_loss(hidden, head.weight, labels, num_items=tokens).total
            parts = torch.autograd.grad(loss, weights, allow_unused=True)
            for place, part in zip(places, parts, strict=True):
                if part is not None:
                    place += part.flatten()
    return total


def sketcher(length: int, seed: int = 0) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from vectors of this length to shorter ones with the same inner products, up to errors of about
    1 / sqrt(SKETCH) = 0.001.

    Count sketch (Charikar et al. 2002): every coordinate gets a random sign and a random one of SKETCH sums. They are
    drawn once, as small integers, and applied piece by piece: a gradient of GPT-2 is half a gigabyte by itself.
    """
    if length <= SKETCH:
        return lambda vector: vector
    generator = torch.Generator().manual_seed(seed)
    place = torch.empty(length, dtype=torch.int32).random_(SKETCH, generator=generator)
    sign = torch.empty(length, dtype=torch.int8).random_(2, generator=generator).mul_(2).sub_(1)

    def sketch(vector: torch.Tensor) -> torch.Tensor:
        short = torch.zeros(SKETCH)
        for part, at, turned in zip(*(x.split(SKETCH) for x in (vector, place, sign)), strict=True):
            short.index_add_(0, at, part * turned)
        return short

    return sketch


@dataclass(frozen=True)
class Interference:
    """Mean gradient cosines with 95 % intervals over blocks of rows; see `template_interference`.

    `difference` is across_templates - control: "lower" means that a step on one template helps another less than its
    own (dilution); interference is `across_templates` below 0, where it harms. `corrected` = across_templates /
    control removes the noise of finite blocks: 1 = the templates pull in one direction, nan = the control is not
    clearly above 0. `matrix[i, j]` is the mean cosine of templates i and j on different rows.
    """

    control: Interval
    across_templates: Interval
    same_rows: Interval
    difference: Difference
    corrected: Interval
    matrix: np.ndarray
    templates: list[str]


def template_interference(
    model,
    tokenizer,
    rows: Sequence[Mapping[str, str]],
    templates: Sequence[str],
    *,
    blocks: int = 8,
    n: int = 2000,
    seed: int = 0,
    batch_size: int = 8,
) -> Interference:
    """Do templates pull the weights in different directions? `rows`: instruction, input (optional), output.

    Rows are dealt at random into `blocks` equal blocks, and every block gets a gradient under every template.
    - across_templates: cosine of block b under template t with block c under template u, b != c, t != u;
    - control: the same with t = u: what other rows of the same kind do by themselves, at the same block size;
    - same_rows: block b under t with block b under u; shares its rows, so its own control is 1 by definition.
      The first two differ in nothing but the template, so their difference is what templates do. Intervals
      resample blocks (pairs of a block with itself left out). Gradients of over a million weights are
      compared by a sketch.
    Raises ValueError for fewer than 2 templates or 3 blocks, or too few rows for the blocks.
    """
    if len(templates) < 2 or blocks < 3:
        raise ValueError(f"need at least 2 templates and 3 blocks, got {len(templates)} and {blocks}")
    if len(rows) < blocks:
        raise ValueError(
            f"{len(rows)} rows cannot fill {blocks} blocks: give more rows or ask for fewer blocks"
        )
    dealt = np.array_split(np.random.default_rng(seed).permutation(len(rows)), blocks)
    units, sketch = [], None
    for template in templates:
        for block in dealt:
            examples = [
                (
                    build_prompt(rows[i]["instruction"], rows[i].get("input") or "", template),
                    rows[i]["output"],
                )
                for i in block
            ]
            vector = gradient(model, tokenizer, examples, batch_size=batch_size)
            sketch = sketch or sketcher(len(vector))
            vector = sketch(vector)
            units.append(vector / vector.norm())
    stacked = torch.stack(units)
    k = len(templates)
    cosine = (stacked @ stacked.T).double().numpy().reshape(k, blocks, k, blocks).transpose(0, 2, 1, 3)
    same_template = np.eye(k, dtype=bool)
    control, across = cosine[same_template].mean(0), cosine[~same_template].mean(0)  # (blocks, blocks)
    same_rows = across.diagonal()

    weights = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=n)
    weights = np.vstack([np.ones(blocks), weights[(weights > 0).sum(1) > 1]])  # first row: the data itself
    pair = weights[:, :, None] * weights[:, None, :] * (1 - np.eye(blocks))
    pair /= pair.sum((1, 2), keepdims=True)

    def interval(draws: np.ndarray) -> Interval:
        low, high = percentile_bounds(draws[1:], blocks)
        return Interval(float(low), float(draws[0]), float(high))

    control_draws, across_draws = (np.einsum("nbc,bc->n", pair, part) for part in (control, across))
    gap = interval(across_draws - control_draws)
    verdict = "higher" if gap.low > 0 else "lower" if gap.high < 0 else "not distinguishable"
    corrected = Interval(np.nan, np.nan, np.nan)
    if (found := interval(control_draws)).low > 0:
        corrected = interval(across_draws / control_draws)
    return Interference(
        control=found,
        across_templates=interval(across_draws),
        same_rows=interval(weights @ same_rows / weights.sum(1)),
        difference=Difference(gap.value, gap.low, gap.high, verdict),
        corrected=corrected,
        matrix=np.einsum("bc,tubc->tu", pair[0], cosine),
        templates=list(templates),
    )


# ---------------------------------------------------------------- weights


def _paired_parameters(model, base) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    first, second = dict(model.named_parameters()), dict(base.named_parameters())
    if odd := sorted(first.keys() ^ second.keys()):
        raise ValueError(
            f"the two models do not have the same parameters (first difference: {odd[0]}): merge LoRA "
            "adapters into the model first, and compare models of one architecture"
        )
    for name, weight in first.items():
        if weight.shape != second[name].shape:
            raise ValueError(f"{name} has shape {tuple(weight.shape)} against {tuple(second[name].shape)}")
    return [(name, first[name].detach().float(), second[name].detach().float()) for name in first]


def weight_drift(model, base) -> dict[str, dict[str, float]]:
    """How far each layer moved: `relative` = ||W - W_base|| / ||W_base||, `absolute` = ||W - W_base||.

    Norms are L2 over all weights of a layer (see `layer_of`); the last row, "all", is the whole model.
    Raises ValueError for models whose weights have other names or shapes.
    """
    sums: dict[str, np.ndarray] = {}
    for name, weight, origin in _paired_parameters(model, base):
        moved, size = (weight - origin).double().square().sum().item(), origin.double().square().sum().item()
        for layer in (layer_of(name), "all"):
            sums[layer] = sums.get(layer, np.zeros(3)) + (moved, size, weight.numel())
    sums["all"] = sums.pop("all")
    return {
        layer: {
            "relative": float(np.sqrt(moved / size)) if size else float("inf" if moved else 0.0),
            "absolute": float(np.sqrt(moved)),
            "parameters": int(count),
        }
        for layer, (moved, size, count) in sums.items()
    }


def weight_updates(model, base) -> dict[str, torch.Tensor]:
    """`W - W_base` of every matrix inside the blocks, by parameter name: what `effective_rank` looks at.

    Raises ValueError for models whose weights have other names or shapes.
    """
    return {
        name: weight - origin
        for name, weight, origin in _paired_parameters(model, base)
        if weight.ndim == 2 and layer_of(name).startswith("block")
    }


def effective_rank(delta: torch.Tensor) -> float:
    """exp(entropy of the normalised singular values), Roy & Vetterli 2007: r for r equal directions."""
    values = torch.linalg.svdvals(delta.double())
    if values.sum() == 0:
        return 0.0
    share = values[values > 0] / values.sum()
    return float(torch.exp(-(share * share.log()).sum()))


def subspace_overlap(delta_full: torch.Tensor, delta_lora: torch.Tensor, rank: int) -> float:
    """Share, in [0, 1], of one update's top-`rank` left singular directions that lies in the other's.

    phi = ||U_full^T U_lora||_F^2 / rank (Hu et al. 2021, eq. 4). Two unrelated updates of d rows give rank /
    d.
    """
    if delta_full.shape != delta_lora.shape or not 1 <= rank <= min(delta_full.shape):
        raise ValueError(
            f"need two updates of one shape and 1 <= rank <= {min(delta_full.shape)}, got "
            f"{tuple(delta_full.shape)}, {tuple(delta_lora.shape)}, rank {rank}"
        )
    full, lora = (
        torch.linalg.svd(d.double(), full_matrices=False)[0][:, :rank] for d in (delta_full, delta_lora)
    )
    return float((full.T @ lora).square().sum() / rank)


# ---------------------------------------------------------------- distributions


@dataclass(frozen=True)
class TokenKL:
    """KL(model || base) in nats at every predicted token: arrays and token ids, one of each per text."""

    value: float  # mean over all tokens
    kl_per_token: list[np.ndarray]
    token_ids: list[list[int]]

    def interval(self, n: int = 2000, seed: int = 0) -> Interval:
        """95 % interval of the mean per token, whole texts resampled."""
        sums = np.array([[kl.sum(), kl.size] for kl in self.kl_per_token])
        return bootstrap_interval(sums, _ratio, n=n, seed=seed)


def _ratio(sums: np.ndarray, axis: int) -> np.ndarray:
    total = sums.sum(axis=axis)
    return total[..., 0] / total[..., 1]


def kl_from_base(
    model, base, tokenizer, texts: Sequence[str] | Sequence[tuple[str, str]], *, batch_size: int = 8
) -> TokenKL:
    """How far predictions moved: KL(model || base) over the full vocabulary before every token of `texts`.

    A text is a string (all tokens but the first count) or a (prompt, response) pair (the response and its EOS
    count). Nothing is sampled: the sum over the vocabulary is exact at each position.
    Raises ValueError without texts, and for one of fewer than two tokens.
    """
    if not texts:
        raise ValueError("texts is empty: there is nothing to compare the models on")
    rows = []
    for number, text in enumerate(texts):
        if isinstance(text, str):
            ids, start = tokenizer(text, add_special_tokens=False)["input_ids"], 1
        else:
            ids, start = prompt_response_rows(tokenizer, [text[0]], [text[1]])[0]
        if len(ids) <= start:
            raise ValueError(f"text {number} ({text[:40]!r}) has {len(ids)} tokens: at least two are needed")
        check_fits(model, ids, number)
        rows.append((ids, start))
    found: list[np.ndarray] = [np.empty(0)] * len(rows)
    lengths = [len(ids) for ids, _ in rows]
    with evaluation_mode(model), evaluation_mode(base), torch.inference_mode():
        # about four copies live
        for batch in padded_batches(lengths, batch_size, 4 * model.config.vocab_size):
            ids, mask = right_padded([rows[row][0] for row in batch])
            inputs = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
            kl = kl_divergence(model(**inputs).logits, base(**inputs).logits)
            for place, row in enumerate(batch):
                kept = kl[place, rows[row][1] - 1 : lengths[row] - 1]
                found[row] = kept.clamp(min=0).double().numpy()  # rounding can make a zero slightly negative
    value = float(np.concatenate(found).mean())
    return TokenKL(value, found, [ids[start:] for ids, start in rows])


@dataclass(frozen=True)
class Strangeness:
    """How a source of text looks to the base model: nats per token, with the spread over tokens."""

    mean: Interval  # mean nats per token, texts resampled
    perplexity: float
    quantiles: dict[float, float]  # of the nats of single tokens
    nll: np.ndarray  # every token, for a histogram


def distribution_shift(
    base, tokenizer, sources: Mapping[str, Sequence[str]], *, batch_size: int = 16, seed: int = 0
) -> dict[str, Strangeness]:
    """How strange each source is to `base`, token by token; `sources`: name -> at least two texts."""
    table = {}
    for name, texts in sources.items():
        if len(texts) < 2:
            raise ValueError(f"source {name!r} has {len(texts)} texts: an interval needs at least two")
        read = perplexity(base, tokenizer, texts, batch_size=batch_size)
        nll = np.concatenate(read.nll_per_token)
        sums = np.array([[part.sum(), part.size] for part in read.nll_per_token])
        levels = (0.1, 0.25, 0.5, 0.75, 0.9)
        table[name] = Strangeness(
            mean=bootstrap_interval(sums, _ratio, seed=seed),
            perplexity=read.value,
            quantiles=dict(zip(levels, np.quantile(nll, levels).tolist(), strict=True)),
            nll=nll,
        )
    return table
