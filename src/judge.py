"""Judges: who says which response is better, and how a table of scores becomes a ranking with intervals.

Notebook 04 compares the stages, notebook 07 ranks six models. A judge is anything with `score`, `score_many`
and `prefer_many`: `GoldJudge` grades with the lab's rubric, which knows the truth; `LLMJudge` asks a chat
model, as in "Judging LLM-as-a-judge" (Zheng et al. 2023), but reads the grade from the probabilities of the
grade tokens (G-Eval, Liu et al. 2023), so that there is no free text to parse and ties are rare. Rankings
follow Bradley & Terry 1952, fitted with the iteration of Newman 2023.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from src.generation import evaluation_mode, left_pad, positions_from_mask
from src.metrics import Interval, check_fits, hierarchical_interval, non_repetition, percentile_bounds
from src.models import load_model, load_tokenizer
from src.runtime import resolve_precision


@dataclass(frozen=True)
class JudgeScore:
    """One response's grades, each in [0, 1], higher is better."""

    overall: float
    instruction_following: float
    coherence: float
    relevance: float
    non_repetition: float


class Judge(Protocol):
    """Grades responses. Prompts and responses are plain texts; lists are paired by position."""

    def score(self, prompt: str, response: str) -> JudgeScore:
        """Grade one response."""
        ...

    def score_many(self, prompts: Sequence[str], responses: Sequence[str]) -> list[JudgeScore]:
        """Grade many."""
        ...

    def prefer_many(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Probability in [0, 1] that `first[i]` is the better answer to `prompts[i]`; 0.5 is a tie."""
        ...


def _same_length(**lists: Sequence) -> None:
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the lists must be of one length, one entry per prompt, but have {lengths}")


class GoldJudge:
    """The lab's rubric as a judge: overall is its total, the aspects are its named parts.

    `gold_score(prompt, response)` must return an object with `total`, `correct`, `relevant`, `fluent` and
    `non_repetitive`; the default is `src.lab.gold_score`.
    """

    def __init__(self, gold_score: Callable | None = None):
        if gold_score is None:
            # only here: who brings a rubric need not wait for the lab's tables
            from src.lab import gold_score

        self.gold_score = gold_score

    def score(self, prompt: str, response: str) -> JudgeScore:
        """Grade one response by the rubric."""
        gold = self.gold_score(prompt, response)
        return JudgeScore(gold.total, gold.correct, gold.fluent, gold.relevant, gold.non_repetitive)

    def score_many(self, prompts: Sequence[str], responses: Sequence[str]) -> list[JudgeScore]:
        """Grade many responses."""
        _same_length(prompts=prompts, responses=responses)
        return [self.score(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]

    def prefer_many(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """1, 0.5 or 0: the higher total wins."""
        a, b = ([s.overall for s in self.score_many(prompts, side)] for side in (first, second))
        return 0.5 + 0.5 * np.sign(np.subtract(a, b))


# ---------------------------------------------------------------- LLM judge

ASPECTS = {
    "instruction_following": (
        "Does the response do what the instruction asks, and is it factually right?",
        "ignores the instruction or is plainly wrong",
        "does exactly what was asked, without error",
    ),
    "coherence": (
        "Is the response fluent, grammatical and easy to follow?",
        "unreadable or falling apart",
        "fluent and well formed throughout",
    ),
    "relevance": (
        "Is the response about the subject of the instruction, from beginning to end?",
        "about something else",
        "every part of it belongs to the question",
    ),
}
SCALE = ("1", "2", "3", "4", "5")

SCORE_PROMPT = """You grade the answer of an assistant. Look at one aspect only.

Aspect: {question}
1 = {worst}
5 = {best}

Instruction:
{prompt}

Response:
{response}

Reply with a single digit from 1 to 5 and nothing else."""

PAIR_PROMPT = """Two assistants answered the same instruction. Which answer is better: \
more correct, more relevant, easier to read?

Instruction:
{prompt}

Answer A:
{first}

Answer B:
{second}

Reply with the single letter A or B and nothing else."""


@dataclass
class JudgeCost:
    """What judging has taken so far.

    `label_mass` is the mean probability that the model gave to the permitted replies. Near 0 the model did
    not understand the question, and its grades are noise.
    """

    judgements: int = 0
    seconds: float = 0.0
    label_mass: float = field(default=0.0)

    @property
    def seconds_per_judgement(self) -> float:
        """Seconds per reply read (a scored response takes three, a pairwise comparison two)."""
        return self.seconds / self.judgements if self.judgements else 0.0


class LLMJudge:
    """A chat model as judge; any causal LM and tokenizer. `cost` accumulates time per judgement.

    The grade of an aspect is the expected value of the digit, sum_s s * P(s) / sum_s P(s) over s = 1 … 5,
    mapped to [0, 1]; P is the next-token distribution after the prompt. `non_repetition` is computed from the
    text (`src.metrics.non_repetition`), since a program counts repeats better than a model; overall is the
    mean of the four. The prompt goes through the tokenizer's chat template, or stays as it is when there is
    none.
    """

    def __init__(self, model, tokenizer, *, batch_size: int = 8):
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        self.cost = JudgeCost()
        self._score_tokens = _label_tokens(tokenizer, SCALE)
        self._pair_tokens = _label_tokens(tokenizer, ("A", "B"))

    def score(self, prompt: str, response: str) -> JudgeScore:
        """Grade one response."""
        return self.score_many([prompt], [response])[0]

    def score_many(self, prompts: Sequence[str], responses: Sequence[str]) -> list[JudgeScore]:
        """Grade many responses: one reply per aspect and response, in batches."""
        _same_length(prompts=prompts, responses=responses)
        questions = [
            SCORE_PROMPT.format(question=question, worst=worst, best=best, prompt=prompt, response=response)
            for question, worst, best in ASPECTS.values()
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        expected = self._ask(questions, self._score_tokens) @ np.linspace(0.0, 1.0, len(SCALE))
        unrepeated = np.array([non_repetition(response) for response in responses])
        grades = np.vstack([expected.reshape(len(ASPECTS), -1), unrepeated])
        return [JudgeScore(float(column.mean()), *map(float, column)) for column in grades.T]

    def prefer_many(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Probability that `first` is better: both orders are asked and averaged, so a bias for A cancels."""
        _same_length(prompts=prompts, first=first, second=second)
        orders = [(first, second), (second, first)]
        questions = [
            PAIR_PROMPT.format(prompt=prompt, first=a, second=b)
            for side_a, side_b in orders
            for prompt, a, b in zip(prompts, side_a, side_b, strict=True)
        ]
        says_a = self._ask(questions, self._pair_tokens)[:, 0].reshape(2, -1)
        return (says_a[0] + 1.0 - says_a[1]) / 2

    def _encode(self, question: str) -> list[int]:
        if getattr(self.tokenizer, "chat_template", None):
            # One user turn, since some templates know no system turn; reasoning models must not think aloud.
            turns = [{"role": "user", "content": question}]
            text = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        else:
            text = question + "\n\nReply:"
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _ask(self, questions: Sequence[str], labels: dict[tuple[int, ...], list[list[int]]]) -> np.ndarray:
        """Probability of every label as the reply to every question, rows normalised: (questions, labels)."""
        if not questions:
            return np.zeros((0, len(next(iter(labels.values())))))
        began = time.perf_counter()
        rows = [self._encode(question) for question in questions]
        longest_prefix = max(map(len, labels))
        for number, ids in enumerate(rows):
            check_fits(self.model, [*ids, *range(longest_prefix)], number)
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        mass = torch.zeros(len(rows), len(next(iter(labels.values()))), dtype=torch.float64)
        with evaluation_mode(self.model), torch.inference_mode():
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                for prefix, tokens in labels.items():
                    ids, mask = left_pad([[*rows[row], *prefix] for row in batch])
                    logits = self.model(
                        input_ids=ids,
                        attention_mask=mask,
                        position_ids=positions_from_mask(mask),
                        use_cache=False,
                        logits_to_keep=len(prefix) + 1,
                    ).logits
                    probability = logits.double().softmax(-1)
                    for step, token in enumerate(prefix):  # P(label) = P(prefix) * P(last token | prefix)
                        probability[:, -1] *= probability[:, step, token, None]
                    for label, last in enumerate(tokens):
                        mass[batch, label] += probability[:, -1, last].sum(-1)
        total = mass.sum(1, keepdim=True)
        if not torch.isfinite(total).all() or (total == 0).any():
            raise ValueError("the judge gave no probability to any permitted reply: its weights are broken")
        seen = self.cost.judgements
        self.cost.label_mass = (self.cost.label_mass * seen + float(total.sum())) / (seen + len(rows))
        self.cost.judgements += len(rows)
        self.cost.seconds += time.perf_counter() - began
        return (mass / total).numpy()


def _label_tokens(tokenizer, labels: Sequence[str]) -> dict[tuple[int, ...], list[list[int]]]:
    """Where to read the labels: {tokens that come first: for every label, the possible last tokens}.

    A label can be written bare, after a space or after a line break. When each label is one token in some
    form, only one-token forms are read (prefix `()`). Some tokenizers write a digit as a space token and a
    digit; then the probability of the longer forms is read too, one extra pass per prefix.
    """
    forms: dict[tuple[int, ...], list[set[int]]] = {}
    for number, label in enumerate(labels):
        for lead in ("", " ", "\n"):
            ids = tokenizer(lead + label, add_special_tokens=False)["input_ids"]
            if not ids or tokenizer.decode(ids).strip() != label:
                continue  # the tokenizer has no such form (an unknown token, for instance)
            forms.setdefault(tuple(ids[:-1]), [set() for _ in labels])[number].add(ids[-1])
    if () in forms and all(forms[()]):
        forms = {(): forms[()]}
    usable = {prefix: last for prefix, last in forms.items() if all(last)}
    if not usable:
        raise ValueError(f"the judge's tokenizer cannot write {', '.join(labels)}: use another judge model")
    chosen = {prefix: [sorted(tokens) for tokens in last] for prefix, last in usable.items()}
    for last in chosen.values():
        flat = [token for tokens in last for token in tokens]
        if len(flat) != len(set(flat)):
            raise ValueError(f"the judge's tokenizer writes two of {', '.join(labels)} with the same token")
    return chosen


# ---------------------------------------------------------------- which judge


def load_judge(cfg) -> Judge:
    """The judge that `cfg.judge` names: "gold" is the lab's rubric, anything else a causal LM (folder or Hub name).

    An LLM judge runs in bf16 where the configured precision allows it. Raises ModelError when it cannot be loaded.
    """
    if cfg.judge == "gold":
        return GoldJudge()
    model = load_model(cfg.judge)
    return LLMJudge(
        model.bfloat16() if resolve_precision(cfg.precision) == "bf16" else model, load_tokenizer(cfg.judge)
    )


def describe_judge(judge: Judge) -> str:
    """One sentence for the reader: who graded, how long a judgement took, whether the judge understood the question."""
    if isinstance(judge, GoldJudge):
        return "The judge is the lab's rubric, which knows the right answers."
    cost = judge.cost
    return (
        f"The judge is `{judge.model.config.name_or_path}`: {cost.judgements} judgements at "
        f"{cost.seconds_per_judgement:.2f} s; it put {cost.label_mass:.0%} of its probability on the permitted replies "
        "(near 0 % its grades are noise)."
    )


def overall_grades(
    judge: Judge, scores: Sequence[JudgeScore], stored: Sequence[Sequence[float]]
) -> np.ndarray:
    """What a ranking is made of, (training seeds, prompts).

    The gold rubric's grades are in every stage's results, for all its seeds and prompts: `stored`. Another judge has
    read the answers of one checkpoint: `scores`.
    """
    if isinstance(judge, GoldJudge):
        return np.asarray(stored, dtype=float)
    return np.array([[score.overall for score in scores]])


# ---------------------------------------------------------------- rankings


def _tensor(scores: Mapping[str, Sequence]) -> np.ndarray:
    """Scores of every model as one array (models, seeds, prompts); a model without seeds is repeated."""
    if len(scores) < 2:
        raise ValueError(f"a ranking needs at least two models, got {list(scores)}")
    arrays = {name: np.atleast_2d(np.asarray(values, dtype=float)) for name, values in scores.items()}
    seeds = max(array.shape[0] for array in arrays.values())
    prompts = next(iter(arrays.values())).shape[1]
    for name, array in arrays.items():
        if array.shape[1] != prompts or array.shape[0] not in (1, seeds) or not np.isfinite(array).all():
            raise ValueError(
                f"{name}: scores of shape {array.shape} are not {seeds} seeds x {prompts} prompts, all finite"
            )
    return np.stack([np.broadcast_to(array, (seeds, prompts)) for array in arrays.values()])


def _wins(tensor: np.ndarray) -> np.ndarray:
    """Who beat whom, a tie being half a win for both: (seeds, prompts, models, models)."""
    difference = tensor[:, None] - tensor[None]
    outcome = 0.5 + 0.5 * np.sign(difference)
    outcome[np.arange(len(tensor)), np.arange(len(tensor))] = 0.0
    return np.moveaxis(outcome, (0, 1), (2, 3))


def win_matrix(scores: Mapping[str, Sequence]) -> np.ndarray:
    """`[i, j]` = comparisons that model i won against model j, ties counting half, in the order of `scores`.

    `scores` maps a model to its scores on the same prompts, shape (prompts,) or (seeds, prompts).
    """
    return _wins(_tensor(scores)).sum((0, 1))


def bradley_terry(wins: np.ndarray, *, prior: float = 0.5, tolerance: float = 1e-9) -> np.ndarray:
    """Strengths p with P(i beats j) = p_i / (p_i + p_j), geometric mean 1; wins: (…, models, models).

    Maximum likelihood by Newman's iteration (2023), one model at a time, with w_ij the wins of i over j:
    p_i = [sum_j w_ij p_j / (p_i + p_j)] / [sum_j w_ji / (p_i + p_j)]. Its fixed point is that of the older MM
    iteration (Hunter 2004), which takes far longer when models are far apart. `prior` virtual wins are added
    in both directions of every pair: a model that never (or always) won keeps a finite strength.
    Raises ValueError for wins that are no square matrix, a model without a win at prior 0, or no convergence.
    """
    wins = np.asarray(wins, dtype=float)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2] or not np.isfinite(wins).all() or (wins < 0).any():
        raise ValueError(f"wins must be a square matrix of counts >= 0, got shape {wins.shape}")
    wins = (wins + prior) * (1 - np.eye(wins.shape[-1]))
    if (wins.sum(-1) == 0).any():
        raise ValueError("a model has no win at all and prior is 0: its strength would be 0; use prior > 0")
    lost = np.swapaxes(wins, -1, -2)
    strength = np.ones(wins.shape[:-1])
    for _ in range(10_000):
        before = strength.copy()
        for i in range(wins.shape[-1]):
            share = 1.0 / (strength[..., i, None] + strength)
            strength[..., i] = (wins[..., i, :] * strength * share).sum(-1) / (lost[..., i, :] * share).sum(
                -1
            )
        strength /= np.exp(np.log(strength).mean(-1, keepdims=True))
        if np.abs(np.log(strength / before)).max() < tolerance:
            return strength
    raise ValueError("Bradley-Terry did not converge: too few comparisons between some models; raise prior")


