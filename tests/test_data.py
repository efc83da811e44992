"""Data: what is read is what the file says, draws are fixed by their seed, test rows stay apart, errors name the row."""

import csv
import gzip
import json
import time

import huggingface_hub
import pyarrow
import pyarrow.parquet
import pytest
from datasets import Dataset

from src import data, lab
from src.data import EvalPrompt, Preference
from src.files import DataError, load_table
from src.templates import TEMPLATES, build_prompt

ROWS = [{"instruction": f"Question {i}?", "input": "", "output": f"Answer {i}."} for i in range(300)]
WRITERS = {}


def writer(suffix):
    def register(function):
        WRITERS[suffix] = function
        return function

    return register


@writer(".json")
def _array(path, rows):
    path.write_text(json.dumps(rows), encoding="utf-8")


@writer(".jsonl")
def _lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")


@writer(".jsonl.gz")
def _gzip(path, rows):
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


@writer(".csv")
def _csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


@writer(".parquet")
def _parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


@pytest.fixture
def table(tmp_path):
    def make(rows=ROWS, suffix=".jsonl"):
        path = tmp_path / f"rows{suffix}"
        WRITERS[suffix](path, rows)
        return str(path)

    return make


def dialogue(*said):
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {words}" for i, words in enumerate(said))


def pair(i, chosen="Good.", rejected="Bad."):
    return {"chosen": dialogue(f"Question {i}?", chosen), "rejected": dialogue(f"Question {i}?", rejected)}


# --- Instructions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_kind_of_file_gives_the_same_rows(table, suffix):
    rows = [*ROWS, {"instruction": "Ünïcode, “quotes”\nand lines?", "input": 'a,"b"', "output": "ja ☂"}]
    expected, _, _ = load_table(table(rows, ".json"), data.INSTRUCTION_COLUMNS)
    found, _, own = load_table(table(rows, suffix), data.INSTRUCTION_COLUMNS)
    assert found == expected == rows and not own


def test_lab_source_is_the_raw_pool():
    assert data.load_instructions("lab", 60, seed=3).to_list() == lab.instruction_pool(60, 3).to_list()


def test_draws_are_fixed_by_their_seed_and_nested(table):
    source = table()
    first = data.load_instructions(source, 50, seed=1)
    assert first.column_names == ["instruction", "input", "output"]
    assert first.to_list() == data.load_instructions(source, 50, seed=1).to_list()
    assert first.to_list() != data.load_instructions(source, 50, seed=2).to_list()
    assert data.load_instructions(source, 90, seed=1).to_list()[:50] == first.to_list()
    assert len({row["instruction"] for row in first}) == 50


def test_held_out_rows_never_reach_training(table):
    source = table([*ROWS, *ROWS])  # every row twice: a copy of a test row must not be trained on either
    training = {row["instruction"] for row in data.load_instructions(source)}
    test = {p.instruction for p in data.instruction_splits(source, 20, seed=5)["held out"]}
    assert len(test) == 20 and not test & training
    every = {row["instruction"] for row in ROWS}
    reserved = every - training
    assert test <= reserved and 0.05 < len(reserved) / len(every) < 0.15
    shuffled = data.load_instructions(table(ROWS[::-1], ".json"))
    assert {row["instruction"] for row in shuffled} == training  # neither order nor file format moves a row


def test_splits_of_the_lab_are_its_four():
    splits = data.instruction_splits("lab", 12, seed=2)
    assert list(splits) == list(lab.SPLITS)
    tasks = lab.evaluation_tasks("new both", 12, 2)
    assert splits["new both"][3] == EvalPrompt(
        tasks[3].instruction, tasks[3].input, tasks[3].answer, tasks[3].exact
    )
    assert all(p.exact and p.answer for prompts in splits.values() for p in prompts)


def test_no_input_is_an_empty_input(table):
    rows = [
        row | {"input": written}
        for row, written in zip(ROWS, ("No input", "<noinput>", "N/A") * 9, strict=False)
    ]
    kept = {"instruction": "Sort.", "input": "none, some, all", "output": "all, none, some"}
    inputs = {row["input"] for row in data.load_instructions(table([*rows, kept]))}
    assert inputs == {"", "none, some, all"}


@pytest.mark.parametrize("count", [0, -1, 100_000])
def test_rows_that_are_not_there(table, count):
    with pytest.raises(DataError, match=r"training rows.*Ask for 1 to 2\d\d"):
        data.load_instructions(table(), count)
    if count < 1:
        with pytest.raises(DataError, match="at least 1"):
            data.load_instructions("lab", count)


