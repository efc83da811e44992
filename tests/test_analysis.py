"""Known answers for gradients, drift and divergences: identical things differ by 0, planted ones do."""

import math

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from src import analysis
from src.models import attach_lora, fresh_copy

ANSWERS = ["red", "blue", "hen", "cat", "dog", "Paris", "Lima", "tea"]
SUBJECTS = ["sky", "grass", "bird", "pet", "France", "Peru", "drink", "colour"]


@pytest.fixture(scope="module")
def tokenizer():
    words = ["Name", "a", "the", *ANSWERS, *SUBJECTS]
    vocabulary = ["<eos>", "<unk>", "\n", *words, *(" " + word for word in words)]
    inner = Tokenizer(WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\w\s]+|\s"), "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", unk_token="<unk>")


def tiny_model(tokenizer, seed=0):
    torch.manual_seed(seed)
    size = {"vocab_size": len(tokenizer), "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    off = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
    config = GPT2Config(**size, **off, bos_token_id=0, eos_token_id=0, initializer_range=0.2)
    return GPT2LMHeadModel(config).eval()


@pytest.fixture
def model(tokenizer):
    return tiny_model(tokenizer)


def examples(count, seed=0):
    rng = np.random.default_rng(seed)
    return [(f"Name a {rng.choice(SUBJECTS)}", f"the {rng.choice(ANSWERS)}") for _ in range(count)]


# ---------------------------------------------------------------- gradients


def test_gradient_is_that_of_the_token_weighted_loss_whatever_the_batch(model, tokenizer):
    pairs = [("Name a bird", "hen"), ("Name the pet in France", "a cat the dog"), ("Name tea", "")]
    loss, tokens = 0.0, 0
    for prompt, response in pairs:
        head = tokenizer(prompt)["input_ids"]
        tail = [*(tokenizer(" " + response)["input_ids"] if response else []), tokenizer.eos_token_id]
        logp = model(torch.tensor([head + tail])).logits[0].log_softmax(-1)
        loss = loss - sum(logp[len(head) - 1 + i, token] for i, token in enumerate(tail))
        tokens += len(tail)
    expected = torch.autograd.grad(loss / tokens, list(model.parameters()))
    expected = torch.cat([part.flatten() for part in expected])
    for batch_size in (1, 3):
        found = analysis.gradient(model, tokenizer, pairs, batch_size=batch_size)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert all(weight.grad is None for weight in model.parameters())


def test_gradient_of_a_lora_model_is_that_of_its_adapters(model, tokenizer):
    adapted = attach_lora(model, r=2, alpha=4, dropout=0.0, target_modules=["c_attn"])
    trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert len(analysis.gradient(adapted, tokenizer, examples(3))) == trained
    adapted.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter of the model trains"):
        analysis.gradient(adapted, tokenizer, examples(3))


def cosine_of(first, second):
    return torch.nn.functional.cosine_similarity(first.double(), second.double(), dim=0).item()


def test_cosine_of_identical_batches_is_one(model, tokenizer):
    batch = examples(6)
    first, second = (
        analysis.gradient(model, tokenizer, batch),
        analysis.gradient(model, tokenizer, batch[::-1]),
    )
    assert cosine_of(first, second) == pytest.approx(1.0, abs=1e-6)
    assert cosine_of(first, -second) == pytest.approx(-1.0, abs=1e-6)


def test_cosine_of_matched_random_splits_is_its_expectation(model, tokenizer):
    """Halves of m rows: E[g.h] is the mean product of two rows, E[g.g] adds the variance of a row over m."""
    pool = examples(24)  # all responses have the same number of tokens, so rows weigh the same
    single = torch.stack([analysis.gradient(model, tokenizer, [row]) for row in pool]).double()
    gram = (single @ single.T).numpy()
    square = gram.trace() / len(pool)
    product = (gram.sum() - gram.trace()) / (len(pool) * (len(pool) - 1))
    half = len(pool) // 2
    expected = product / (square / half + product * (1 - 1 / half))
    found = []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(pool))
        halves = [[pool[i] for i in part] for part in np.split(order, 2)]
        found.append(cosine_of(*(analysis.gradient(model, tokenizer, part) for part in halves)))
    assert 0.05 < expected < 0.99
    assert np.mean(found) == pytest.approx(expected, abs=0.03)


def rows(count, seed=0):
    return [
        {"instruction": prompt, "input": "", "output": answer} for prompt, answer in examples(count, seed)
    ]


