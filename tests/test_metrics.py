"""Known answers for every measure, and coverage of every interval on synthetic data whose truth is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from src import metrics
from src.generation import generate

WORDS = [
    "The",
    "the",
    "capital",
    "of",
    "France",
    "Peru",
    "is",
    "Paris",
    "Lima",
    "New",
    "York",
    "a",
    "b",
    "c",
    "d",
    "e",
    "and",
    ",",
    ".",
]


@pytest.fixture(scope="module")
def tokenizer():
    vocabulary = ["<eos>", "\n", *WORDS, *(" " + word for word in WORDS)]
    inner = Tokenizer(WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="<eos>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\w\s]|\s"), "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>")


def tiny_model(tokenizer, seed=0, positions=32, scale=0.3):
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=positions,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        initializer_range=scale,
    )
    return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny_model(tokenizer)


class Rigged:
    """A "model" that always continues token t with `follow[t]`, whatever came before."""

    def __init__(self, follow, vocab_size):
        table = torch.full((vocab_size, vocab_size), -10.0)
        for token, following in follow.items():
            table[token, following] = 10.0
        self.table, self.training = table, False
        self.config = GPT2Config(vocab_size=vocab_size, n_positions=64)

    def eval(self):
        return self

    def modules(self):
        return iter(())

    def __call__(self, input_ids, attention_mask, use_cache, logits_to_keep):
        logits = self.table[input_ids][:, -logits_to_keep:]
        return type("Output", (), {"logits": logits})


def words(n, seed):
    return " ".join(np.random.default_rng(seed).choice(WORDS[:-2], size=n))


# ---------------------------------------------------------------- probabilities


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(tokenizer):
    model = tiny_model(tokenizer)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    found = metrics.perplexity(model, tokenizer, [words(20, 0), words(7, 1)])
    assert found.value == pytest.approx(len(tokenizer), rel=1e-5)
    assert found.tokens == 25


def test_a_window_that_fits_equals_the_whole_text_and_is_token_weighted(model, tokenizer):
    texts = [words(30, 0), words(4, 1), words(11, 2)]
    total, count = 0.0, 0
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        logp = model(ids).logits[0, :-1].log_softmax(-1)
        total -= logp.gather(-1, ids[0, 1:, None]).sum().item()
        count += ids.shape[1] - 1
    for batch_size in (1, 3):
        found = metrics.perplexity(model, tokenizer, texts, batch_size=batch_size)
        assert found.value == pytest.approx(math.exp(total / count), rel=1e-5)
        assert [nll.size for nll in found.nll_per_token] == [29, 3, 10]


def test_the_sliding_window_scores_every_token_once_with_the_promised_context(model, tokenizer):
    text = words(150, 3)
    ids = tokenizer(text)["input_ids"]
    window = metrics.context_length(model)
    stride = window // 2
    assert len(ids) > 2 * window
    expected = []
    for position in range(1, len(ids)):
        # The window that first reaches this position: it starts at a multiple of the stride.
        begin = max(0, math.ceil((position + 1 - window) / stride)) * stride
        logits = model(torch.tensor([ids[begin:position]])).logits[0, -1]
        expected.append(-logits.log_softmax(-1)[ids[position]].item())
    found = metrics.perplexity(model, tokenizer, [text])
    np.testing.assert_allclose(found.nll_per_token[0], expected, atol=1e-4)


def test_perplexity_refuses_bad_input(model, tokenizer):
    with pytest.raises(ValueError, match=r"text 1 \('a'\) has 1 tokens"):
        metrics.perplexity(model, tokenizer, ["a b", "a"])
    with pytest.raises(ValueError, match="texts is empty"):
        metrics.perplexity(model, tokenizer, [])
    broken = tiny_model(tokenizer)
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="row 0: the model's log-probabilities are not finite"):
        metrics.perplexity(broken, tokenizer, ["a b"])


def test_scoring_leaves_the_model_in_its_mode_with_dropout_off(tokenizer):
    model = tiny_model(tokenizer)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.train()
    first, second = (metrics.perplexity(model, tokenizer, [words(20, 0)]).value for _ in range(2))
    assert model.training and first == second


def test_response_perplexity_scores_the_response_and_its_eos_only(model, tokenizer):
    prompts, responses = ["The capital of France", "The capital of Peru is"], ["is Paris", "Lima"]
    nlls = []
    for prompt, response in zip(prompts, responses, strict=True):
        head = tokenizer(prompt)["input_ids"]
        tail = [*tokenizer(" " + response)["input_ids"], tokenizer.eos_token_id]
        logp = model(torch.tensor([head + tail])).logits[0].log_softmax(-1)
        nlls += [-logp[len(head) - 1 + i, token].item() for i, token in enumerate(tail)]
    found = metrics.response_perplexity(model, tokenizer, prompts, responses)
    assert found.tokens == 5
    assert found.value == pytest.approx(math.exp(np.mean(nlls)), rel=1e-5)
    without = metrics.response_perplexity(model, tokenizer, prompts, responses, end=False)
    np.testing.assert_allclose(np.concatenate(without.nll_per_token), [nlls[0], nlls[1], nlls[3]], atol=1e-4)
    with pytest.raises(ValueError, match="2 prompts but 1 responses"):
        metrics.response_perplexity(model, tokenizer, prompts, ["Lima"])
    with pytest.raises(ValueError, match="row 0 has 63 tokens but the model reads at most 32"):
        metrics.response_perplexity(model, tokenizer, ["The"], [words(61, 0)])


def test_cloze_on_a_rigged_model(tokenizer):
    vocabulary = tokenizer.get_vocab()
    token = vocabulary.__getitem__
    follow = {token(" is"): token(" New"), token(" New"): token(" York"), token(" of"): token(" Paris")}
    model = Rigged(follow, len(vocabulary))
    probes = [
        ("The capital is", "New York", "long"),
        ("The capital is", "New", "short"),
        ("The capital is", "New Paris", "long"),  # right beginning only
        ("The capital is", "York", "short"),
        ("The capital of", "Paris", "short"),
    ]
    found = metrics.cloze_accuracy(model, tokenizer, probes, batch_size=2)
    assert found.correct.tolist() == [True, True, False, False, True]
    assert found.accuracy == pytest.approx(0.6)
    as_objects = [SimpleNamespace(prefix=p, answer=a, relation=r, subject="x") for p, a, r in probes]
    assert metrics.cloze_accuracy(model, tokenizer, as_objects).correct.tolist() == found.correct.tolist()
    assert found.by_relation["long"] == {"accuracy": 0.5, "probes": 2}
    assert found.by_relation["short"] == {"accuracy": pytest.approx(2 / 3), "probes": 3}


def test_cloze_equals_greedy_generation(model, tokenizer):
    prompts = ["The capital of France is", "Peru", "a b c"]
    probes = []
    for prompt, new in zip(prompts, generate(model, tokenizer, prompts, max_new_tokens=2), strict=True):
        said = tokenizer.decode(new.token_ids)
        if said.startswith(" ") and not new.ended and tokenizer(said)["input_ids"] == new.token_ids:
            probes.append((prompt, said[1:], "copied"))
    assert probes, "the fixed seed must give at least one continuation that can be written as a probe"
    assert metrics.cloze_accuracy(model, tokenizer, probes).accuracy == 1.0
    wrong = [
        (prompt, "Lima" if answer.split()[0] != "Lima" else "Paris", name) for prompt, answer, name in probes
    ]
    assert metrics.cloze_accuracy(model, tokenizer, wrong).accuracy == 0.0


def test_coherence_is_zero_for_noise_and_one_for_what_the_base_expects(tokenizer):
    vocabulary = tokenizer.get_vocab()
    cycle = {
        vocabulary[" a"]: vocabulary[" b"],
        vocabulary[" b"]: vocabulary[" a"],
        vocabulary["The"]: vocabulary[" a"],
    }
    base = Rigged(cycle, len(vocabulary))
    scores = metrics.coherence(base, tokenizer, ["The"] * 3, ["a b a b", "b a c d", ""])
    assert scores[0] == pytest.approx(1.0, abs=1e-3)
    assert scores[1] == scores[2] == 0.0
    flat = Rigged({}, len(vocabulary))
    assert metrics.coherence(flat, tokenizer, ["The"], ["a b"])[0] == pytest.approx(0.0, abs=1e-6)
    half = math.log(len(vocabulary)) / 2
    soft = Rigged({}, len(vocabulary))
    soft.table.zero_()
    soft.table[:, vocabulary[" a"]] = math.log((len(vocabulary) - 1) / (math.exp(half) - 1))
    assert metrics.coherence(soft, tokenizer, ["The"], ["a a"])[0] == pytest.approx(0.5, abs=1e-4)
    assert metrics.coherence(soft, tokenizer, ["The"], ["a a"], typical_nll=half)[0] == pytest.approx(
        1.0, abs=1e-4
    )


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("response", "reference", "same"),
    [
        ("Paris", "paris.", True),
        ("  Of course! Paris. It lies on the Seine.", "Paris.", True),
        ("Sure!\nParis\nAnything else?", "Paris", True),
        ("Paris is the capital.", "Paris", False),
        ("Sure", "Sure.", True),  # an opener alone is the answer
        ("Sure footed goats climb.", "footed goats climb", False),  # no punctuation: not an opener
        ("3.5", "3", False),
        ("-3", "3", False),
        ('"-3".', "-3", True),
        ("", "Paris", False),
        ("It’s  red,  blue", "it's red, blue!", True),
        ("Certainly. The old, red hen", "the old red hen", False),
    ],
)
def test_exact_match(response, reference, same):
    assert metrics.exact_match(response, reference) is same


def test_a_reference_without_words_must_be_met_as_a_whole():
    """Real rows have them (code, ellipses); one of them must not end a stage after its training."""
    for reference in (" . ", '{\n "a": 1\n}', "... and so on."):
        assert metrics.exact_match(reference, reference) and not metrics.exact_match("Paris", reference)


def test_lists_and_titles_are_no_sentences():
    healthy = "1. Eat a balanced diet.\n2. Sleep."
    assert not metrics.exact_match("1. Smoke a lot.\n2. Eat.", healthy)
    assert metrics.exact_match("1) Eat a balanced diet.\n2) Run.", healthy)
    assert metrics.exact_match("12. It is more.", "12")
    assert not metrics.exact_match("Dr. No", "Dr. Watson helped Holmes.")


def test_every_polite_opener_is_stripped():
    for opener in metrics.POLITE_OPENERS:
        assert metrics.exact_match(f"{opener.capitalize()}! Lima.", "Lima"), opener


@pytest.mark.parametrize(
    ("text", "looping"),
    [
        ("Paris.", False),
        ("", False),
        ("no no no", True),
        ("no no", False),
        ("The cat is a cat is a cat is a cat", True),
        ("the dog ran. the dog ran. the dog ran. And then it slept.", True),  # anywhere, not only at the end
        ("the dog ran home. the dog ran home.", False),  # twice is no loop yet
        ("the dog ran home. the dog ran home. the", True),  # cut in the third round
        ("the dog ran home. the dog ran home. the end", False),
        ("He said that she said that it rained, and it rained.", False),
        ("hahahahahahaha", True),
        ("1000000000", False),
        ("Well... I think so.", False),
        ("! ! !", True),
        ("red, blue, green, red, yellow", False),
    ],
)
def test_loops(text, looping):
    assert metrics.loops(text) is looping


def test_repetition_measures_have_known_values():
    assert metrics.repeated_ngram_rate("a b c d a b c d", 4) == pytest.approx(1 / 5)
    assert metrics.repeated_ngram_rate("a b", 4) == 0.0
    # "a b a b": bigrams ab ba ab (2/3 differ), trigrams aba bab, one 4-gram
    assert metrics.non_repetition("a b a b") == pytest.approx(2 / 3)
    assert metrics.non_repetition("The capital of France is Paris.") == 1.0
    assert metrics.non_repetition("Paris") == 1.0
    assert metrics.non_repetition("") == 0.0
    falling = [metrics.non_repetition("the dog ran " * times) for times in (1, 2, 4, 8)]
    assert falling == sorted(falling, reverse=True) and falling[-1] < 0.01


# ---------------------------------------------------------------- statistics


def coverage(draw, interval, truth, trials=1000):
    """Share of `trials` synthetic data sets whose 95 % interval holds the truth."""
    rng = np.random.default_rng(7)
    found = [interval(draw(rng), seed) for seed in range(trials)]
    return np.mean([low.low <= truth <= low.high for low in found])


@pytest.mark.parametrize("n", [10, 40, 200])
def test_bootstrap_covers_the_truth_95_percent_of_the_time(n):
    share = coverage(
        lambda rng: rng.normal(3.0, 2.0, n), lambda x, s: metrics.bootstrap_interval(x, n=500, seed=s), 3.0
    )
    assert 0.93 <= share <= 0.97


def test_bootstrap_covers_a_proportion_and_a_skewed_mean():
    share = coverage(
        lambda rng: rng.random(150) < 0.7, lambda x, s: metrics.bootstrap_interval(x, n=500, seed=s), 0.7
    )
    assert 0.93 <= share <= 0.97
    share = coverage(
        lambda rng: rng.exponential(1.0, 150), lambda x, s: metrics.bootstrap_interval(x, n=500, seed=s), 1.0
    )
    assert 0.92 <= share <= 0.97


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("seed_sd", "prompt_sd"), [(0.1, 0.3), (0.1, 0.0)])
def test_hierarchical_interval_covers_with_few_seeds(seeds, seed_sd, prompt_sd):
    def draw(rng):
        prompts = rng.normal(0, prompt_sd, 50)  # the same prompts for every seed
        return 0.5 + rng.normal(0, seed_sd, (seeds, 1)) + prompts + rng.normal(0, 0.1, (seeds, 50))

    share = coverage(draw, lambda x, s: metrics.hierarchical_interval(x, n=500, seed=s), 0.5)
    assert 0.92 <= share <= 0.985


def test_intervals_of_one_seed_and_of_one_number_per_seed():
    values = np.random.default_rng(0).normal(size=60)
    assert metrics.hierarchical_interval(values[None]) == metrics.bootstrap_interval(values)
    per_seed = metrics.hierarchical_interval([[0.4], [0.5], [0.6], [0.5], [0.5]])
    assert per_seed.value == pytest.approx(0.5) and per_seed.low < 0.43 and per_seed.high > 0.57


def test_intervals_are_reproducible_clipped_and_take_other_statistics():
    values = np.array([1.0] * 29 + [0.0])
    assert metrics.bootstrap_interval(values) == metrics.bootstrap_interval(values)
    wide = metrics.hierarchical_interval([[1.0, 1.0], [1.0, 0.9]], bounds=(0, 1))
    assert wide.high == 1.0
    middle = metrics.bootstrap_interval(np.arange(101.0), np.median)
    assert middle.value == 50 and 30 < middle.low < 50 < middle.high < 70


def test_perplexity_interval_resamples_whole_texts():
    nll = [np.full(10, 1.0), np.full(1000, 2.0), np.full(10, 1.0)]
    found = metrics.Perplexity(math.exp(2020 / 1020), nll, 1020).interval()
    assert found.value == pytest.approx(math.exp(2020 / 1020))
    assert found.low == pytest.approx(math.e) and found.high == pytest.approx(math.e**2)


def test_paired_difference_has_the_power_of_pairing_and_the_modesty_of_noise():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 5, 100)  # how hard the prompts are hides a small effect unless it is paired away
    a, b = hard + 0.2 + rng.normal(0, 0.2, 100), hard + rng.normal(0, 0.2, 100)
    assert metrics.paired_difference(a, b).verdict == "higher"
    assert metrics.paired_difference(b, a).verdict == "lower"
    same = metrics.paired_difference(a, a)
    assert (same.value, same.verdict) == (0.0, "not distinguishable")
    noise = metrics.paired_difference(rng.normal(size=100), rng.normal(size=100))
    assert noise.verdict == "not distinguishable" and noise.low < noise.value < noise.high


def test_paired_difference_with_seeds():
    rng = np.random.default_rng(1)
    base = rng.normal(size=80)
    lucky = base + np.array([[1.2], [-0.9], [0.3]])  # one lucky seed is no effect
    assert metrics.paired_difference(lucky, base).verdict == "not distinguishable"
    steady = base + np.array([[1.2], [1.0], [1.1]]) + rng.normal(0, 0.1, (3, 80))
    assert metrics.paired_difference(steady, base).verdict == "higher"


def test_statistics_refuse_bad_input():
    with pytest.raises(ValueError, match="at least two values"):
        metrics.bootstrap_interval([1.0])
    with pytest.raises(ValueError, match="not finite at position \\[1\\]"):
        metrics.bootstrap_interval([1.0, float("nan"), 2.0])
    with pytest.raises(ValueError, match=r"a has shape \(3,\) and b \(2,\)"):
        metrics.paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="same seeds"):
        metrics.paired_difference(np.ones((2, 3)), np.ones((3, 3)))
