"""Best-of-n, KL by sampling, DPO (invariants 27, 28) and the KL-regularised SFT loss (26)."""

import math

import numpy as np
import pytest
import torch

from src.data import load_preferences, preference_examples, preference_truth
from src.generation import generate
from src.judge import GoldJudge
from src.losses import chunked_sft_loss, dpo_loss, kl_divergence, sft_loss
from src.models import attach_lora, fresh_copy
from src.preference import (
    DPOSettings,
    ai_feedback,
    best_of_n_kl,
    expected_best_of,
    kl_from_reference,
    train_dpo,
)
from src.reward_model import encode_pairs
from tests.rl_helpers import EOS, PROMPTS, count_word, tiny_model, tiny_tokenizer
from tests.test_reward_model import make_pairs

TOKENIZER = tiny_tokenizer()


def dialogue_batch():
    """ids [4, 9] and labels of which the first three tokens carry no loss."""
    ids = torch.randint(1, 17, (4, 9), generator=torch.Generator().manual_seed(0))
    ids[:, -1] = EOS
    labels = ids.clone()
    labels[:, :3] = -100
    return ids, labels


# --- 26: KL-regularised SFT -----------------------------------------------------------------------------------------


def test_inv26_kl_and_its_gradient_are_zero_at_the_start():
    ids, labels = dialogue_batch()
    model, reference = tiny_model(), tiny_model()
    loss = sft_loss(model(ids).logits, labels, reference(ids).logits.detach(), beta=1.0)
    assert loss.kl.item() == pytest.approx(0, abs=1e-7)
    loss.kl.backward()
    assert max(p.grad.abs().max().item() for p in model.parameters() if p.grad is not None) < 1e-6
    torch.manual_seed(0)
    assert (kl_divergence(torch.randn(200, 17), torch.randn(200, 17)) >= 0).all()


def test_inv26_chunked_loss_and_gradient_equal_the_plain_ones():
    ids, labels = dialogue_batch()
    reference = tiny_model(1)
    gradients = []
    for chunked in (False, True):
        model = tiny_model()
        if chunked:
            hidden, ref = (m.transformer(ids).last_hidden_state for m in (model, reference))
            loss = chunked_sft_loss(
                hidden, model.lm_head.weight, labels, ref, reference.lm_head.weight, beta=0.7, chunk=5
            )
        else:
            loss = sft_loss(model(ids).logits, labels, reference(ids).logits, beta=0.7)
        loss.total.backward()
        gradients.append(
            [torch.stack([loss.total, loss.ce, loss.kl]).detach(), *(p.grad for p in model.parameters())]
        )
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients, strict=True))


def test_inv26_large_beta_pins_the_policy_to_the_reference():
    ids, labels = dialogue_batch()

    def train(beta):
        model, reference = tiny_model(), tiny_model()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        ref = reference(ids).logits.detach()
        for _ in range(40):
            optimizer.zero_grad()
            sft_loss(model(ids).logits, labels, ref, beta=beta).total.backward()
            optimizer.step()
        return sft_loss(model(ids).logits, labels, ref, beta=1.0)

    free, tied = train(0.0), train(100.0)
    assert free.kl > 0.5 and tied.kl < 0.02 and free.ce < tied.ce


# --- 27: DPO -----------------------------------------------------------------------------------------------------------


def response_logprob(model, prompt, response):
    logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1)[range(len(response)), response].sum()


def test_inv27_loss_at_step_zero_and_vanishing_beta():
    pairs, _ = encode_pairs(TOKENIZER, make_pairs(4), 64)

    def loss_and_gradient(beta):
        model, reference = tiny_model(), tiny_model()
        sums = [
            torch.stack(
                [response_logprob(m, p.prompt, answer) for p in pairs for answer in [getattr(p, side)]]
            )
            for m in (model, reference)
            for side in ("chosen", "rejected")
        ]
        loss = dpo_loss(sums[0], sums[1], sums[2].detach(), sums[3].detach(), beta)
        loss.backward()
        return loss.item(), model.transformer.wte.weight.grad.norm().item()

    loss, slope = loss_and_gradient(0.1)
    assert loss == pytest.approx(math.log(2), abs=1e-6) and slope > 1e-3
    assert loss_and_gradient(1e-6)[1] == pytest.approx(slope * 1e-5, rel=1e-3)


