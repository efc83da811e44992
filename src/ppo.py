"""Proximal policy optimisation for a language model, written to be read.

Notebook 07 leans on it. PPO after Schulman et al. (2017, arXiv 1707.06347) with generalised advantage estimation
(arXiv 1506.02438) and a KL penalty to the SFT model as in Ziegler et al. (2019, arXiv 1909.08593) and Ouyang et al.
(2022, arXiv 2203.02155). One step: sample responses, score them, turn score and KL penalty into advantages, improve the
clipped objective for a few epochs.

Shapes: B responses, T response tokens (padded on the right), V vocabulary, d width. Token t of a response is predicted
from the column before it. The score sits on the last token (EOS, or the token at which the length limit cut) and the
value after it is 0. Masks come from lengths. Old, new and reference log-probabilities come from one function,
`logprobs_and_values`. KL is in nats; the sum over a response is the KL of the sequence.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from src.distributed import add_gradients, gathered, is_main, own_share, own_slice, total, written_once
from src.generation import (
    SampledIds,
    decode_responses,
    join_samples,
    sample_ids,
    trunk_and_head,
)
from src.losses import token_logprobs
from src.models import fresh_copy
from src.runtime import autocast, naming_a_full_disk
from src.templates import encode_prompt

RewardFunction = Callable[[list[str], list[str], list[bool]], Sequence[float]]
STATE_FILE = "ppo_state.safetensors"


@dataclass(frozen=True)
class PPOConfig:
    """All settings of a run. batch_size must be a multiple of mini_batch_size x gradient_accumulation_steps."""

    steps: int = 100  # rollout + update rounds
    batch_size: int = 64  # responses sampled in each step
    responses_per_prompt: int = 1  # above 1 every score is compared with those of its siblings
    num_ppo_epochs: int = 2  # passes over those responses, each in a new random order
    mini_batch_size: int = 16  # responses per forward and backward pass: sets memory, not the result
    gradient_accumulation_steps: int = 1  # such passes per optimiser step
    learning_rate: float = 1e-5  # of the policy
    learning_rate_schedule: str = "constant"  # constant, or linear (falls to 0 over the run)
    # shared: a head on the policy's trunk; reward: a network of its own, from the reward model
    critic: str = "shared"
    critic_learning_rate: float = 1e-4  # of the critic's own trunk
    critic_head_learning_rate: float = 1e-3  # of the critic's head, which starts at 0
    adam_eps: float = 1e-5  # Adam's epsilon; larger than the usual 1e-8 as in the reference implementations
    max_grad_norm: float = 1.0  # gradient clipping, for policy and separate critic each
    kl_coef: float = 0.1  # beta: what one nat away from the reference costs, in units of the score
    # steer kl_coef so that a response's KL nears this many nats; 0: kl_coef stays as it is
    adaptive_kl_target: float = 0.0
    adaptive_kl_horizon: int = 10_000  # responses over which kl_coef adapts; larger is slower
    clip_range: float = 0.2  # the probability ratio earns nothing more outside 1 +- this
    clip_range_value: float = 0.2  # the value may move this far from its old estimate
    vf_coef: float = 0.1  # weight of the value loss
    target_kl: float = 0.0  # end a step's updates when approx_kl exceeds 1.5 x this; 0: never
    gamma: float = 1.0  # discount per token; 1 because a response is short
    lam: float = 0.95  # GAE's lambda: 1 is unbiased and noisy, 0 trusts the critic
    whiten_advantages: bool = True  # mean 0, variance 1 over all tokens of the batch
    missing_eos_penalty: float = 1.0  # subtracted from the score of a response that did not end by itself
    temperature: float = 1.0  # of sampling, and of every log-probability
    max_new_tokens: int = 48  # longer responses are cut
    # fp32, bf16 or auto: matrix products of the trunk; heads and losses are always fp32
    precision: str = "fp32"
    seed: int = 0  # prompts, samples and shuffles depend on it and on the step alone

    def __post_init__(self) -> None:
        rows = self.mini_batch_size * self.gradient_accumulation_steps
        counts = ("steps", "batch_size", "responses_per_prompt", "num_ppo_epochs", "max_new_tokens",
                  "adaptive_kl_horizon")  # fmt: skip
        if rows < 1 or any(getattr(self, name) < 1 for name in counts):
            raise ValueError(f"PPOConfig: {', '.join(counts)} and the mini-batch sizes must be at least 1")
        if self.batch_size % rows:
            raise ValueError(
                f"PPOConfig: batch_size={self.batch_size} is not a multiple of mini_batch_size x "
                f"gradient_accumulation_steps = {self.mini_batch_size} x {self.gradient_accumulation_steps} = {rows}"
            )
        if self.batch_size % self.responses_per_prompt:
            raise ValueError(
                f"PPOConfig: batch_size={self.batch_size} responses are not a multiple of "
                f"responses_per_prompt={self.responses_per_prompt}"
            )
        for name, allowed in {
            "critic": ("shared", "reward"),
            "learning_rate_schedule": ("constant", "linear"),
            "precision": ("fp32", "bf16", "auto"),
        }.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"PPOConfig: {name}={getattr(self, name)!r}; choose one of {', '.join(allowed)}"
                )
        if self.temperature <= 0:
            raise ValueError("PPOConfig: temperature must be above 0; a greedy policy does not explore")


GLOSSARY = {
    "step": "Number of the rollout + update round, from 1.",
    "score": "Mean score of the responses as the reward function gave it.",
    "score_penalised": "Mean score after missing_eos_penalty: what PPO really optimises, before the KL penalty.",
    "kl": "KL from the reference in nats per response (k1: mean of the summed log-ratios; unbiased, may dip below 0).",
    "kl_k3": "The same KL by k3: unbiased, never negative; one rare token that the reference likes better can make it large.",
    "objective": "score_penalised - kl_coef x kl: the quantity that PPO maximises.",
    "kl_coef": "The coefficient beta in force during this step.",
    "entropy": "Mean entropy of the next-token distribution in nats, over the full vocabulary; collapse means it nears 0.",
    "policy_loss": "Clipped policy objective (negated), mean over tokens and updates.",
    "value_loss": "Half the clipped squared error of the critic, mean over tokens and updates.",
    "explained_variance": "Share of the returns' variance that siblings and critic predicted: 1 perfect, 0 no better than a constant.",
    "approx_kl": "KL from the old to the updated policy per token, mean over updates: how far one step moves.",
    "clip_fraction": "Share of tokens whose ratio left 1 +- clip_range; about 0 to 0.2 is healthy.",
    "ratio_mean": "Mean probability ratio new / old; stays near 1.",
    "ratio_max": "Largest probability ratio seen in the step.",
    "first_ratio_error": "Largest |ratio - 1| in the first mini-batch: about 0, or old and new are computed differently.",
    "grad_norm": "Gradient norm before clipping, mean over updates: of the policy, with the critic's head where they share a trunk.",
    "optimizer_steps": "Optimiser steps taken in this step.",
    "stopped_early": "1 if target_kl ended the updates of this step.",
    "learning_rate": "The policy's learning rate in this step.",
    "response_length": "Mean tokens per response, EOS included.",
    "eos_rate": "Share of responses that ended by themselves.",
    "distinct_1": "Different tokens / all tokens in the batch's responses; falls when responses become alike.",
    "distinct_2": "The same for pairs of neighbouring tokens.",
    "seconds_rollout": "Time to sample the responses.",
    "seconds_score": "Time in the reward function.",
    "seconds_forward": "Time for old, reference and value passes.",
    "seconds_update": "Time for the PPO epochs.",
}


# --- The mathematics, without any model ------------------------------------------------------------------------


class KLEstimates(NamedTuple):
    """Per-token estimates of KL(policy || reference) from tokens that the policy sampled."""

    k1: Tensor
    k2: Tensor
    k3: Tensor


def kl_estimates(logprobs: Tensor, ref_logprobs: Tensor) -> KLEstimates:
    """Schulman's estimators with delta = log ref - log pi: k1 = -delta, k2 = delta^2 / 2, k3 = exp(delta) - 1 - delta.

    k1 and k3 are unbiased; k3 is never negative. `expm1`, because exp(delta) - 1 loses all digits at small delta.
    """
    delta = ref_logprobs - logprobs
    return KLEstimates(-delta, delta.square() / 2, torch.expm1(delta) - delta)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over real tokens. `masked_fill`, because 0 * nan would let a NaN in the padding through."""
    return x.masked_fill(~mask, 0.0).sum() / mask.sum()