@dataclass(frozen=True)
class Rank:
    """One line of a ranking. `best` … `worst`: the 95 % range of its place; intervals as in `src.metrics`."""

    model: str
    place: int
    best: int
    worst: int
    score: Interval
    win_rate: Interval
    strength: Interval


def rank(scores: Mapping[str, Sequence], *, n: int = 1000, seed: int = 0) -> list[Rank]:
    """Models from best to worst by Bradley-Terry strength, with 95 % bootstrap intervals.

    `scores` as in `win_matrix`. Each bootstrap draw takes prompts (and, with several, training seeds) with
    replacement, the same ones for all models, and repeats the whole ranking. Win rate is the share of
    comparisons won against the other models. With a handful of seeds the intervals of places and strengths
    are too narrow; those of scores and win rates are corrected (`hierarchical_interval`), and so is
    `paired_difference`, which gives the verdict on two models.
    Raises ValueError for fewer than two models or prompts, or unequal numbers of them.
    """
    names, tensor = list(scores), _tensor(scores)
    _, seeds, prompts = tensor.shape
    if prompts < 2:
        raise ValueError("a ranking with intervals needs at least two prompts")
    wins = _wins(tensor)
    rng = np.random.default_rng(seed)
    by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=n)
    by_prompt = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=n)
    # The first row is the data itself, the others are the bootstrap draws.
    by_seed, by_prompt = (np.vstack([np.ones(w.shape[1]), w]) for w in (by_seed, by_prompt))
    strength = bradley_terry(
        np.einsum("bs,bp,spij->bij", by_seed, by_prompt, wins, optimize=True), tolerance=1e-7
    )
    places = 1 + (strength[:, None, :] > strength[:, :, None] * (1 + 1e-4)).sum(-1)  # nearer is a tie
    won = wins.sum(-1) / (len(names) - 1)
    rows = []
    for model in np.argsort(-strength[0], kind="stable"):
        best, worst = percentile_bounds(places[1:, model], prompts)
        low, high = percentile_bounds(strength[1:, model], prompts)
        rows.append(
            Rank(
                model=names[model],
                place=int(places[0, model]),
                best=math.floor(best),
                worst=math.ceil(worst),
                score=hierarchical_interval(tensor[model], n=n, seed=seed),
                win_rate=hierarchical_interval(won[:, :, model], n=n, seed=seed, bounds=(0, 1)),
                strength=Interval(float(low), float(strength[0, model]), float(high)),
            )
        )
    return rows


