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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from src.duplicates import similar_instructions
from src.losses import token_logprobs
from src.metrics import polite_opener
from src.runtime import autocast

_SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)|\n|$)", re.DOTALL)
_LIST_MARK = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+")


@dataclass(frozen=True)
class Likelihood:
    """Settings of the rule; fits, endings and thresholds are in nats."""

    max_fit: float = 1.5  # a mismatch fits its own instruction hardly better than others …
    spreads: float = 1.25  # … and worse than rows like it, by so many spreads (of at least 1.5 nats) …
    usual: float = 2.0  # … where the base has an opinion: rows like it usually fit this well
    max_ending: float = -4.0  # an answer without a closing mark is cut off when its ending is less likely
    alike: int = 20  # rows with the most similar instructions, whose fits say what is usual
    others: int = 8  # instructions x' to compare with, half of them similar, half at random
    tokens: int = 32  # of the first sentence that are read
    batch_size: int = 64
    precision: str = "fp32"  # of the trunk's matrix products; auto or bf16 takes half the time on some CPUs


@dataclass(frozen=True)
class Reading:
    """What the base said about one row (see the module), with the median and the spread of the fits of rows like it."""

    fit: float
    usual: float
    spread: float
    ending: float


def as_prose(row: Mapping[str, str]) -> tuple[str, str]:
    """The row as (beginning, continuation) of a story, for a model that knows only prose."""
    asked = " ".join(f"{row['instruction']} {row['input']}".split())
    asked = asked[:1].lower() + asked[1:]
    if row["instruction"].rstrip().endswith("?"):
        told = f"One day Anna asked {re.sub('^is it', 'whether it is', asked).replace('?', '.')}"
    else:
        told = f"One day Anna asked Tom to {asked}"
    answer = first_sentence(row["output"])
    return f"{told.rstrip('.')}. The answer is", f" {answer[:1].lower()}{answer[1:]}"


def first_sentence(text: str) -> str:
    """The first sentence behind any polite opener ("Sure!"), with a capital letter, as it would stand in prose; "" for a
    text without one."""
    text = re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text.strip()))  # as polite_opener counts
    found = _SENTENCE.match(text[len(polite_opener(text)) :])
    sentence = found.group().strip() if found else ""
    return sentence[:1].upper() + sentence[1:]


def read_rows(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, str]],
    settings: Likelihood,
    seed: int = 0,
) -> list[Reading]:
    """One `Reading` a row. Costs 1 + `others` forward passes of a short text a row. ValueError: nothing to compare."""
    others = other_instructions(rows, settings.others, seed)
    pairs = [(i, j) for i, compared in enumerate(others) for j in (i, *compared)]
    # In prose a comma ends an answer as well: "A fox, said Tom."
    ends = [i for token, i in tokenizer.get_vocab().items() if token.lstrip("Ġ▁")[:1] in (".", "!", "?", ",")]
    ends.append(tokenizer.eos_token_id)
    told = [as_prose(row) for row in rows]
    begun = [tokenizer(begin, add_special_tokens=False)["input_ids"][-96:] for begin, _ in told]
    answers = [tokenizer(y, add_special_tokens=False)["input_ids"][: settings.tokens] for _, y in told]
    texts = [(tuple(begun[j]), tuple(answers[i])) for i, j in pairs]
    once = list(dict.fromkeys(texts))  # rows that ask or answer the same make the same texts
    found = dict(zip(once, _forward(base, once, ends, settings.batch_size, settings.precision), strict=True))
    logs: list[dict[int, float]] = [{} for _ in rows]
    endings = [0.0] * len(rows)
    for (i, j), text in zip(pairs, texts, strict=True):
        total, end = found[text]
        logs[i][j] = total
        # A sentence that was read in part only has no known ending; 0 accuses nobody.
        if i == j and len(answers[i]) < settings.tokens:
            endings[i] = end
    fits = torch.tensor([own.pop(i) - _log_mean([*own.values()]) for i, own in enumerate(logs)])
    readings = []
    for i, alike in enumerate(similar_instructions(rows, settings.alike)[1]):
        usual = fits[alike].median()
        # 1.4826 median absolute deviations are one standard deviation of a normal distribution.
        spread = 1.4826 * (fits[alike] - usual).abs().median()
        readings.append(Reading(fits[i].item(), usual.item(), max(spread.item(), 1.5), endings[i]))
    return readings