def shaped_rewards(
    logprobs: Tensor, ref_logprobs: Tensor, scores: Tensor, lengths: Tensor, kl_coef: float
) -> Tensor:
    """r_t = -kl_coef (log pi_t - log ref_t), plus the score on the last token: [B, T], 0 beyond the end, no gradient."""
    mask = length_mask(lengths, logprobs.shape[1])
    penalty = kl_estimates(logprobs, ref_logprobs).k1.detach()
    rewards = (-kl_coef * penalty).masked_fill(~mask, 0.0)
    rewards[torch.arange(len(lengths)), lengths - 1] += scores
    return rewards


def less_siblings(scores: Tensor, responses_per_prompt: int) -> Tensor:
    """[B] -> [B]: each score less the mean score of the *other* responses to its prompt, which stand side by side.

    What a prompt is worth leaves the signal, and what a response is worth stays. A baseline that does not look at the
    response itself leaves the gradient's mean where it was (exactly so for gamma = lam = 1, before whitening and
    clipping). Leave-one-out: Kool, van Hoof and Welling 2019; for language models Ahmadian et al. 2024, arXiv 2402.14740.
    The critic then predicts what remains. One response a prompt has no siblings: its score is returned as it is.
    """
    if responses_per_prompt == 1:
        return scores
    by_prompt = scores.view(-1, responses_per_prompt)
    others = (by_prompt.sum(1, keepdim=True) - by_prompt) / (responses_per_prompt - 1)
    return (by_prompt - others).flatten()


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns [B, T]: delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lam A_{t+1}.

    Beyond the end r = V = 0. Returns are A + V with the raw advantages: whitening comes later and must not reach them.
    """
    rewards, values = rewards.masked_fill(~mask, 0.0), values.masked_fill(~mask, 0.0)
    advantages = torch.zeros_like(rewards)
    next_advantage = next_value = torch.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = (delta + gamma * lam * next_advantage) * mask[:, t]
        advantages[:, t], next_value = next_advantage, values[:, t]
    return advantages, advantages + values


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Mean 0, variance 1 over all real tokens: (x - mean) / sqrt(var + 1e-8); 0 in the padding."""
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean).square(), mask)
    return ((x - mean) / (variance + 1e-8).sqrt()).masked_fill(~mask, 0.0)


