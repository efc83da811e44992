"""Judges on models whose right answer is known: a scripted judge, a random chat model, a planted ranking."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from src import judge
from src.models import ModelError, save_model

CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>"


def byte_tokenizer(chat=True, spaced_digits=False):
    """One token a byte. With `spaced_digits`, every word is led by a token "_", as some tokenizers do."""
    vocabulary = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE({token: i for i, token in enumerate(vocabulary)}, []))
    if spaced_digits:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="_", prepend_scheme="always")
        inner.decoder = decoders.Metaspace(replacement="_", prepend_scheme="always")
    else:
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")
    tokenizer.chat_template = CHAT if chat else None
    return tokenizer


def tiny_chat_model(tokenizer, seed=0, positions=1536):
    torch.manual_seed(seed)
    size = {"vocab_size": len(tokenizer), "n_positions": positions, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0, initializer_range=0.2)).eval()


class ScriptedModel:
    """Reads the question it is asked and answers it by a rule: quality = share of the word "good".

    It also likes answer A, as real judges do, and gives half of its probability to a word that is no reply.
    """

    def __init__(self, tokenizer, likes_a=1.0):
        self.tokenizer, self.likes_a, self.training = tokenizer, likes_a, False
        self.config = GPT2Config(vocab_size=len(tokenizer), n_positions=4096)
        self.asked = []

    def eval(self):
        return self

    def modules(self):
        return iter(())

    @staticmethod
    def quality(text):
        return text.split().count("good") / max(1, len(text.split()))

    def __call__(self, input_ids, attention_mask, position_ids, use_cache, logits_to_keep):
        logits = torch.full((len(input_ids), logits_to_keep, len(self.tokenizer)), -50.0)
        token = {label: self.tokenizer(label)["input_ids"][0] for label in "12345AB?"}
        for row, (ids, mask) in enumerate(zip(input_ids, attention_mask, strict=True)):
            assert position_ids[row][mask.bool()].tolist() == list(range(int(mask.sum())))
            text = self.tokenizer.decode(ids[mask.bool()])
            self.asked.append(text)
            if pair := re.search(r"Answer A:\n(.*?)\n\nAnswer B:\n(.*?)\n\nReply with", text, re.DOTALL):
                better = 4 * (self.quality(pair[1]) - self.quality(pair[2])) + self.likes_a
                logits[row, -1, [token["A"], token["B"]]] = torch.tensor([better, 0.0]).log_softmax(0)
            else:
                said = re.search(r"Response:\n(.*?)\n\nReply with", text, re.DOTALL)[1]
                share = torch.tensor(self.quality(said)).clamp(0.01, 0.99)
                digits = torch.distributions.Binomial(4, share).log_prob(torch.arange(5.0))
                logits[row, -1, [token[digit] for digit in "12345"]] = digits
            logits[row, -1, token["?"]] = 0.0
        return SimpleNamespace(logits=logits)


def test_a_scripted_judge_gives_its_grades_exactly():
    scripted = ScriptedModel(byte_tokenizer())
    judged = judge.LLMJudge(scripted, scripted.tokenizer, batch_size=3)
    responses = ["bad day", "good day", "good fine good wise", "all bad here now"]
    scores = judged.score_many(["Say something."] * 4, responses)
    for response, score in zip(responses, scores, strict=True):
        expected = np.clip(ScriptedModel.quality(response), 0.01, 0.99)  # the mean of the binomial / 4
        assert score.coherence == score.relevance == pytest.approx(expected, abs=1e-5)
        assert score.overall == pytest.approx((3 * expected + score.non_repetition) / 4, abs=1e-5)
    assert judged.cost.judgements == 12  # three aspects each
    assert judged.cost.label_mass == pytest.approx(0.5, abs=1e-4)
    assert (
        judged.cost.seconds_per_judgement == pytest.approx(judged.cost.seconds / 12)
        and judged.cost.seconds > 0
    )
    assert scripted.asked[0].startswith("<|user|>You grade") and scripted.asked[0].endswith("<|assistant|>")
    assert judged.score("Say something.", "good day") == scores[1]


def test_each_aspect_asks_its_own_question_with_prompt_and_response():
    scripted = ScriptedModel(byte_tokenizer())
    judge.LLMJudge(scripted, scripted.tokenizer).score("Name a {bird}.", "A {hen}.")  # braces survive
    assert len({*scripted.asked}) == len(judge.ASPECTS)
    for question, worst, best in judge.ASPECTS.values():
        assert any(question in text and worst in text and best in text for text in scripted.asked)
    assert all("Name a {bird}." in text and "A {hen}." in text for text in scripted.asked)


def test_pairwise_preference_asks_both_orders_and_cancels_the_bias():
    scripted = ScriptedModel(byte_tokenizer(), likes_a=3.0)
    judged = judge.LLMJudge(scripted, scripted.tokenizer)
    same, better, worse = judged.prefer_many(
        ["Speak."] * 3, ["good day", "good good", "bad day"], ["good day", "bad day", "good good"]
    )
    assert same == pytest.approx(0.5, abs=1e-6)
    assert better == pytest.approx(1 - worse, abs=1e-6) and better > 0.6
    one_way = torch.sigmoid(torch.tensor(3.0 + 4.0)).item(), torch.sigmoid(torch.tensor(3.0 - 4.0)).item()
    assert better == pytest.approx((one_way[0] + 1 - one_way[1]) / 2, abs=1e-4)


def test_the_scripted_judge_ranks_the_models_in_their_right_order():
    rng = np.random.default_rng(0)
    share = {"base": 0.2, "stage1": 0.4, "stage2": 0.6, "improved": 0.9}
    prompts = ["Speak."] * 30
    scripted = ScriptedModel(byte_tokenizer())
    judged = judge.LLMJudge(scripted, scripted.tokenizer, batch_size=30)
    said = {
        n: [" ".join(rng.choice(["good", "bad"], 8, p=[p, 1 - p])) for _ in prompts] for n, p in share.items()
    }
    scores = {name: [s.relevance for s in judged.score_many(prompts, texts)] for name, texts in said.items()}
    assert [row.model for row in judge.rank(scores, n=200)] == ["improved", "stage2", "stage1", "base"]
    gold = judge.GoldJudge(lambda prompt, response: gold_parts(total=ScriptedModel.quality(response)))
    truth = {name: [s.overall for s in gold.score_many(prompts, texts)] for name, texts in said.items()}
    agreed = judge.agreement(np.array(list(scores.values())).T, np.array(list(truth.values())).T)
    assert agreed.tau.value > 0.97 and agreed.pairs == 30 * 6


@pytest.mark.parametrize("chat", [True, False])
def test_a_random_chat_model_judges_end_to_end(chat):
    tokenizer = byte_tokenizer(chat)
    model = tiny_chat_model(tokenizer)
    judged = judge.LLMJudge(model, tokenizer, batch_size=2)
    prompts, responses = ["Name a bird.", "What is 2 + 2?"], ["A hen is a bird, and a hen lays eggs.", "4"]
    scores = judged.score_many(prompts, responses)
    for score in scores:
        values = [
            score.overall,
            score.instruction_following,
            score.coherence,
            score.relevance,
            score.non_repetition,
        ]
        assert all(0.0 <= value <= 1.0 for value in values)
        assert score.overall == pytest.approx(np.mean(values[1:]))
    # The same number by hand: no batch, no padding, softmax over the whole vocabulary.
    question, worst, best = judge.ASPECTS["coherence"]
    text = judge.SCORE_PROMPT.format(
        question=question, worst=worst, best=best, prompt=prompts[1], response=responses[1]
    )
    text = f"<|user|>{text}<|end|><|assistant|>" if chat else text + "\n\nReply:"
    probability = model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1].softmax(-1)
    digits = torch.stack([probability[tokenizer(d)["input_ids"][0]] for d in "12345"])
    expected = (digits / digits.sum() @ torch.linspace(0, 1, 5)).item()
    assert scores[1].coherence == pytest.approx(expected, abs=1e-4)
    assert judge.LLMJudge(model, tokenizer, batch_size=6).score_many(prompts, responses)[
        0
    ].coherence == pytest.approx(scores[0].coherence, abs=1e-5)
    preference = judged.prefer_many(prompts, responses, responses[::-1])
    swapped = judged.prefer_many(prompts, responses[::-1], responses)
    np.testing.assert_allclose(preference + swapped, 1.0, atol=1e-6)


def test_labels_that_need_two_tokens_are_read_through_both():
    tokenizer = byte_tokenizer(chat=False, spaced_digits=True)
    lead = tokenizer("_")["input_ids"][-1]
    labels = judge._label_tokens(tokenizer, judge.SCALE)
    assert (lead,) in labels and () not in labels
    model = tiny_chat_model(tokenizer)
    found = judge.LLMJudge(model, tokenizer)._ask(["Say_1", "Say_some_more"], labels)
    for row, text in enumerate(["Say_1", "Say_some_more"]):
        ids = tokenizer(text + "\n\nReply:")["input_ids"]
        expected = np.zeros(5)
        for prefix, tokens in labels.items():
            logp = model(torch.tensor([[*ids, *prefix]])).logits[0].log_softmax(-1)
            prior = sum(logp[len(ids) - 1 + i, token].item() for i, token in enumerate(prefix))
            expected += [np.exp(prior) * logp[-1, last].exp().sum().item() for last in tokens]
        np.testing.assert_allclose(found[row], expected / expected.sum(), rtol=1e-4)


def test_the_judge_refuses_what_it_cannot_do():
    tokenizer = byte_tokenizer()
    short = judge.LLMJudge(tiny_chat_model(tokenizer, positions=64), tokenizer)
    with pytest.raises(ValueError, match=r"row 0 has \d+ tokens but the model reads at most 64"):
        short.score("Name a bird.", "A hen.")
    with pytest.raises(ValueError, match="'prompts': 2, 'responses': 1"):
        short.score_many(["a", "b"], ["c"])
    digitless = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>")),
        eos_token="<unk>",
    )
    with pytest.raises(ValueError, match="cannot write 1, 2, 3, 4, 5"):
        judge.LLMJudge(tiny_chat_model(digitless), digitless)


def gold_parts(**parts):
    return SimpleNamespace(
        **{"total": 0.5, "correct": 0.1, "relevant": 0.2, "fluent": 0.3, "non_repetitive": 0.4, **parts}
    )


def test_the_gold_judge_passes_the_rubric_on():
    gold = judge.GoldJudge(lambda prompt, response: gold_parts(total=len(response) / 10))
    assert gold.score("p", "four") == judge.JudgeScore(0.4, 0.1, 0.3, 0.2, 0.4)
    assert gold.prefer_many(["p"] * 3, ["aa", "a", "aa"], ["a", "aa", "bb"]).tolist() == [1.0, 0.0, 0.5]
    with pytest.raises(ValueError, match="must be of one length"):
        gold.prefer_many(["p"], ["a", "b"], ["c"])


def test_the_default_gold_judge_knows_the_lab():
    right, wrong = judge.GoldJudge().score_many(["What is the capital of France?"] * 2, ["Paris.", "Lima."])
    assert right.overall > wrong.overall and right.instruction_following > wrong.instruction_following


# ---------------------------------------------------------------- rankings


def test_win_matrix_counts_wins_and_halves_ties():
    wins = judge.win_matrix({"a": [1, 2, 3], "b": [0, 2, 4], "c": [0, 0, 0]})
    assert wins.tolist() == [[0, 1.5, 3], [1.5, 0, 2.5], [0, 0.5, 0]]
    seeds = judge.win_matrix({"a": [[1, 1], [0, 0]], "b": [0.5, 0.5]})
    assert seeds.tolist() == [[0, 2], [2, 0]]


def test_bradley_terry_recovers_planted_strengths():
    rng = np.random.default_rng(0)
    planted = np.array([4.0, 0.5, 2.0, 1.0, 0.25])
    odds = planted[:, None] / (planted[:, None] + planted)
    wins = np.zeros((5, 5))
    for i in range(5):
        for j in range(i):
            wins[i, j] = rng.binomial(4000, odds[i, j])
            wins[j, i] = 4000 - wins[i, j]
    found = judge.bradley_terry(wins)
    assert np.argsort(found).tolist() == np.argsort(planted).tolist()
    np.testing.assert_allclose(found, planted, rtol=0.08)
    assert np.exp(np.log(found).mean()) == pytest.approx(1.0)


def test_bradley_terry_known_answers():
    two = judge.bradley_terry(np.array([[0, 30], [10, 0]]), prior=0.0)
    assert two[0] / two[1] == pytest.approx(3.0)
    expected = np.array([[0, 4.0], [2.0, 0]])  # exact counts of any strengths are their own fit
    np.testing.assert_allclose(
        judge.bradley_terry(np.stack([expected, expected.T]), prior=0)[:, 0] ** 2, [2, 0.5]
    )
    wins = np.array([[0, 7, 2], [3, 0, 9], [8, 1, 0.0]])
    fitted = judge.bradley_terry(wins, prior=0)  # at the maximum, expected wins equal the wins counted
    expected_wins = ((wins + wins.T) * fitted[:, None] / (fitted[:, None] + fitted)).sum(1)
    np.testing.assert_allclose(expected_wins, wins.sum(1), rtol=1e-6)
    unbeaten = judge.bradley_terry(np.array([[0, 10], [0, 0]]))
    assert unbeaten[0] / unbeaten[1] == pytest.approx(10.5 / 0.5)
    with pytest.raises(ValueError, match="no win at all"):
        judge.bradley_terry(np.array([[0, 10], [0, 0]]), prior=0.0)
    with pytest.raises(ValueError, match="square matrix"):
        judge.bradley_terry(np.ones((2, 3)))


def test_rank_orders_models_and_knows_what_it_does_not_know():
    rng = np.random.default_rng(1)
    prompts = rng.normal(size=60)
    scores = {
        "twin a": prompts + rng.normal(0, 0.5, (3, 60)),
        "worst": prompts - 1.5 + rng.normal(0, 0.5, (3, 60)),
        "twin b": prompts + rng.normal(0, 0.5, (3, 60)),
        "best": prompts + 3 + rng.normal(0, 0.5, (3, 60)),
        "second worst": prompts - 1.0,
    }
    rows = judge.rank(scores, n=500)
    assert [row.place for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0].model == "best" and rows[-1].model == "worst" and rows[3].model == "second worst"
    assert (rows[0].best, rows[0].worst) == (1, 1)
    twins = [row for row in rows if row.model.startswith("twin")]
    assert all((row.best, row.worst) == (2, 3) for row in twins)
    for row in rows:
        assert row.strength.low <= row.strength.value <= row.strength.high
        assert row.win_rate.low <= row.win_rate.value <= row.win_rate.high <= 1
        assert row.score.value == pytest.approx(np.mean(scores[row.model]))
    assert sum(row.win_rate.value for row in rows) == pytest.approx(2.5)


def test_rank_of_models_that_never_lose_converges_and_ties_share_a_place():
    scores = {f"model {i}": np.full((5, 300), float(i)) for i in range(6)}
    assert [row.model for row in judge.rank(scores, n=100)] == [f"model {i}" for i in range(5, -1, -1)]
    assert [row.place for row in judge.rank({"a": [1, 2, 1], "b": [2, 1, 1], "c": [0, 0, 0]}, n=50)] == [
        1,
        1,
        3,
    ]


def test_rank_refuses_scores_that_do_not_match():
    with pytest.raises(ValueError, match="b: scores of shape"):
        judge.rank({"a": [1, 2, 3], "b": [1, 2]})
    with pytest.raises(ValueError, match="all finite"):
        judge.rank({"a": [1, 2], "b": [1, float("nan")]})
    with pytest.raises(ValueError, match="at least two models"):
        judge.rank({"a": [1, 2]})


def test_agreement_has_known_values_and_covers_zero_for_strangers():
    a = np.arange(40.0)
    assert judge.agreement(a, a).tau.value == 1.0
    assert judge.agreement(a, -a).pairwise.value == 0.0
    assert judge.agreement([1, 2, 3, 4], [1, 2, 4, 3]).tau.value == pytest.approx(4 / 6)
    # tau-b with ties: pairs (1,2) tied for a; of six, five untied for a, six for b; all five agree
    assert judge.agreement([1, 1, 2, 3], [1, 2, 3, 4]).tau.value == pytest.approx(5 / np.sqrt(30))
    assert judge.agreement(np.ones(5), np.arange(5)).pairwise.value == 0.5
    rng = np.random.default_rng(0)
    strangers = judge.agreement(rng.normal(size=(50, 4)), rng.normal(size=(50, 4)))
    assert strangers.tau.low < 0 < strangers.tau.high and strangers.pairs == 300
    kin = rng.normal(size=(50, 4))
    close = judge.agreement(kin, kin + rng.normal(0, 0.3, (50, 4)))
    assert 0.6 < close.tau.low < close.tau.high < 1
    with pytest.raises(ValueError, match="must score the same responses"):
        judge.agreement([1, 2, 3], [1, 2])


def test_the_configured_judge_is_loaded(tmp_path):
    tokenizer = byte_tokenizer()
    model = tiny_chat_model(tokenizer)
    save_model(model, tokenizer, tmp_path / "chat")
    gold = judge.load_judge(SimpleNamespace(judge="gold", precision="fp32"))
    assert isinstance(gold, judge.GoldJudge) and "rubric" in judge.describe_judge(gold)
    found = judge.load_judge(SimpleNamespace(judge=str(tmp_path / "chat"), precision="fp32"))
    asked = (["Name a fruit."], ["Apple."])
    same = judge.LLMJudge(model, tokenizer).score_many(*asked)[0].overall
    assert found.score_many(*asked)[0].overall == pytest.approx(same, abs=1e-5)
    assert "3 judgements" in judge.describe_judge(found)  # one for each aspect
    with pytest.raises(ModelError, match="models/nobody"):
        judge.load_judge(SimpleNamespace(judge="models/nobody", precision="fp32"))


def test_a_ranking_takes_all_seeds_of_the_rubric_and_the_read_answers_of_another_judge():
    stored = [[0.1, 0.2], [0.3, 0.4]]
    scores = [judge.JudgeScore(x, 0, 0, 0, 0) for x in (0.7, 0.8)]
    assert judge.overall_grades(judge.GoldJudge(), scores, stored).tolist() == stored
    chat = judge.LLMJudge(tiny_chat_model(byte_tokenizer()), byte_tokenizer())
    assert judge.overall_grades(chat, scores, stored).tolist() == [[0.7, 0.8]]
