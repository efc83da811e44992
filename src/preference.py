"""The rivals that PPO is held against: best-of-n sampling and direct preference optimisation, by their distance.

Notebook 07 plots all of them over sqrt(KL from the SFT model), after Gao et al. (2022, arXiv 2210.10760). Best-of-n
needs no training: its KL has a known upper bound. DPO (Rafailov et al. 2023, arXiv 2305.18290) is TRL's `DPOTrainer`; the tokens it
sees are encoded here, so that the boundary between prompt and response is the same as everywhere else.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from datasets import Dataset
from peft import PeftModel
from torch import Tensor, nn
from transformers import PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer

from src.generation import SampledIds, evaluation_mode, sample_ids, trunk_and_head
from src.judge import Judge
from src.models import fresh_copy, merge_lora, quiet
from src.ppo import kl_estimates, logprobs_and_values
from src.reward_model import encode_pairs, similar_batches
from src.runtime import resolve_precision
from src.templates import encode_prompt

# --- Best-of-n -------------------------------------------------------------------------------------------------


def best_of_n_kl(n: int) -> float:
    """Upper bound, in nats per response, of KL(best-of-n || the sampled model): ln n - (n - 1) / n.

    Used as the KL itself since Stiennon et al. (2020, arXiv 2009.01325); Beirami et al. (2024, arXiv 2401.01879) show that it
    is a bound.
    """
    return math.log(n) - (n - 1) / n


def expected_best_of(scores: Tensor, k: int, values: Tensor | None = None) -> Tensor:
    """[P]: mean of `values` [P, n] (default: the scores) of the best-scored of k responses, over all k-subsets of the n.

    `scores` [P, n] are those of n sampled responses to each of P prompts; one pool answers for every k <= n. The same
    expectation as one draw of best-of-k, with far less noise: the response of rank i (1 = worst) is the best of k with
    probability C(i - 1, k - 1) / C(n, k). Raises ValueError for k outside 1 to n.
    """
    n = scores.shape[1]
    if not 1 <= k <= n:
        raise ValueError(f"k={k}, but the pool holds {n} responses a prompt")
    chance = torch.tensor([math.comb(i, k - 1) / math.comb(n, k) for i in range(n)], dtype=torch.float64)
    values = scores if values is None else values
    return (values.double().gather(1, scores.argsort(dim=1, stable=True)) * chance).sum(1).float()


# --- AI feedback -----------------------------------------------------------------------------------------------


def ai_feedback(judge: Judge, pairs: Sequence[Mapping[str, str]]) -> tuple[list[dict[str, str]], float]:
    """(the pairs with the answer that the judge prefers as `chosen`, share of pairs that changed sides).

    The labels that Constitutional AI trains its reward model on (Bai et al. 2022, arXiv 2212.08073): a model reads
    both answers instead of a person. Where the judge has no preference the pair stays as it is.
    """
    sides = ([pair[name] for pair in pairs] for name in ("prompt", "chosen", "rejected"))
    turned = judge.prefer_many(*sides) < 0.5
    labelled = [
        {**pair, "chosen": pair["rejected"], "rejected": pair["chosen"]} if turn else dict(pair)
        for pair, turn in zip(pairs, turned, strict=True)
    ]
    return labelled, float(turned.mean())


# --- Distance from the reference -------------------------------------------------------------------------------


class KLMeasurement(NamedTuple):
    """KL(policy || reference) in nats per response, by two estimators, each with its standard error, and the responses
    that it was measured on: all prompts once, then all of them again, `samples` times."""

    k1: float
    k1_error: float
    k3: float
    k3_error: float
    sampled: SampledIds


@torch.no_grad()
def kl_from_reference(
    policy: nn.Module,
    reference: nn.Module | None,
    tokenizer,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    samples: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 32,
    precision: str = "fp32",
) -> KLMeasurement:
    """Sample from the policy, `samples` responses a prompt, and sum the log-ratio over each response.

    `reference=None` with a PeftModel policy: its adapter switched off. Standard errors are over prompts. The same
    measure serves PPO, DPO and every other policy; only best-of-n has a formula instead. ValueError for < 2 prompts.
    """
    if len(prompts) < 2:
        raise ValueError("kl_from_reference needs at least two prompts for a standard error")
    if reference is None and not isinstance(policy, PeftModel):
        raise ValueError("reference=None needs a PeftModel policy, whose adapter can be switched off")
    sampled = sample_ids(
        policy,
        [encode_prompt(tokenizer, prompt) for prompt in prompts] * samples,
        eos_token_id=tokenizer.eos_token_id,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        batch_size=batch_size,
        precision=precision,
    )
    other = policy if reference is None else reference
    sums = []
    with evaluation_mode(policy), evaluation_mode(other):
        lengths = (sampled.prompt_lengths + sampled.response_lengths).tolist()
        width = trunk_and_head(policy)[0].config.hidden_size
        batches = [torch.tensor(rows) for rows in similar_batches(lengths, batch_size, width)]
        settings = {"temperature": temperature, "precision": precision}
        for rows in batches:
            own = logprobs_and_values(policy, sampled, rows, **settings).logprobs
            with policy.disable_adapter() if reference is None else nullcontext():
                ref = logprobs_and_values(other, sampled, rows, **settings).logprobs
            k = kl_estimates(own, ref)
            sums.append(torch.stack([k.k1.sum(1), k.k3.sum(1)]))
    by_row = torch.empty(2, len(lengths)).index_copy_(1, torch.cat(batches), torch.cat(sums, 1))
    per_prompt = by_row.view(2, samples, len(prompts)).mean(1)
    means = per_prompt.mean(1).tolist()
    errors = (per_prompt.std(1) / math.sqrt(len(prompts))).tolist()
    return KLMeasurement(means[0], errors[0], means[1], errors[1], sampled)


# --- Direct preference optimisation ----------------------------------------------------------------------------


@dataclass
class DPOSettings:
    """One run of DPO."""

    # strength of the implicit KL; comparable to PPO's kl_coef only if rewards share a scale
    beta: float = 0.1
    learning_rate: float = 1e-6
    epochs: float = 1
    batch_size: int = 8  # pairs per forward and backward pass
    gradient_accumulation_steps: int = 1
    learning_rate_schedule: str = "linear"  # constant, linear or cosine
    max_length: int = 512  # tokens of prompt + response + EOS
    max_grad_norm: float = 1.0
    precision: str = "auto"  # auto, fp32 or bf16
    seed: int = 0


@dataclass
class DPOResult:
    """`history`: one dict an optimiser step (step, loss, accuracy, margin, grad_norm, learning_rate), where accuracy
    and margin are those of the implicit reward; `dropped`: rows left out by reason; `pairs` used; `seconds`."""

    history: list[dict[str, float]]
    dropped: dict[str, list[int]]
    pairs: int
    seconds: float


class _EncodedDPOTrainer(DPOTrainer):
    """`DPOTrainer` on rows that are token ids already: tokenising the joined text could move the boundary."""

    def _prepare_dataset(self, dataset, processing_class, args, dataset_name):
        return dataset


class _Follow(TrainerCallback):
    def __init__(self, progress):
        self.progress = progress

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self.progress and "loss" in logs:
            self.progress(state.global_step, state.max_steps, f"loss {float(logs['loss']):.3f}")


def train_dpo(
    model: nn.Module,
    reference: nn.Module | None,
    tokenizer,
    pairs: Sequence[Mapping[str, str]],
    settings: DPOSettings,
    progress: Callable[[int, int, str], None] | None = None,
) -> DPOResult:
    """Train `model` in place on HH pairs (`chosen`, `rejected`); `reference=None` means the model as it comes in.

    TRL works on copies and only the weights come back: it leaves a patched `forward`, changed configs and training mode
    on whatever it touches, and it would load a missing reference from the path the model once came from.
    Raises the errors of `encode_pairs`, and FloatingPointError if the loss diverges (the model is then unchanged).
    """
    started = time.perf_counter()
    limit = min(settings.max_length, model.config.max_position_embeddings)
    encoded, dropped = encode_pairs(tokenizer, pairs, limit)
    rows = [{"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected} for p in encoded]
    policy, frozen = fresh_copy(model), model if reference is None else reference
    # TRL cannot put its fused LM head on a reference that is a PeftModel
    frozen = merge_lora(frozen) if isinstance(frozen, PeftModel) else fresh_copy(frozen)
    with tempfile.TemporaryDirectory() as folder, quiet():
        trainer = _EncodedDPOTrainer(
            model=policy,
            ref_model=frozen.requires_grad_(False),
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(rows),
            callbacks=[_Follow(progress)],
            args=DPOConfig(
                output_dir=folder,
                beta=settings.beta,
                learning_rate=settings.learning_rate,
                lr_scheduler_type=settings.learning_rate_schedule,
                num_train_epochs=settings.epochs,
                per_device_train_batch_size=settings.batch_size,
                gradient_accumulation_steps=settings.gradient_accumulation_steps,
                max_grad_norm=settings.max_grad_norm,
                max_length=None,
                seed=settings.seed,
                use_cpu=True,
                bf16=resolve_precision(settings.precision) == "bf16",
                activation_checkpointing=False,
                disable_dropout=True,
                logging_steps=1,
                logging_nan_inf_filter=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    history = [
        {
            "step": row["step"],
            "loss": float(row["loss"]),
            "accuracy": float(row["rewards/accuracies"]),
            "margin": float(row["rewards/margins"]),
            "grad_norm": float(row["grad_norm"]),
            "learning_rate": float(row["learning_rate"]),
        }
        for row in trainer.state.log_history
        if "loss" in row
    ]
    broken = [row["step"] for row in history if not math.isfinite(row["loss"] + row["grad_norm"])]
    if broken:
        raise FloatingPointError(
            f"DPO diverged at step {broken[0]}; the model is unchanged. Lower learning_rate."
        )
    trained = dict(policy.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(trained[name])
    model.eval()
    return DPOResult(history, dropped, len(encoded), time.perf_counter() - started)
