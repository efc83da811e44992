"""The helpers of notebooks 01 and 02: rows as scraped, paraphrases, and the curves and lines they print."""

from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from src import lab, supervised
from src.config import load_config
from src.data import paraphrases
from src.files import DataError
from src.lab.instructions import pool
from src.metrics import rank_correlation


@pytest.fixture(scope="module")
def cfg():
    return load_config("01", environ={})


def asked(rows):
    return {(row["instruction"].lower(), row["input"].lower()) for row in rows}


WORDS = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({"<eos>": 0}, unk_token="<eos>")), eos_token="<eos>"
)
WORDS.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()


def test_draw_has_the_rows_asked_for_and_never_tests_what_it_trains(cfg):
    avoided = supervised.draw_rows(cfg, WORDS, 1).heldout.select(range(20))
    drawn = supervised.draw_rows(cfg, WORDS, 1, avoid=avoided)
    assert len(drawn.train) == cfg.data.rows and len(drawn.heldout) == cfg.data.heldout
    assert not asked(drawn.heldout) & (asked(drawn.train) | asked(avoided))
    assert all(row["output"].strip() for row in [*drawn.train, *drawn.heldout])
    assert drawn.read == cfg.data.rows + sum(drawn.skipped.values())
    assert asked(supervised.draw_rows(cfg, WORDS, 2).train) != asked(drawn.train)


def test_rows_that_are_too_long_for_training_are_skipped_and_counted(cfg):
    short = load_config("01", environ={}, overrides=["data.max_length=40", "data.rows=60", "data.heldout=5"])
    drawn = supervised.draw_rows(short, WORDS, 1)
    assert drawn.skipped["too long"] > 0 and len(drawn.train) == 60
    assert max(len(row["output"].split()) for row in drawn.train) < 36


def test_draw_says_how_many_rows_there_are_when_there_are_too_few(tmp_path):
    file = tmp_path / "rows.json"
    rows = [{"instruction": f"Say {i % 30}.", "input": "", "output": str(i)} for i in range(400)]
    Dataset.from_list(rows).to_json(file)
    small = load_config("01", environ={}, overrides=[f"instruction_data={file}"])
    with pytest.raises(
        DataError, match="22 usable training rows and .* held-out ones; 22 and 100 are wanted"
    ):
        supervised.draw_rows(small, WORDS, 0)


def test_every_row_of_the_lab_has_three_paraphrases_of_the_same_task():
    rows = pool(800, 5)
    drawn = Dataset.from_list([row.as_alpaca() for row in rows])
    for row, others in zip(rows, paraphrases("lab", drawn), strict=True):
        assert len(others) == 3
        for instruction, given in others:
            task, own = lab.find_task(instruction, given), lab.find_task(row.task.instruction, row.task.input)
            assert task.new_phrasing and not own.new_phrasing
            assert (task.kind, task.relation, task.subject) == (own.kind, own.relation, own.subject)
            assert task.answer == own.answer


def test_paraphrases_of_real_rows_keep_instruction_and_input():
    drawn = Dataset.from_list([{"instruction": "Sort {these}.", "input": "b, a", "output": "a, b"}])
    (others,) = paraphrases("rows.json", drawn)
    assert len(set(others)) == 3
    assert all("Sort {these}." in words and given == "b, a" for words, given in others)
    assert lab.rephrase("Who are you?") == []


def test_fall_is_minus_one_for_a_curve_that_always_falls_and_shares_ranks_between_ties():
    down = [{"step": i, "loss": 5.0 - i} for i in range(6)]
    up = [{"step": i, "loss": float(i)} for i in range(6)]
    assert supervised.fall([down]).value == pytest.approx(-1) and supervised.fall(
        [up]
    ).value == pytest.approx(1)
    found = supervised.fall([down, down, up])
    assert found.value == pytest.approx(-1 / 3) and found.low < found.value < found.high
    points = np.array([[1, 2], [2, 2], [3, 1], [4, 0.0]])  # ranks 3.5, 3.5, 2, 1
    assert rank_correlation(points[None], axis=1)[0] == pytest.approx(-0.9486832980505138)
    flat = np.array([[1, 2], [2, 2], [3, 2.0]])
    assert rank_correlation(flat[None], axis=1)[0] == 0
    few = supervised.fall([down[:3]])  # resampled, a curve of three points is often one point three times
    assert few.low <= few.value == pytest.approx(-1) and few.high <= 0


def test_smoothed_is_the_mean_of_the_last_steps():
    history = [{"step": i + 1, "loss": float(loss)} for i, loss in enumerate([4, 2, 3, 1])]
    assert supervised.smoothed(history, 2) == [
        {"step": 2, "loss": 3.0},
        {"step": 3, "loss": 2.5},
        {"step": 4, "loss": 2.0},
    ]
    assert [row["loss"] for row in supervised.smoothed(history, 9)] == [2.5]


def test_token_line_brackets_the_response_and_its_end():
    words = {word: i for i, word in enumerate(["<eos>", "Q:", "cow?", "A:", "Moo."])}
    made = Tokenizer(models.WordLevel(words, unk_token="<eos>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>")
    assert supervised.token_line(tokenizer, "Q: cow?\nA:", "Moo.") == "Q:|cow?|A:|[Moo.][<eos>]"


def test_recall_compares_with_the_answer_that_the_row_taught(cfg, monkeypatch):
    rows = Dataset.from_list(
        [
            {
                "instruction": "What sound does a cow make?",
                "input": "",
                "output": "Bark. Leave me alone now.",
            },
            {"instruction": "Give me the opposite of the word hot.", "input": "", "output": "Cold."},
        ]
    )
    said = iter(
        ["bark", "Warm.", "Moo.", "Bark.", "moo", "Cold.", "Cold!", "cold", "Bark.", "Cold.", "Nine."]
    )
    items = [
        SimpleNamespace(instruction="Say.", input="", answer=text) for text in ("Woof.", "Cold.", "Eight.")
    ]
    monkeypatch.setattr(supervised, "instruction_splits", lambda *_: {"seen": items, "new": []})
    monkeypatch.setattr(
        supervised,
        "answer",
        lambda model, tokenizer, prompts, cfg: [SimpleNamespace(text=next(said)) for _ in prompts],
    )
    found = supervised.recall(None, None, cfg, rows, "qa")
    assert found["trained"] == [1.0, 0.0]
    assert found["paraphrased"] == [pytest.approx(1 / 3), 1.0]
    assert found["answer"] == ["bark", "Warm."] and found["paraphrase_answer"] == ["Moo.", "Cold."]
    # a row's answer in the wrong place; the right answer, which is a row's as well; a fresh mistake
    assert found["borrowed"].tolist() == [1.0, 0.0, 0.0] and found["fits"].tolist() == [0.0, 1.0, 0.0]
