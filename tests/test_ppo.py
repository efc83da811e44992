"""PPO invariants 7 to 25, 29 and 30; the numbers are those of the correctness checklist."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from safetensors import SafetensorError

from src import ppo
from src.generation import SampledIds, decode_responses
from src.losses import token_logprobs
from src.models import attach_lora, fresh_copy
from src.ppo import (
    GLOSSARY,
    PPOConfig,
    PPOTrainer,
    adapt_kl_coef,
    explained_variance,
    gae,
    length_mask,
    less_siblings,
    logprobs_and_values,
    masked_mean,
    policy_loss,
    shaped_rewards,
    value_loss,
    whiten,
)
from src.reward_model import GPT2RewardModel
from tests.rl_helpers import EOS, WORDS, count_word, make_trainer, tiny_model, tiny_tokenizer

TIMES = [name for name in GLOSSARY if name.startswith("seconds")]


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def without_times(history):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in history]


def a_rollout(seed=0, **settings):
    trainer = make_trainer(**settings)
    torch.manual_seed(seed)
    torch.nn.init.normal_(trainer.critic.head.weight)  # a critic that says something
    return trainer, trainer._rollout()[0]


def gradients(trainer):
    return {
        name: p.grad.clone()
        for net in (trainer.policy, trainer.critic)
        for name, p in net.named_parameters()
        if p.grad is not None
    }


def accumulate(trainer, rollout, rows=None):
    trainer.optimizer.zero_grad()
    rows = torch.arange(trainer.config.batch_size) if rows is None else rows
    means = trainer._accumulate(rollout, rows)
    return means, gradients(trainer)


# --- 7, 8: padding and cache ------------------------------------------------------------------------------------


def wider(sampled, left, right=0):
    """The same rows behind `left` more columns of padding, filled with an ordinary token."""
    ids = F.pad(sampled.ids, (left, 0), value=7)
    return SampledIds(
        ids,
        sampled.prompt_width + left,
        sampled.prompt_lengths,
        sampled.response_lengths,
        sampled.ended,
        sampled.logprobs,
    )


def test_inv07_left_padding_invariant():
    """Scoring rows of unequal prompts together = alone, for log-probabilities and values."""
    trainer, rollout = a_rollout()
    sampled = rollout.sampled
    assert sampled.prompt_lengths.unique().numel() > 1
    for critic in (trainer.critic, ppo.Critic(32, tiny_model(9).transformer)):
        torch.nn.init.normal_(critic.head.weight)
        together = logprobs_and_values(trainer.policy, sampled, torch.arange(8), critic=critic)
        for i in range(8):
            alone = logprobs_and_values(trainer.policy, sampled, torch.tensor([i]), critic=critic)
            assert torch.allclose(together.logprobs[i], alone.logprobs[0], atol=1e-5)
            assert torch.allclose(together.values[i], alone.values[0], atol=1e-5)
    padded = logprobs_and_values(trainer.policy, wider(sampled, 5), torch.arange(8), critic=trainer.critic)
    plain = logprobs_and_values(trainer.policy, sampled, torch.arange(8), critic=trainer.critic)
    assert torch.allclose(padded.logprobs, plain.logprobs, atol=1e-5)
    assert torch.allclose(padded.values, plain.values, atol=1e-5)


def test_inv07_loss_is_left_padding_invariant():
    trainer, rollout = a_rollout(mini_batch_size=8)
    _, together = accumulate(trainer, rollout)
    trainer.optimizer.zero_grad()
    total = int(rollout.sampled.response_lengths.sum())
    alone = {}
    for i in range(8):
        count = int(rollout.sampled.response_lengths[i])
        for name, grad in accumulate(trainer, rollout, torch.tensor([i]))[1].items():
            alone[name] = alone.get(name, 0) + grad * count / total
    assert all(torch.allclose(together[n], alone[n], atol=1e-5) for n in together)


def test_inv08_sampler_logprobs_equal_training_logprobs():
    """At temperature 0.7, on the very tokens of a rollout: cached sampling and the training pass agree."""
    for temperature in (1.0, 0.7):
        _, rollout = a_rollout(temperature=temperature)
        assert torch.allclose(rollout.sampled.logprobs, rollout.logprobs, atol=1e-4)
        assert (rollout.logprobs[rollout.mask] < 0).all()


# --- 9, 10, 11: the first update, no update, no distance ----------------------------------------------------------


def test_inv09_first_mini_batch_has_ratio_one():
    policy = tiny_model(dropout=0.1)  # the trainer must switch it off
    trainer = make_trainer(
        policy=policy, reference=tiny_model(dropout=0.1), num_ppo_epochs=1, mini_batch_size=8
    )
    row = trainer.train_step()
    assert row["first_ratio_error"] < 1e-5
    assert abs(row["approx_kl"]) < 1e-9 and row["clip_fraction"] == 0.0


@pytest.mark.parametrize("lora", [False, True])
def test_inv10_learning_rate_zero_changes_nothing(lora):
    policy = attach_lora(tiny_model(), r=2, alpha=4) if lora else tiny_model()
    trainer = make_trainer(policy=policy, learning_rate=0.0, steps=3, num_ppo_epochs=4)
    before = weights(policy)
    history = trainer.train()
    assert same(before, weights(policy))
    for row in history:
        assert abs(row["ratio_mean"] - 1) < 1e-6 and abs(row["ratio_max"] - 1) < 1e-5
        assert abs(row["approx_kl"]) < 1e-9 and row["clip_fraction"] == 0 and abs(row["kl"]) < 1e-6


def test_inv11_no_kl_while_policy_equals_reference():
    _, rollout = a_rollout()
    logp = rollout.logprobs
    for k in ppo.kl_estimates(logp, logp.clone()):
        assert (k == 0).all()
    scores = torch.arange(8.0)
    rewards = shaped_rewards(logp, logp, scores, rollout.sampled.response_lengths, 0.5)
    assert torch.equal(rewards.sum(1), scores)
    row = make_trainer().train_step()
    assert (
        abs(row["kl"]) < 1e-6
        and abs(row["kl_k3"]) < 1e-6
        and row["score_penalised"] == pytest.approx(row["objective"])
    )


# --- 12, 13, 14: KL estimators and shaped reward -------------------------------------------------------------------


def test_inv12_estimators_are_unbiased_by_enumeration():
    """All 27 sequences of 3 tokens over 3 words: E[sum k1] = E[sum k3] = the exact KL; k3 >= 0 for every token."""
    torch.manual_seed(0)
    # [model, step, previous token, token]
    tables = torch.randn(2, 3, 3, 3, dtype=torch.double).log_softmax(-1)
    sums = {"k1": 0.0, "k3": 0.0}
    exact = 0.0
    for sequence in itertools.product(range(3), repeat=3):
        path = [tables[:, t, sequence[t - 1] if t else 0, token] for t, token in enumerate(sequence)]
        logp, ref = torch.stack(path, 1)
        probability = logp.sum().exp().item()
        exact += probability * (logp.sum() - ref.sum()).item()
        k = ppo.kl_estimates(logp, ref)
        assert (k.k3 >= 0).all() and torch.allclose(k.k2, (logp - ref).square() / 2)
        sums["k1"] += probability * k.k1.sum().item()
        sums["k3"] += probability * k.k3.sum().item()
    assert exact > 0.1
    assert sums["k1"] == pytest.approx(exact, abs=1e-9) and sums["k3"] == pytest.approx(exact, abs=1e-9)


def test_inv12_k3_keeps_its_digits_near_zero():
    delta = torch.tensor([1e-4])
    assert ppo.kl_estimates(torch.zeros(1), delta).k3.item() == pytest.approx(5e-9, rel=0.02)


def test_inv13_leaving_the_reference_costs_reward():
    """Raising log pi above log ref lowers the reward of that token."""
    ref = torch.full((1, 3), -1.0)
    lengths = torch.tensor([3])
    base = shaped_rewards(ref, ref, torch.ones(1), lengths, 0.2)
    raised = shaped_rewards(ref + torch.tensor([[0.0, 0.5, 0.0]]), ref, torch.ones(1), lengths, 0.2)
    assert torch.allclose(raised - base, torch.tensor([[0.0, -0.1, 0.0]]))


def test_inv14_score_sits_on_the_last_token_only():
    torch.manual_seed(0)
    logp, ref = torch.randn(3, 6), torch.randn(3, 6)
    lengths, scores = torch.tensor([6, 1, 4]), torch.tensor([1.0, -2.0, 3.0])
    mask = length_mask(lengths, 6)
    rewards = shaped_rewards(logp, ref, scores, lengths, 0.3)
    k1 = (logp - ref).masked_fill(~mask, 0.0)
    assert torch.allclose(rewards.sum(1), scores - 0.3 * k1.sum(1), atol=1e-6)
    last = torch.arange(6) == lengths[:, None] - 1
    assert torch.allclose(rewards[last], scores - 0.3 * k1[last])
    assert torch.allclose(rewards[mask & ~last], -0.3 * k1[mask & ~last]) and (rewards[~mask] == 0).all()


# --- 15, 16: advantages --------------------------------------------------------------------------------------------


def quadratic_gae(rewards, values, lengths, gamma, lam):
    """A_t = sum_k (gamma lam)^k delta_{t+k}, written out with two loops."""
    out = torch.zeros_like(rewards)
    for b, n in enumerate(lengths.tolist()):
        v = [*values[b, :n].tolist(), 0.0]
        delta = [rewards[b, t].item() + gamma * v[t + 1] - v[t] for t in range(n)]
        for t in range(n):
            out[b, t] = sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, n))
    return out


def test_inv15_gae():
    torch.manual_seed(0)
    rewards, values, lengths = torch.randn(4, 7), torch.randn(4, 7), torch.tensor([7, 1, 3, 5])
    mask = length_mask(lengths, 7)
    real = rewards.masked_fill(~mask, 0.0)

    advantages, returns = gae(rewards, values, mask, 1.0, 1.0)
    to_go = real.flip(1).cumsum(1).flip(1).masked_fill(~mask, 0.0)
    assert torch.allclose(returns, to_go, atol=1e-5), "lambda = gamma = 1: A + V is the reward to go"

    advantages, _ = gae(rewards, values, mask, 0.9, 0.0)
    next_values = F.pad(values.masked_fill(~mask, 0.0)[:, 1:], (0, 1))
    delta = (rewards + 0.9 * next_values - values).masked_fill(~mask, 0.0)
    assert torch.allclose(advantages, delta, atol=1e-6), "lambda = 0: A is delta"

    advantages, _ = gae(rewards, values, mask, 0.97, 0.9)
    assert torch.allclose(advantages, quadratic_gae(rewards, values, lengths, 0.97, 0.9), atol=1e-5)

    poisoned = gae(
        rewards.masked_fill(~mask, float("nan")), values.masked_fill(~mask, float("nan")), mask, 0.97, 0.9
    )
    assert torch.equal(poisoned[0], advantages), "padding leaked into the advantages"
    row, _ = gae(rewards[2:3, :3], values[2:3, :3], mask[2:3, :3], 0.97, 0.9)
    assert torch.allclose(row[0], advantages[2, :3], atol=1e-6), "padded = unpadded"


def test_inv16_returns_come_before_whitening():
    """In a real rollout: returns - V_old are the raw advantages, the advantages their whitened form."""
    trainer, rollout = a_rollout(reference=tiny_model(1), seed=3)
    sampled, mask = rollout.sampled, rollout.mask
    ref = logprobs_and_values(trainer.reference, sampled, torch.arange(8)).logprobs
    texts = decode_responses(trainer.tokenizer, sampled)
    scores = torch.tensor(count_word("w3")(None, texts, None)) - (~sampled.ended).float()
    rewards = -trainer.kl_coef * (rollout.logprobs - ref)
    rewards[torch.arange(8), sampled.response_lengths - 1] += scores
    raw = quadratic_gae(rewards.detach(), rollout.values, sampled.response_lengths, 1.0, 0.95)
    assert torch.allclose((rollout.returns - rollout.values).masked_fill(~mask, 0.0), raw, atol=1e-4)
    real = rollout.advantages[mask]
    assert abs(real.mean()) < 1e-5 and abs(real.var(unbiased=False) - 1) < 1e-3
    assert torch.allclose(real, (raw[mask] - raw[mask].mean()) / raw[mask].std(unbiased=False), atol=1e-3)
    assert (rollout.advantages[~mask] == 0).all()


def test_masked_mean_survives_nan_in_the_padding():
    x = torch.tensor([[1.0, float("nan")], [3.0, 5.0]])
    mask = torch.tensor([[True, False], [True, True]])
    assert masked_mean(x, mask) == 3.0
    assert torch.isfinite(whiten(x, mask)).all()


# --- 17, 18, 19, 20, 21: the update --------------------------------------------------------------------------------


def test_inv17_nothing_beyond_eos_matters():
    trainer, rollout = a_rollout(max_new_tokens=10)
    assert rollout.mask.any() and (~rollout.mask).any()
    means, clean = accumulate(trainer, rollout)
    padding = F.pad(~rollout.mask, (rollout.sampled.prompt_width, 0))
    rollout.sampled.ids[padding] = torch.randint(0, 17, (int(padding.sum()),))
    for field in (rollout.logprobs, rollout.values, rollout.returns, rollout.advantages):
        field[~rollout.mask] = float("nan")
    again, dirty = accumulate(trainer, rollout)
    assert again == pytest.approx(means, abs=1e-6)
    assert all(torch.allclose(clean[n], dirty[n], atol=1e-6) for n in clean)


def test_inv17_eos_itself_is_learned():
    trainer, rollout = a_rollout(max_new_tokens=10, vf_coef=0.0)
    ended = rollout.sampled.ended.nonzero()[:, 0]
    assert len(ended)
    rollout.advantages.zero_()
    rollout.advantages[ended, rollout.sampled.response_lengths[ended] - 1] = 1.0
    _, grads = accumulate(trainer, rollout)
    assert grads["transformer.wte.weight"][EOS].norm() > 1e-4


def test_inv18_gradient_of_the_clipped_objective():
    old = torch.tensor([-1.0, -2.0])
    advantages = torch.tensor([1.5, -0.5])

    def slope(new):
        new = new.clone().requires_grad_()
        policy_loss(new, old, advantages, 0.2).sum().backward()
        return new.grad

    assert torch.allclose(slope(old), -advantages), "at ratio 1: the gradient of -A log pi"
    up, down = old + math.log(1.5), old + math.log(0.5)
    assert slope(up)[0] == 0 and slope(down)[1] == 0, "clipped on the improving side"
    assert slope(down)[0] == pytest.approx(-0.75) and slope(up)[1] == pytest.approx(0.75)


def test_inv19_micro_batching_does_not_change_the_gradient():
    trainer, rollout = a_rollout(max_new_tokens=10, batch_size=8, mini_batch_size=8)
    assert rollout.sampled.response_lengths.unique().numel() > 2
    means, whole = accumulate(trainer, rollout)
    for size in (4, 2, 1):
        object.__setattr__(trainer.config, "mini_batch_size", size)
        again, grads = accumulate(trainer, rollout)
        assert all(torch.allclose(whole[n], grads[n], rtol=1e-4, atol=1e-5) for n in whole)
        assert again == pytest.approx(means, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("mini", "accumulation", "expected"), [(4, 1, 12), (2, 2, 12), (2, 1, 24), (8, 1, 6)]
)
def test_inv20_optimiser_steps(mini, accumulation, expected, monkeypatch):
    """2 iterations x 3 epochs x mini-batches, counted at the optimiser itself."""
    trainer = make_trainer(mini_batch_size=mini, gradient_accumulation_steps=accumulation, num_ppo_epochs=3)
    calls, step = [], trainer.optimizer.step
    monkeypatch.setattr(trainer.optimizer, "step", lambda: (calls.append(1), step()))
    history = trainer.train()
    assert len(calls) == expected == sum(r["optimizer_steps"] for r in history)


def test_inv20_every_epoch_sees_every_row_once_in_a_new_order(monkeypatch):
    trainer = make_trainer(num_ppo_epochs=3, mini_batch_size=2)
    seen, inner = [], trainer._accumulate
    monkeypatch.setattr(
        trainer, "_accumulate", lambda r, rows: (seen.append(rows.tolist()), inner(r, rows))[1]
    )
    trainer.train_step()
    epochs = [[row for rows in seen[i : i + 4] for row in rows] for i in range(0, 12, 4)]
    assert all(sorted(e) == list(range(8)) for e in epochs) and epochs[0] != epochs[1] != epochs[2]


def test_inv21_value_loss_and_explained_variance():
    torch.manual_seed(0)
    returns, old, mask = torch.randn(3, 4), torch.randn(3, 4), length_mask(torch.tensor([4, 2, 3]), 4)
    assert (value_loss(returns, returns, returns, 0.2) == 0).all()
    values = torch.randn(3, 4)
    plain = 0.5 * (values - returns).square()
    assert (value_loss(values, old, returns, 0.2) >= plain).all()
    assert torch.allclose(value_loss(values, old, returns, 1e9), plain)
    assert explained_variance(returns, returns, mask) == 1
    assert explained_variance(torch.full((3, 4), 0.7), returns, mask) == pytest.approx(0, abs=1e-6)
    assert explained_variance(values, torch.ones(3, 4), mask) == 0


# --- 22, 23, 24: does it learn the right thing? ----------------------------------------------------------------------


def one_token_trainer(reward, **settings):
    """A bandit: one prompt, one token."""
    settings = {"max_new_tokens": 1, "missing_eos_penalty": 0.0, "whiten_advantages": False, **settings}
    return make_trainer(reward, prompts=["w1"], **settings)


def first_token(model):
    """Distribution over the first response token after the prompt "w1"."""
    with torch.no_grad():
        return model(torch.tensor([[tiny_tokenizer().convert_tokens_to_ids("w1")]])).logits[0, -1].softmax(-1)


def test_inv22_one_step_raises_the_rewarded_arm():
    """A table of logits (only the LM head trains, untied) and one plain gradient step on the likeliest arm."""
    policy = tiny_model()
    policy.requires_grad_(False)
    policy.lm_head.weight = torch.nn.Parameter(policy.lm_head.weight.detach().clone())
    start = first_token(policy)
    arm = int(start.argmax())
    name = "" if arm == EOS else tiny_tokenizer().convert_ids_to_tokens(arm)
    trainer = one_token_trainer(
        lambda prompts, responses, ended: [float(text == name) for text in responses],
        policy=policy,
        batch_size=1024,
        mini_batch_size=1024,
        num_ppo_epochs=1,
        kl_coef=0.0,
    )
    trainer.critic.head.bias.data.fill_(start[arm].item())  # the baseline is the mean reward
    trainer.optimizer, trainer.base_rates = torch.optim.SGD(trainer.policy_parameters, lr=0.0), [1e-2]
    trainer.train_step()
    change = first_token(policy) - start
    others = torch.cat([change[:arm], change[arm + 1 :]])
    assert change[arm] > 0 and (others < 0).all()


def gibbs_distance(steps=120):
    """Total variation between the trained policy and ref exp(r / beta), and that of the start."""
    torch.manual_seed(5)
    value = dict(zip([*WORDS, "thanks", ""], torch.rand(14).tolist(), strict=True))

    def reward(prompts, responses, ended):
        return [value.get(text, 0.0) for text in responses]

    beta = 0.5
    trainer = one_token_trainer(
        reward,
        steps=steps,
        batch_size=256,
        mini_batch_size=256,
        num_ppo_epochs=2,
        kl_coef=beta,
        learning_rate=1e-3,
        learning_rate_schedule="linear",
        critic_head_learning_rate=1e-2,
    )
    reference = first_token(trainer.reference)
    words = tiny_tokenizer().convert_ids_to_tokens(list(range(17)))
    r = torch.tensor([value.get("" if word == "<eos>" else word, 0.0) for word in words])
    target = (reference.log() + r / beta).softmax(-1)
    trainer.train()
    return [0.5 * (p - target).abs().sum().item() for p in (first_token(trainer.policy), reference)]


def test_inv23_converges_to_the_gibbs_optimum():
    """With a KL penalty the best policy is known: pi* ~ ref exp(r / beta). Catches KL sign, beta's scale, temperature."""
    end, start = gibbs_distance()
    assert start > 0.15
    assert end < 0.05


