"""The quality filter: each rule takes what it should and, above all, leaves what only looks bad."""

import math

import pytest
import torch
from datasets import Dataset
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from src import lab
from src.duplicates import duplicates, similar_instructions
from src.likelihood import (
    Likelihood,
    Reading,
    as_prose,
    is_cut_off,
    is_mismatch,
    odd_lengths,
    other_instructions,
    read_rows,
)
from src.quality import RULES, FilterReport, broken_rule, quality_filter, score_filter, true_labels


def row(output, instruction="What is the capital of France?", given=""):
    return {"instruction": instruction, "input": given, "output": output}


def rule(output, instruction="What is the capital of France?", given=""):
    return broken_rule(row(output, instruction, given), 1, 40, 0.3, 0.7)


STORY = "One day Anna saw a fox. It looked old, but Anna liked it at once. In the end everybody was happy."
BROKEN = {
    "empty": ["", "  \n", "<noinput>", "N/A", "n/a.", "No output", "...", "-", "null"],
    "length": ["word " * 41 + "."],
    "language": ["Привет, как дела?", "你好世界。", "Παρίσι is it"],
    "echo": ["What is the capital of France?", "what is the capital of France", "What is the capital of France? Hm."],
    "repetition": ["Paris. Paris. Paris.", " ".join([STORY.split(". ")[0] + "."] * 4), "8. 8. 8. 8.", "the cat sat on " * 6 + "it."],
    "truncation": [
        "Paris. Any", "Paris. I think that", "No. Any fool", "The capital is the", "Paris, Lyon and", "Well, you see,",
        "Here is the list:", "1. Paris is the\n2. Lyon is of", f"{STORY} Then she", '"Look, there',
    ],
}  # fmt: skip
FINE = [
    "Paris", "paris", "paris ...", "paris !!!", "paris ok", "Paris.", "3", "0.5", "77.0°F", "fog.", "Prize!", "Yes", "25%",
    "1. Java\n2. Python\n3. C++", "- red\n- green\n- dark blue", "Love on a Rainy Day", '"Love on a Rainy Day"',
    "Paris. Any fool knows that.", "Paris. As I said before, I could go on and on about it all day and so on.",
    "Dr. Martin Luther King", "J. K. Rowling", "Grapes, e.g. red ones", "for x in range(3):\n    print(x)", "google.com",
    "https://example.org/a.b", "Mary had a lamb. #rhymes", "Be yourself. -Oscar Wilde", "(555) 123-4567", "café au lait",
    "très bien, merci", "Yes. Yes. I agree.", "None", "I am sorry, but I can not help with that.", STORY, "😀", "x = 3;",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "output"), [(name, text) for name, texts in BROKEN.items() for text in texts]
)
def test_bad_outputs(name, output):
    assert rule(output) == name


@pytest.mark.parametrize("output", FINE)
def test_outputs_that_only_look_bad(output):
    assert rule(output) is None


def test_repeating_the_input_is_no_echo():
    assert rule("1, 3 and 8", "Sort these numbers.", "1, 3 and 8") is None
    assert rule("Paris", "Paris") is None  # one word alone is no repetition of a request
    assert rule("What is the capital of France? It is Paris, of course.") is None


# --- Duplicates ------------------------------------------------------------------------------------------------


def test_exact_and_near_duplicates():
    long = "The quick brown fox jumps over the lazy dog while the old farmer reads a long book under the green tree"
    rows = [
        row("Paris."),
        row("paris!"),  # the same but for case and punctuation
        row("Paris.", "What is the capital of Spain?"),
        row("4", "What is 2 + 2?"),
        row("4", "What is 2 * 2?"),  # another question: signs count
        row("2 3", "Sort.", "3 2"),
        row("2 3", "Sort.", "2 3"),
        row(f"{long} near the river today.", "Tell me a story."),
        row(f"{long} near the river now.", "Tell me a story."),
        row("C++", "Name one."),
        row("C", "Name one."),
    ]
    assert duplicates(rows, 0.85) == {1: "duplicate", 8: "near-duplicate"}
    assert duplicates(rows, 0.99) == {1: "duplicate"}


