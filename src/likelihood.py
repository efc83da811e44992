"""What a base model can tell about an answer before any fine-tuning: does it belong to its instruction, has it ended?

The last rule of notebook 06's quality filter. The base has never seen an instruction format, so a row (x, y) is read as
prose (`as_prose`). Two numbers, in nats, about the first sentence y of the answer:

- fit     log p(y | x) - log mean p(y | x') over other instructions x': pointwise mutual information (Church & Hanks
          1990). An answer that belongs to its instruction is more likely after it than after others.
- ending  log p(the sentence ends here), read where the answer stops.

A low fit alone condemns no row: of arithmetic or of free sentences a base may have no opinion. So each row is held against
the usual fit of the rows whose instructions are worded most alike, and the base is believed only where it usually agrees
with the data. That works as long as most rows of every kind are good.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)|\n|$)", re.DOTALL)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Likelihood:
    """Settings of the rule; fits, endings and thresholds are in nats."""

    max_fit: float = 0.0  # a mismatch fits its own instruction no better than others …
    spreads: float = (
        1.5  # … and worse than rows like it, by so many spreads (robust standard deviations, at least 1.5) …
    )
    usual: float = 1.5  # … where the base has an opinion: rows like it usually fit this well …
    hopeless: float = -10.0  # … or its fit is so low that no opinion is needed
    max_ending: float = -8.0  # an answer without a closing mark is cut off when its ending is less likely
    alike: int = 40  # rows with the most similar instructions, whose fits say what is usual
    others: int = 8  # instructions x' to compare with, half of them similar, half at random
    tokens: int = 32  # of the first sentence that are read
    batch_size: int = 64


@dataclass(frozen=True)
class Reading:
    """What the base said about one row (see the module), with the median and the spread of the fits of rows like it."""

    fit: float
    usual: float
    spread: float
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
    own: dict[int, tuple[float, float]] = {}
    elsewhere: dict[int, list[float]] = {i: [] for i in range(len(rows))}
    for (i, j), (total, ending) in zip(pairs, read, strict=True):
        if i == j:
            # A sentence that was read in part only has no known ending; 0 accuses nobody.
            own[i] = total, ending if len(answers[i]) < settings.tokens else 0.0
        else:
            elsewhere[i].append(total)
    fits = torch.tensor([own[i][0] - _log_mean(elsewhere[i]) for i in range(len(rows))])
    readings = []
    for i, alike in enumerate(similar_instructions(rows, settings.alike)):
        usual = fits[alike].median()
        # 1.4826 median absolute deviations are one standard deviation of a normal distribution.
        spread = 1.4826 * (fits[alike] - usual).abs().median()
        readings.append(Reading(fits[i].item(), usual.item(), max(spread.item(), 1.5), own[i][1]))
    return readings


def _log_mean(logs: list[float]) -> float:
    return torch.tensor(logs).logsumexp(0).item() - math.log(len(logs))


def is_mismatch(reading: Reading, settings: Likelihood) -> bool:
    """Whether the row fits badly, in itself and beside rows like it, where the base can be believed."""
    outlier = reading.fit <= min(settings.max_fit, reading.usual - settings.spreads * reading.spread)
    return outlier and (reading.usual >= settings.usual or reading.fit <= settings.hopeless)


def is_cut_off(output: str, reading: Reading, settings: Likelihood) -> bool:
    """Whether a one-sentence answer without a closing mark stops where the base expects more words."""
    text = output.strip()
    return (
        text[-1].isalnum()
        and first_sentence(text).lower() == text.lower()
        and reading.ending < settings.max_ending
    )


def similar_instructions(rows: Sequence[Mapping[str, str]], count: int) -> list[list[int]]:
    """For every row the `count` others with the most similar instruction, best first: cosine of tf-idf, tf 0 or 1."""
    bags = [sorted(set(_WORD.findall(row["instruction"].lower()))) for row in rows]
    found_in = Counter(word for bag in bags for word in bag)
    place = {word: i for i, word in enumerate(found_in)}
    cells = torch.tensor([(i, place[word]) for i, bag in enumerate(bags) for word in bag]).T
    weights = torch.tensor([math.log((len(rows) + 1) / found_in[word]) for bag in bags for word in bag])
    norms = torch.zeros(len(rows)).index_add_(0, cells[0], weights**2).sqrt()
    matrix = torch.sparse_coo_tensor(
        cells, weights / norms[cells[0]], (len(rows), len(place)), check_invariants=True
    ).coalesce()
    similar = []
    for start in range(0, len(rows), 256):
        part = torch.arange(start, min(start + 256, len(rows)))
        likeness = torch.sparse.mm(matrix, matrix.index_select(0, part).to_dense().T).T.contiguous()
        likeness[torch.arange(len(part)), part] = -1.0  # not itself
        similar += likeness.topk(min(count, len(rows) - 1)).indices.tolist()
    return similar


def other_instructions(rows: Sequence[Mapping[str, str]], count: int, seed: int) -> list[list[int]]:
    """For every row `count` rows with another question and another answer: half similar in wording, half at random.

    The similar ones tell a wrong capital from the right one, the random ones a capital from a recipe.
    """
    draw = random.Random(f"others {seed}")
    asked = [as_prose(row).lower() for row in rows]
    said = [first_sentence(row["output"]).strip(" .!?").lower() for row in rows]
    chosen = []
    for i, similar in enumerate(similar_instructions(rows, 8 * count)):
        picked: list[int] = []
        for pool, limit in (
            (similar, count // 2),
            (draw.sample(range(len(rows)), min(len(rows), 4 * count)), count),
        ):
            fresh = (j for j in pool if asked[j] != asked[i] and said[j] != said[i] and j not in picked)
            picked += list(dict.fromkeys(fresh))[: limit - len(picked)]
        if not picked:
            raise ValueError(
                f"The likelihood rule compares instructions, but found none to compare row {i} with "
                f"({asked[i]!r:.80}). It needs rows with different instructions and answers."
            )
        chosen.append(picked)
    return chosen


@torch.no_grad()
def _forward(
    base: PreTrainedModel, texts: Sequence[tuple[list[int], list[int]]], ends: list[int], batch_size: int
) -> list[tuple[float, float]]:
    """(log p(answer), ending) for (prompt ids, answer ids). Right-padded, which a causal model never sees."""
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
            # [answer + 1, V]: the last row is what the base expects after the answer.
            logs = head(hidden[row, start:stop]).float().log_softmax(-1)
            taken = logs[:-1].gather(-1, torch.tensor(answer)[:, None])[:, 0]
            results[i] = taken.sum().item(), logs[-1, ends].logsumexp(0).item()
    return results


def _batches(texts: Sequence[tuple[list[int], list[int]]], size: int) -> Iterator[list[int]]:
    order = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
    for start in range(0, len(order), size):
        yield order[start : start + size]