def learned_share(reward, steps=40):
    trainer = make_trainer(
        reward,
        prompts=["w1", "w2 w3", "w7 w8"],
        steps=steps,
        batch_size=32,
        mini_batch_size=32,
        learning_rate=1e-3,
        kl_coef=0.01,
        missing_eos_penalty=0.0,
    )
    truth = count_word("w3")
    shares = []

    inner = trainer.reward_fn

    def watched(prompts, responses, ended):
        shares.append(sum(truth(prompts, responses, ended)) / len(responses))
        return inner(prompts, responses, ended)

    trainer.reward_fn = watched
    trainer.train()
    return sum(shares[:4]) / 4, sum(shares[-4:]) / 4


def test_inv24_learns_and_does_not_learn_from_shuffled_rewards():
    start, end = learned_share(count_word("w3"))
    assert end > start + 0.3

    def shuffled(prompts, responses, ended):
        scores = count_word("w3")(prompts, responses, ended)
        order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(len(responses[0])))
        return [scores[i] for i in order]

    start, end = learned_share(shuffled)
    assert abs(end - start) < 0.15


# --- 25: the reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [False, True])
def test_inv25_reference_is_frozen(lora):
    sft = tiny_model()
    policy = attach_lora(fresh_copy(sft), r=4, alpha=8) if lora else fresh_copy(sft)
    reference = None if lora else fresh_copy(sft)
    config = PPOConfig(batch_size=8, mini_batch_size=4, steps=3, max_new_tokens=6, learning_rate=1e-2)
    trainer = PPOTrainer(policy, reference, count_word("w3"), tiny_tokenizer(), ["w1", "w2 w3"], config)
    ids = torch.randint(0, 17, (2, 9))
    before = sft(ids).logits.detach()
    trainer.train()
    if lora:
        with policy.disable_adapter():
            after = policy(ids).logits
        assert trainer.history[-1]["kl"] != 0
    else:
        after = reference(ids).logits
    assert torch.equal(after, before)
    assert not torch.allclose(policy(ids).logits, before, atol=1e-3), "the policy must have moved"