def _log_mean(logs: list[float]) -> float:
    return torch.tensor(logs).logsumexp(0).item() - math.log(len(logs))


def is_mismatch(reading: Reading, settings: Likelihood) -> bool:
    """Whether the row fits badly, in itself and beside rows like it, where the base can be believed."""
    outlier = reading.fit <= min(settings.max_fit, reading.usual - settings.spreads * reading.spread)
    return outlier and reading.usual >= settings.usual


def is_cut_off(output: str, reading: Reading, settings: Likelihood) -> bool:
    """Whether a one-sentence answer without a closing mark stops where the base expects more words."""
    text = output.strip()
    return (
        text[-1].isalnum()
        and first_sentence(text).lower() == text.lower()
        and reading.ending < settings.max_ending
    )


def odd_lengths(
    rows: Sequence[Mapping[str, str]],
    alike: int = 20,
    ratio: float = 3.0,
    share: float = 0.9,
    similarity: float = 0.25,
) -> list[bool]:
    """Whether an answer is out of proportion: one word for a story, a story where one word is usual.

    Its first sentence has `ratio` times the words of the answers to at least `share` of the `alike` most similarly worded
    instructions, or they have `ratio` times as many. Where those are not alike (mean similarity below `similarity`: small or
    colourful data) nothing is known about what is usual, and the answer passes.
    """
    if len(rows) <= alike:
        return [False] * len(rows)
    first = [first_sentence(_LIST_MARK.sub("", row["output"])) for row in rows]
    lengths = torch.tensor([float(len(text.split())) for text in first])
    likeness, others = similar_instructions(rows, alike)
    usual = lengths[others]
    far = [usual >= ratio * lengths[:, None], ratio * usual <= lengths[:, None]]
    odd = torch.stack([side.float().mean(1) for side in far]).amax(0) >= share
    return (odd & (likeness.mean(1) >= similarity)).tolist()


def other_instructions(rows: Sequence[Mapping[str, str]], count: int, seed: int) -> list[list[int]]:
    """For every row `count` rows with another question and another answer: half similar in wording, half at random.

    The similar ones tell a wrong capital from the right one, the random ones a capital from a recipe.
    """
    draw = random.Random(f"others {seed}")
    asked = [as_prose(row)[0].lower() for row in rows]
    said = [first_sentence(row["output"]).strip(" .!?").lower() for row in rows]
    chosen = []
    for i, similar in enumerate(similar_instructions(rows, 8 * count)[1].tolist()):
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
    base: PreTrainedModel,
    texts: Sequence[tuple[Sequence[int], Sequence[int]]],
    ends: list[int],
    batch_size: int,
    precision: str = "fp32",
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
        with autocast(precision):
            hidden = base.base_model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        # Of each row the positions that predict the answer and, last, what the base expects after it.
        spans = [(len(texts[i][0]) - 1, sum(map(len, texts[i]))) for i in batch]
        logits = head(torch.cat([hidden[row, a:b] for row, (a, b) in enumerate(spans)]).float())
        for i, here in zip(batch, logits.split([b - a for a, b in spans]), strict=True):
            taken = token_logprobs(here[:-1], torch.tensor(texts[i][1])).sum()
            results[i] = taken.item(), (here[-1, ends].logsumexp(0) - here[-1].logsumexp(0)).item()
    return results


def _batches(texts: Sequence[tuple[Sequence[int], Sequence[int]]], size: int) -> Iterator[list[int]]:
    order = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
    for start in range(0, len(order), size):
        yield order[start : start + size]