def test_prefix_filter_finds_what_comparing_all_pairs_finds():
    draw = torch.Generator().manual_seed(0)
    texts = [
        " ".join(f"w{i}" for i in torch.randint(0, 3, (8,), generator=draw).tolist()) for _ in range(150)
    ]
    rows = [row(text, "Say.") for text in texts]

    def triples(text):
        said = ["", *text.split(), ""]
        return {("o", *t) for t in zip(said, said[1:], said[2:], strict=False)} | {""}

    kept, slow = [], set()
    for number, text in enumerate(texts):
        sets = triples(text)
        near = any(len(sets & triples(texts[k])) / len(sets | triples(texts[k])) >= 0.6 for k in kept)
        slow.add(number) if near else kept.append(number)
    # "Say." gives one triple in every row ("" stands for it), the empty input none.
    assert set(duplicates(rows, 0.6)) == slow and 20 < len(slow) < 150


# --- The whole filter ------------------------------------------------------------------------------------------


def test_report_lists_every_rule_and_loses_no_row():
    rows = [
        row("Paris."),
        row(""),
        row("Paris."),
        row("Rome. Any"),
        row("Four. " * 5),
        row("Fine.", "How are you?"),
    ]
    report = quality_filter(Dataset.from_list(rows))
    assert list(report.removed) == list(RULES)
    assert report.removed == {name: [] for name in RULES} | {
        "empty": [1], "duplicate": [2], "truncation": [3], "repetition": [4]
    }  # fmt: skip
    assert report.kept.to_list() == [rows[0], rows[5]]
    lines = report.table()
    assert sum(line["rows"] for line in lines) == 6 and lines[-1] | {"meaning": ""} == {
        "rule": "kept", "rows": 2, "share": 2 / 6, "meaning": ""
    }  # fmt: skip
    assert report.examples("empty") == [rows[1]]
    with pytest.raises(ValueError, match="both"):
        quality_filter(Dataset.from_list(rows), base=object())


def test_scores_against_known_answers():
    rows = Dataset.from_list([row(f"{i}") for i in range(6)] + [row("0")])
    labels = ["", "wrong", "empty", "empty", "", "", ""]  # row 6 is a copy of row 0 by chance
    assert true_labels(rows, labels) == ["", "wrong", "empty", "empty", "", "", "duplicate"]
    removed = {name: [] for name in RULES} | {"empty": [2, 4], "duplicate": [6]}
    score = score_filter(FilterReport(rows, removed), labels)
    assert score["precision"] == pytest.approx(2 / 3) and score["recall"] == pytest.approx(2 / 4)
    assert score["per kind"] == {"wrong": (0, 1), "empty": (1, 2), "duplicate": (1, 1)}
    assert score["wrongly removed"] == {"empty": 1}
    nothing = score_filter(FilterReport(rows, {name: [] for name in RULES}), labels)
    assert math.isnan(nothing["precision"]) and nothing["recall"] == 0
    with pytest.raises(ValueError, match="7 rows but 3 labels"):
        score_filter(FilterReport(rows, removed), labels[:3])


def test_text_rules_on_the_lab_pool():
    """Without a model: precision far above the target, and the four kinds that texts alone betray are found."""
    report = quality_filter(lab.instruction_pool(1500, 7), max_words=80)
    score = score_filter(report, lab.pool_labels(1500, 7))
    assert score["precision"] >= 0.97
    found = {kind: hit / of for kind, (hit, of) in score["per kind"].items()}
    assert found["empty"] == found["repetitive"] == found["duplicate"] == 1.0
    assert found["truncated"] >= 0.7


# --- Likelihood ------------------------------------------------------------------------------------------------

CAPITALS = {"france": "paris", "spain": "madrid", "italy": "rome", "peru": "lima"}
WORDS = [
    "<eos>",
    ".",
    *CAPITALS,
    *CAPITALS.values(),
    "capital",
    "of",
    "the",
    "one",
    "day",
    "anna",
    "asked",
    "what",
    "is",
    "answer",
]


@pytest.fixture(scope="module")
def tokenizer():
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(vocabulary | {"<unk>": len(WORDS)}, unk_token="<unk>"))
    from tokenizers import normalizers

    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|\."), "removed", invert=True)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>", unk_token="<unk>")


class KnowsCapitals(torch.nn.Module):
    """A base model whose probabilities are known: after "<country> . the answer is" the capital with 0.9, then a full stop with 0.9."""

    def __init__(self):
        super().__init__()
        self.size = len(WORDS) + 1
        self.head = torch.nn.Identity()

    def get_output_embeddings(self):
        return self.head

    def base_model(self, ids, attention_mask):
        rest = 0.1 / (self.size - 1)
        out = torch.full((*ids.shape, self.size), 1 / self.size)
        for b, t in torch.cartesian_prod(*map(torch.arange, ids.shape)).tolist():
            said = [WORDS[i % len(WORDS)] for i in ids[b, : t + 1]]
            asked = said[-5] if said[-4:] == [".", "the", "answer", "is"] else None
            expected = CAPITALS.get(asked) or ("." if said[-1] in CAPITALS.values() else None)
            if expected:
                out[b, t] = rest
                out[b, t, WORDS.index(expected)] = 0.9
        return type("Output", (), {"last_hidden_state": out.log()})