def test_lora_policy_trains_adapters_only():
    policy = attach_lora(tiny_model(), r=4, alpha=8)
    before = weights(policy)
    make_trainer(policy=policy, learning_rate=1e-2).train()
    moved = {name for name, p in policy.named_parameters() if not torch.equal(p, before[name])}
    assert moved and all("lora_" in name for name in moved)


# --- 29, 30 ----------------------------------------------------------------------------------------------------------


def test_inv29_adaptive_kl():
    assert adapt_kl_coef(0.1, 6.0, 6.0, 64, 10_000) == 0.1
    assert 0.1 < adapt_kl_coef(0.1, 6.3, 6.0, 64, 10_000) < adapt_kl_coef(0.1, 60.0, 6.0, 64, 10_000)
    assert adapt_kl_coef(0.1, 60.0, 6.0, 64, 10_000) == pytest.approx(0.1 * (1 + 0.2 * 64 / 10_000))
    assert adapt_kl_coef(0.1, -9.0, 6.0, 64, 10_000) == pytest.approx(0.1 * (1 - 0.2 * 64 / 10_000))
    history = make_trainer(reference=tiny_model(1), adaptive_kl_target=0.01, adaptive_kl_horizon=8).train()
    assert history[1]["kl_coef"] == pytest.approx(0.1 * 1.2)