def test_identical_templates_do_not_interfere(model, tokenizer, monkeypatch):
    monkeypatch.setitem(
        analysis.build_prompt.__globals__["TEMPLATES"], "twin", "Question: {instruction}\nAnswer:"
    )
    found = analysis.template_interference(model, tokenizer, rows(24), ["qa", "twin"], blocks=6, n=300)
    assert found.across_templates.value == pytest.approx(found.control.value, abs=1e-6)
    assert found.corrected.value == pytest.approx(1.0, abs=1e-5)
    assert found.same_rows.value == pytest.approx(1.0, abs=1e-6)
    assert abs(found.difference.value) < 1e-6
    np.testing.assert_allclose(found.matrix, found.control.value, atol=1e-6)


def test_interference_runs_on_real_templates_and_is_reproducible(model, tokenizer):
    names = ["alpaca", "plain", "qa"]
    first, second = (
        analysis.template_interference(model, tokenizer, rows(16), names, blocks=4, n=200) for _ in range(2)
    )
    assert first.control == second.control and first.templates == names and first.matrix.shape == (3, 3)
    assert first.control.low <= first.control.value <= first.control.high
    assert np.diag(first.matrix).mean() == pytest.approx(first.control.value)
    assert first.matrix[~np.eye(3, dtype=bool)].mean() == pytest.approx(first.across_templates.value)


@pytest.mark.parametrize(("angle", "verdict"), [(0.0, "not distinguishable"), (60.0, "lower")])
def test_interference_finds_a_planted_angle_and_no_other(monkeypatch, angle, verdict):
    """Gradients are planted: a direction per template, `angle` degrees apart, and noise per row."""
    radians, noise = math.radians(angle), torch.randn(64, 400, generator=torch.Generator().manual_seed(0))

    def planted(model, tokenizer, pairs, batch_size):
        vectors = []
        for prompt, answer in pairs:
            turned = prompt.startswith("Question")
            direction = torch.zeros(400)
            direction[0] = math.cos(radians) if turned else 1.0
            direction[1] = math.sin(radians) if turned else 0.0
            vectors.append(direction + 0.1 * noise[int(answer)])
        return torch.stack(vectors).mean(0)

    monkeypatch.setattr(analysis, "gradient", planted)
    made = [{"instruction": "Name a bird", "output": str(i)} for i in range(64)]
    found = analysis.template_interference(None, None, made, ["alpaca", "qa"], blocks=8, n=500)
    assert found.difference.verdict == verdict
    assert found.corrected.low <= math.cos(radians) <= found.corrected.high
    assert found.control.value == pytest.approx(1 / (1 + 400 * 0.01 / 8), abs=0.05)  # blocks of eight rows
    assert found.same_rows.value > found.across_templates.value


def test_interference_refuses_bad_input(model, tokenizer):
    with pytest.raises(ValueError, match="3 rows cannot fill 4 blocks"):
        analysis.template_interference(model, tokenizer, rows(3), ["qa", "plain"], blocks=4)
    with pytest.raises(ValueError, match="at least 2 templates"):
        analysis.template_interference(model, tokenizer, rows(8), ["qa"])


def test_the_sketch_keeps_cosines(monkeypatch):
    monkeypatch.setattr(analysis, "SKETCH", 4096)
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 20_000, generator=generator)
    b = 0.6 * a + 0.8 * b
    sketch = analysis.sketcher(20_000)
    short = [sketch(x) for x in (a, b)]
    assert all(len(x) == 4096 for x in short)
    assert cosine_of(*short) == pytest.approx(cosine_of(a, b), abs=0.05)
    assert torch.equal(analysis.sketcher(4096)(a[:4096]), a[:4096])


# ---------------------------------------------------------------- weights


def test_drift_of_an_untrained_copy_is_zero(model):
    table = analysis.weight_drift(fresh_copy(model), model)
    assert list(table) == ["embeddings", "block 00", "block 01", "final norm", "all"]
    assert all(row["relative"] == row["absolute"] == 0.0 for row in table.values())
    assert table["all"]["parameters"] == sum(weight.numel() for weight in model.parameters())


def test_drift_is_relative_and_lands_in_its_layer(model):
    moved = fresh_copy(model)
    with torch.no_grad():
        for weight in moved.transformer.h[1].parameters():
            weight.mul_(1.1)
    table = analysis.weight_drift(moved, model)
    assert table["block 01"]["relative"] == pytest.approx(0.1, rel=1e-4)
    assert table["block 00"]["relative"] == table["embeddings"]["relative"] == 0.0
    assert 0 < table["all"]["relative"] < 0.1
    assert table["all"]["absolute"] == pytest.approx(table["block 01"]["absolute"])


def test_drift_refuses_models_that_do_not_match(model, tokenizer):
    adapted = attach_lora(fresh_copy(model), r=2, alpha=4, dropout=0.0, target_modules=["c_attn"])
    with pytest.raises(ValueError, match="merge LoRA"):
        analysis.weight_drift(adapted, model)