@pytest.mark.parametrize("lora", [False, True])
def test_inv27_trl_run(lora):
    """First logged loss ln 2 and margin 0, falling loss; weights change in place and nothing of TRL stays behind."""
    sft = tiny_model()
    model = attach_lora(fresh_copy(sft), r=4, alpha=8) if lora else fresh_copy(sft)
    reference = tiny_model()
    config, keys = model.config.to_dict(), set(vars(model))
    lines = []
    settings = DPOSettings(
        learning_rate=1e-2 if lora else 2e-3,
        epochs=3,
        batch_size=16,
        precision="fp32",
        learning_rate_schedule="constant",
    )
    result = train_dpo(
        model,
        reference if not lora else None,
        TOKENIZER,
        make_pairs(48),
        settings,
        progress=lambda *a: lines.append(a),
    )
    assert result.pairs == 48 and [row["step"] for row in result.history] == list(range(1, 10))
    assert result.history[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert result.history[0]["margin"] == pytest.approx(0, abs=1e-5)
    assert result.history[-1]["loss"] < 0.6 and result.history[-1]["accuracy"] > 0.9
    assert [line[:2] for line in lines] == [(i, 9) for i in range(1, 10)]

    assert model.config.to_dict() == config and set(vars(model)) == keys and not model.training
    assert not any("forward" in vars(m) for m in model.modules())
    assert all(torch.equal(a, b) for a, b in zip(reference.parameters(), sft.parameters(), strict=True))
    twin, ids = fresh_copy(model), torch.tensor([[5, 6, 7]])
    before = twin(ids).logits.detach()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.5)
    assert torch.equal(twin(ids).logits, before), "a copy must not compute with the original's weights"


def test_dpo_sees_the_same_boundary_as_everything_else(monkeypatch):
    """One row through TRL's own loss = our formula on separately encoded prompt and response."""
    model, reference = tiny_model(), tiny_model(1)
    pairs = make_pairs(1)
    (pair,), _ = encode_pairs(TOKENIZER, pairs, 64)
    sums = [
        response_logprob(m, pair.prompt, answer)[None].detach()
        for m in (model, reference)
        for answer in (pair.chosen, pair.rejected)
    ]
    expected = dpo_loss(*sums, beta=0.1).item()
    settings = DPOSettings(learning_rate=1e-9, batch_size=1, precision="fp32")
    history = train_dpo(model, reference, TOKENIZER, pairs, settings).history
    assert history[0]["loss"] == pytest.approx(expected, abs=2e-4)
    assert abs(expected - math.log(2)) > 5e-3


def test_dpo_bad_pairs_are_told():
    with pytest.raises(ValueError, match="pair 0 has no rejected"):
        train_dpo(tiny_model(), None, TOKENIZER, [{"chosen": "x"}], DPOSettings())


# --- 28: best-of-n ------------------------------------------------------------------------------------------------------


def test_inv28_best_score_grows_with_n():
    """n = 1 is the sampled model itself; with every k more is to choose from, and k = n takes the best there is."""
    prompts, n = PROMPTS * 3, 16
    repeated = [prompt for prompt in prompts for _ in range(n)]
    texts = [
        g.text for g in generate(tiny_model(), TOKENIZER, repeated, max_new_tokens=6, temperature=1.0, seed=2)
    ]
    scores = torch.as_tensor(count_word("w3")(None, texts, None)).float().view(-1, n)
    expected = [expected_best_of(scores, k).mean().item() for k in (1, 2, 4, 8, 16)]
    assert expected == sorted(expected) and expected[-1] > expected[0] + 0.1
    assert expected[0] == pytest.approx(scores.mean().item(), abs=1e-6)
    assert expected[-1] == pytest.approx(scores.amax(1).mean().item(), abs=1e-6)