# --- Bad files: the message names file, row and what to do ------------------------------------------------------


BAD_ROWS = {
    "no column": (
        {"instruction": "x", "output": "y"},
        r"row 2: no 'input' \(it has 'instruction', 'output'\)",
    ),
    "a number": ({"instruction": "x", "input": "", "output": 7}, r"row 2: 'output' must be text, got int: 7"),
    "null": (
        {"instruction": "x", "input": None, "output": "y"},
        r"row 2: 'input' must be text, got NoneType",
    ),
    "no object": ("text", r"row 2: expected an object .* got str: 'text'"),
    "too long": (
        {"instruction": "x", "input": "", "output": "y" * 200},
        r"row 2: 'output' has 200 characters",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named(table, name):
    row, message = BAD_ROWS[name]
    path = table([ROWS[0], row, ROWS[1]])
    with pytest.raises(DataError, match=message) as caught:
        data.load_instructions(path, max_characters=100)
    assert str(path) in str(caught.value)


BAD_FILES = {
    "a.jsonl": (
        b'{"instruction": "x", "input": "", "output": "y"}\n{"instruction": "x"',
        "line 2: broken JSON",
    ),
    "b.json": (b'[{"instruction": "x"},\n {"instruction": ', "line 2: broken JSON.*complete"),
    "c.jsonl": (b"", "has no rows"),
    "d.json": (b"[]", "has no rows"),
    "e.csv": (b"instruction,input,output\na,,b\na,,b,c\n", "row 2: more fields"),
    "f.csv": (b'instruction,input,output\na,,"b\n', "damaged or cut off"),
    "g.jsonl.gz": (gzip.compress(b'{"instruction": 1}' * 999)[:-20], "damaged or cut off"),
    "h.jsonl.gz": (b"plain text", "damaged or cut off"),
    "m.jsonl.gz": (gzip.compress(b'{"instruction": 1}')[:10] + b"\xff" * 20, "damaged or cut off"),
    "i.parquet": (b"PAR1 no", "damaged or cut off"),
    "j.jsonl": ("é".encode("latin-1"), "not UTF-8"),
    "k.xlsx": (b"", r"unknown kind of file.*\.csv"),
    "l.json": (b'{"instruction": {"a": 1}}', r"row 1: no 'input', 'output'"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named(tmp_path, name):
    content, message = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        data.load_instructions(str(path))
    assert name in str(caught.value)


@pytest.mark.parametrize("source", ["nowhere.jsonl", "data/nowhere", "./a/b", "lap", "some/file.json"])
def test_a_missing_file_is_no_hub_name(source):
    with pytest.raises(DataError, match="No file or folder"):
        data.load_instructions(source)


@pytest.mark.parametrize("load", [data.load_instructions, data.load_preferences])
@pytest.mark.parametrize("offline", [True, False])
def test_an_unreachable_hub_is_one_quick_error_with_three_ways_out(monkeypatch, load, offline):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(DataError, match="HF_HUB_OFFLINE" if offline else "does not answer") as caught:
        load("nobody/nothing-of-that-name")
    assert time.monotonic() - begun < 10
    for way in ("local file", "--profile lab", "hf download nobody/nothing-of-that-name --repo-type dataset"):
        assert way in str(caught.value)
    assert huggingface_hub.constants.HF_HUB_OFFLINE is offline  # and the flags are as they were
    import datasets

    assert not datasets.config.HF_HUB_OFFLINE


def test_a_folder_laid_out_like_the_hub(tmp_path):
    part = tmp_path / "hh" / "harmless-base"
    part.mkdir(parents=True)
    _gzip(part / "train.jsonl.gz", [pair(i) for i in range(6)])
    _gzip(part / "test.jsonl.gz", [pair(i) for i in range(6, 8)])
    other = tmp_path / "hh" / "helpful-base"
    other.mkdir()
    _gzip(other / "train.jsonl.gz", [pair(99)])
    source = str(tmp_path / "hh")
    assert len(data.load_preferences(source)) == 6  # the folder's own split: no tenth is taken away
    assert {row["chosen"] for row in data.load_preferences(source, split="test")} == {
        pair(i)["chosen"] for i in (6, 7)
    }
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="has no data file"):
        data.load_preferences(str(tmp_path / "none"))


# --- What training can use -------------------------------------------------------------------------------------


def test_usable_rows_counts_what_it_skips():
    rows = [
        {"instruction": "Fine?", "input": "", "output": "Yes."},
        {"instruction": "Fine?", "input": "", "output": " \n"},
        {"instruction": "  ", "input": "", "output": "Yes."},
        {"instruction": "F" * 30, "input": "i" * 30, "output": "Yes."},
        {"instruction": "Fine?", "input": "", "output": "y" * 51},
        {"instruction": "Last?", "input": "", "output": "<noinput>"},
    ]
    kept, counts = data.usable_rows(
        Dataset.from_list(rows), max_prompt_characters=59, max_output_characters=50
    )
    assert kept.to_list() == [rows[0], rows[5]]
    assert counts == {"empty output": 1, "empty instruction": 1, "long prompt": 1, "long output": 1}
    assert data.usable_rows(Dataset.from_list(rows))[1] == {"empty output": 1, "empty instruction": 1}
    with pytest.raises(DataError, match="None of the 1 rows.*empty output 1"):
        data.usable_rows(Dataset.from_list(rows[1:2]))


def test_examples_draw_one_template_a_row():
    rows = Dataset.from_list([row | {"input": "given"} for row in ROWS])
    single = data.examples(rows, ["alpaca"])
    assert single[4] == (build_prompt("Question 4?", "given", "alpaca"), "Answer 4.")
    many = data.examples(rows, list(TEMPLATES), seed=1)
    used = [
        next(name for name in TEMPLATES if prompt == build_prompt(row["instruction"], row["input"], name))
        for (prompt, _), row in zip(many, rows, strict=True)
    ]
    assert all(30 < used.count(name) < 90 for name in TEMPLATES)
    assert (
        many == data.examples(rows, list(TEMPLATES), seed=1) != data.examples(rows, list(TEMPLATES), seed=2)
    )


def test_examples_name_an_unusable_row():
    rows = Dataset.from_list([ROWS[0], ROWS[1] | {"output": " "}])
    with pytest.raises(DataError, match="Row 1: empty output.*usable_rows"):
        data.examples(rows, ["alpaca"])
    with pytest.raises(ValueError, match="list of template names"):
        data.examples(rows, "alpaca")


# --- Preferences -----------------------------------------------------------------------------------------------


def test_lab_preferences_test_on_new_facts():
    assert data.load_preferences("lab", 9).to_list() == lab.preference_pairs(9, 0).to_list()
    test = data.load_preferences("lab", 9, split="test", seed=1)
    assert test.to_list() == lab.preference_pairs(9, 1, new_fact=True).to_list()
    with pytest.raises(ValueError, match="'train' or 'test'"):
        data.load_preferences("lab", 9, split="dev")


def test_pairs_that_compare_nothing_are_skipped_and_said(table):
    rows = [pair(i) for i in range(100)]
    rows[3]["rejected"] = dialogue("Another question?", "Bad.")
    rows[5] = pair(5, chosen="")
    rows[7] = pair(7, rejected="Good.")
    said = []
    found = [
        row["chosen"]
        for split in ("train", "test")
        for row in data.load_preferences(table(rows), split=split, report=said.append)
    ]
    assert sorted(found) == sorted(pair(i)["chosen"] for i in range(100) if i not in (3, 5, 7))
    assert len(said) == 2
    assert "3 of 100 pairs skipped (" in said[0]
    assert all(reason in said[0] for reason in ("different prompts 1", "empty answer 1", "same answer 1"))


def test_preference_splits_share_no_prompt(table):
    source = table([pair(i % 150, chosen=f"Good {i}.") for i in range(300)])
    asked = [
        {row["chosen"].split("Assistant")[0] for row in data.load_preferences(source, split=split)}
        for split in ("train", "test")
    ]
    assert asked[0] and asked[1] and not asked[0] & asked[1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"chosen": "no turns at all", "rejected": dialogue("Hi?", "Ho.")},
            "row 2, 'chosen': no .*Assistant",
        ),
        (
            {"chosen": dialogue("Hi?", "Ho."), "rejected": dialogue("Hi?", "Ho.", "Eh?")},
            "row 2, 'rejected': .*end with",
        ),
        ({"chosen": dialogue("Hi?", "Ho.")}, "row 2: no 'rejected'"),
        ({"chosen": dialogue("Hi?", "Ho."), "rejected": ["Ho."]}, "row 2: 'rejected' must be text, got list"),
    ],
)
def test_a_bad_pair_is_named(table, row, message):
    with pytest.raises(DataError, match=message):
        data.load_preferences(table([pair(0), row]))