def policy_loss(new: Tensor, old: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """max(-A ratio, -A clip(ratio)) per token. The gradient is 0 once a token has gained more than the clip allows."""
    ratio = (new - old).exp()
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip_range, 1 + clip_range))


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip_range: float) -> Tensor:
    """0.5 max((V - R)^2, (clip(V, V_old +- c) - R)^2) per token."""
    clipped = torch.clamp(values, old_values - clip_range, old_values + clip_range)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square())


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 - Var(R - V) / Var(R) over real tokens; 0 if the returns are all equal."""
    total = returns[mask].var(unbiased=False)
    return float(1 - (returns - values)[mask].var(unbiased=False) / total) if total > 0 else 0.0


def adapt_kl_coef(kl_coef: float, kl: float, target: float, count: int, horizon: int) -> float:
    """Ziegler et al.: kl_coef (1 + clip(kl / target - 1, +-0.2) count / horizon) after `count` responses."""
    return kl_coef * (1 + min(max(kl / target - 1, -0.2), 0.2) * count / horizon)


def length_mask(lengths: Tensor, width: int) -> Tensor:
    """[B] lengths -> [B, width] bool: which tokens of right-padded rows are real."""
    return torch.arange(width) < lengths[:, None]


# --- From tokens to log-probabilities and values ----------------------------------------------------------------


class Critic(nn.Module):
    """V(state before each response token). Without a trunk of its own it reads the policy's hidden states."""

    def __init__(self, width: int, trunk: nn.Module | None = None):
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)