def test_inv30_logprob_kernel():
    torch.manual_seed(0)
    hidden, head = torch.randn(64, 32), torch.randn(500, 32) * 3
    targets = torch.randint(0, 500, (64,))
    logits = hidden @ head.T
    exact = logits.log_softmax(-1)[range(64), targets]
    assert (token_logprobs(logits, targets) - exact).abs().max() < 1e-5
    rough = (hidden.bfloat16() @ head.bfloat16().T).float()
    assert (token_logprobs(rough, targets) - exact).abs().max() > 1e-2, "a bf16 head is not good enough"


def test_inv30_the_head_runs_in_fp32_under_bf16():
    """Rounding of the trunk stays small; the logits themselves are never bf16 (their spacing would be 0.25 at 50)."""
    trainer, rollout = a_rollout()
    seen = []
    handle = trainer.policy.lm_head.register_forward_hook(
        lambda m, i, out: seen.append((i[0].dtype, out.dtype))
    )
    logprobs_and_values(trainer.policy, rollout.sampled, torch.arange(8), precision="bf16")
    handle.remove()
    assert seen == [(torch.float32, torch.float32)]


# --- The run: history, checkpoints, guards, options ------------------------------------------------------------------


def test_history_has_every_metric_and_each_is_explained():
    lines = []
    history = make_trainer().train(progress=lambda done, total, text: lines.append((done, total, text)))
    assert [list(row) for row in history] == [list(GLOSSARY)] * 2
    assert all(math.isfinite(v) for row in history for v in row.values())
    assert [line[:2] for line in lines] == [(1, 2), (2, 2)] and "score" in lines[0][2] and "KL" in lines[0][2]
    assert all(text.endswith(".") for text in GLOSSARY.values())


