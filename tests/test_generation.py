"""Sampling: padding, cache, EOS and seeds never change what a row says."""

import pytest
import torch

from src import generation
from src.generation import (
    choose_tokens,
    generate,
    join_samples,
    left_pad,
    positions_from_mask,
    sample_ids,
    trunk_and_head,
)
from src.ppo import logprobs_and_values
from tests.rl_helpers import EOS, PROMPTS, tiny_model, tiny_tokenizer

ROWS = [[5], [6, 7, 8, 9, 10], [11, 12], [5, 6, 7]]


def sample(model=None, rows=ROWS, **settings):
    settings = {"eos_token_id": EOS, "max_new_tokens": 12, "seed": 3, **settings}
    return sample_ids(model or tiny_model(), rows, **settings)


def full_logprobs(model, prompt, response, temperature=1.0):
    """Log-probabilities of a response by one plain forward pass over one unpadded row."""
    logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1)[range(len(response)), response]


def test_inv07_left_padding_invariant():
    """A batch of unequal prompts gives every row the tokens and log-probabilities that it gets alone."""
    model, together = tiny_model(), sample()
    for i, row in enumerate(ROWS):
        response = together.response(i)
        expected = full_logprobs(model, row, response)
        assert torch.allclose(together.logprobs[i, : len(response)], expected, atol=1e-4)


def test_inv07_fails_without_position_ids(monkeypatch):
    monkeypatch.setattr(generation, "positions_from_mask", lambda m: torch.arange(m.shape[1]).expand_as(m))
    with pytest.raises(AssertionError):
        test_inv07_left_padding_invariant()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_inv08_cache_equals_no_cache(temperature):
    """Log-probabilities out of the cached, shrinking batch equal those of a full pass at the same temperature."""
    model = tiny_model(seed=1)
    rows = [[5 + i % 9] * (1 + i % 7) for i in range(20)]
    out = sample(model, rows, temperature=temperature)
    assert out.response_lengths.unique().numel() > 2, "rows must end at different times for this test to bite"
    for i, row in enumerate(rows):
        response = out.response(i)
        assert torch.allclose(
            out.logprobs[i, : len(response)], full_logprobs(model, row, response, temperature), atol=1e-4
        )


def test_same_seed_same_text_whatever_the_batch_size():
    rows = [[5 + i % 9] * (1 + i % 7) for i in range(11)]
    reference = sample(rows=rows, batch_size=64)
    for size in (1, 3):
        other = sample(rows=rows, batch_size=size)
        assert torch.equal(reference.ids, other.ids) and torch.equal(reference.ended, other.ended)
    assert not torch.equal(reference.ids, sample(rows=rows, seed=4).ids)


def test_identical_prompts_share_the_prompt_but_not_the_samples():
    rows = [[6, 7, 8]] * 12 + [[5]]
    shared, alone = sample(rows=rows), sample(rows=rows, batch_size=1)
    assert torch.equal(shared.ids, alone.ids)
    assert len({tuple(shared.response(i)) for i in range(12)}) > 6


def test_a_trunk_in_bf16_samples_what_bf16_scoring_expects():
    """Close to the fp32 samples' probabilities, closer to scoring under the same autocast, and really another precision."""
    model = tiny_model()
    low, high = (sample(model, precision=name) for name in ("bf16", "fp32"))
    same = (
        (low.ids == high.ids).all(1) if low.ids.shape == high.ids.shape else torch.zeros(0, dtype=torch.bool)
    )
    assert same.float().mean() > 0.5
    assert 0 < (low.logprobs[same] - high.logprobs[same]).abs().max() < 0.05
    rows = torch.arange(len(low.ids))
    scored = logprobs_and_values(model, low, rows, precision="bf16").logprobs
    assert (low.logprobs - scored).abs().max() < 0.05


def test_greedy_equals_argmax_step_by_step():
    model, out = tiny_model(), sample(temperature=0.0)
    for i, row in enumerate(ROWS):
        text = list(row)
        for token in out.response(i):
            assert token == int(model(torch.tensor([text])).logits[0, -1].argmax())
            text.append(token)


def test_stops_at_the_first_eos_and_keeps_it():
    rows = [[5 + i % 9] for i in range(40)]
    out = sample(rows=rows, max_new_tokens=10)
    assert 0 < out.ended.sum() < 40
    for i in range(40):
        response = out.response(i)
        assert (EOS in response) == bool(out.ended[i])
        assert EOS not in response[:-1] and (out.ended[i] or len(response) == 10)
    beyond = torch.arange(out.logprobs.shape[1]) >= out.response_lengths[:, None]
    assert (out.logprobs[beyond] == 0).all()


def test_eos_inside_the_prompt_is_an_ordinary_token():
    """Masks come from lengths: a prompt that contains the id used for padding is read in full."""
    model, rows = tiny_model(), [[EOS, 6, EOS, 7], [5, 6, 7, 8, 9, 10]]
    out = sample(model, rows)
    response = out.response(0)
    assert torch.allclose(
        out.logprobs[0, : len(response)], full_logprobs(model, rows[0], response), atol=1e-4
    )