class Scored(NamedTuple):
    """[B, T] each, 0 beyond the end of a response; `values` only with a critic, `entropy` only when asked for."""

    logprobs: Tensor
    values: Tensor | None
    entropy: Tensor | None


def left_aligned(sampled: SampledIds, rows: Tensor) -> Tensor:
    """[B, L]: the tokens of each row, prompt and response, moved to the left edge, with anything behind them.

    Sampling pads prompts on the left. For scoring the padding belongs behind: under causal attention no real token sees
    it there, so rows need no mask and have the ordinary positions 0, 1, ..., and they are cut at the longest row.
    """
    lengths = sampled.prompt_lengths[rows] + sampled.response_lengths[rows]
    columns = (sampled.prompt_width - sampled.prompt_lengths[rows])[:, None] + torch.arange(
        int(lengths.max())
    )
    return sampled.ids[rows].gather(1, columns.clamp(max=sampled.ids.shape[1] - 1))


def logprobs_and_values(
    policy: nn.Module,
    sampled: SampledIds,
    rows: Tensor,
    *,
    temperature: float = 1.0,
    precision: str = "fp32",
    critic: Critic | None = None,
    with_entropy: bool = False,
) -> Scored:
    """Score the responses of `rows`. Everything that compares two policies must come from this one function.

    The LM head runs on response positions only, in fp32.
    """
    full_width = sampled.ids.shape[1] - sampled.prompt_width
    prompts, responses = sampled.prompt_lengths[rows], sampled.response_lengths[rows]
    ids = left_aligned(sampled, rows)
    column = torch.arange(ids.shape[1])
    answers = (column >= prompts[:, None]) & (column < (prompts + responses)[:, None])  # [B, L]

    def hidden_before_tokens(trunk: nn.Module) -> Tensor:  # [N, d], N real response tokens
        with autocast(precision):
            states = trunk(input_ids=ids, use_cache=False).last_hidden_state
        return states[:, :-1][answers[:, 1:]].float()

    def in_place(x: Tensor) -> Tensor:  # [N] -> [B, T]
        return x.new_zeros(len(rows), full_width).masked_scatter(length_mask(responses, full_width), x)

    trunk, head = trunk_and_head(policy)
    hidden = hidden_before_tokens(trunk)
    logits = head(hidden) / temperature
    values = entropy = None
    if critic is not None:
        states = hidden if critic.trunk is None else hidden_before_tokens(critic.trunk)
        values = in_place(critic.head(states)[:, 0])
    if with_entropy:
        p = logits.detach().log_softmax(-1)
        entropy = in_place(-(p.exp() * p).sum(-1))
    return Scored(in_place(token_logprobs(logits, ids[answers])), values, entropy)


@dataclass
class Rollout:
    """What the updates of one step learn from; tensors [B, T]."""

    sampled: SampledIds
    mask: Tensor
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


# --- The trainer -----------------------------------------------------------------------------------------------