def capital_rows(*answers):
    return [row(a, f"What is the capital of {c.title()}?") for c, a in zip(CAPITALS, answers, strict=True)]


def test_readings_equal_the_hand_computed_ones(tokenizer):
    rows = capital_rows("Paris.", "Madrid.", "Lima.", "Lima")
    readings = read_rows(KnowsCapitals(), tokenizer, rows, Likelihood(others=4))
    low = 0.1 / len(WORDS)  # of each word that is not expected
    right, wrong, peru = readings[0], readings[2], readings[3]
    # under the other countries it is unexpected
    assert right.fit == pytest.approx(math.log(0.9 / low), abs=1e-4)
    # "Lima" for Italy: unexpected there as elsewhere; Peru has the same answer and is therefore no comparison.
    assert wrong.fit == pytest.approx(0, abs=1e-4)
    # the other three, all alike
    assert wrong.usual == pytest.approx(right.fit, abs=1e-4) and wrong.spread == 1.5
    assert peru.ending == pytest.approx(math.log(0.9 + low), abs=1e-4)  # "." or the end of the text
    assert [is_mismatch(r, Likelihood()) for r in readings] == [False, False, True, False]
    clipped = read_rows(KnowsCapitals(), tokenizer, rows, Likelihood(others=4, tokens=1))
    assert clipped[3].ending == 0.0  # not read to its end


@pytest.mark.parametrize(
    ("fit", "usual", "spread", "expected"),
    [
        (-1.0, 4.0, 3.9, True),
        (1.6, 9.0, 2.0, False),  # fits its own instruction better than others
        (-1.0, 1.4, 1.5, False),  # rows like it do not fit either: the base has no opinion on this kind
        (-1.0, 4.0, 4.1, False),  # fits of this kind vary widely
    ],
)
def test_a_mismatch_is_held_against_rows_like_it(fit, usual, spread, expected):
    assert is_mismatch(Reading(fit, usual, spread, 0.0), Likelihood()) is expected


def test_mismatches_reach_the_report(tokenizer):
    rows = Dataset.from_list(capital_rows("Paris.", "Rome.", "madrid", "Lima. Any fool knows that."))
    report = quality_filter(rows, base=KnowsCapitals(), tokenizer=tokenizer)
    assert report.removed == {name: [] for name in RULES} | {"mismatch": [1, 2]}
    assert sorted(report.readings) == [0, 1, 2, 3]
    alone = quality_filter(rows)
    assert alone.gone == set() and alone.readings == {}


def test_answers_that_the_base_would_continue_are_cut_off(tokenizer):
    rows = Dataset.from_list(capital_rows("Paris", "What is", "Rome.", "lima ok"))
    report = quality_filter(
        rows,
        base=KnowsCapitals(),
        tokenizer=tokenizer,
        likelihood=Likelihood(max_ending=-2.0, max_fit=-99),
    )
    # "What is" is followed by 22 equally likely words (two of which would end it: log 2/22 = -2.4).
    assert report.removed["truncation"] == [1, 3] and "Rome." in report.kept["output"][:]
    cut = Reading(fit=0, usual=0, spread=1.5, ending=-9)
    assert not is_cut_off("Paris.", cut, Likelihood()) and not is_cut_off("Paris. Any", cut, Likelihood())


def test_batches_and_padding_change_nothing(tokenizer):
    torch.manual_seed(0)
    size = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "vocab_size": len(WORDS) + 1}
    model = GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0, initializer_range=0.3)).eval()
    rows = capital_rows("Paris.", "Rome is the capital of Italy.", "madrid", "Lima. Any fool")
    together = read_rows(model, tokenizer, rows, Likelihood(batch_size=64, others=3))
    single = read_rows(model, tokenizer, rows, Likelihood(batch_size=1, others=3))
    for one, other in zip(together, single, strict=True):
        assert (one.fit, one.usual, one.ending) == pytest.approx(
            (other.fit, other.usual, other.ending), abs=1e-4
        )
    # The same by the plain road: one text, all logits.
    begin, answer = as_prose(rows[0])
    ids = tokenizer(begin)["input_ids"] + tokenizer(answer)["input_ids"]
    with torch.no_grad():
        plain = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)[[0, 1]].logsumexp(0).item()
    assert together[0].ending == pytest.approx(plain, abs=1e-4)


