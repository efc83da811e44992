"""The losses of the course, each a few lines: what the model is asked to do, written down.

Notebooks 01-03 use `response_cross_entropy`; notebook 06 adds the KL term (`sft_loss`, and
`chunked_sft_loss`, which is the same number at a fraction of the memory); notebook 07 uses `ranking_loss`
(Ouyang et al. 2022, eq. 1; centring from arXiv 2312.09244) and `dpo_loss` (Rafailov et al. 2023, eq. 7). All
of them compute in fp32 whatever they get.

Shapes: B rows, T tokens, V vocabulary, d width, N response tokens. `labels` are the input ids, with -100
where no loss is wanted; position t predicts token t + 1, and every function here does that shift itself.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from src.templates import IGNORE


class SFTLoss(NamedTuple):
    """total = ce + beta * kl, in nats per response token. `chunked_sft_loss` differentiates only `total`."""

    total: Tensor
    ce: Tensor
    kl: Tensor


def token_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """log p(target) in nats: logits [..., V], targets [...] -> [...]. Makes no copy of the log-softmax."""
    logits = logits.float()
    return logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)


def kl_divergence(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """KL(policy || reference) over the full vocabulary, in nats: [..., V] and [..., V] -> [...]."""
    policy, reference = logits.float().log_softmax(-1), ref_logits.float().log_softmax(-1)
    # F.kl_div(input, target) is KL(target || input): the reference goes first.
    return F.kl_div(reference, policy, log_target=True, reduction="none").sum(-1)


def response_cross_entropy(logits: Tensor, labels: Tensor, num_items: int | Tensor | None = None) -> Tensor:
    """Mean negative log-likelihood of the response tokens: logits [B, T, V], labels [B, T] -> scalar.

    `num_items` replaces the number of tokens as divisor. Under gradient accumulation it is the count over all
    micro-batches, so that every token weighs the same however the batch is cut.
    """
    return sft_loss(logits, labels, num_items=num_items).ce


def sft_loss(
    logits: Tensor,
    labels: Tensor,
    ref_logits: Tensor | None = None,
    beta: float = 0.0,
    num_items: int | Tensor | None = None,
) -> SFTLoss:
    """Cross-entropy plus beta * KL(policy || reference), means over response tokens. The version to read."""
    mask = labels[:, 1:] != IGNORE
    items = _count(mask, num_items)
    here, targets = logits[:, :-1][mask], labels[:, 1:][mask]
    ce = -token_logprobs(here, targets).sum() / items
    kl = torch.zeros((), device=ce.device)
    if ref_logits is not None:
        kl = kl_divergence(here, ref_logits[:, :-1][mask].detach()).sum() / items
    return SFTLoss(ce + beta * kl, ce, kl)


def chunked_sft_loss(
    hidden: Tensor,
    head_weight: Tensor,
    labels: Tensor,
    ref_hidden: Tensor | None = None,
    ref_head: Tensor | None = None,
    beta: float = 0.0,
    chunk: int | None = None,
    num_items: int | Tensor | None = None,
    ce_weight: float = 1.0,
    grad_dtype: torch.dtype = torch.float32,
) -> SFTLoss:
    """`sft_loss` from hidden states: the LM head runs on response positions only, `chunk` of them at a time.

    hidden [B, T, d]; ref_hidden [B, T, d], or [N, d] at the response tokens alone; head_weight, ref_head
    [V, d] (`ref_head=None`: the same head); labels [B, T]. total = ce_weight * ce + beta * kl. Only a few [chunk, V] tensors are ever alive, where plain autograd
    keeps several [B, T, V]; `chunk=None` takes as many rows as make 128 MB. `grad_dtype=torch.bfloat16` lets
    the two matrix products of the backward pass run in bf16, as autocast does elsewhere; logits, log-sum-exp
    and loss stay in fp32.
    """
    mask = labels[:, 1:] != IGNORE
    items = float(_count(mask, num_items))
    here, targets = hidden[:, :-1][mask].float(), labels[:, 1:][mask]
    if ref_hidden is not None and ref_hidden.dim() == 3:
        ref_hidden = ref_hidden[:, :-1][mask]
    ref = None if ref_hidden is None else ref_hidden.float().detach()
    chunk = chunk or max(1, 2**25 // len(head_weight))
    ref_head = head_weight if ref_head is None else ref_head
    options = (ce_weight, beta, chunk, items, grad_dtype, torch.is_grad_enabled())
    return SFTLoss(*_ChunkedLoss.apply(here, head_weight, targets, ref, ref_head, options))


class _ChunkedLoss(torch.autograd.Function):
    """The gradient of a chunk is written down by hand while its logits z are there, then they are
    overwritten:

    d CE / dz = softmax(z) - onehot(target),    d KL(pi || ref) / dz = pi * (log pi - log ref - KL).
    """

    @staticmethod
    def forward(ctx, hidden, head, targets, ref_hidden, ref_head, options):
        ce_weight, beta, chunk, items, dtype, grad = options
        need_hidden, need_head = grad and ctx.needs_input_grad[0], grad and ctx.needs_input_grad[1]
        weight, ref_weight = head.detach().float(), ref_head.detach().float()
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_head = (torch.empty_like if len(hidden) else torch.zeros_like)(weight) if need_head else None
        low_weight = weight.to(dtype) if need_hidden else None
        low_hidden = (hidden / items).to(dtype) if need_head else None
        ce, kl = hidden.new_zeros(()), hidden.new_zeros(())
        # Buffers for all chunks: fresh memory for every [chunk, V] would cost more than the arithmetic on it.
        kinds = 2 if ref_hidden is None else 3
        buffers = [hidden.new_empty(min(chunk, len(hidden)), len(head)) for _ in range(kinds)]
        for start in range(0, len(hidden), chunk):
            rows = slice(start, start + chunk)
            target = targets[rows].unsqueeze(-1)
            z, logp, *gap = (buffer[: len(target)] for buffer in buffers)
            torch.log_softmax(torch.mm(hidden[rows], weight.T, out=z), -1, out=logp)
            ce -= logp.gather(-1, target).sum()
            if ref_hidden is not None:
                gap = torch.log_softmax(torch.mm(ref_hidden[rows], ref_weight.T, out=z), -1, out=gap[0])
                torch.sub(logp, gap, out=gap)  # log pi - log ref; its mean under pi is the KL
                kl_rows = torch.linalg.vecdot(logp.exp_(), gap).unsqueeze(-1)
                kl += kl_rows.sum()
                slope = logp.mul_(torch.add(ce_weight - beta * kl_rows, gap, alpha=beta, out=gap))
            elif grad:
                slope = logp.exp_() if ce_weight == 1.0 else logp.exp_().mul_(ce_weight)
            if need_hidden or need_head:
                slope.scatter_add_(-1, target, slope.new_full(target.shape, -ce_weight))
                slope = slope.to(dtype)
            if need_hidden:
                grad_hidden[rows] = (slope @ low_weight).float() / items
            if need_head:
                _add_product(grad_head, slope.T, low_hidden[rows], first=start == 0)
        ctx.grads = grad_hidden, grad_head
        ce, kl = ce / items, kl / items
        ctx.mark_non_differentiable(ce, kl)
        return ce_weight * ce + beta * kl, ce, kl

    @staticmethod
    def backward(ctx, grad_total, _grad_ce, _grad_kl):
        # The usual factor is 1; a pass over the head's gradient for nothing is worth avoiding.
        scaled = [g if g is None or grad_total == 1 else g * grad_total for g in ctx.grads]
        return *scaled, None, None, None, None


def _add_product(total: Tensor, a: Tensor, b: Tensor, first: bool) -> None:
    """total += a @ b (total = a @ b at the first chunk), whatever total held before."""
    if a.dtype == total.dtype:
        total.addmm_(a, b, beta=0 if first else 1)
        return
    for start in range(0, len(total), 2048):  # blocks that stay in the cache between product and conversion
        part = total[start : start + 2048]
        (part.copy_ if first else part.add_)(a[start : start + 2048] @ b)


def _count(mask: Tensor, num_items: int | Tensor | None) -> int | Tensor:
    count = mask.sum() if num_items is None else num_items
    if count < 1:
        raise ValueError(
            "No response token in this batch: every label is -100, so there is nothing to learn."
        )
    return count


def ranking_loss(
    chosen: Tensor, rejected: Tensor, margin: float | Tensor = 0.0, centre: float = 0.0
) -> Tensor:
    """Pairwise ranking (Bradley-Terry): -log sigmoid(r_chosen - r_rejected - margin), mean over pairs; ln 2
    is chance.

    chosen, rejected: rewards [B]. The loss does not change when a constant is added to all rewards;
    `centre` > 0 adds centre * (r_chosen + r_rejected)^2, which pulls their level towards zero.
    """
    chosen, rejected = chosen.float(), rejected.float()
    loss = -F.logsigmoid(chosen - rejected - margin).mean()
    return loss + centre * (chosen + rejected).square().mean() if centre else loss


def dpo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float
) -> Tensor:
    """Direct preference optimisation from summed response log-probabilities [B]; ln 2 at policy = reference.

    -log sigmoid(beta * [(log pi - log ref)(chosen) - (log pi - log ref)(rejected)]), mean over pairs.
    """
    gain = (policy_chosen - ref_chosen).float() - (policy_rejected - ref_rejected).float()
    return -F.logsigmoid(beta * gain).mean()