def test_effective_rank_and_overlap_have_known_values(model):
    basis = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(0)))[0]
    three = basis[:, :3] @ basis[:3]
    assert analysis.effective_rank(three) == pytest.approx(3.0, rel=1e-3)
    assert analysis.effective_rank(torch.zeros(4, 4)) == 0.0
    uneven = torch.diag(torch.tensor([3.0, 1.0]))
    assert analysis.effective_rank(uneven) == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    )
    other = basis[:, 3:6] @ basis[:3]
    assert analysis.subspace_overlap(three, three, 3) == pytest.approx(1.0)
    assert analysis.subspace_overlap(three, other, 3) == pytest.approx(0.0, abs=1e-6)
    generator = torch.Generator().manual_seed(2)
    strangers = [
        analysis.subspace_overlap(*torch.randn(2, 40, 60, generator=generator), rank=8) for _ in range(30)
    ]
    assert np.mean(strangers) == pytest.approx(8 / 40, abs=0.02)
    with pytest.raises(ValueError, match="rank 5"):
        analysis.subspace_overlap(uneven, uneven, 5)


def test_weight_updates_are_the_matrices_of_the_blocks(model):
    moved = fresh_copy(model)
    with torch.no_grad():
        moved.transformer.h[0].attn.c_attn.weight.add_(0.5)
    updates = analysis.weight_updates(moved, model)
    assert len(updates) == 8 and all(delta.ndim == 2 for delta in updates.values())
    changed = {name for name, delta in updates.items() if delta.abs().sum() > 0}
    assert changed == {"transformer.h.0.attn.c_attn.weight"}
    assert analysis.effective_rank(updates[changed.pop()]) == pytest.approx(1.0, abs=0.01)


# ---------------------------------------------------------------- distributions


def test_kl_of_a_model_from_itself_is_zero_and_from_another_is_exact(model, tokenizer):
    texts = ["Name a bird the hen", "the cat"]
    assert analysis.kl_from_base(fresh_copy(model), model, tokenizer, texts).value == pytest.approx(
        0, abs=1e-6
    )
    other = tiny_model(tokenizer, seed=1)
    expected = []
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        p, q = (m(ids).logits[0, :-1].double().log_softmax(-1) for m in (other, model))
        expected.append((p.exp() * (p - q)).sum(-1).detach().numpy())
    found = analysis.kl_from_base(other, model, tokenizer, texts)
    for one, two in zip(found.kl_per_token, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4)
    assert found.value == pytest.approx(np.concatenate(expected).mean(), rel=1e-4)
    assert [len(ids) for ids in found.token_ids] == [len(kl) for kl in found.kl_per_token] == [4, 1]
    interval = found.interval()
    assert interval.value == pytest.approx(found.value) and interval.low <= interval.value <= interval.high


def test_kl_on_pairs_reads_the_response_and_its_eos(model, tokenizer):
    other = tiny_model(tokenizer, seed=1)
    found = analysis.kl_from_base(other, model, tokenizer, [("Name a bird", "the hen"), ("Name tea", "")])
    assert [len(kl) for kl in found.kl_per_token] == [3, 1]
    assert found.token_ids[0][-1] == found.token_ids[1][-1] == tokenizer.eos_token_id
    whole = analysis.kl_from_base(other, model, tokenizer, ["Name a bird the hen"])
    np.testing.assert_allclose(found.kl_per_token[0][:2], whole.kl_per_token[0][-2:], rtol=1e-4)
    with pytest.raises(ValueError, match="text 1 .* has 1 tokens"):
        analysis.kl_from_base(other, model, tokenizer, ["the cat", "the"])


def test_distribution_shift_separates_familiar_from_strange(model, tokenizer):
    familiar = ["the cat the cat the cat", "the cat the cat", "cat the cat the cat"]
    strange = ["Peru Lima tea", "sky grass dog hen", "colour Paris red"]
    trained = fresh_copy(model).train()
    optimizer = torch.optim.Adam(trained.parameters(), lr=1e-2)
    ids = torch.tensor([tokenizer("the cat the cat the cat")["input_ids"]])
    for _ in range(30):
        logits = trained(ids).logits[0, :-1]
        torch.nn.functional.cross_entropy(logits, ids[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    table = analysis.distribution_shift(trained, tokenizer, {"familiar": familiar, "strange": strange})
    assert table["familiar"].mean.high < table["strange"].mean.low
    assert table["strange"].nll.size == 7 and math.exp(table["strange"].mean.value) == pytest.approx(
        table["strange"].perplexity
    )
    assert list(table["strange"].quantiles.values()) == sorted(table["strange"].quantiles.values())
    with pytest.raises(ValueError, match="source 'one' has 1 texts"):
        analysis.distribution_shift(trained, tokenizer, {"one": ["the cat"]})