def test_expected_best_of_k_equals_enumeration():
    from itertools import combinations

    scores = torch.tensor([[0.3, -1.0, 2.0, 0.3, 0.7]])
    other = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0]])
    for k in (1, 2, 3):
        sets = [max(c, key=lambda i: (scores[0, i].item(), i)) for c in combinations(range(5), k)]
        assert expected_best_of(scores, k).item() == pytest.approx(
            sum(scores[0, i].item() for i in sets) / len(sets)
        )
        assert expected_best_of(scores, k, other).item() == pytest.approx(
            sum(other[0, i].item() for i in sets) / len(sets)
        )
    with pytest.raises(ValueError, match="k=6"):
        expected_best_of(scores, 6)


def test_best_of_n_kl_bound():
    values = [best_of_n_kl(n) for n in (1, 2, 4, 8, 16, 64)]
    assert values == pytest.approx([0, 0.19, 0.64, 1.20, 1.84, 3.18], abs=0.01)


# --- KL by sampling -------------------------------------------------------------------------------------------------------


def test_kl_from_reference_is_the_true_kl():
    """One-token responses: the estimate agrees with the exact KL of the two distributions."""
    policy, reference = tiny_model(), tiny_model(3, spread=0.1)
    measured = kl_from_reference(
        policy, reference, TOKENIZER, ["w1", "w2 w3"], max_new_tokens=1, samples=1500, batch_size=1000
    )
    exact = []
    for prompt in ("w1", "w2 w3"):
        ids = torch.tensor([TOKENIZER(prompt)["input_ids"]])
        exact.append(kl_divergence(policy(ids).logits[0, -1], reference(ids).logits[0, -1]).item())
    truth = sum(exact) / 2
    assert truth > 0.2 and len(measured.sampled.ended) == 3000
    assert measured.k1 == pytest.approx(truth, rel=0.1) and measured.k3 == pytest.approx(truth, rel=0.1)


def test_kl_does_not_depend_on_the_batches(monkeypatch):
    """Rows go back to the prompts they belong to, however they were read."""
    measure = lambda: kl_from_reference(
        tiny_model(), tiny_model(1), TOKENIZER, PROMPTS, max_new_tokens=6, samples=3
    )
    together = measure()
    monkeypatch.setattr("src.reward_model.WIDEST_STATES", 1)
    apart = measure()
    assert apart[:4] == pytest.approx(together[:4], abs=1e-5) and together.k1_error > 0.01


def test_kl_from_itself_is_zero_and_errors_shrink():
    assert kl_from_reference(tiny_model(), tiny_model(), TOKENIZER, PROMPTS, max_new_tokens=6)[
        :4
    ] == pytest.approx([0, 0, 0, 0], abs=1e-5)
    few, many = (
        kl_from_reference(tiny_model(), tiny_model(1), TOKENIZER, PROMPTS * n, max_new_tokens=6)
        for n in (2, 32)
    )
    assert 0 < many.k3_error < few.k3_error and many.k1 > 0
    policy = attach_lora(tiny_model(), r=2, alpha=4)
    with torch.no_grad():
        for name, p in policy.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.2)
    assert kl_from_reference(policy, None, TOKENIZER, PROMPTS * 8, max_new_tokens=6).k3 > 0.01
    with pytest.raises(ValueError, match="PeftModel"):
        kl_from_reference(tiny_model(), None, TOKENIZER, PROMPTS, max_new_tokens=6)


# --- AI feedback -----------------------------------------------------------------------------------------------


def test_ai_feedback_turns_exactly_the_pairs_whose_label_was_wrong():
    """The lab's judge knows the truth, so it undoes the label noise and nothing else."""
    rows = load_preferences("lab", 300, split="test", seed=0)
    pairs = [
        {"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in preference_examples(rows)
    ]
    truth = preference_truth("lab", 300, split="test", seed=0)
    labelled, turned = ai_feedback(GoldJudge(), pairs)
    changed = [old["chosen"] != new["chosen"] for old, new in zip(pairs, labelled, strict=True)]
    assert changed == [t["flipped"] for t in truth] and turned == pytest.approx(np.mean(changed))
    assert 0.15 < turned < 0.35
    for old, new in zip(pairs, labelled, strict=True):
        assert old["prompt"] == new["prompt"]
        assert {old["chosen"], old["rejected"]} == {new["chosen"], new["rejected"]}
    assert ai_feedback(GoldJudge(), labelled) == (labelled, 0.0)
