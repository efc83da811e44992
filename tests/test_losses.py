"""Losses: every formula against an independent one, and the chunked loss against plain autograd."""

import math

import pytest
import torch
import torch.nn.functional as F

from src.losses import (
    IGNORE,
    chunked_sft_loss,
    dpo_loss,
    kl_divergence,
    ranking_loss,
    response_cross_entropy,
    sft_loss,
    token_logprobs,
)

B, T, D, V = 3, 11, 16, 29


@pytest.fixture
def batch():
    """hidden, head, labels, ref_hidden, ref_head: rows with responses of different length."""
    torch.manual_seed(0)
    labels = torch.randint(V, (B, T))
    labels[0, :4] = labels[1, :7] = labels[1, 10:] = labels[2, :1] = IGNORE
    hidden, head = torch.randn(B, T, D, requires_grad=True), torch.randn(V, D, requires_grad=True)
    return hidden, head, labels, torch.randn(B, T, D), torch.randn(V, D)


def test_token_logprobs_equal_log_softmax():
    logits, targets = torch.randn(B, T, V) * 20 - 100, torch.randint(V, (B, T))
    wanted = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    torch.testing.assert_close(token_logprobs(logits, targets), wanted, atol=1e-5, rtol=0)


def test_bf16_logits_of_gpt2_size_are_not_good_enough():
    logits, targets = torch.randn(B, T, V) - 100, torch.randint(V, (B, T))
    exact, rounded = token_logprobs(logits, targets), token_logprobs(logits.bfloat16(), targets)
    assert rounded.dtype == torch.float32
    assert (exact - rounded).abs().max() > 1e-2


def test_masked_loss_equals_the_mean_over_each_example_alone(batch):
    hidden, head, labels, *_ = batch
    logits = hidden @ head.T
    terms = []
    for row in range(B):
        for t in range(1, T):
            if labels[row, t] != IGNORE:
                terms.append(-logits[row, t - 1].log_softmax(-1)[labels[row, t]])
    torch.testing.assert_close(response_cross_entropy(logits, labels), torch.stack(terms).mean())


def test_masked_tokens_do_not_matter_at_all(batch):
    hidden, head, labels, *_ = batch
    logits = (hidden @ head.T).detach()
    changed = logits.clone()
    changed[:, :-1][labels[:, 1:] == IGNORE] = 1e4
    changed[:, -1] = -1e4
    assert response_cross_entropy(changed, labels) == response_cross_entropy(logits, labels)


def test_padding_never_changes_a_loss(batch):
    hidden, head, labels, ref_hidden, ref_head = batch
    pad = lambda x, value: F.pad(x, (0, 0, 0, 5) if x.dim() == 3 else (0, 5), value=value)
    plain = chunked_sft_loss(hidden, head, labels, ref_hidden, ref_head, beta=0.3)
    padded = chunked_sft_loss(
        pad(hidden, 7.0), head, pad(labels, IGNORE), pad(ref_hidden, 3.0), ref_head, beta=0.3
    )
    torch.testing.assert_close(plain.total, padded.total)


def test_micro_batches_add_up_to_the_whole_batch(batch):
    hidden, head, labels, *_ = batch
    items = int((labels[:, 1:] != IGNORE).sum())
    whole = chunked_sft_loss(hidden, head, labels).total
    parts = sum(
        chunked_sft_loss(hidden[i : i + 1], head, labels[i : i + 1], num_items=items).total for i in range(B)
    )
    torch.testing.assert_close(whole, parts)
    # The mean of the rows' own means is another number: that is the classic accumulation bug.
    wrong = sum(chunked_sft_loss(hidden[i : i + 1], head, labels[i : i + 1]).total for i in range(B)) / B
    assert (whole - wrong).abs() > 1e-3


@pytest.mark.parametrize("chunk", [1, 4, 1000, None])
@pytest.mark.parametrize("beta, ce_weight", [(0.0, 1.0), (0.7, 1.0), (0.7, 0.0), (0.0, 0.4)])
def test_chunked_loss_and_gradients_equal_the_unchunked_ones(batch, chunk, beta, ce_weight):
    hidden, head, labels, ref_hidden, ref_head = batch
    ref = (ref_hidden, ref_head) if beta else (None, None)
    plain = sft_loss(hidden @ head.T, labels, ref_hidden @ ref_head.T if beta else None, beta)
    fast = chunked_sft_loss(hidden, head, labels, *ref, beta, chunk, ce_weight=ce_weight)
    wanted = ce_weight * plain.ce + beta * plain.kl
    torch.testing.assert_close(fast.total, wanted)
    torch.testing.assert_close((fast.ce, fast.kl), (plain.ce, plain.kl))
    # a factor behind the loss must reach the gradients
    for loss, target in ((2.5 * fast.total, 2.5 * wanted),):
        got = torch.autograd.grad(loss, [hidden, head])
        torch.testing.assert_close(got, torch.autograd.grad(target, [hidden, head]), atol=1e-6, rtol=1e-5)


