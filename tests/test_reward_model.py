"""Reward-model invariants 1 to 6, training, evaluation and files."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import save_file

from src.losses import ranking_loss
from src.models import ModelError, attach_lora
from src.reward_model import (
    LOGPROB_FLOOR,
    WIDEST_STATES,
    EncodedPair,
    GPT2RewardModel,
    RewardSettings,
    accuracy,
    correlation,
    degenerate_probes,
    encode_pairs,
    evaluate_reward_model,
    reliability_curve,
    reward_function,
    score,
    score_ids,
    score_pairs,
    shuffled_labels,
    similar_batches,
    train_reward_model,
    wilson_interval,
)
from tests.rl_helpers import EOS, tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
ROWS = [([6, 7, 8], [9, EOS]), ([5], [6, 7, 8, 9, 10, 11, EOS]), ([5, 6], [EOS]), ([EOS, 7], [8, EOS])]


def dialogue(prompt, response):
    return f"\n\nHuman: {prompt}\n\nAssistant: {response}"


def make_pairs(count, seed=0):
    """The chosen answer contains w3, the rejected one w4, among random other words."""
    draw = torch.Generator().manual_seed(seed)

    def words(n):
        return [f"w{i}" for i in torch.randint(5, 12, (n,), generator=draw).tolist()]

    pairs = []
    for _ in range(count):
        n = int(torch.randint(1, 5, (), generator=draw))
        prompt, at = " ".join(words(3)), int(torch.randint(0, n + 1, (), generator=draw))
        chosen, rejected = words(n), words(n)
        chosen.insert(at, "w3")
        rejected.insert(at, "w4")
        pairs.append(
            {"chosen": dialogue(prompt, " ".join(chosen)), "rejected": dialogue(prompt, " ".join(rejected))}
        )
    return pairs


def reward_model(features=False, seed=0):
    model = GPT2RewardModel(tiny_model(seed), logprob_features=features)
    if features:
        with torch.no_grad():
            model.logprob_weights.copy_(torch.tensor([0.7, 0.3]))
    return model


FAST = RewardSettings(learning_rate=2e-3, batch_size=16, micro_batch_size=8, precision="fp32")


# --- 1, 2: reading the right token ---------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [False, True])
def test_inv01_padding_invariant(features):
    """A row scores the same alone and behind any number of right pads, whatever ids they have."""
    model = reward_model(features)
    together = score_ids(model, ROWS)
    for i, (prompt, response) in enumerate(ROWS):
        for pads in (0, 1, 5):
            ids = torch.tensor([prompt + response + [11] * pads])
            alone = model(ids, torch.tensor([len(prompt + response)]), torch.tensor([len(prompt)]))
            assert torch.allclose(alone, together[i : i + 1], atol=1e-5)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 600), min_size=1, max_size=90), st.integers(1, 70), st.sampled_from([8, 256, 768])
)
def test_similar_batches_hold_every_row_once(lengths, size, width):
    batches = list(similar_batches(lengths, size, width))
    assert [lengths[i] for batch in batches for i in batch] == sorted(lengths)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch, after in zip(batches, [*batches[1:], []], strict=True):
        states = lambda rows: len(rows) * max(lengths[i] for i in rows) * width
        assert len(batch) <= size and (len(batch) == 1 or states(batch) <= WIDEST_STATES)
        assert not after or len(batch) == size or states([*batch, after[0]]) > WIDEST_STATES, (
            "smaller than need be"
        )


def test_inv01_batches_do_not_change_a_score(monkeypatch):
    model = reward_model()
    together = score_ids(model, ROWS)
    monkeypatch.setattr("src.reward_model.WIDEST_STATES", 1)
    assert torch.allclose(score_ids(model, ROWS), together, atol=1e-5)


def test_inv01_reading_the_last_column_would_fail():
    model = reward_model()
    longest = max(len(p + r) for p, r in ROWS)
    ids = torch.tensor([p + r + [EOS] * (longest - len(p + r)) for p, r in ROWS])
    wrong = model.reward_head(model.trunk(ids).last_hidden_state[:, -1])[:, 0]
    off = (wrong - score_ids(model, ROWS)).abs() > 1e-3
    assert off.tolist() == [len(p + r) < longest for p, r in ROWS], "only the longest row is read correctly"


def test_inv01_the_closing_eos_is_what_is_read():
    """pad = EOS here: a search for the last id that is not pad would read the token before."""
    model = reward_model()
    with torch.no_grad():
        before = score_ids(model, ROWS)
        model.trunk.wte.weight[EOS] *= -1
    assert ((score_ids(model, ROWS) - before).abs() > 1e-3).all()


@pytest.mark.parametrize("features", [False, True])
def test_inv02_training_path_equals_ppo_path(features):
    model, pairs = reward_model(features), make_pairs(6)
    encoded, _ = encode_pairs(TOKENIZER, pairs, 64)
    trained = score_ids(model, [(p.prompt, p.chosen) for p in encoded])
    prompts = [p["chosen"].rsplit(" ", len(p["chosen"].split("Assistant: ")[1].split()))[0] for p in pairs]
    answers = [p["chosen"].split("Assistant: ")[1] for p in pairs]
    assert all(prompt.endswith("\n\nAssistant:") for prompt in prompts)
    in_ppo = reward_function(model, TOKENIZER)(prompts, answers, [True] * 6)
    assert torch.allclose(trained, in_ppo, atol=1e-4)


def test_logprob_features_are_mean_and_minimum_over_the_response():
    model = reward_model(features=True)
    plain = model.reward_head(model.trunk(torch.tensor([ROWS[1][0] + ROWS[1][1]])).last_hidden_state[:, -1])
    prompt, response = ROWS[1]
    logits = tiny_model()(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
    logp = logits.log_softmax(-1)[range(len(response)), response].clamp(min=LOGPROB_FLOOR)
    expected = plain[0, 0] + 0.7 * logp.mean() + 0.3 * logp.min()
    assert torch.allclose(score_ids(model, [ROWS[1]])[0], expected, atol=1e-4)
    with pytest.raises(ValueError, match="prompt_lengths"):
        model(torch.tensor([[5, 6, 7]]), torch.tensor([3]))


def test_logprob_features_start_switched_off():
    plain, featured = GPT2RewardModel(tiny_model()), GPT2RewardModel(tiny_model(), logprob_features=True)
    assert torch.equal(score_ids(plain, ROWS), score_ids(featured, ROWS))


# --- 3, 4: loss and learning ----------------------------------------------------------------------------------------


def test_inv03_ranking_loss():
    torch.manual_seed(0)
    chosen, rejected = torch.randn(50), torch.randn(50)
    assert ranking_loss(chosen, chosen).item() == pytest.approx(math.log(2), abs=1e-6)
    assert ranking_loss(chosen + 7, rejected + 7).item() == pytest.approx(
        ranking_loss(chosen, rejected).item(), abs=1e-5
    )
    assert accuracy(chosen - rejected) == pytest.approx(1 - accuracy(rejected - chosen))
    assert accuracy(torch.zeros(4)) == 0.5


@pytest.mark.parametrize("features", [False, True])
def test_inv04_learns_32_pairs(features):
    model = GPT2RewardModel(tiny_model(), logprob_features=features)
    result = train_reward_model(
        model, TOKENIZER, make_pairs(32), RewardSettings(**{**vars(FAST), "epochs": 12, "batch_size": 8})
    )
    assert result.steps == 48 and result.history[0]["loss"] > 0.5 and result.history[-1]["loss"] < 0.1
    assert evaluate_reward_model(model, TOKENIZER, make_pairs(32)).summary()["accuracy"] == 1.0
    assert evaluate_reward_model(model, TOKENIZER, make_pairs(100, seed=1)).summary()["accuracy"] > 0.9
    if features:
        assert (model.logprob_weights != 0).all()


def test_inv04_shuffled_labels_teach_nothing():
    """Held-out accuracy averages about one half over seeds, where one pass over true labels gives 1."""
    held_out = make_pairs(150, seed=9)

    def held_out_accuracy(pairs, seed=0):
        model = GPT2RewardModel(tiny_model(seed))
        train_reward_model(model, TOKENIZER, pairs, FAST)
        return evaluate_reward_model(model, TOKENIZER, held_out).summary()["accuracy"]

    control = [held_out_accuracy(shuffled_labels(make_pairs(256, seed), seed), seed) for seed in range(5)]
    assert abs(sum(control) / 5 - 0.5) < 0.15 and max(control) < 0.8
    assert held_out_accuracy(make_pairs(256)) > 0.97


def test_shuffled_labels_swap_half_of_the_pairs():
    pairs = make_pairs(40)
    control = shuffled_labels(pairs, seed=1)
    swapped = [a["chosen"] == b["rejected"] for a, b in zip(control, pairs, strict=True)]
    assert sum(swapped) == 20 and swapped != [True] * 20 + [False] * 20
    assert shuffled_labels(pairs, seed=1) == control != shuffled_labels(pairs, seed=2)


@pytest.mark.parametrize("options", [{}, {"margin": 0.5}, {"centre": 0.1}])
def test_micro_batches_do_not_change_the_gradient(options):
    from src.reward_model import _ranking_step

    encoded, _ = encode_pairs(TOKENIZER, make_pairs(10), 64)
    gradients = []
    for size in (10, 3):
        model = reward_model()
        loss, margins = _ranking_step(
            model, encoded, RewardSettings(micro_batch_size=size, precision="fp32", **options)
        )
        gradients.append([loss, margins.mean().item(), *(p.grad for p in model.parameters())])
    assert gradients[0][:2] == pytest.approx(gradients[1][:2], abs=1e-5)
    assert all(
        torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients[0][2:], gradients[1][2:], strict=True)
    )


def test_margin_and_centring_reach_the_loss():
    def final(**options):
        model = GPT2RewardModel(tiny_model())
        settings = RewardSettings(**{**vars(FAST), "epochs": 4, **options})
        train_reward_model(model, TOKENIZER, make_pairs(48), settings)
        return evaluate_reward_model(model, TOKENIZER, make_pairs(48))

    plain, centred = final(), final(centre=1.0)
    assert (centred.chosen + centred.rejected).square().mean() < (
        plain.chosen + plain.rejected
    ).square().mean()
    assert final(margin=3.0).margins.mean() > plain.margins.mean()


def test_learning_rates_head_and_features():
    model, rates = GPT2RewardModel(tiny_model(), logprob_features=True), {}
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    settings = RewardSettings(learning_rate=1e-4, batch_size=8, epochs=1, precision="fp32")
    # one Adam step moves every weight by about its rate
    train_reward_model(model, TOKENIZER, make_pairs(8), settings)
    for name in ("trunk.wte.weight", "reward_head.weight", "logprob_weights"):
        rates[name] = (dict(model.named_parameters())[name] - before[name]).abs().max().item()
    assert rates["reward_head.weight"] == pytest.approx(3 * rates["trunk.wte.weight"], rel=0.2)
    assert rates["logprob_weights"] == pytest.approx(
        RewardSettings().logprob_lr_multiplier * rates["trunk.wte.weight"], rel=0.2
    )


def test_training_is_repeatable_and_quiet_about_nothing():
    lines = []
    runs = [GPT2RewardModel(tiny_model()) for _ in range(2)]
    for model in runs:
        result = train_reward_model(
            model, TOKENIZER, make_pairs(20), FAST, progress=lambda *a: lines.append(a)
        )
    assert torch.equal(score_ids(runs[0], ROWS), score_ids(runs[1], ROWS))
    assert result.pairs == 20 and result.tokens > 0 and [line[:2] for line in lines[:2]] == [(1, 2), (2, 2)]


def test_non_finite_loss_is_refused_before_the_step():
    model = GPT2RewardModel(tiny_model())
    with torch.no_grad():
        model.reward_head.weight.fill_(float("nan"))
    before = model.trunk.wte.weight.clone()
    with pytest.raises(FloatingPointError, match="step 1"):
        train_reward_model(model, TOKENIZER, make_pairs(8), FAST)
    assert torch.equal(model.trunk.wte.weight, before)


# --- 5: truncation and data ------------------------------------------------------------------------------------------


def test_inv05_truncation_keeps_response_and_eos():
    turns = "\n\nHuman: w1 w2\n\nAssistant: w3\n\nHuman: w4 w5 w6\n\nAssistant:"
    pairs = [{"chosen": turns + " w7 w8 w9", "rejected": turns + " w7"}]
    encoded, _ = encode_pairs(TOKENIZER, pairs, 10)
    pair = encoded[0]
    assert TOKENIZER.decode(pair.chosen) == "w7 w8 w9 <eos>" and pair.rejected[-1] == EOS
    assert TOKENIZER.decode(pair.prompt) == "Human: w4 w5 w6 Assistant:", "cut at a turn, the same for both"
    assert len(pair.prompt) + len(pair.chosen) <= 10


def test_inv05_unusable_pairs_are_left_out_and_told():
    pairs = [
        *make_pairs(2),
        {"chosen": dialogue("w1", "w2"), "rejected": dialogue("w1", " w2 ")},
        {"chosen": dialogue("w1", "w2"), "rejected": dialogue("w5", "w3")},
        {"chosen": dialogue("w1", "w2 " * 40), "rejected": dialogue("w1", "w3")},
        {"chosen": dialogue("w1", ""), "rejected": dialogue("w1", "w3")},
    ]
    encoded, dropped = encode_pairs(TOKENIZER, pairs, 20)
    assert [p.row for p in encoded] == [0, 1, 5]
    assert dropped == {"different prompts": [3], "identical": [2], "too long": [4]}
    assert all(p.chosen != p.rejected for p in encoded) and encoded[2].chosen == [EOS]
    with pytest.raises(ValueError, match="no usable pair among 1 .*1 identical"):
        encode_pairs(TOKENIZER, pairs[2:3], 20)
    with pytest.raises(ValueError, match="pair 0 has no rejected"):
        encode_pairs(TOKENIZER, [{"chosen": "x"}], 20)
    with pytest.raises(ValueError, match="pair 1, rejected"):
        encode_pairs(TOKENIZER, [make_pairs(1)[0], {"chosen": dialogue("w1", "w2"), "rejected": "w3"}], 20)


def test_score_cuts_long_prompts_like_training():
    model = reward_model()
    model.max_length = 10
    turns = "\n\nHuman: w1 w2\n\nAssistant: w3\n\nHuman: w4 w5 w6\n\nAssistant:"
    long, short = score(model, TOKENIZER, [turns, "\n\nHuman: w4 w5 w6\n\nAssistant:"], ["w7 w8", "w7 w8"])
    assert torch.allclose(long, short, atol=1e-5)
    with pytest.raises(ValueError, match="response 0"):
        score(model, TOKENIZER, ["w1"], ["w2 " * 30])


# --- 6: normaliser ------------------------------------------------------------------------------------------------------


def test_inv06_normaliser():
    model, pairs = reward_model(), make_pairs(60)
    evaluation = evaluate_reward_model(model, TOKENIZER, pairs)
    prompts, answers = ["w1 w2"] * 40, [f"w{i % 9} w{i // 9}" for i in range(40)]
    for _ in range(2):  # fitting again on the same answers changes nothing
        model.fit_normaliser(score(model, TOKENIZER, prompts, answers))
        scores = score(model, TOKENIZER, prompts, answers)
        assert abs(scores.mean()) < 1e-4 and abs(scores.std(unbiased=False) - 1) < 1e-4
    after = evaluate_reward_model(model, TOKENIZER, pairs)
    assert accuracy(after.margins) == accuracy(evaluation.margins)
    assert not model.gain.requires_grad and "gain" not in dict(model.named_parameters())
    for bad in ([1.0], [1.0, 1.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="fit_normaliser"):
            model.fit_normaliser(bad)


# --- The model and its files ---------------------------------------------------------------------------------------------


def test_shape_of_the_source_and_initialisation():
    sft = tiny_model()
    model = GPT2RewardModel(sft)
    assert type(model.trunk).__name__ == "GPT2Model" and model.reward_head.weight.shape == (1, 32)
    wide = GPT2RewardModel(sft, seed=1).reward_head
    assert not torch.equal(wide.weight, model.reward_head.weight) and wide.bias.item() == 0
    assert wide.weight.std().item() == pytest.approx(1 / math.sqrt(33), rel=0.35)
    before = sft.transformer.wte.weight.clone()
    train_reward_model(model, TOKENIZER, make_pairs(8), FAST)
    assert torch.equal(sft.transformer.wte.weight, before), "the SFT model is only copied"


def test_lora_model_is_merged_into_the_trunk():
    policy = attach_lora(tiny_model(), r=2, alpha=4)
    with torch.no_grad():
        for name, p in policy.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.3)
    model = GPT2RewardModel(policy)
    ids = torch.tensor([[5, 6, 7]])
    expected = policy.get_base_model().transformer(ids).last_hidden_state
    assert torch.allclose(model.trunk(ids).last_hidden_state, expected, atol=1e-4)
    assert not any("lora" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("features", [False, True])
def test_save_and_load(tmp_path, features):
    model = reward_model(features)
    model.max_length = 40
    model.fit_normaliser(score_ids(model, ROWS))
    model.save(tmp_path / "rm")
    model.save(tmp_path / "rm")  # replaces
    again = GPT2RewardModel.load(tmp_path / "rm")
    assert torch.equal(score_ids(again, ROWS), score_ids(model, ROWS)) and again.max_length == 40
    assert sorted(p.name for p in (tmp_path / "rm").iterdir()) == [
        "config.json",
        "model.safetensors",
        "reward_model.json",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["rm"]
    with pytest.raises(FileNotFoundError, match="no reward model"):
        GPT2RewardModel.load(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "other shape", "broken settings"])
def test_a_damaged_folder_is_named(tmp_path, damage):
    folder = reward_model().save(tmp_path / "reward_model")
    weights = folder / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "other shape":
        save_file({"reward_head.weight": torch.zeros(1, 5)}, weights)
    else:
        (folder / "reward_model.json").write_text("{")
    with pytest.raises(ModelError, match="Cannot load the model in .*reward_model.*re-run its stage"):
        GPT2RewardModel.load(folder)


def test_a_full_disk_is_named_and_leaves_the_old_model(tmp_path, monkeypatch):
    folder = reward_model().save(tmp_path / "reward_model")
    before = (folder / "model.safetensors").read_bytes()

    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("src.reward_model.save_file", full)
    with pytest.raises(OSError, match="No space left on device: .*reward_model was not written"):
        reward_model(seed=1).save(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["reward_model"]


def test_trunk_from_a_folder(tmp_path):
    from src.models import save_model

    save_model(tiny_model(), TOKENIZER, tmp_path / "sft")
    assert torch.equal(score_ids(GPT2RewardModel(tmp_path / "sft"), ROWS), score_ids(reward_model(), ROWS))


def test_untied_head_has_no_logprob_features():
    model = tiny_model()
    model.config.tie_word_embeddings = False
    with pytest.raises(ValueError, match="tied"):
        GPT2RewardModel(model, logprob_features=True)


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_pairs_in_one_row_score_as_two_rows(features, attention):
    """The rejected answer must neither see the chosen one nor stand at other positions; nor may padding matter."""
    source = tiny_model()
    source.set_attn_implementation(attention)
    model = GPT2RewardModel(source, logprob_features=features)
    if features:
        model.logprob_weights.data = torch.tensor([0.7, -0.3])
    pairs = [
        EncodedPair([6, 7, 8], [9, EOS], [5, 6, 7, 8, 9, EOS], 0),
        EncodedPair([5], [6, 7, 8, 9, 10, 11, EOS], [EOS], 1),
        EncodedPair([5, 6] * 14, [7] * 29 + [EOS], [8] * 30, 2),  # together longer than the context of 64
    ]
    chosen, rejected = score_pairs(model, pairs)
    apart = [
        score_ids(model, [(p.prompt, getattr(p, side)) for p in pairs]) for side in ("chosen", "rejected")
    ]
    assert torch.allclose(chosen, apart[0], atol=1e-5) and torch.allclose(rejected, apart[1], atol=1e-5)
    grads = []
    for scores in (
        lambda: score_pairs(model, pairs),
        lambda: [
            torch.cat([model(torch.tensor([p.prompt + getattr(p, side)]), torch.tensor([len(p.prompt + getattr(p, side))]), torch.tensor([len(p.prompt)])) for p in pairs])
            for side in ("chosen", "rejected")
        ],
    ):  # fmt: skip
        model.zero_grad()
        ranking_loss(*scores()).backward()
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*grads, strict=True))


# --- Evaluation -----------------------------------------------------------------------------------------------------------


def test_wilson_interval():
    assert wilson_interval(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    low, high = wilson_interval(1.0, 10)
    assert high == pytest.approx(1.0) and low == pytest.approx(0.7225, abs=1e-3)


def test_reliability():
    torch.manual_seed(0)
    truth = torch.randn(4000) * 2
    won = torch.rand(4000) < truth.abs().sigmoid()
    margins = torch.where(won, truth.abs(), -truth.abs())  # right exactly as often as it says
    curve = reliability_curve(margins, 4)
    assert all(abs(bin["predicted"] - bin["observed"]) < 0.05 for bin in curve)


def test_length_baseline_and_correlations():
    pairs = [{"chosen": dialogue("w1", "w2 w3"), "rejected": dialogue("w1", "w4")}] * 3 + [
        {"chosen": dialogue("w1", "w2"), "rejected": dialogue("w1", "w4 w5 w6")}
    ]
    summary = evaluate_reward_model(reward_model(), TOKENIZER, pairs).summary()
    assert summary["longer_wins_accuracy"] == 0.75 and summary["pairs"] == 4
    assert summary["accuracy_low"] <= summary["accuracy"] <= summary["accuracy_high"]
    x = torch.tensor([1.0, 2.0, 4.0])
    assert correlation(x, -2 * x) == pytest.approx(-1) and correlation(x, torch.ones(3)) == 0


def test_degenerate_probes_rank_below_real_answers_once_trained():
    model = GPT2RewardModel(tiny_model())
    pairs = [
        {"chosen": dialogue("w1", "w3 w5 w6"), "rejected": dialogue("w1", bad)}
        for bad in ("", "thanks " * 12, "w3 " * 12, "w3")
    ] * 8
    train_reward_model(model, TOKENIZER, pairs, RewardSettings(**{**vars(FAST), "epochs": 6}))
    probes = degenerate_probes(model, TOKENIZER, ["\n\nHuman: w1\n\nAssistant:"] * 2, ["w3 w5 w6"] * 2)
    assert probes["real"] > max(probes[name] for name in ("empty", "thanks thanks …", "first word repeated"))
