"""Would the invariants notice? Each classic bug is put in by monkeypatching, and its check must then fail.

A test that cannot fail proves nothing: this file is the proof that those of the RL modules can.
"""

import pytest
import torch
from transformers import PreTrainedModel

from src import generation, ppo, reward_model
from tests import test_generation, test_ppo, test_reward_model

ORIGINAL_KL, ORIGINAL_GAE, ORIGINAL_SHAPED = ppo.kl_estimates, ppo.gae, ppo.shaped_rewards


def no_position_ids(patch):
    def shifted(mask):
        return torch.arange(mask.shape[1]).expand_as(mask)

    patch.setattr(generation, "positions_from_mask", shifted)


def rows_stay_left_padded(patch):
    patch.setattr(ppo, "left_aligned", lambda sampled, rows: sampled.ids[rows])


def last_column(patch):
    def forward(self, input_ids, lengths, prompt_lengths=None, precision="fp32"):
        hidden = self.trunk(input_ids=input_ids, use_cache=False).last_hidden_state
        return self.gain * self.reward_head(hidden[:, -1])[:, 0] + self.bias

    patch.setattr(reward_model.GPT2RewardModel, "forward", forward)


def kl_sign(patch):
    patch.setattr(ppo, "kl_estimates", lambda logprobs, ref: ORIGINAL_KL(ref, logprobs))


def returns_after_whitening(patch):
    def late(rewards, values, mask, gamma, lam):
        advantages, _ = ORIGINAL_GAE(rewards, values, mask, gamma, lam)
        return advantages, ppo.whiten(advantages, mask) + values

    patch.setattr(ppo, "gae", late)


def dropout_on(patch):
    patch.setattr(PreTrainedModel, "eval", lambda self: self.train())


def uncentred_whitening(patch):
    def whiten(x, mask):
        return (
            x / (ppo.masked_mean((x - ppo.masked_mean(x, mask)).square(), mask) + 1e-8).sqrt()
        ).masked_fill(~mask, 0)

    patch.setattr(ppo, "whiten", whiten)


def score_one_token_early(patch):
    def shaped(logprobs, ref, scores, lengths, kl_coef):
        return ORIGINAL_SHAPED(logprobs, ref, scores, (lengths - 1).clamp(min=1), kl_coef)

    patch.setattr(test_ppo, "shaped_rewards", shaped)


def beta_doubled(patch):
    patch.setattr(
        ppo, "shaped_rewards", lambda lp, ref, s, n, kl_coef: ORIGINAL_SHAPED(lp, ref, s, n, 2 * kl_coef)
    )


def mean_of_micro_batch_means(patch):
    """Every piece is divided by its own token count: short pieces then weigh too much."""

    def accumulate(self, rollout, rows):
        size, means = self.config.mini_batch_size, []
        for piece in rows[rollout.sampled.response_lengths[rows].argsort()].split(size):
            object.__setattr__(self.config, "mini_batch_size", len(piece))
            means.append(inner(self, rollout, piece))
            object.__setattr__(self.config, "mini_batch_size", size)
        for p in [*self.policy_parameters, *self.critic.parameters()]:
            if p.grad is not None:
                p.grad /= len(means)
        return means[0]

    inner = ppo.PPOTrainer._accumulate
    patch.setattr(ppo.PPOTrainer, "_accumulate", accumulate)


def sampler_ignores_temperature(patch):
    inner = ppo.sample_ids
    patch.setattr(ppo, "sample_ids", lambda *a, **k: inner(*a, **{**k, "temperature": 1.0}))


def first_token_missing_from_the_mask(patch):
    patch.setattr(ppo, "length_mask", lambda lengths, width: torch.arange(width) < lengths[:, None] - 1)


CASES = [
    (no_position_ids, test_generation.test_inv07_left_padding_invariant),
    (no_position_ids, test_ppo.test_inv08_sampler_logprobs_equal_training_logprobs),
    (rows_stay_left_padded, test_ppo.test_inv07_left_padding_invariant),
    (last_column, lambda: test_reward_model.test_inv01_padding_invariant(False)),
    (kl_sign, test_ppo.test_inv12_estimators_are_unbiased_by_enumeration),
    (kl_sign, test_ppo.test_inv13_leaving_the_reference_costs_reward),
    (kl_sign, test_ppo.test_inv23_converges_to_the_gibbs_optimum),
    (beta_doubled, test_ppo.test_inv23_converges_to_the_gibbs_optimum),
    (returns_after_whitening, test_ppo.test_inv16_returns_come_before_whitening),
    (uncentred_whitening, test_ppo.test_inv16_returns_come_before_whitening),
    (dropout_on, test_ppo.test_inv09_first_mini_batch_has_ratio_one),
    (score_one_token_early, test_ppo.test_inv14_score_sits_on_the_last_token_only),
    (mean_of_micro_batch_means, test_ppo.test_inv19_micro_batching_does_not_change_the_gradient),
    (sampler_ignores_temperature, test_ppo.test_inv08_sampler_logprobs_equal_training_logprobs),
    (first_token_missing_from_the_mask, test_ppo.test_inv17_eos_itself_is_learned),
]


def name_of(case):
    mutation, check = case
    return f"{mutation.__name__}-{check.__name__.removeprefix('test_')[:5]}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_mutation_is_caught(case, monkeypatch):
    mutation, check = case
    with monkeypatch.context() as patch:
        mutation(patch)
        with pytest.raises(AssertionError):
            check()