def test_shared_head_gets_the_policy_gradient_only(batch):
    hidden, head, labels, ref_hidden, _ = batch
    fast = chunked_sft_loss(hidden, head, labels, ref_hidden, None, 0.5).total
    plain = sft_loss(hidden @ head.T, labels, ref_hidden @ head.detach().T, 0.5).total
    got, wanted = (torch.autograd.grad(loss, [hidden, head]) for loss in (fast, plain))
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)


def test_bf16_backward_is_close_and_leaves_the_loss_exact(batch):
    hidden, head, labels, *_ = batch
    exact = chunked_sft_loss(hidden, head, labels, chunk=4)
    rough = chunked_sft_loss(hidden, head, labels, chunk=4, grad_dtype=torch.bfloat16)
    assert exact.total == rough.total
    for a, b in zip(*(torch.autograd.grad(x.total, [hidden, head]) for x in (exact, rough)), strict=True):
        assert b.dtype == torch.float32
        assert F.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.999


def test_frozen_head_and_no_grad_need_no_head_gradient(batch):
    hidden, head, labels, *_ = batch
    frozen = head.detach()
    chunked_sft_loss(hidden, frozen, labels).total.backward()
    assert hidden.grad is not None and frozen.grad is None
    with torch.no_grad():
        assert not chunked_sft_loss(hidden, head, labels).total.requires_grad


def test_kl_is_zero_with_zero_gradient_where_policy_equals_reference(batch):
    hidden, head, labels, *_ = batch
    loss = chunked_sft_loss(hidden, head, labels, hidden.detach(), None, beta=10.0, ce_weight=0.0)
    assert loss.kl == 0
    for grad in torch.autograd.grad(loss.total, [hidden, head]):
        assert grad.abs().max() < 1e-6


def test_kl_has_the_right_direction_and_is_never_negative():
    torch.manual_seed(1)
    policy, reference = torch.randn(50, V) * 3, torch.randn(50, V) * 3
    p, q = policy.softmax(-1), reference.softmax(-1)
    kl = kl_divergence(policy, reference)
    torch.testing.assert_close(kl, (p * (p / q).log()).sum(-1), atol=1e-4, rtol=1e-4)
    assert (kl > 0).all()
    assert (kl - (q * (q / p).log()).sum(-1)).abs().max() > 0.1  # the other direction is another number


def test_a_large_beta_pins_the_policy_to_the_reference():
    torch.manual_seed(2)
    labels, reference, head = torch.randint(V, (1, 6)), torch.randn(1, 6, D), torch.randn(V, D)
    moved = {}
    for beta in (0.0, 100.0):
        hidden = reference.clone().requires_grad_()
        optimizer = torch.optim.Adam([hidden], lr=0.02)
        for _ in range(150):
            optimizer.zero_grad()
            chunked_sft_loss(hidden, head, labels, reference, None, beta).total.backward()
            optimizer.step()
        moved[beta] = kl_divergence(hidden @ head.T, reference @ head.T)[:, :-1].mean().item()
    assert moved[100.0] < 0.01 * moved[0.0]


def test_a_batch_without_response_is_an_error():
    with pytest.raises(ValueError, match="every label is -100"):
        chunked_sft_loss(torch.randn(1, 4, D), torch.randn(V, D), torch.full((1, 4), IGNORE))


def test_ranking_loss():
    chosen, rejected = torch.randn(6), torch.randn(6)
    assert ranking_loss(chosen, chosen).item() == pytest.approx(math.log(2))
    by_hand = (
        sum(
            math.log1p(math.exp(-(c - r - 0.5)))
            for c, r in zip(chosen.tolist(), rejected.tolist(), strict=True)
        )
        / 6
    )
    assert ranking_loss(chosen, rejected, margin=0.5).item() == pytest.approx(by_hand, abs=1e-6)
    assert ranking_loss(chosen + 3, rejected + 3).item() == pytest.approx(
        ranking_loss(chosen, rejected).item(), abs=1e-6
    )
    shift = ranking_loss(chosen + 3, rejected + 3, centre=0.01) - ranking_loss(chosen, rejected)
    assert shift.item() == pytest.approx(0.01 * (chosen + rejected + 6).square().mean().item(), abs=1e-5)


def test_dpo_loss():
    a, b, c, d = torch.randn(4, 5)
    assert dpo_loss(a, b, a, b, beta=0.1).item() == pytest.approx(math.log(2))
    margin = 0.3 * ((a - c) - (b - d))
    torch.testing.assert_close(dpo_loss(a, b, c, d, 0.3), -torch.sigmoid(margin).log().mean())
    assert dpo_loss(a + 1, b, c, d, 0.3) < dpo_loss(a, b, c, d, 0.3) < dpo_loss(a, b + 1, c, d, 0.3)