def test_entropy_is_the_true_entropy():
    trainer, rollout = a_rollout()
    scored = logprobs_and_values(trainer.policy, rollout.sampled, torch.tensor([0]), with_entropy=True)
    start, n = rollout.sampled.prompt_width, int(rollout.sampled.prompt_lengths[0])
    ids = rollout.sampled.ids[0, start - n : start]
    p = trainer.policy(ids[None]).logits[0, -1].softmax(-1)
    assert scored.entropy[0, 0].item() == pytest.approx(-(p * p.log()).sum().item(), abs=1e-4)


@pytest.mark.parametrize(
    ("lora", "critic", "options"),
    [
        (False, False, {"learning_rate_schedule": "linear"}),
        (True, False, {"adaptive_kl_target": 6.0}),
        (False, True, {}),
    ],
)
def test_killed_and_resumed_gives_the_same_run(tmp_path, lora, critic, options):
    """History and weights of a run that dies after step 4 and is resumed by a new process equal the unbroken run's."""

    def build():
        policy = attach_lora(tiny_model(), r=2, alpha=4) if lora else tiny_model()
        rm = GPT2RewardModel(tiny_model(7)) if critic else None
        return make_trainer(policy=policy, critic=rm, steps=6, learning_rate=1e-3, **options)

    torch.manual_seed(1)
    whole = build()
    whole.train()

    def dies(trainer, row):
        trainer.save(tmp_path)
        if trainer.step == 4:
            raise KeyboardInterrupt

    torch.manual_seed(1)
    first = build()
    with pytest.raises(KeyboardInterrupt):
        first.train(on_step=dies)
    torch.manual_seed(1)
    second = build()
    second.load(tmp_path)
    assert second.step == 4
    second.train()
    assert without_times(second.history) == without_times(whole.history)
    assert same(weights(whole.policy), weights(second.policy)) and same(
        weights(whole.critic), weights(second.critic)
    )