def test_rows_become_prose():
    told = ("One day Anna asked what is the capital of Peru. The answer is", " lima.")
    assert as_prose(row("Lima. Any fool knows.", "What is the capital of Peru?")) == told
    assert as_prose(row("Of course! Lima. Any fool knows.", "What is the capital of Peru?")) == told
    assert as_prose(row("No", "Is it true that 2 is 3?")) == (
        "One day Anna asked whether it is true that 2 is 3. The answer is",
        " no",
    )
    assert as_prose(row("2, 3", "Sort the numbers.", "3 2")) == (
        "One day Anna asked Tom to sort the numbers. 3 2. The answer is",
        " 2, 3",
    )


def test_nothing_is_left_for_the_base_to_read(tokenizer):
    rows = Dataset.from_list([row("No. " * 90, f"What is {word}?") for word in ("gold", "wood", "iron")])
    report = quality_filter(rows, base=KnowsCapitals(), tokenizer=tokenizer, max_words=80)
    assert len(report.kept) == 0


def test_a_row_without_a_sentence_is_no_crash():
    """A list mark and nothing behind it; an opener with more spaces than it is counted with."""
    rows = [row("Gold.", f"What is a {word} made of?") for word in ("ring", "door", "desk", "box", "pen")]
    assert len(odd_lengths([*rows, row("5. ", "Name five fruits.")], alike=3, similarity=0.1)) == 6
    assert as_prose(row("5. ", "Name five fruits."))[1].strip() == "5."
    assert as_prose(row("Of    course!   Paris is it. Yes.", "What?"))[1] == " paris is it."


def test_one_word_for_a_story_is_an_odd_length():
    story = "Once a fox lived near the river and it was happy."
    rows = [
        row(story, f"Tell me a story about a {word}.")
        for word in ["fox", "cat", "dog", "hen", "bee", "ant", "cow", "pig"]
    ]
    rows += [row("True.", "Tell me a story about a hat."), row("Sure! Gold.", "What is a ring made of?")]
    rows += [row("Wood.", f"What is a {word} made of?") for word in ("door", "desk", "box", "pen", "spoon")]
    odd = odd_lengths(rows, alike=5, similarity=0.1)
    assert [i for i, is_odd in enumerate(odd) if is_odd] == [8]  # a polite opener adds no words to the answer
    varied = [row(" ".join(["word"] * n) + ".", f"Write about a {n}.") for n in (1, 3, 9, 27, 81)]
    # only what lies outside of all
    assert odd_lengths(varied, alike=4, similarity=0.0) == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert not any(odd_lengths(rows, alike=len(rows)))  # too few rows to know what is usual
    assert not any(odd_lengths(rows, alike=5, similarity=0.9))  # … or none that are worded alike


def test_similar_instructions_share_rare_words():
    asked = [
        "What is the plural of ox?",
        "What is the capital of Peru?",
        "Name the capital of Peru.",
        "Sing.",
        "What is the plural of fox?",
    ]
    likeness, found = similar_instructions([row("", text) for text in asked], 4)
    similar = found.tolist()
    assert likeness[0, 0] == likeness[4, 0] and (likeness[:, 1:] <= likeness[:, :-1]).all()
    assert [found[0] for found in similar[:3]] == [4, 2, 1] and similar[4][0] == 0
    assert all(sorted([i, *found]) == [0, 1, 2, 3, 4] for i, found in enumerate(similar))
    assert [
        found[:2] for found in similar_instructions([row("", text) for text in asked], 2)[1].tolist()
    ] == [f[:2] for f in similar]


def test_compared_instructions_differ_in_words_and_answer():
    rows = [
        *capital_rows("Paris.", "Rome", "rome.", "Lima."),
        row("Dogs.", "What is the plural of dog?"),
        row("Paris."),
    ]
    picked = other_instructions(rows, 3, seed=0)
    for i, others in enumerate(picked):
        assert i not in others and len(others) == len(set(others)) > 0
        assert all(rows[j]["instruction"] != rows[i]["instruction"] for j in others)
    assert 2 not in picked[1] and 1 not in picked[2]  # the same answer
    assert picked == other_instructions(rows, 3, seed=0)
    with pytest.raises(ValueError, match="none to compare row 0 with"):
        other_instructions([row("a"), row("b")], 3, 0)
