"""Rows that a model writes itself: what is dropped and why, what stays, and that the model is left as it was."""

from collections.abc import Sequence

import pytest
from datasets import Dataset

from src.augment import WRITE, _new_tasks, task_of, write_rows
from src.generation import Generation
from src.judge import GoldJudge, JudgeScore
from src.models import load_model, load_tokenizer
from src.quality import quality_filter
from src.sft import SFTSettings
from src.workspace import ROOT

BASE = ROOT / "models" / "lab-gpt2"
SEEDS = [
    {"instruction": f"Which word is the opposite of {word}?", "input": "", "output": answer}
    for word, answer in (
        ("hot", "Cold."), ("big", "Small."), ("long", "Short."), ("fast", "Slow."),
        ("near", "Far."), ("happy", "Sad."), ("open", "Closed."), ("early", "Late."),
    )
]  # fmt: skip


def said(*texts: str, ended: bool = True) -> list[Generation]:
    return [Generation(text=text, token_ids=[], ended=ended, logprobs=[]) for text in texts]


class Grades:
    """A judge with one grade for everything."""

    def __init__(self, grade: float):
        self.grade = grade

    def score_many(self, prompts: Sequence[str], responses: Sequence[str]) -> list[JudgeScore]:
        assert all(prompt.endswith("### Response:") for prompt in prompts)
        return [JudgeScore(self.grade, 0, 0, 0, 0) for _ in responses]


@pytest.fixture(scope="module")
def base():
    return load_model(BASE), load_tokenizer(BASE)


def write(base, **changes):
    model, tokenizer = base
    # a low rate: a writer that learned its eight seeds by heart copies them, on some machines every time
    settings = SFTSettings(epochs=1, learning_rate=3e-4, batch_size=4, max_length=64, seed=0)
    options = {
        "count": 24,
        "judge": Grades(0.8),
        "min_grade": 0.75,
        "quality": quality_filter,
        "max_new_tokens": 24,
    }
    return write_rows(model, tokenizer, SEEDS, settings, **(options | changes))


@pytest.fixture(scope="module")
def written(base):
    return write(base)


def test_every_task_is_kept_or_counted_as_lost(written):
    lost = dict(written.lost)
    rows = len(written.rows)
    before = ("copies a seed", "asked in the evaluation", "not finished", "written twice")
    assert rows + sum(lost.get(reason, 0) for reason in before) == 24
    after = sum(count for reason, count in lost.items() if reason not in before)
    assert len(written.chosen) + after == rows == len(written.grades)
    assert rows > 0 and set(written.rows.column_names) == {"instruction", "input", "output"}


def test_the_same_seed_writes_the_same_rows_and_the_model_stays_as_it_was(base, written):
    before = {name: value.clone() for name, value in base[0].state_dict().items()}
    assert write(base).rows.to_list() == written.rows.to_list()
    assert all((before[name] == value).all() for name, value in base[0].state_dict().items())
    assert write(base, seed=1).rows.to_list() != written.rows.to_list()


def test_the_judge_decides_what_stays(base, written):
    refused = write(base, judge=Grades(0.7))
    assert refused.rows.to_list() == written.rows.to_list() and refused.chosen == []
    assert refused.lost["judge"] == len(written.chosen)


def test_the_filter_decides_what_stays(base, written):
    report = quality_filter(Dataset.from_list(SEEDS + written.rows.to_list()))
    assert not {i + len(SEEDS) for i in written.chosen} & report.gone
    strict = write(base, quality=lambda rows: quality_filter(rows, min_words=1000))
    assert strict.chosen == [] and strict.lost["filter: length"] > 0


def test_a_question_of_the_evaluation_is_never_written(base, written):
    asked = written.rows["instruction"][0]
    again = write(base, forbidden=[f"  {asked.upper()} "])
    assert asked not in again.rows["instruction"]
    assert again.lost["asked in the evaluation"] >= 1


def test_a_writer_that_says_nothing_useful_is_a_result(base):
    found = write(base, max_new_tokens=1)
    assert (len(found.rows), found.grades, found.chosen) == (0, [], []) and sum(found.lost.values()) == 24


def test_reasons_come_in_order_and_copies_are_found_whatever_their_case():
    found = said("Name a fruit.", "name  a FRUIT.", "Seed task", "Asked task", "") + said(
        "No end", ended=False
    )
    tasks, lost = _new_tasks(
        found, {"copies a seed": ["seed task"], "asked in the evaluation": ["asked task"]}
    )
    assert tasks == ["Name a fruit."]
    assert lost == {"written twice": 1, "copies a seed": 1, "asked in the evaluation": 1, "not finished": 2}


def test_a_task_is_instruction_and_input_as_the_template_shows_them():
    assert task_of({"instruction": " Sort. ", "input": " 3, 1 "}) == "Sort.\n3, 1"
    assert task_of({"instruction": "Sort.", "input": ""}) == "Sort."
    assert WRITE.startswith("### Instruction:") and "write" in WRITE.lower()


def test_the_gold_judge_refuses_what_is_no_task_of_the_lab():
    grades = GoldJudge().score_many(["### Instruction:\nHow saw a trout.\n\n### Response:"], ["Scales."])
    assert grades[0].overall < 0.75