class PPOTrainer:
    """Trains `policy` in place. `history` holds one dict a step, its keys explained in GLOSSARY.

    policy: a causal LM, or a PeftModel; then `reference=None` means the policy with its adapter switched off.
    reference: the SFT model, never changed. reward_fn(prompts, responses, ended) -> one finite number a response.
    critic: for config.critic == "reward" the reward model (or any trunk) that a copy is made of, else None.
    Raises ValueError for a combination that cannot work, FloatingPointError when anything stops being finite.
    """

    def __init__(
        self,
        policy: nn.Module,
        reference: nn.Module | None,
        reward_fn: RewardFunction,
        tokenizer,
        prompts: Sequence[str],
        config: PPOConfig,
        critic: nn.Module | None = None,
    ):
        if reference is policy:
            raise ValueError(
                "policy and reference are the same object: the KL would always be 0. Pass a copy."
            )
        if reference is None and not isinstance(policy, PeftModel):
            raise ValueError("reference=None needs a PeftModel policy, whose adapter can be switched off")
        if (config.critic == "reward") != (critic is not None):
            raise ValueError("critic='reward' needs the reward model as `critic`; critic='shared' takes none")
        if not prompts:
            raise ValueError("no prompts to train on")
        if not len(own_share(range(config.batch_size))):
            raise ValueError(f"batch_size={config.batch_size} leaves a process without a row; raise it")
        self.policy, self.reference, self.reward_fn = policy, reference, reward_fn
        self.tokenizer, self.prompts, self.config = tokenizer, list(prompts), config
        self.prompt_ids = [encode_prompt(tokenizer, prompt) for prompt in self.prompts]
        width = trunk_and_head(policy)[0].config.hidden_size
        trunk = None if critic is None else fresh_copy(getattr(critic, "trunk", critic)).requires_grad_(True)
        self.critic = Critic(width, None if trunk is None else trunk.base_model)
        self.policy_parameters = [p for p in policy.parameters() if p.requires_grad]
        if not self.policy_parameters:
            raise ValueError("no parameter of the policy requires a gradient")
        groups = [(self.policy_parameters, config.learning_rate)]
        if trunk is not None:
            groups.append((list(self.critic.trunk.parameters()), config.critic_learning_rate))
        groups.append((list(self.critic.head.parameters()), config.critic_head_learning_rate))
        self.base_rates = [rate for _, rate in groups]
        self.optimizer = torch.optim.AdamW(
            [{"params": parameters, "lr": rate} for parameters, rate in groups],
            eps=config.adam_eps,
            weight_decay=0.0,
            fused=True,
        )
        self.step, self.kl_coef, self.history = 0, config.kl_coef, []

    def train(
        self,
        progress: Callable[[int, int, str], None] | None = None,
        on_step: Callable[[PPOTrainer, dict], None] | None = None,
    ) -> list[dict]:
        """Run until config.steps. `progress(done, total, line)` gets a line of text a step; `on_step(trainer, row)`
        runs after a step is complete: the place for `trainer.save(folder)` or for sampling a panel of prompts."""
        while self.step < self.config.steps:
            row = self.train_step()
            if progress and is_main():
                progress(self.step, self.config.steps, describe(row))
            if on_step:
                on_step(self, row)
        return self.history

    def train_step(self) -> dict:
        """One rollout and its updates; returns the new row of `history`."""
        for model in (self.policy, self.reference, self.critic):
            if model is not None:
                model.eval()  # dropout off, for gradients too: old and new policy must be the same function
        for group, rate in zip(self.optimizer.param_groups, self._learning_rates(), strict=True):
            group["lr"] = rate
        rollout, row = self._rollout()
        row |= self._update(rollout)
        if self.config.adaptive_kl_target:
            c = self.config
            self.kl_coef = adapt_kl_coef(
                self.kl_coef, row["kl"], c.adaptive_kl_target, c.batch_size, c.adaptive_kl_horizon
            )
        self.step += 1
        self.history.append({name: row[name] for name in GLOSSARY})
        return self.history[-1]

    @torch.no_grad()
    def _rollout(self) -> tuple[Rollout, dict]:
        c, clock = self.config, [time.perf_counter()]
        drawn, own = self._draw_prompts(), own_slice(c.batch_size)
        part = sample_ids(
            self.policy,
            [self.prompt_ids[i] for i in drawn[own]],
            eos_token_id=self.tokenizer.eos_token_id,
            max_new_tokens=c.max_new_tokens,
            temperature=c.temperature,
            seed=self._seed("sample"),
            first_row=own.start,
            precision=c.precision,
        )
        sampled = join_samples(gathered([part]))
        clock.append(time.perf_counter())
        prompts, responses = [self.prompts[i] for i in drawn], decode_responses(self.tokenizer, sampled)
        scores = self._scores(prompts, responses, sampled.ended.tolist())
        penalised = scores - c.missing_eos_penalty * (~sampled.ended).float()
        clock.append(time.perf_counter())

        old = self._score_in_pieces(self.policy, sampled, critic=self.critic, with_entropy=True)
        switched = self.policy.disable_adapter() if self.reference is None else nullcontext()
        with switched:
            reference = self._score_in_pieces(
                self.policy if self.reference is None else self.reference, sampled
            )
        lengths = sampled.response_lengths
        mask = length_mask(lengths, old.logprobs.shape[1])
        worth = less_siblings(penalised, c.responses_per_prompt)
        rewards = shaped_rewards(old.logprobs, reference.logprobs, worth, lengths, self.kl_coef)
        advantages, returns = gae(rewards, old.values, mask, c.gamma, c.lam)
        by_siblings = (penalised - worth)[:, None]  # the critic predicts what they leave
        explained = explained_variance(old.values + by_siblings, returns + by_siblings, mask)
        if c.whiten_advantages:
            advantages = whiten(advantages, mask)
        clock.append(time.perf_counter())

        kl = [k.sum(1).mean().item() for k in kl_estimates(old.logprobs, reference.logprobs)]
        spoken = (lengths - sampled.ended.long()).tolist()  # without EOS
        tokens = [sampled.response(i)[:n] for i, n in enumerate(spoken)]
        row = {
            "step": self.step + 1,
            "score": scores.mean().item(),
            "score_penalised": penalised.mean().item(),
            "kl": kl[0],
            "kl_k3": kl[2],
            "objective": penalised.mean().item() - self.kl_coef * kl[0],
            "kl_coef": self.kl_coef,
            "entropy": masked_mean(old.entropy, mask).item(),
            "explained_variance": explained,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "response_length": lengths.float().mean().item(),
            "eos_rate": sampled.ended.float().mean().item(),
            "distinct_1": distinct(tokens, 1),
            "distinct_2": distinct(tokens, 2),
            **{
                f"seconds_{name}": round(after - before, 4)
                for name, before, after in zip(
                    ("rollout", "score", "forward"), clock, clock[1:], strict=False
                )
            },
        }
        return Rollout(sampled, mask, old.logprobs, old.values, advantages, returns), row

    def _update(self, rollout: Rollout) -> dict:
        """num_ppo_epochs x (batch_size / rows per optimiser step) optimiser steps, fewer if target_kl is exceeded."""
        c, started = self.config, time.perf_counter()
        rows_per_step = c.mini_batch_size * c.gradient_accumulation_steps
        shuffle = torch.Generator().manual_seed(self._seed("shuffle"))
        orders = [torch.randperm(c.batch_size, generator=shuffle) for _ in range(c.num_ppo_epochs)]
        seen, norms, stopped = [], [], False
        for rows in (rows for order in orders for rows in order.split(rows_per_step)):
            seen.append(self._accumulate(rollout, rows))
            if c.target_kl and seen[-1]["approx_kl"] > 1.5 * c.target_kl:
                self.optimizer.zero_grad()  # skipping, not scaling by 0: Adam's momentum would still move the weights
                stopped = True
                break
            norms.append(self._optimizer_step())
        tokens = sum(s["tokens"] for s in seen)
        row = {
            name: sum(s[name] * s["tokens"] for s in seen) / tokens
            for name in ("policy_loss", "value_loss", "approx_kl", "clip_fraction", "ratio_mean")
        }
        return row | {
            "ratio_max": max(s["ratio_max"] for s in seen),
            "first_ratio_error": seen[0]["ratio_error"],
            "grad_norm": sum(norms) / max(len(norms), 1),
            "optimizer_steps": len(norms),
            "stopped_early": int(stopped),
            "seconds_update": round(time.perf_counter() - started, 4),
        }

    def _accumulate(self, rollout: Rollout, rows: Tensor) -> dict:
        """Add the gradient of one optimiser step's rows, in pieces of mini_batch_size. Returns the means over tokens.

        Every piece is divided by the token count of all rows, so the sum is the gradient of the mean over tokens
        however the rows are cut. Rows are sorted by length first: pieces then carry little padding.
        """
        c, sampled = self.config, rollout.sampled
        lengths = sampled.prompt_lengths[rows] + sampled.response_lengths[rows]
        rows = rows[lengths.argsort(stable=True)]
        tokens = int(sampled.response_lengths[rows].sum())
        sums = dict.fromkeys(("policy_loss", "value_loss", "approx_kl", "clip_fraction", "ratio_mean"), 0.0)
        ratio_max, ratio_error = 0.0, 0.0
        own = own_share(rows)
        for piece in own.split(c.mini_batch_size) if len(own) else ():
            mask, old = rollout.mask[piece], rollout.logprobs[piece]
            new = logprobs_and_values(
                self.policy,
                sampled,
                piece,
                temperature=c.temperature,
                precision=c.precision,
                critic=self.critic,
            )
            pg = policy_loss(new.logprobs, old, rollout.advantages[piece], c.clip_range)
            vf = value_loss(new.values, rollout.values[piece], rollout.returns[piece], c.clip_range_value)
            pg_sum, vf_sum = pg.masked_fill(~mask, 0.0).sum(), vf.masked_fill(~mask, 0.0).sum()
            loss = (pg_sum + c.vf_coef * vf_sum) / tokens
            if not torch.isfinite(loss):
                self._refuse(f"the loss is {loss.item()} (policy {pg_sum.item()}, value {vf_sum.item()})")
            loss.backward()
            with torch.no_grad():
                log_ratio = (new.logprobs - old)[mask]
                ratio = log_ratio.exp()
                sums["policy_loss"] += pg_sum.item()
                sums["value_loss"] += vf_sum.item()
                sums["approx_kl"] += (torch.expm1(log_ratio) - log_ratio).sum().item()
                sums["clip_fraction"] += ((ratio - 1).abs() > c.clip_range).float().sum().item()
                sums["ratio_mean"] += ratio.sum().item()
                ratio_max = max(ratio_max, ratio.max().item())
                ratio_error = max(ratio_error, (ratio - 1).abs().max().item())
        add_gradients([*self.policy_parameters, *self.critic.parameters()])
        parts = gathered([(sums, ratio_max, ratio_error)])
        means = {name: sum(part[0][name] for part in parts) / tokens for name in sums}
        largest = {name: max(part[i] for part in parts) for i, name in ((1, "ratio_max"), (2, "ratio_error"))}
        return means | largest | {"tokens": tokens}

    def _optimizer_step(self) -> float:
        """Clip and step; returns the policy's gradient norm. A separate critic is clipped by itself."""
        critic, policy = list(self.critic.parameters()), list(self.policy_parameters)
        networks = [policy + critic] if self.critic.trunk is None else [policy, critic]
        norms = [nn.utils.clip_grad_norm_(network, self.config.max_grad_norm) for network in networks]
        if not all(torch.isfinite(norm) for norm in norms):
            self._refuse(f"the gradient norm is {[norm.item() for norm in norms]}")
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norms[0].item()

    def _scores(self, prompts: list[str], responses: list[str], ended: list[bool]) -> Tensor:
        own = own_slice(len(responses))
        scores = torch.as_tensor(self.reward_fn(prompts[own], responses[own], ended[own]))
        scores = torch.cat(gathered([scores.detach().float().reshape(-1)]))
        if len(scores) != len(responses):
            raise ValueError(f"reward_fn returned {len(scores)} scores for {len(responses)} responses")
        if not torch.isfinite(scores).all():
            bad = int((~torch.isfinite(scores)).nonzero()[0])
            self._refuse(f"reward_fn gave {scores[bad].item()} for the response {responses[bad]!r:.80}")
        return scores

    def _refuse(self, what: str) -> None:
        self.optimizer.zero_grad()
        raise FloatingPointError(
            f"PPO step {self.step + 1}: {what}. No update was made with it, so the weights are still finite; "
            "load the last checkpoint and lower learning_rate, or look at the reward function."
        )

    def _score_in_pieces(self, model: nn.Module, sampled: SampledIds, **wanted) -> Scored:
        settings = {"temperature": self.config.temperature, "precision": self.config.precision}
        lengths = sampled.prompt_lengths + sampled.response_lengths
        order = own_share(lengths.argsort(stable=True))
        pieces = order.split(self.config.mini_batch_size)
        parts = [logprobs_and_values(model, sampled, rows, **settings, **wanted) for rows in pieces]

        def in_place(field: Sequence[Tensor]) -> Tensor:  # every process fills its rows
            own = torch.cat(field)
            return total(own.new_zeros(len(lengths), own.shape[1]).index_copy_(0, order, own))

        return Scored(*(None if field[0] is None else in_place(field) for field in zip(*parts, strict=True)))

    def _draw_prompts(self) -> list[int]:
        """batch_size numbers: the next prompts of an endless series of shuffled passes over the pool, each repeated
        responses_per_prompt times."""
        repeats, count, drawn = self.config.responses_per_prompt, len(self.prompts), []
        new = self.config.batch_size // repeats
        for i in range(self.step * new, (self.step + 1) * new):
            if not drawn or i % count == 0:
                shuffle = torch.Generator().manual_seed(self._seed("prompts", i // count))
                order = torch.randperm(count, generator=shuffle).tolist()
            drawn += [order[i % count]] * repeats
        return drawn

    def _seed(self, purpose: str, number: int | None = None) -> int:
        """A seed from (config.seed, purpose, step) alone: nothing random has to be saved to resume a run exactly."""
        key = f"{self.config.seed}/{purpose}/{self.step if number is None else number}"
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")

    def _learning_rates(self) -> list[float]:
        linear = self.config.learning_rate_schedule == "linear"
        factor = 1 - self.step / self.config.steps if linear else 1.0
        return [rate * factor for rate in self.base_rates]

    # --- Checkpoints: one file, so that a kill at any instant leaves the old state or the new one -------------------

    def _tensors(self) -> dict[str, Tensor]:
        named = [(f"policy.{n}", p) for n, p in self.policy.named_parameters() if p.requires_grad]
        named += [(f"critic.{n}", p) for n, p in self.critic.named_parameters()]
        tensors = dict(named)
        for name, parameter in named:
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        return tensors

    @written_once
    def save(self, folder: str | Path) -> Path:
        """Write weights that train, optimiser, history and position of the run into `folder`; replaces its old state."""
        path = Path(folder) / STATE_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {"step": self.step, "kl_coef": self.kl_coef, "history": self.history}
        header = {"state": state, "config": asdict(self.config), "prompts": self._prompt_hash()}
        tensors = {name: tensor.detach().contiguous() for name, tensor in self._tensors().items()}
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with naming_a_full_disk(path):
                save_file(tensors, temporary, metadata={"ppo": json.dumps(header)})
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def load(self, folder: str | Path) -> None:
        """Continue from `save`. Raises FileNotFoundError, or ValueError if config, prompts or model are not the same."""
        path = Path(folder) / STATE_FILE
        if not path.is_file():
            raise FileNotFoundError(f"no PPO checkpoint in {str(folder)!r} (looked for {STATE_FILE})")
        with _opened(path) as file:
            header = json.loads(file.metadata()["ppo"])
            saved, mine = header["config"], asdict(self.config)
            changed = [f"{k}: {saved.get(k)!r} -> {mine[k]!r}" for k in mine if saved.get(k) != mine[k]]
            if changed:
                raise ValueError(f"{path.name} was written with another config ({'; '.join(changed)})")
            if header["prompts"] != self._prompt_hash():
                raise ValueError(f"{path.name} was written with other prompts: resuming would mix two runs")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        own = {name: p for name, p in self._tensors().items() if not name.startswith("adam.")}
        shapes = {name: t.shape for name, t in tensors.items() if not name.startswith("adam.")}
        if shapes != {name: p.shape for name, p in own.items()}:
            raise ValueError(
                f"{path.name} belongs to another model: its parameters have other names or shapes"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(tensors[name])
                state = {k: tensors[f"adam.{k}.{name}"] for k in ("step", "exp_avg", "exp_avg_sq")
                         if f"adam.{k}.{name}" in tensors}  # fmt: skip
                self.optimizer.state[parameter] = state
        self.step, self.kl_coef = header["state"]["step"], header["state"]["kl_coef"]
        self.history = header["state"]["history"]

    def _prompt_hash(self) -> str:
        return hashlib.sha256("\0".join(self.prompts).encode()).hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it and start the run again.") from error


def distinct(rows: Sequence[Sequence[int]], n: int) -> float:
    """Different n-grams / all n-grams over all rows of tokens; 0 if there is none."""
    grams = [tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def describe(row: dict) -> str:
    """One line of text for a row of the history."""
    return (
        f"step {row['step']}: score {row['score']:+.3f} · KL {row['kl']:.2f} · entropy {row['entropy']:.2f} · "
        f"clip {row['clip_fraction']:.3f} · length {row['response_length']:.1f} · EOS {row['eos_rate']:.0%}"
    )
