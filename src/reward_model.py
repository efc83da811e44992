"""A reward model: GPT-2 with one number as output, trained on pairs of a better and a worse answer.

Notebook 07 trains one and hands it to PPO. Pairwise loss after Ouyang et al. (2022, arXiv 2203.02155); the score is
shifted and scaled to mean 0, standard deviation 1 on answers of the SFT model and then frozen (Ziegler et al. 2019,
arXiv 1909.08593), so that PPO's kl_coef keeps one meaning.

The score is read at the last *real* token, found by length. Rows are padded on the right, so `hidden[:, -1]` would read
padding in every row but the longest; and GPT-2 has no pad token, so looking for the last id that is not pad would stop
one token before the EOS. Prompt and response are encoded by `src.templates` here, in PPO and in SFT alike.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from src.distributed import add_gradients, gathered, is_main, own_share, written_once
from src.losses import ranking_loss, token_logprobs
from src.models import attention_for, fresh_copy, load_model, merge_lora, put_in_place, reading
from src.runtime import autocast, naming_a_full_disk
from src.sft import GroupedSampler
from src.templates import encode_response, split_dialogue, truncate_dialogue, truncate_pair

WIDEST_STATES = 2**21  # hidden states of one layer, rows x tokens x width, that are read at a time
LOGPROB_FLOOR = -10.0  # nats; lower is simply "unexpected", and one rare word must not decide the score
WEIGHTS, SETTINGS = "model.safetensors", "reward_model.json"


class GPT2RewardModel(nn.Module):
    """score = gain * (w . h_last + c [+ a * mean log p + b * min log p]) + bias, one number a row.

    `trunk` is a model folder, or a causal LM or bare trunk, of which a copy is made. With `logprob_features` the score
    also sees how likely the response's tokens are under this model's own trunk with the tied LM head (clamped at
    -10 nats; a and b start at 0): what a small model knows shows in its log-probabilities before it shows in h_last.
    It is partly a reward for confidence, so compare with the plain form. gain and bias are 1 and 0 until
    `fit_normaliser`. Raises ValueError for log-probability features on a model whose LM head is not tied.
    """

    def __init__(
        self,
        trunk: str | Path | nn.Module,
        *,
        logprob_features: bool = False,
        max_length: int | None = None,
        seed: int = 0,
    ):
        super().__init__()
        model = load_model(trunk) if isinstance(trunk, (str, Path)) else trunk
        model = merge_lora(model) if isinstance(model, PeftModel) else fresh_copy(model)
        self.trunk = model.base_model.requires_grad_(True)
        config = self.trunk.config
        if logprob_features and not config.tie_word_embeddings:
            raise ValueError("logprob_features needs a model whose LM head is tied to its embedding")
        config.pad_token_id = None  # padding is known by length; the library would otherwise warn about it
        self.logprob_features = logprob_features
        # tokens; longer prompts lose their beginning
        self.max_length = max_length or config.max_position_embeddings
        self.reward_head = nn.Linear(config.hidden_size, 1)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(
            self.reward_head.weight, std=1 / math.sqrt(config.hidden_size + 1), generator=generator
        )
        nn.init.zeros_(self.reward_head.bias)
        if logprob_features:
            self.logprob_weights = nn.Parameter(torch.zeros(2))
        self.register_buffer("gain", torch.ones(()))
        self.register_buffer("bias", torch.zeros(()))
        self.eval()

    def forward(
        self,
        input_ids: Tensor,
        lengths: Tensor,
        prompt_lengths: Tensor | None = None,
        precision: str = "fp32",
    ) -> Tensor:
        """input_ids [B, L] padded on the right, lengths [B] and prompt_lengths [B] in tokens -> scores [B], fp32.

        Under causal attention no real token sees the padding behind it, so no attention mask is needed.
        """
        with autocast(precision):
            hidden = self.trunk(input_ids=input_ids, use_cache=False).last_hidden_state
        return self.read(hidden.float(), input_ids, lengths, prompt_lengths)

    def read(
        self, hidden: Tensor, input_ids: Tensor, lengths: Tensor, prompt_lengths: Tensor | None = None
    ) -> Tensor:
        """Scores [B] from the trunk's hidden states [B, L, d] of such rows."""
        rows = torch.arange(len(lengths))
        raw = self.reward_head(hidden[rows, lengths - 1])[:, 0]
        if self.logprob_features:
            if prompt_lengths is None:
                raise ValueError("logprob_features needs prompt_lengths to know where the response begins")
            raw = (
                raw
                + self._logprob_statistics(hidden, input_ids, lengths, prompt_lengths) @ self.logprob_weights
            )
        return self.gain * raw + self.bias

    def _logprob_statistics(
        self, hidden: Tensor, ids: Tensor, lengths: Tensor, prompt_lengths: Tensor
    ) -> Tensor:
        """[B, 2]: mean and minimum of log p over the response's tokens, EOS included."""
        column = torch.arange(1, ids.shape[1])
        # [B, L-1], by target position
        response = (column >= prompt_lengths[:, None]) & (column < lengths[:, None])
        logits = F.linear(hidden[:, :-1][response], self.trunk.get_input_embeddings().weight)
        logp = token_logprobs(logits, ids[:, 1:][response]).clamp(min=LOGPROB_FLOOR)
        grid = logp.new_zeros(response.shape).masked_scatter(response, logp)
        mean = grid.sum(1) / (lengths - prompt_lengths)
        return torch.stack([mean, grid.masked_fill(~response, torch.inf).amin(1)], 1)

    @torch.no_grad()
    def fit_normaliser(self, scores: Tensor | Sequence[float]) -> None:
        """Freeze gain and bias so that `scores`, as this model gave them, would have had mean 0, standard deviation 1.

        The ranking does not change. Raises ValueError for fewer than two, non-finite or all-equal scores.
        """
        scores = torch.as_tensor(scores).float()
        if len(scores) < 2 or not torch.isfinite(scores).all() or scores.std() < 1e-8:
            raise ValueError("fit_normaliser needs at least two finite scores that are not all equal")
        mean, std = scores.mean(), scores.std(unbiased=False)
        self.bias.copy_((self.bias - mean) / std)
        self.gain.div_(std)

    @written_once
    def save(self, folder: str | Path) -> Path:
        """Safetensors and JSON; `folder` holds its old content or the new one, never a mixture."""
        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            with naming_a_full_disk(folder):
                self.trunk.config.save_pretrained(temporary)
                save_file({k: v.contiguous() for k, v in self.state_dict().items()}, temporary / WEIGHTS)
                options = {"logprob_features": self.logprob_features, "max_length": self.max_length}
                (temporary / SETTINGS).write_text(json.dumps(options, indent=2) + "\n")
            temporary.chmod(0o755)
            put_in_place(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> GPT2RewardModel:
        """The model that `save` wrote. Raises FileNotFoundError if `folder` holds none, ModelError if it is damaged."""
        folder = Path(folder)
        if not (folder / SETTINGS).is_file():
            raise FileNotFoundError(
                f"no reward model in {str(folder)!r} (looked for {SETTINGS}); train it first"
            )
        with reading(str(folder)):
            options = json.loads((folder / SETTINGS).read_text())
            config = AutoConfig.from_pretrained(folder)
            trunk = AutoModel.from_config(config, attn_implementation=attention_for(config))
            model = cls(trunk, **options)
            model.load_state_dict(load_file(folder / WEIGHTS))
        return model


# --- Data ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EncodedPair:
    """Token ids; prompt + response never exceed max_length, and both responses follow the very same prompt."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    row: int


def encode_pairs(
    tokenizer, pairs: Sequence[Mapping[str, str]], max_length: int
) -> tuple[list[EncodedPair], dict[str, list[int]]]:
    """HH dialogues (`chosen`, `rejected`), or a `prompt` with two bare answers -> (pairs, rows left out by reason).

    Prompts are cut from the left, by turns.

    Left out, and counted: pairs with different prompts, with identical responses, or with a response that leaves no room
    for a prompt. Raises ValueError or TypeError for a row that is no dialogue, and if no pair remains.
    """
    encoded, dropped = [], {"different prompts": [], "identical": [], "too long": []}
    for row, pair in enumerate(pairs):
        missing = {"chosen", "rejected"} - set(pair)
        if missing:
            raise ValueError(
                f"pair {row} has no {' and no '.join(sorted(missing))} (columns: {sorted(pair)})"
            )
        if "prompt" in pair:
            prompt = other = pair["prompt"]
            chosen, rejected = pair["chosen"], pair["rejected"]
        else:
            prompt, chosen = split_dialogue(pair["chosen"], f"pair {row}, chosen")
            other, rejected = split_dialogue(pair["rejected"], f"pair {row}, rejected")
        chosen_ids, rejected_ids = encode_response(tokenizer, chosen), encode_response(tokenizer, rejected)
        if prompt != other:
            dropped["different prompts"].append(row)
        elif chosen_ids == rejected_ids:
            dropped["identical"].append(row)
        else:
            try:
                prompt_ids = truncate_pair(
                    tokenizer, prompt, chosen_ids, rejected_ids, max_length, f"pair {row}"
                )
            except ValueError:
                dropped["too long"].append(row)
            else:
                encoded.append(EncodedPair(prompt_ids, chosen_ids, rejected_ids, row))
    if not encoded:
        counts = ", ".join(f"{len(rows)} {reason}" for reason, rows in dropped.items())
        raise ValueError(f"no usable pair among {len(pairs)} ({counts})")
    return encoded, dropped


def shuffled_labels(pairs: Sequence[Mapping[str, str]], seed: int = 0) -> list[dict[str, str]]:
    """The control: chosen and rejected swapped in half of the pairs. A model trained on it must end at 50 % held out."""
    rng = random.Random(seed)
    flips = [i < len(pairs) // 2 for i in range(len(pairs))]
    rng.shuffle(flips)
    return [
        {**pair, "chosen": pair["rejected"], "rejected": pair["chosen"]} if flip else dict(pair)
        for pair, flip in zip(pairs, flips, strict=True)
    ]


def _forward(model: GPT2RewardModel, rows: Sequence[tuple[list[int], list[int]]], precision: str) -> Tensor:
    """Scores [B] of (prompt, response) token rows: the path that evaluation and PPO share."""
    lengths = torch.tensor([len(prompt) + len(response) for prompt, response in rows])
    width = int(lengths.max())
    ids = torch.tensor([p + r + [0] * (width - len(p) - len(r)) for p, r in rows])
    return model(ids, lengths, torch.tensor([len(prompt) for prompt, _ in rows]), precision)


def score_pairs(
    model: GPT2RewardModel, pairs: Sequence[EncodedPair], precision: str = "fp32"
) -> tuple[Tensor, Tensor]:
    """Scores [B] of the chosen and of the rejected answers, the same as of two separate rows for little more than half of
    their tokens: prompt, chosen and rejected answer stand in one row, so the prompt is read once. The rejected answer takes
    the positions after the prompt and does not see the chosen one.
    """
    prompt, chosen, rejected = (
        torch.tensor([len(getattr(pair, part)) for pair in pairs])
        for part in ("prompt", "chosen", "rejected")
    )
    width = int((prompt + chosen + rejected).max())
    rows = [pair.prompt + pair.chosen + pair.rejected for pair in pairs]
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    column = torch.arange(width)
    second = column >= (prompt + chosen)[:, None]  # [B, L]: the rejected answer, and the padding behind it
    first = (column >= prompt[:, None]) & ~second
    positions = column - chosen[:, None] * second
    visible = column <= column[:, None]  # [query, key]
    visible = visible & ~(second[:, :, None] & first[:, None, :])
    config = model.trunk.config
    # adds the mask to the attention weights; the fused kernel takes it as it is
    if config._attn_implementation == "eager":
        visible = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)
    with autocast(precision):
        # only padding can lie beyond
        hidden = model.trunk(
            input_ids=ids,
            attention_mask=visible[:, None],
            position_ids=positions.clamp(max=config.max_position_embeddings - 1),
            use_cache=False,
        ).last_hidden_state.float()

    # as rows of prompt + this answer, which begins `gap` columns late
    def of(answer: Tensor, gap: Tensor) -> Tensor:
        here = torch.arange(int((prompt + answer).max()))
        place = (here + gap[:, None] * (here >= prompt[:, None])).clamp(max=width - 1)
        states = hidden.gather(1, place[..., None].expand(-1, -1, hidden.shape[-1]))
        return model.read(states, ids.gather(1, place), prompt + answer, prompt)

    return of(chosen, torch.zeros_like(chosen)), of(rejected, chosen)


# --- Training --------------------------------------------------------------------------------------------------


@dataclass
class RewardSettings:
    """One training run of a reward model."""

    # of the trunk, falling linearly to 0; 1e-5 to 2e-5 for GPT-2 small, 2e-4 for the lab model
    learning_rate: float = 1e-5
    head_lr_multiplier: float = 3.0  # the head starts from noise
    logprob_lr_multiplier: float = 200.0  # a and b start at 0 and have far to go
    epochs: int = 1  # a second pass overfits
    batch_size: int = 32  # pairs per optimiser step
    micro_batch_size: int = 16  # pairs per forward pass: sets memory, not the result
    margin: float = 0.0  # the chosen answer must lead by this much
    centre: float = 0.0  # weight of (r_chosen + r_rejected)^2, which keeps scores near 0
    max_length: int = 512  # tokens of prompt + response + EOS
    max_grad_norm: float = 1.0
    adam_eps: float = 1e-5
    precision: str = "auto"  # auto, fp32 or bf16, for the trunk's matrix products
    seed: int = 0


@dataclass
class RewardResult:
    """`history`: one dict an optimiser step (step, loss, accuracy, margin, grad_norm, learning_rate); `dropped`: rows
    left out by reason; `pairs`, `tokens` (prompt and both answers, without padding) and `seconds` of the whole run."""

    history: list[dict[str, float]]
    dropped: dict[str, list[int]]
    pairs: int
    tokens: int
    seconds: float = 0.0
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        self.steps = len(self.history)


def train_reward_model(
    model: GPT2RewardModel,
    tokenizer,
    pairs: Sequence[Mapping[str, str]],
    settings: RewardSettings,
    progress: Callable[[int, int, str], None] | None = None,
) -> RewardResult:
    """Train in place on HH pairs with the pairwise ranking loss; dropout stays off (eval mode has gradients too).

    Raises ValueError for pairs that are no dialogues, FloatingPointError before a step with a non-finite loss.
    """
    started = time.perf_counter()
    model.max_length = min(settings.max_length, model.trunk.config.max_position_embeddings)
    encoded, dropped = encode_pairs(tokenizer, pairs, model.max_length)
    lengths = [len(p.prompt) + len(p.chosen) + len(p.rejected) for p in encoded]
    sampler = GroupedSampler(lengths, settings.batch_size, settings.seed)
    total = settings.epochs * math.ceil(len(encoded) / settings.batch_size)
    rates = {
        "trunk": 1.0,
        "reward_head": settings.head_lr_multiplier,
        "logprob_weights": settings.logprob_lr_multiplier,
    }
    groups = [
        {
            "params": [p for n, p in model.named_parameters() if n.startswith(name)],
            "lr": settings.learning_rate * rate,
        }
        for name, rate in rates.items()
        if name != "logprob_weights" or model.logprob_features
    ]
    optimizer = torch.optim.AdamW(groups, eps=settings.adam_eps, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: (total - done) / total)
    model.eval()
    history = []
    for _ in range(settings.epochs):
        order = list(sampler)
        for start in range(0, len(order), settings.batch_size):
            batch = [encoded[i] for i in order[start : start + settings.batch_size]]
            loss, margins = _ranking_step(model, batch, settings)
            norm = nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            if not (math.isfinite(loss) and torch.isfinite(norm)):
                optimizer.zero_grad()
                raise FloatingPointError(
                    f"reward model, step {len(history) + 1}: loss {loss}, gradient norm {norm.item()}; "
                    "the weights are as before the step. Lower learning_rate."
                )
            history.append(
                {
                    "step": len(history) + 1,
                    "loss": loss,
                    "accuracy": accuracy(margins),
                    "margin": margins.mean().item(),
                    "grad_norm": norm.item(),
                    "learning_rate": schedule.get_last_lr()[0],
                }
            )
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            if progress and is_main():
                row = history[-1]
                progress(row["step"], total, f"loss {row['loss']:.3f} · accuracy {row['accuracy']:.0%}")
    tokens = settings.epochs * sum(len(p.prompt) + len(p.chosen) + len(p.rejected) for p in encoded)
    return RewardResult(history, dropped, len(encoded), tokens, time.perf_counter() - started)


def _ranking_step(
    model: GPT2RewardModel, batch: list[EncodedPair], settings: RewardSettings
) -> tuple[float, Tensor]:
    """Gradient of the mean loss over `batch`, in pieces of similar length."""
    batch = sorted(batch, key=lambda p: len(p.prompt) + len(p.chosen) + len(p.rejected))
    own, total, margins = own_share(batch), 0.0, []
    for start in range(0, len(own), settings.micro_batch_size):
        piece = own[start : start + settings.micro_batch_size]
        chosen, rejected = score_pairs(model, piece, settings.precision)
        loss = ranking_loss(chosen, rejected, settings.margin, settings.centre) * (len(piece) / len(batch))
        loss.backward()
        total += loss.item()
        margins.append((chosen - rejected).detach())
    add_gradients(model.parameters())
    return sum(gathered([total])), torch.cat(gathered(margins))


# --- Scoring ---------------------------------------------------------------------------------------------------


def score(
    model: GPT2RewardModel,
    tokenizer,
    prompts: Sequence[str],
    responses: Sequence[str],
    batch_size: int = 64,
    precision: str = "fp32",
) -> Tensor:
    """Scores [N] of responses, each closed by EOS as in training: a response that was cut is scored as a cut answer.

    Prompts beyond the model's max_length lose their beginning, by turns. Raises ValueError naming a row that cannot fit.
    """
    rows = []
    for i, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        ids = encode_response(tokenizer, response)
        rows.append((truncate_dialogue(tokenizer, prompt, ids, model.max_length, f"response {i}"), ids))
    return score_ids(model, rows, batch_size, precision)


@torch.no_grad()
def score_ids(
    model: GPT2RewardModel,
    rows: Sequence[tuple[list[int], list[int]]],
    batch_size: int = 64,
    precision: str = "fp32",
) -> Tensor:
    """Scores [N] of (prompt, response) token rows, in batches of similar length."""
    model.eval()
    scores = torch.zeros(len(rows))
    lengths = [len(prompt) + len(response) for prompt, response in rows]
    for picked in similar_batches(lengths, batch_size, model.trunk.config.hidden_size):
        scores[picked] = _forward(model, [rows[i] for i in picked], precision)
    return scores


def similar_batches(lengths: Sequence[int], size: int, hidden_size: int) -> Iterator[list[int]]:
    """Row numbers, short rows first, at most `size` of them a batch, and fewer where rows are long: a CPU reads
    WIDEST_STATES numbers no faster with more beside them, and few rows differ less in length, so they carry less padding
    (120 real dialogues for GPT-2: 1.1 times their tokens instead of 1.9).
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    while order:
        fit = 1
        while fit < min(size, len(order)) and (fit + 1) * lengths[order[fit]] * hidden_size <= WIDEST_STATES:
            fit += 1
        yield order[:fit]
        order = order[fit:]


def reward_function(
    model: GPT2RewardModel, tokenizer, batch_size: int = 64, precision: str = "fp32"
) -> Callable[[list[str], list[str], list[bool]], Tensor]:
    """The reward model as PPO and best-of-n call it: fn(prompts, responses, ended) -> scores [N].

    `ended` is not used here: what a missing EOS costs is PPO's `missing_eos_penalty`, in one place only.
    """
    return lambda prompts, responses, ended: score(
        model, tokenizer, prompts, responses, batch_size, precision
    )


# --- Evaluation ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RewardEvaluation:
    """Held-out results. `margins` = chosen - rejected, in the order of `rows`; lengths are response tokens with EOS."""

    rows: list[int]
    chosen: Tensor
    rejected: Tensor
    chosen_lengths: Tensor
    rejected_lengths: Tensor
    dropped: dict[str, list[int]]

    @property
    def margins(self) -> Tensor:
        return self.chosen - self.rejected

    def summary(self) -> dict[str, float]:
        """Accuracy with its 95 % interval, loss, mean scores, and how much of it length alone explains."""
        low, high = wilson_interval(accuracy(self.margins), len(self.margins))
        scores = torch.cat([self.chosen, self.rejected])
        lengths = torch.cat([self.chosen_lengths, self.rejected_lengths]).float()
        difference = (self.chosen_lengths - self.rejected_lengths).float()
        return {
            "pairs": len(self.margins),
            "accuracy": accuracy(self.margins),
            "accuracy_low": low,
            "accuracy_high": high,
            "loss": ranking_loss(self.chosen, self.rejected).item(),
            "score_chosen": self.chosen.mean().item(),
            "score_rejected": self.rejected.mean().item(),
            "margin": self.margins.mean().item(),
            "longer_wins_accuracy": accuracy(difference),
            "length_correlation": correlation(scores, lengths),
            "length_correlation_within_prompt": correlation(self.margins, difference),
        }


def evaluate_reward_model(
    model: GPT2RewardModel,
    tokenizer,
    pairs: Sequence[Mapping[str, str]],
    batch_size: int = 64,
    precision: str = "fp32",
) -> RewardEvaluation:
    """Score held-out HH pairs; same errors as `encode_pairs`."""
    encoded, dropped = encode_pairs(tokenizer, pairs, model.max_length)
    rows = [(p.prompt, p.chosen) for p in encoded] + [(p.prompt, p.rejected) for p in encoded]
    chosen, rejected = score_ids(model, rows, batch_size, precision).chunk(2)
    return RewardEvaluation(
        [p.row for p in encoded],
        chosen,
        rejected,
        torch.tensor([len(p.chosen) for p in encoded]),
        torch.tensor([len(p.rejected) for p in encoded]),
        dropped,
    )


def accuracy(margins: Tensor) -> float:
    """Share of positive margins; a tie counts one half. With lengths in place of scores: the "longer wins" rule."""
    return ((margins > 0).float() + 0.5 * (margins == 0).float()).mean().item()


def wilson_interval(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share observed on `count` independent cases (Wilson 1927), stays within [0, 1]."""
    scale = 1 + z**2 / count
    centre = (share + z**2 / (2 * count)) / scale
    spread = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2) / scale
    return max(0.0, min(share, centre - spread)), min(1.0, max(share, centre + spread))


def reliability_curve(margins: Tensor, bins: int = 5) -> list[dict[str, float]]:
    """Predicted against observed: sigmoid(|margin|) is the stated probability of being right. Calibrated: the diagonal."""
    groups = [g for g in margins[margins.abs().argsort()].tensor_split(bins) if len(g)]
    rows = []
    for group in groups:
        low, high = wilson_interval(accuracy(group), len(group))
        stated = group.abs().sigmoid().mean().item()
        rows.append(
            {"predicted": stated, "observed": accuracy(group), "low": low, "high": high, "count": len(group)}
        )
    return rows


def correlation(x: Tensor, y: Tensor) -> float:
    """Pearson's r; 0 if either does not vary."""
    if x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x.numpy(), y.numpy())[0, 1])


def degenerate_probes(
    model: GPT2RewardModel, tokenizer, prompts: Sequence[str], responses: Sequence[str], batch_size: int = 64
) -> dict[str, float]:
    """Mean score of answers that no sound reward model likes, beside the real `responses`: where PPO may go astray."""
    probes = {
        "real": list(responses),
        "empty": [""] * len(prompts),
        "first word repeated": [" ".join((text.split() or ["the"])[:1] * 12) for text in responses],
        "repeated three times": [" ".join([text] * 3) for text in responses],
        "thanks thanks …": [" ".join(["thanks"] * 12)] * len(prompts),
        "first half": [" ".join(text.split()[: len(text.split()) // 2]) for text in responses],
        "another prompt's": [*responses[1:], *responses[:1]],
    }
    return {
        name: score(model, tokenizer, prompts, texts, batch_size).mean().item()
        for name, texts in probes.items()
    }
