"""What a base model can tell about an answer before any fine-tuning: does it belong to its instruction, has it ended?

The last rule of notebook 06's quality filter. The base has never seen an instruction format, so row (x, y) is read as
prose (`as_prose`). Three numbers for the first sentence of the answer, in nats:

- fit       log p(y | x) - log mean p(y | x') over other instructions x': pointwise mutual information. An answer that
            belongs to its instruction is more likely after it than after others.
- surprise  the highest -log p(token) - entropy over the tokens of y. Above 0 the base expected something else; far above,
            it was sure of something else, as when it knows the fact and the answer is wrong.
- ending    log p(the sentence ends here), read where the answer stops.

A row is a mismatch when its fit is low *and* its surprise is high. Either alone is not enough: "I am sorry, …" fits
every instruction alike, and a rare word surprises although it is right.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)|\n|$)", re.DOTALL)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Likelihood:
    """Settings of the rule; the thresholds are in nats."""

    max_fit: float = 1.0  # a mismatch has at most this fit …
    min_surprise: float = 3.0  # … and at least this surprise
    max_ending: float = -4.0  # an answer without a closing mark is cut off when its ending is less likely
    others: int = 8  # instructions x' to compare with, half of them similar in wording, half at random
    tokens: int = 32  # of the first sentence that are read
    batch_size: int = 64


@dataclass(frozen=True)
class Reading:
    """What the base model said about one row (see the module's docstring)."""

    fit: float
    surprise: float
    ending: float


def as_prose(row: Mapping[str, str]) -> str:
    """The instruction as the beginning of a story, so that a model that knows only prose can go on with the answer."""
    asked = " ".join(f"{row['instruction']} {row['input']}".split())
    asked = asked[:1].lower() + asked[1:]
    if row["instruction"].rstrip().endswith("?"):
        return f"One day Anna asked {re.sub('^is it', 'whether it is', asked).replace('?', '.')}"
    return f"One day Anna asked Tom to {asked}"


def first_sentence(text: str) -> str:
    """The first sentence with a capital letter, as it would stand in prose."""
    sentence = _SENTENCE.match(text.strip()).group().strip()
    return sentence[:1].upper() + sentence[1:]


def read_rows(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, str]],
    settings: Likelihood,
    seed: int = 0,
) -> list[Reading]:
    """One `Reading` a row. Costs 1 + `others` forward passes of a short text a row. Needs at least two instructions."""
    prompts = [tokenizer(as_prose(row), add_special_tokens=False)["input_ids"][-96:] for row in rows]
    answers = [
        tokenizer(" " + first_sentence(row["output"]), add_special_tokens=False)["input_ids"][
            : settings.tokens
        ]
        for row in rows
    ]
    others = other_instructions(rows, settings.others, seed)
    pairs = [(i, j) for i, compared in enumerate(others) for j in (i, *compared)]
    ends = [i for token, i in tokenizer.get_vocab().items() if token.lstrip("Ġ▁")[:1] in (".", "!", "?")]
    ends.append(tokenizer.eos_token_id)
    read = _forward(base, [(prompts[j], answers[i]) for i, j in pairs], ends, settings.batch_size)
    own, compared = {}, {i: [] for i in range(len(rows))}
    for (i, j), (total, surprise, ending) in zip(pairs, read, strict=True):
        if i == j:
            own[i] = total, surprise, ending
        else:
            compared[i].append(total)
    readings = []
    for i in range(len(rows)):
        total, surprise, ending = own[i]
        mean = (
            torch.tensor(compared[i]).logsumexp(0).item() - torch.tensor(float(len(compared[i]))).log().item()
        )
        readings.append(Reading(total - mean, surprise, ending))
    return readings


def is_mismatch(reading: Reading, settings: Likelihood) -> bool:
    """Low fit and high surprise."""
    return reading.fit <= settings.max_fit and reading.surprise >= settings.min_surprise


def is_cut_off(output: str, reading: Reading, settings: Likelihood) -> bool:
    """Whether a one-sentence answer without a closing mark stops where the base expects more words."""
    text = output.strip()
    return (
        text[-1].isalnum()
        and first_sentence(text).lower() == text.lower()
        and reading.ending < settings.max_ending
    )


def other_instructions(rows: Sequence[Mapping[str, str]], count: int, seed: int) -> list[list[int]]:
    """For every row `count` rows with another instruction and another answer: half similar in wording, half at random.

    Similar ones share the rarest words; they tell a wrong capital from a right one, the random ones a capital from a recipe.
    """
    draw = random.Random(f"others {seed}")
    bags = [frozenset(_WORD.findall(f"{row['instruction']} {row['input']}".lower())) for row in rows]
    said = [first_sentence(row["output"]).strip(" .!?").lower() for row in rows]
    index: dict[str, list[int]] = {}
    for i, bag in enumerate(bags):
        for word in bag:
            index.setdefault(word, []).append(i)
    chosen = []
    for i, bag in enumerate(bags):
        score: dict[int, float] = {}
        for word in bag:
            sharing = index[word]
            for j in sharing if len(sharing) <= 200 else draw.sample(sharing, 200):
                score[j] = score.get(j, 0.0) + 1 / len(sharing)
        near = sorted(score, key=lambda j: (-score[j], j))
        random_rows = draw.sample(range(len(rows)), min(len(rows), 4 * count))
        picked: list[int] = []
        for pool, limit in ((near, count // 2), (random_rows, count)):
            for j in pool:
                if len(picked) >= limit:
                    break
                if bags[j] != bag and said[j] != said[i] and j not in picked:
                    picked.append(j)
        if not picked:
            raise ValueError(
                "The likelihood rule compares instructions with each other and needs at least two different ones."
            )
        chosen.append(picked)
    return chosen


@torch.no_grad()
def _forward(
    base: PreTrainedModel, texts: Sequence[tuple[list[int], list[int]]], ends: list[int], batch_size: int
) -> list[tuple[float, float, float]]:
    """(log p(answer), surprise, ending) for (prompt ids, answer ids). Right-padded, which a causal model never sees."""
    base.eval()
    head = base.get_output_embeddings()
    results: list = [None] * len(texts)
    for batch in _batches(texts, batch_size):
        width = max(sum(map(len, texts[i])) for i in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        for row, i in enumerate(batch):
            prompt, answer = texts[i]
            ids[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        hidden = base.base_model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        for row, i in enumerate(batch):
            prompt, answer = texts[i]
            start, stop = len(prompt) - 1, len(prompt) + len(answer)
            logs = (
                head(hidden[row, start:stop]).float().log_softmax(-1)
            )  # [answer + 1, V]; the last one is what follows
            taken = logs[:-1].gather(-1, torch.tensor(answer)[:, None])[:, 0]
            entropy = -(logs[:-1].exp() * logs[:-1]).sum(-1)
            results[i] = (
                taken.sum().item(),
                (-taken - entropy).max().item(),
                logs[-1, ends].logsumexp(0).item(),
            )
    return results


def _batches(texts: Sequence[tuple[list[int], list[int]]], size: int) -> Iterator[list[int]]:
    order = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
    for start in range(0, len(order), size):
        yield order[start : start + size]