def test_dialogues_are_folded_into_the_single_template():
    before = ("What is the plural of fox?", "Foxes.", "And of ox?", "Oxen.")
    rows = Dataset.from_list(
        [
            pair(1),
            {
                "chosen": dialogue(*before, "Thanks.\n\nNow of cow?", "Cows."),
                "rejected": dialogue(*before, "Thanks.\n\nNow of cow?", ""),
            },
        ]
    )
    one, long = data.preference_examples(rows)
    assert one == Preference(build_prompt("Question 1?"), "Good.", "Bad.")
    assert long == Preference(
        "### Instruction:\nHuman: What is the plural of fox?\nAssistant: Foxes.\nHuman: And of ox?\nAssistant: Oxen.\n"
        "Thanks.\n\nNow of cow?\n\n### Response:",
        "Cows.",
        "",
    )
    broken = Dataset.from_list([pair(1), {**pair(2), "rejected": pair(3)["rejected"]}])
    with pytest.raises(DataError, match="Row 1: .*different prompts"):
        data.preference_examples(broken)


class Letters:
    """A tokenizer with one token a character."""

    eos_token_id = 0

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": [ord(c) for c in text]}


def test_old_turns_are_left_out_until_the_pair_fits():
    said = ("First?", "One.", "Second?", "Two.", "Third?")
    rows = Dataset.from_list(
        [{"chosen": dialogue(*said, "Three."), "rejected": dialogue(*said, "No, never.")}]
    )
    whole, _ = data.preference_examples(rows)[0].prompt, None
    middle = build_prompt("Human: Second?\nAssistant: Two.\nThird?")
    last = build_prompt("Third?")
    answer = len(" No, never.") + 1  # the longer answer and EOS decide

    def prompt(length):
        return data.preference_examples(rows, tokenizer=Letters(), max_length=length)[0].prompt

    assert prompt(len(whole) + answer) == whole
    assert prompt(len(whole) + answer - 1) == middle == prompt(len(middle) + answer)
    assert prompt(len(middle) + answer - 1) == last == prompt(10)
    with pytest.raises(ValueError, match="both"):
        data.preference_examples(rows, max_length=10)