@dataclass(frozen=True)
class Agreement:
    """How far two judges agree: Kendall's tau-b, and the share of pairs ordered alike (a tie counts half)."""

    tau: Interval
    pairwise: Interval
    pairs: int


def agreement(scores_a, scores_b, *, n: int = 2000, seed: int = 0) -> Agreement:
    """Agreement of two judges on the same responses, with 95 % bootstrap intervals over prompts.

    Shape (prompts, models): the models' responses are compared within each prompt, as a reader would. Shape
    (responses,): every response is compared with every other, and responses are resampled.
    Raises ValueError for grades of unequal shape, too few of them, or one that is not finite.
    """
    a, b = np.asarray(scores_a, dtype=float), np.asarray(scores_b, dtype=float)
    if a.shape != b.shape or a.ndim not in (1, 2) or min(a.shape) < 2:
        raise ValueError(
            f"both judges must score the same responses, at least 2; got shapes {a.shape}, {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a judge's score is not finite: repair it or leave the response out for both judges")
    sign_a, sign_b = (np.sign(x[..., :, None] - x[..., None, :]) for x in (a, b))
    pair = 1.0 - np.eye(a.shape[-1]) + np.zeros(sign_a.shape)
    # Per pair: concordance, untied for a?, untied for b?, a pair at all? Each is seen in both directions.
    parts = np.stack([sign_a * sign_b, sign_a != 0, sign_b != 0, pair])
    rng = np.random.default_rng(seed)
    weights = np.vstack([np.ones(len(a)), rng.multinomial(len(a), np.full(len(a), 1 / len(a)), size=n)])
    if a.ndim == 2:
        sums = parts.sum((2, 3)) @ weights.T
    else:
        sums = np.einsum("kbi,bi->kb", np.stack([weights @ part for part in parts.astype(float)]), weights)
    concordance, untied_a, untied_b, pairs = sums
    with np.errstate(invalid="ignore"):
        tau = np.nan_to_num(concordance / np.sqrt(untied_a * untied_b))  # a judge that ties everything: 0
        pairwise = np.nan_to_num(0.5 + 0.5 * concordance / pairs, nan=0.5)
    intervals = []
    for draws in (tau, pairwise):
        low, high = percentile_bounds(draws[1:], len(a))
        intervals.append(Interval(float(low), float(draws[0]), float(high)))
    return Agreement(*intervals, pairs=int(pairs[0]) // 2)