def test_checkpoint_is_one_file_and_a_broken_save_leaves_the_old_one(tmp_path, monkeypatch):
    trainer = make_trainer()
    trainer.train_step()
    trainer.save(tmp_path)
    old = (tmp_path / ppo.STATE_FILE).read_bytes()
    trainer.train_step()
    monkeypatch.setattr(ppo.os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        trainer.save(tmp_path)
    assert (tmp_path / ppo.STATE_FILE).read_bytes() == old


def test_a_full_disk_is_named_and_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    trainer = make_trainer()
    trainer.save(tmp_path)
    old = (tmp_path / ppo.STATE_FILE).read_bytes()
    trainer.train_step()

    def full(tensors, path, metadata):
        path.write_bytes(old[:100])
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(ppo, "save_file", full)
    with pytest.raises(OSError, match="No space left on device: .*ppo_state.* was not written"):
        trainer.save(tmp_path)
    assert (tmp_path / ppo.STATE_FILE).read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == [ppo.STATE_FILE]


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = make_trainer().save(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="ppo_state.safetensors is damaged .*Delete it"):
        make_trainer().load(tmp_path)


def test_load_refuses_what_does_not_belong(tmp_path):
    make_trainer().save(tmp_path)
    with pytest.raises(ValueError, match=r"kl_coef: 0.1 -> 0.5"):
        make_trainer(kl_coef=0.5).load(tmp_path)
    with pytest.raises(ValueError, match="other prompts"):
        make_trainer(prompts=["w5"]).load(tmp_path)
    with pytest.raises(ValueError, match="another model"):
        make_trainer(policy=attach_lora(tiny_model(), r=2, alpha=4)).load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no PPO checkpoint"):
        make_trainer().load(tmp_path / "nowhere")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_non_finite_score_is_refused_before_weights_are_touched(bad):
    trainer = make_trainer(lambda p, r, e: [0.0] * (len(r) - 1) + [bad])
    before = weights(trainer.policy)
    with pytest.raises(FloatingPointError, match="step 1: reward_fn gave"):
        trainer.train()
    assert same(before, weights(trainer.policy)) and not trainer.history


def test_a_non_finite_loss_or_gradient_is_refused_before_weights_are_touched(monkeypatch):
    trainer, rollout = a_rollout()
    before = weights(trainer.policy)
    rollout.advantages[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        trainer._update(rollout)
    trainer, rollout = a_rollout()
    trainer._accumulate(rollout, torch.arange(8))
    trainer.policy.transformer.wte.weight.grad[3, 3] = float("inf")
    with pytest.raises(FloatingPointError, match="gradient norm"):
        trainer._optimizer_step()
    assert same(before, weights(trainer.policy))
    assert all(p.grad is None for p in trainer.policy.parameters())


def test_wrong_number_of_scores_is_an_error():
    with pytest.raises(ValueError, match="7 scores for 8 responses"):
        make_trainer(lambda p, r, e: [0.0] * 7).train()


def test_target_kl_stops_and_skips_the_step():
    trainer = make_trainer(learning_rate=3e-2, target_kl=1e-3, num_ppo_epochs=4)
    row = trainer.train_step()
    assert row["stopped_early"] == 1 and 0 < row["optimizer_steps"] < 8
    free = make_trainer(learning_rate=3e-2, num_ppo_epochs=4).train_step()
    assert free["stopped_early"] == 0 and free["optimizer_steps"] == 8


def test_missing_eos_costs_the_penalty():
    row = make_trainer(missing_eos_penalty=2.0).train_step()
    assert 0 < row["eos_rate"] < 1
    assert row["score_penalised"] == pytest.approx(row["score"] - 2.0 * (1 - row["eos_rate"]))


def test_separate_critic_learns_and_leaves_the_reward_model_alone():
    rm = GPT2RewardModel(tiny_model(7))
    before = weights(rm)
    trainer = make_trainer(critic=rm, critic_learning_rate=1e-2)
    start = weights(trainer.critic)
    trainer.train()
    assert same(before, weights(rm)) and not same(start, weights(trainer.critic))
    assert set(trainer.critic.trunk.state_dict()) == set(rm.trunk.state_dict())


@pytest.mark.parametrize("separate", [False, True])
def test_critic_learns_to_predict_the_return(separate):
    trainer = make_trainer(
        lambda prompts, responses, ended: [1.0 if prompt == "w1" else -1.0 for prompt in prompts],
        critic=GPT2RewardModel(tiny_model(7)) if separate else None,
        steps=25,
        batch_size=16,
        mini_batch_size=16,
        learning_rate=1e-3,
        critic_learning_rate=1e-3,
        critic_head_learning_rate=1e-2,
        kl_coef=0.0,
        vf_coef=1.0,
        missing_eos_penalty=0.0,
    )
    history = trainer.train()
    assert abs(history[0]["explained_variance"]) < 1e-5, "a zero head predicts a constant"
    assert sum(r["explained_variance"] for r in history[-5:]) / 5 > 0.5


def test_learning_rates_follow_the_schedule():
    rates = {}
    for schedule in ("constant", "linear"):
        trainer = make_trainer(steps=4, learning_rate_schedule=schedule, learning_rate=1.0)
        rates[schedule] = []
        for step in range(4):
            trainer.step = step
            rates[schedule].append(trainer._learning_rates()[0])
    assert rates == {"constant": [1.0] * 4, "linear": pytest.approx([1.0, 0.75, 0.5, 0.25])}


def test_every_prompt_is_used_before_any_comes_again():
    prompts = [f"w{i}" for i in range(12)]
    trainer = make_trainer(prompts=prompts, batch_size=8, steps=3)
    drawn = []
    for step in range(3):
        trainer.step = step
        drawn += trainer._draw_prompts()
    assert sorted(drawn[:12]) == list(range(12)) and sorted(drawn[12:]) == list(range(12))
    assert drawn[:12] != drawn[12:]


def test_siblings_share_a_prompt_and_are_drawn_side_by_side():
    trainer = make_trainer(prompts=[f"w{i}" for i in range(12)], batch_size=8, responses_per_prompt=4)
    drawn = trainer._draw_prompts()
    assert len(drawn) == 8 and len(set(drawn)) == 2 and drawn[:4] == drawn[:1] * 4
    assert without_times([trainer.train_step()])[0]["step"] == 1


def test_a_score_less_its_siblings_has_known_values():
    scores = torch.tensor([1.0, 2.0, 6.0, 0.5, 0.5, 0.5])
    expected = torch.tensor([1 - 4, 2 - 3.5, 6 - 1.5, 0, 0, 0])
    torch.testing.assert_close(less_siblings(scores, 3), expected)
    assert torch.equal(less_siblings(scores, 1), scores)
    shifted = scores + torch.tensor([5.0] * 3 + [-7.0] * 3)  # what a prompt is worth leaves the signal
    torch.testing.assert_close(less_siblings(shifted, 3), expected)


def test_siblings_leave_the_mean_of_the_gradient_where_it_is():
    """Policy gradient of a softmax over three answers: the average over all pairs of draws is the true gradient."""
    logits, worth = torch.tensor([0.3, -0.2, 0.5]), torch.tensor([1.0, 4.0, -2.0])
    p = logits.softmax(0)
    true = p * (worth - (p * worth).sum())
    mean = torch.zeros(3)
    for a, b in itertools.product(range(3), repeat=2):
        gains = less_siblings(worth[[a, b]], 2)
        for answer, gain in zip((a, b), gains, strict=True):
            mean += p[a] * p[b] * gain / 2 * (F.one_hot(torch.tensor(answer), 3) - p)
    torch.testing.assert_close(mean, true)


def test_same_seed_same_history_other_seed_other_history():
    assert without_times(make_trainer(seed=3).train()) == without_times(make_trainer(seed=3).train())
    assert without_times(make_trainer(seed=3).train()) != without_times(make_trainer(seed=4).train())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 10}, "not a multiple"),
        ({"steps": 0}, "at least 1"),
        ({"responses_per_prompt": 3}, "responses_per_prompt=3"),
        ({"responses_per_prompt": 0}, "at least 1"),
        ({"mini_batch_size": 0}, "at least 1"),
        ({"critic": "none"}, "critic='none'"),
        ({"learning_rate_schedule": "cosine"}, "learning_rate_schedule"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        PPOConfig(**{"batch_size": 8, "mini_batch_size": 4, **settings})


def test_bad_combinations_are_named():
    model, tokenizer, config = tiny_model(), tiny_tokenizer(), PPOConfig(batch_size=16)
    reward = count_word("w3")
    for arguments, message in [
        ((model, model, reward, tokenizer, ["w1"], config), "same object"),
        ((model, None, reward, tokenizer, ["w1"], config), "PeftModel"),
        ((model, tiny_model(), reward, tokenizer, [], config), "no prompts"),
        ((model, tiny_model(), reward, tokenizer, ["w1"], config, tiny_model()), "critic"),
        (
            (model.requires_grad_(False), tiny_model(), reward, tokenizer, ["w1"], config),
            "requires a gradient",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            PPOTrainer(*arguments)
