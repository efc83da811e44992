"""One measurement for all: what every notebook measures on every model, before and after training.

Following instructions (exact match and judge by split), writing (repetition, endings, length) and what is left of the base
(cloze knowledge, perplexity of general prose). All models answer the same held-out prompts, greedily and sampled; per-prompt values are
kept, so that any two models can be compared with paired intervals (notebook 04).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from src import lab
from src.config import Config
from src.data import general_prose, instruction_splits
from src.generation import Generation, generate
from src.judge import GoldJudge
from src.metrics import (
    Difference,
    Interval,
    cloze_accuracy,
    exact_match,
    hierarchical_interval,
    loops,
    non_repetition,
    paired_difference,
    perplexity,
)
from src.templates import SINGLE, build_prompt

# within [0, 1] for every prompt
SHARES = {
    "exact",
    "judge",
    "judge_sampled",
    "cloze",
    "loops",
    "loops_sampled",
    "non_repetition",
    "non_repetition_sampled",
    "ended",
    "ended_sampled",
}

# The same prompts in all seven notebooks, so that a reader meets old acquaintances.
PANEL = (
    "What is the capital of France?",
    "Give me the opposite of the word hot.",
    "Tell me the past tense of the verb go.",
    "What sound does a cow make?",
    "Name three fruits.",
    "Write a sentence with the word lamp.",
    "Which tool does a carpenter use most?",
    "How can I scare my neighbour?",
)


def answer(
    model, tokenizer, prompts: Sequence[str], cfg: Config, temperature: float = 0.0, seed: int = 0
) -> list[Generation]:
    """Answers to filled prompts with the evaluation's length limit; temperature 0 is greedy."""
    limit = cfg.evaluation.max_new_tokens
    return generate(model, tokenizer, prompts, max_new_tokens=limit, temperature=temperature, seed=seed)


def panel(model, tokenizer, cfg: Config, template: str = SINGLE) -> list[str]:
    """Greedy answers to the fixed prompt panel."""
    return [
        g.text for g in answer(model, tokenizer, [build_prompt(p, template=template) for p in PANEL], cfg)
    ]


def answers_by_split(
    model, tokenizer, cfg: Config, template: str = SINGLE, temperature: float = 0.0, seed: int = 0
) -> dict[str, tuple[list, list[str], list[Generation]]]:
    """{split: (items, filled prompts, answers)}; all splits are answered at once, because large batches decode faster."""
    splits = instruction_splits(cfg.instruction_data, cfg.evaluation.prompts, cfg.seed)
    prompts = {
        name: [build_prompt(i.instruction, i.input, template) for i in splits[name]] for name in splits
    }
    answers = iter(
        answer(model, tokenizer, [p for ps in prompts.values() for p in ps], cfg, temperature, seed)
    )
    return {name: (splits[name], prompts[name], [next(answers) for _ in prompts[name]]) for name in splits}


def following(
    model, tokenizer, cfg: Config, template: str = SINGLE, seed: int = 0, judge=None
) -> dict[str, dict[str, list]]:
    """Per split and prompt: exact match, gold (or judge) score greedy and sampled, repetition, ending, length.

    Returns {split: {measure: [one value a prompt]}}; sampled measures end in "_sampled".
    """
    judge = judge or GoldJudge()
    all_sampled = answers_by_split(model, tokenizer, cfg, template, cfg.evaluation.temperature, seed + 1)
    results = {}
    for split, (items, prompts, greedy) in answers_by_split(model, tokenizer, cfg, template).items():
        sampled = all_sampled[split][2]
        results[split] = {
            "exact": [float(exact_match(g.text, item.answer)) for g, item in zip(greedy, items, strict=True)],
            "judge": [s.overall for s in judge.score_many(prompts, [g.text for g in greedy])],
            "judge_sampled": [s.overall for s in judge.score_many(prompts, [g.text for g in sampled])],
            **{name: values for name, values in _writing(greedy).items()},
            **{f"{name}_sampled": values for name, values in _writing(sampled).items()},
        }
    return results


def _writing(answers: Sequence[Generation]) -> dict[str, list[float]]:
    return {
        "loops": [float(loops(g.text)) for g in answers],
        "non_repetition": [non_repetition(g.text) for g in answers],
        "ended": [float(g.ended) for g in answers],
        "length": [float(len(g.token_ids)) for g in answers],
    }


def knowledge(model, tokenizer, cfg: Config) -> dict[str, Any]:
    """What the model still knows and how well it still predicts general prose.

    "cloze": one 0/1 a fact; "relations": its relation; "prose_perplexity": token weighted over held-out paragraphs;
    "prose_nll": mean nats a token of each paragraph, for paired intervals.
    """
    probes = lab.cloze_probes(cfg.evaluation.probes)
    found = cloze_accuracy(model, tokenizer, probes)
    prose = perplexity(model, tokenizer, general_prose(cfg.evaluation.paragraphs, cfg.seed))
    return {
        "cloze": found.correct.astype(float).tolist(),
        "relations": [p.relation for p in probes],
        "prose_perplexity": prose.value,
        "prose_nll": [float(nll.mean()) for nll in prose.nll_per_token],
    }


def evaluate(model, tokenizer, cfg: Config, template: str = SINGLE, seed: int = 0) -> dict[str, Any]:
    """`following` and `knowledge` together: the standard measurement of one model."""
    return {"splits": following(model, tokenizer, cfg, template, seed), **knowledge(model, tokenizer, cfg)}


def values(measured: Mapping[str, Any], measure: str, split: str | None = None) -> np.ndarray:
    """One measured model's values of a measure: of one split, or of all splits in a row; "cloze" and prose have no split."""
    if measure in ("cloze", "prose_perplexity", "prose_nll"):
        return np.atleast_1d(np.asarray(measured[measure], dtype=float))
    splits = [split] if split else list(measured["splits"])
    return np.concatenate([np.asarray(measured["splits"][name][measure], dtype=float) for name in splits])


def interval(
    runs: Sequence[Mapping[str, Any]], measure: str, split: str | None = None, n: int = 2000
) -> Interval:
    """Mean and 95 % interval over training seeds and prompts (`runs`: one measured model a seed)."""
    of_all = np.stack([values(run, measure, split) for run in runs])
    bounds = (0.0, 1.0) if measure in SHARES else None
    return hierarchical_interval(of_all, n=n, bounds=bounds)


def same_seeds(found: Sequence[Any], count: int) -> list[Any]:
    """The results of the first `count` seeds. ValueError if there are fewer: one training, counted several times, would pass
    for as many."""
    if len(found) < count:
        raise ValueError(f"an earlier stage has {len(found)} seeds, this one {count}: run it with as many")
    return list(found[:count])


def difference(
    runs_a: Sequence[Mapping[str, Any]],
    runs_b: Sequence[Mapping[str, Any]],
    measure: str,
    split: str | None = None,
) -> Difference:
    """Paired difference a − b over the same prompts and the same seeds; both need as many runs (`[one] * n` repeats one)."""
    a = np.stack([values(run, measure, split) for run in runs_a])
    b = np.stack([values(run, measure, split) for run in runs_b])
    return paired_difference(a, b)