def test_sampling_is_pure():
    """Frequencies of 40,000 draws match the model's probabilities: no top-k, no top-p, rare tokens included."""
    model = tiny_model()
    out = sample(model, [[6, 7]] * 40_000, max_new_tokens=1, batch_size=40_000)
    drawn = torch.bincount(out.ids[:, -1], minlength=17) / 40_000
    wanted = model(torch.tensor([[6, 7]])).logits[0, -1].softmax(-1)
    assert (drawn - wanted).abs().max() < 0.01
    assert (drawn[wanted > 0.001] > 0).all()


def test_a_token_of_probability_zero_is_never_drawn():
    logits = torch.full((3, 5), -torch.inf)
    logits[:, 2] = 0.0
    uniform = torch.tensor([0.0, 0.5, 1.0 - 2**-53], dtype=torch.float64)
    assert choose_tokens(logits, uniform).tolist() == [2, 2, 2]


def test_positions_start_at_the_first_real_token():
    _, mask = left_pad([[1, 2, 3], [4]])
    assert positions_from_mask(mask).tolist() == [[0, 1, 2], [0, 0, 0]]


def test_generate_gives_text_tokens_and_the_end():
    tokenizer, model = tiny_tokenizer(), tiny_model()
    out = generate(model, tokenizer, PROMPTS * 5, max_new_tokens=8, temperature=1.0, seed=1)
    assert generate(model, tokenizer, [], max_new_tokens=8) == []
    for one in out:
        words = one.token_ids[:-1] if one.ended else one.token_ids
        assert one.text == tokenizer.decode(words).strip() and len(one.logprobs) == len(one.token_ids)


def test_dropout_is_off_and_the_mode_comes_back():
    model = tiny_model(dropout=0.3)
    quiet = sample(model).ids
    model.train()
    model.transformer.h[0].eval()
    assert torch.equal(sample(model).ids, quiet)
    assert model.training and model.transformer.h[1].training and not model.transformer.h[0].training


def test_lora_layers_are_part_of_the_trunk():
    from src.models import attach_lora

    model = attach_lora(tiny_model(), r=2, alpha=4)
    before = sample(model).ids
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_()
    assert not torch.equal(sample(model).ids, before)
    with model.disable_adapter():
        assert torch.equal(sample(model).ids, before)
    assert trunk_and_head(model)[1].weight.shape == (17, 32)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([], {}, "no prompts"),
        ([[5], []], {}, "prompt 1 is empty"),
        ([[5], [5] * 60], {}, "prompt 1 has 60 tokens"),
        ([[5]], {"max_new_tokens": 0}, "max_new_tokens"),
        ([[5]], {"temperature": -1.0}, "temperature"),
    ],
)
def test_bad_input_says_what_is_wrong(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        sample(rows=rows, **settings)


def test_broken_weights_are_an_error_not_a_text():
    model = tiny_model()
    with torch.no_grad():
        model.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not finite"):
        sample(model)


def test_parts_of_a_batch_sampled_apart_are_the_batch_sampled_at_once():
    tokenizer, model = tiny_tokenizer(), tiny_model()
    ids = [tokenizer(prompt)["input_ids"] for prompt in (*PROMPTS, "w5", "w6 w6")]
    options = {"eos_token_id": EOS, "max_new_tokens": 6, "seed": 3}
    whole = sample_ids(model, ids, **options)
    joined = join_samples(
        [sample_ids(model, ids[a:b], first_row=a, **options) for a, b in ((0, 1), (1, 4), (4, 6))]
    )
    assert joined.prompt_width == whole.prompt_width
    for name in ("ids", "prompt_lengths", "response_lengths", "ended"):
        assert torch.equal(getattr(joined, name), getattr(whole, name)), name
    torch.testing.assert_close(joined.logprobs, whole.logprobs, atol=1e-5, rtol=0)
    assert len(set(whole.response_lengths.tolist())) > 1


def test_long_prompts_are_read_fewer_at_a_time(monkeypatch):
    """The cache has a size in bytes, not in rows; what is sampled does not depend on it."""
    rows = [[5 + i % 7] * (1 + i) for i in range(12)]
    model = tiny_model()
    whole = sample(model, rows, batch_size=12)
    a_token = 8 * model.config.num_hidden_layers * model.config.hidden_size
    lengths = torch.tensor([len(row) for row in rows]) + 4
    monkeypatch.setattr(generation, "CACHE_BYTES", 40 * a_token)
    batches = list(generation._batches(torch.arange(12), lengths, 12, model.config))
    assert torch.equal(torch.cat(batches), torch.arange(12)) and max(map(len, batches)) > 1
    assert all(len(b) == 1 or len(b) * int(lengths[b].max()) <= 40 for b in batches)
    assert torch.equal(sample(model, rows, batch_size=12).ids, whole.ids)
    monkeypatch.setattr(generation, "CACHE_BYTES", 1)  # a row that is too long by itself is still continued
    assert torch.equal(sample(model, rows, batch_size=12).ids, whole.ids)
