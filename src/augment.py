"""Synthetic rows: a model writes new tasks after the pattern of seed tasks, answers them, and two filters choose.

Self-Instruct (Wang et al. 2022, arXiv 2212.10560) with two changes. The seed tasks do not stand in a prompt: a copy of the
model is trained on them for a few passes, which a model too small to learn from examples in its prompt needs. And
beside the filter a judge decides which rows stay. Notebook 06 asks in its section 6 whether such rows help. Choosing a model's own answers by a grade and training
on them is rejection sampling (STaR, Zelikman et al. 2022, arXiv 2203.14465).
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from src.data import INSTRUCTION_COLUMNS
from src.generation import generate
from src.judge import Judge
from src.quality import FilterReport
from src.runtime import seed_everything
from src.sft import SFTSettings, train_sft
from src.templates import build_prompt

WRITE = build_prompt("Write a new task.")  # what the writer is asked, in training and after
# fewer teach it no tasks, more teach it the seeds by heart; `Written.lost` counts the copies
WRITER_EPOCHS = 6


@dataclass(frozen=True)
class Written:
    """`rows`: every written task that is new, with its answer; an `input` stands in the instruction, on a line of its own.

    `grades`: the judge's overall grade of each row. `chosen`: numbers of the rows that the filter and the judge keep.
    `lost`: how many went, by reason: first of the writing, then of the filter, then of the judge.
    """

    rows: Dataset
    grades: list[float]
    chosen: list[int]
    lost: dict[str, int]


def write_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    seeds: Iterable[Mapping[str, str]],
    settings: SFTSettings,
    *,
    count: int,
    judge: Judge,
    min_grade: float,
    quality: Callable[[Dataset], FilterReport],
    forbidden: Iterable[str] = (),
    max_new_tokens: int = 64,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Written:
    """`count` tasks sampled at temperature 1 from a writer trained on `seeds`, answered greedily by `model`, and chosen.

    `settings` is the recipe of the writer, but for its epochs and penalties. `quality` is the filter, which sees the
    seeds too; `min_grade` (0 to 1) the lowest grade of the judge that stays. A task that is empty or
    unfinished, or equals (but for case and spaces) a seed, an earlier task or one of `forbidden` (the evaluation's
    questions), is lost. `model` is not changed. Raises what `train_sft` raises for seeds that cannot be learned.
    """
    seeds = [{name: row[name] for name in INSTRUCTION_COLUMNS} for row in seeds]
    known = [task_of(row) for row in seeds]
    writer = copy.deepcopy(model)
    seed_everything(seed)
    # The copy is thrown away, so there is nothing to protect.
    recipe = replace(settings, epochs=WRITER_EPOCHS, kl_beta=0.0, pretrain_mix=0.0, too_long="skip")
    train_sft(writer, tokenizer, [(WRITE, task) for task in known], recipe, progress=progress)
    tasks, lost = _new_tasks(
        generate(
            writer, tokenizer, [WRITE] * count, max_new_tokens=max_new_tokens, temperature=1.0, seed=seed
        ),
        {"copies a seed": map(_plain, known), "asked in the evaluation": map(_plain, forbidden)},
    )
    if not tasks:  # a writer that learned nothing is a result, too
        return Written(Dataset.from_dict({name: [] for name in INSTRUCTION_COLUMNS}), [], [], lost)
    prompts = [build_prompt(task) for task in tasks]
    answers = [g.text for g in generate(model, tokenizer, prompts, max_new_tokens=max_new_tokens)]
    rows = [
        {"instruction": task, "input": "", "output": said} for task, said in zip(tasks, answers, strict=True)
    ]
    grades = [grade.overall for grade in judge.score_many(prompts, answers)]
    # Some rules compare rows with each other, so the seeds stand beside them as what is usual.
    removed = quality(Dataset.from_list(seeds + rows)).removed
    found = {rule: {i - len(seeds) for i in numbers if i >= len(seeds)} for rule, numbers in removed.items()}
    lost |= {f"filter: {rule}": len(numbers) for rule, numbers in found.items() if numbers}
    left = sorted(set(range(len(rows))).difference(*found.values()))
    chosen = [i for i in left if grades[i] >= min_grade]
    return Written(Dataset.from_list(rows), grades, chosen, lost | {"judge": len(left) - len(chosen)})


def task_of(row: Mapping[str, str]) -> str:
    """Instruction and input as one text, as the template shows them."""
    return "\n".join(text for text in (row["instruction"].strip(), row["input"].strip()) if text)


def _new_tasks(found, known: Mapping[str, Iterable[str]]) -> tuple[list[str], dict[str, int]]:
    """(usable tasks, in order; how many were lost, by reason). `known` are plain texts by the reason they are refused for."""
    known = {reason: set(texts) for reason, texts in known.items()}
    lost, tasks = Counter(), {}
    for task in found:
        plain = _plain(task.text)
        reasons = [reason for reason, texts in known.items() if plain in texts]
        if not task.ended or not plain:
            reasons = ["not finished"]
        elif plain in tasks:
            reasons = ["written twice"]
        if reasons:
            lost[reasons[0]] += 1
        else:
            tasks[plain] = task.text
    return list(tasks.values()), dict(lost)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