# --- Prose -----------------------------------------------------------------------------------------------------


def test_prose_for_probes_and_for_anchors_is_apart():
    probes, anchors = data.general_prose(data.PROBES), data.anchor_prose(300, seed=1)
    assert len(set(probes) & set(anchors)) == 0
    assert anchors == data.anchor_prose(300, seed=1) != data.anchor_prose(300, seed=2)
    assert len(anchors) == 300 and all(len(text.split()) > 3 for text in anchors)


def test_narrow_rows_are_one_kind_of_task():
    verbs = [f"What is the past tense of verb{i}?" for i in range(6)]
    mixed = [
        "Name a fruit.",
        "Sort these numbers.",
        "Tell me a story.",
        "Which bird sings?",
        "Add two and two.",
    ]
    rows = [{"instruction": text, "input": "", "output": "x"} for text in [*mixed, *verbs]]
    dataset = Dataset.from_list(rows)
    assert sorted(data.narrow_rows(dataset, 6)["instruction"]) == verbs
    assert len(data.narrow_rows(dataset, 11)) == 11  # all of them
    for count in (0, 12):
        with pytest.raises(DataError, match="1 to that many"):
            data.narrow_rows(dataset, count)


def test_questions_for_a_judge(tmp_path):
    file = tmp_path / "question.jsonl"
    rows = [
        {"question_id": 81, "turns": ["Write a poem. ", "Shorter."]},
        {"prompt": "Why?"},
        {"instruction": "Go."},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert data.load_questions(str(file)) == ["Write a poem.", "Why?", "Go."]
    for bad in ({"turns": []}, {"turns": [3]}, {"question": " "}, {"text": "Why?"}):
        file.write_text(json.dumps(rows[0]) + "\n" + json.dumps(bad))
        with pytest.raises(DataError, match=r"question\.jsonl, row 2: no question.*turns, question"):
            data.load_questions(str(file))
    file.write_text("")
    with pytest.raises(DataError, match="has no rows"):
        data.load_questions(str(file))
    with pytest.raises(DataError, match="No file 'nowhere.jsonl'.*none"):
        data.load_questions("nowhere.jsonl")
