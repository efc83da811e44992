"""Batched text generation on a CPU: left padding done right, a KV cache, and rows that leave when they are finished.

Every notebook samples through this module; notebook 07 leans on it most, because PPO is only correct if the sampler
draws from exactly the distribution that the loss later scores. So there is no top-k, no top-p and no repetition
penalty (`transformers.generate` applies top_k=50 by default), and the random number that decides row i, token t
depends on (seed, i, t) and the limit of new tokens alone: the same seed gives the same text whatever the batch size.

GPT-2 has learned absolute positions and no padding token. Rows are therefore left-padded, with the mask made from the
lengths (never from `ids != pad`) and `position_ids` given explicitly; without them a padded row is read at shifted
positions. Sampling by inverse cumulative distribution is textbook; the cache is that of `transformers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from src.losses import token_logprobs
from src.runtime import autocast
from src.templates import encode_prompt

# Keys and values that are kept at a time: 128 rows in GPT-2's whole context would take nine times as many bytes
CACHE_BYTES = 2**30


@dataclass(frozen=True)
class Generation:
    """One response. `token_ids` and `logprobs` (nats) include the closing EOS when `ended`; `text` does not."""

    text: str
    token_ids: list[int]
    ended: bool
    logprobs: list[float]


@dataclass(frozen=True)
class SampledIds:
    """N sampled sequences as tensors: prompts left-padded to width P, responses right-padded to width T.

    ids [N, P+T] · prompt_width = P · prompt_lengths, response_lengths [N] (EOS counted) · ended [N] bool ·
    logprobs [N, T] under the sampling distribution, 0 beyond the end.
    """

    ids: torch.Tensor
    prompt_width: int
    prompt_lengths: torch.Tensor
    response_lengths: torch.Tensor
    ended: torch.Tensor
    logprobs: torch.Tensor

    def response(self, row: int) -> list[int]:
        """The tokens of one response, EOS included."""
        start = self.prompt_width
        return self.ids[row, start : start + int(self.response_lengths[row])].tolist()


def trunk_and_head(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The transformer without its LM head, and that head. LoRA layers live inside the trunk, so they stay active."""
    base = model if isinstance(model, PreTrainedModel) else model.get_base_model()
    return base.base_model, base.get_output_embeddings()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Dropout off inside the block; afterwards every module is in the mode it was in before."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def left_pad(rows: Sequence[Sequence[int]], fill: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Token rows -> (ids, mask), both [B, longest]. `fill` is arbitrary: only the mask says what is real."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[fill] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def positions_from_mask(mask: torch.Tensor) -> torch.Tensor:
    """Position of every token counted from the first real one: [B, L] -> [B, L]."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


class _RoomyLayer(DynamicLayer):
    """One layer's keys and values in buffers of full size: the library's own layer copies everything at each token."""

    def __init__(self, capacity: int):
        super().__init__()
        self.capacity, self.filled = capacity, 0

    def update(self, key_states, value_states, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            batch, heads, _, width = key_states.shape
            self.buffers = [key_states.new_empty(batch, heads, self.capacity, width) for _ in range(2)]
        start, self.filled = self.filled, self.filled + key_states.shape[2]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, start : self.filled] = states
        self.keys, self.values = (buffer[:, :, : self.filled] for buffer in self.buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.buffers = [buffer[indices] for buffer in self.buffers]
        self.keys, self.values = (buffer[:, :, : self.filled] for buffer in self.buffers)


def choose_tokens(logits: torch.Tensor, uniform: torch.Tensor | None) -> torch.Tensor:
    """logits [B, V] -> token ids [B]: greedy if `uniform` is None, else by inverse cumulative distribution.

    The cumulative sum is in double precision, so that a vocabulary of 50,257 keeps its rare tokens.
    """
    if uniform is None:
        return logits.argmax(-1)
    cdf = logits.softmax(-1).cumsum(-1, dtype=torch.float64)
    picked = torch.searchsorted(cdf, uniform[:, None] * cdf[:, -1:], right=True)[:, 0]
    return picked.clamp(max=logits.shape[-1] - 1)


def sample_ids(
    model: nn.Module,
    prompts_ids: Sequence[Sequence[int]],
    *,
    eos_token_id: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 128,
    first_row: int = 0,
    precision: str = "fp32",
) -> SampledIds:
    """Continue every prompt until EOS or `max_new_tokens`.

    `batch_size` rows at a time, or fewer where their keys and values would take more than CACHE_BYTES.
    `temperature` 0 is greedy, with log-probabilities at temperature 1; otherwise all logits are divided by it.
    `first_row` is the number of the first prompt where only a part of a batch is continued here. `precision` is that
    of the trunk (fp32, bf16 or auto); the head and the choice of a token are always in fp32.
    Raises ValueError for an empty prompt, a prompt that leaves no room in the context, or a bad setting;
    FloatingPointError if the model's logits are not finite.
    """
    if max_new_tokens < 1 or temperature < 0 or batch_size < 1:
        raise ValueError(
            f"need max_new_tokens >= 1, temperature >= 0, batch_size >= 1; "
            f"got {max_new_tokens}, {temperature}, {batch_size}"
        )
    if not prompts_ids:
        raise ValueError("no prompts to continue")
    trunk, head = trunk_and_head(model)
    room = trunk.config.max_position_embeddings - max_new_tokens
    for row, ids in enumerate(prompts_ids):
        if len(ids) == 0:
            raise ValueError(f"prompt {row} is empty: there is no token to continue from")
        if len(ids) > room:
            raise ValueError(
                f"prompt {row} has {len(ids)} tokens and {max_new_tokens} new ones are asked for, but the context "
                f"holds {room + max_new_tokens}: truncate the prompt from the left or lower max_new_tokens"
            )
    count, lengths = len(prompts_ids), torch.tensor([len(ids) for ids in prompts_ids], dtype=torch.long)
    width = int(lengths.max())
    all_ids = torch.zeros(count, width + max_new_tokens, dtype=torch.long)
    for row, ids in enumerate(prompts_ids):
        all_ids[row, width - len(ids) : width] = torch.tensor(list(ids))
    tokens, logprobs = all_ids[:, width:], torch.zeros(count, max_new_tokens)
    response_lengths = torch.zeros(count, dtype=torch.long)
    ended = torch.zeros(count, dtype=torch.bool)
    uniform = None
    if temperature > 0:
        generator = torch.Generator().manual_seed(seed)
        rows = first_row + count
        uniform = torch.rand(rows, max_new_tokens, generator=generator, dtype=torch.float64)[first_row:]

    # Rows of similar length share a batch: less padding. So do identical prompts: they are read once.
    by_length = torch.tensor(
        sorted(range(count), key=lambda row: (len(prompts_ids[row]), tuple(prompts_ids[row])))
    )
    # One autocast for all tokens: it rounds the weights once, and the head leaves it for its own product only.
    with evaluation_mode(model), torch.inference_mode(), autocast(precision):
        for rows in _batches(by_length, lengths + max_new_tokens, batch_size, trunk.config):
            # Prompts are read once each, then the cache is spread over the rows that share them.
            keys = [tuple(prompts_ids[row]) for row in rows]
            unique = {key: i for i, key in enumerate(dict.fromkeys(keys))}
            spread = torch.tensor([unique[key] for key in keys])
            ids, mask = left_pad(list(unique))
            capacity = ids.shape[1] + max_new_tokens
            cache = Cache(layers=[_RoomyLayer(capacity) for _ in range(trunk.config.num_hidden_layers)])
            out = trunk(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions_from_mask(mask),
                past_key_values=cache,
                use_cache=True,
            )
            if len(unique) < len(keys):
                cache.batch_select_indices(spread)
            hidden, mask = out.last_hidden_state[spread, -1], mask[spread]
            running = torch.ones(len(rows), dtype=torch.bool)
            for step in range(max_new_tokens):
                with torch.autocast("cpu", enabled=False):
                    logits = head(hidden.float()) / (temperature or 1.0)
                chosen = choose_tokens(logits, None if uniform is None else uniform[rows, step])
                logp = token_logprobs(logits, chosen)
                if not torch.isfinite(logp[running]).all():
                    raise FloatingPointError("the model's logits are not finite: its weights are broken")
                live = rows[running]
                tokens[live, step], logprobs[live, step] = chosen[running], logp[running]
                response_lengths[live] = step + 1
                ended[live] = chosen[running] == eos_token_id
                running = running & (chosen != eos_token_id)
                if not running.any() or step + 1 == max_new_tokens:
                    break
                # copying the cache pays once a quarter of the rows has gone
                if running.sum() <= 0.75 * len(rows):
                    keep = running.nonzero()[:, 0]
                    cache.batch_select_indices(keep)
                    rows, chosen, mask, running = rows[keep], chosen[keep], mask[keep], running[keep]
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
                out = trunk(
                    input_ids=chosen[:, None],
                    attention_mask=mask,
                    position_ids=(lengths[rows] + step)[:, None],
                    past_key_values=cache,
                    use_cache=True,
                )
                hidden = out.last_hidden_state[:, -1]
    used = int(response_lengths.max())
    return SampledIds(all_ids[:, : width + used], width, lengths, response_lengths, ended, logprobs[:, :used])


def _batches(order: torch.Tensor, lengths: torch.Tensor, size: int, config) -> Iterator[torch.Tensor]:
    """Rows in `order` (short ones first), `size` at a time or as many as keep their keys and values in CACHE_BYTES."""
    a_token = 2 * 4 * config.num_hidden_layers * config.hidden_size  # keys and values in fp32
    start = 0
    while start < len(order):
        rows = order[start : start + size]
        while len(rows) > 1 and len(rows) * int(lengths[rows[-1]]) * a_token > CACHE_BYTES:
            rows = rows[:-1]
        yield rows
        start += len(rows)


def join_samples(parts: Sequence[SampledIds]) -> SampledIds:
    """The parts of one batch as a whole, each padded to the widest prompt and the longest response."""
    width, tokens = max(p.prompt_width for p in parts), max(p.logprobs.shape[1] for p in parts)
    missing = [(width - p.prompt_width, tokens - p.logprobs.shape[1]) for p in parts]
    return SampledIds(
        torch.cat([F.pad(p.ids, sides) for p, sides in zip(parts, missing, strict=True)]),
        width,
        torch.cat([p.prompt_lengths for p in parts]),
        torch.cat([p.response_lengths for p in parts]),
        torch.cat([p.ended for p in parts]),
        torch.cat([F.pad(p.logprobs, (0, right)) for p, (_, right) in zip(parts, missing, strict=True)]),
    )


def decode_responses(tokenizer, sampled: SampledIds) -> list[str]:
    """Response texts without EOS, stripped of white space at both ends."""
    rows = [sampled.response(i) for i in range(len(sampled.response_lengths))]
    rows = [row[:-1] if ended else row for row, ended in zip(rows, sampled.ended.tolist(), strict=True)]
    return [text.strip() for text in tokenizer.batch_decode(rows, clean_up_tokenization_spaces=False)]


def generate(
    model: nn.Module,
    tokenizer,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    batch_size: int = 128,
) -> list[Generation]:
    """One response for each prompt, in order; see `sample_ids` for the settings and the errors."""
    if not prompts:
        return []
    sampled = sample_ids(
        model,
        [encode_prompt(tokenizer, prompt) for prompt in prompts],
        eos_token_id=tokenizer.eos_token_id,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        batch_size=batch_size,
    )
    return [
        Generation(
            text=text,
            token_ids=sampled.response(i),
            ended=bool(sampled.ended[i]),
            logprobs=sampled.logprobs[i, : int(sampled.response_lengths[i])].tolist(),
        )
        for i, text in enumerate(decode_responses(tokenizer, sampled))
    ]
