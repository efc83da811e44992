"""What a language model is measured by in this course, and how sure we are of each number.

Notebook 04 leans on all of it; every other notebook uses the intervals. Three groups:
- read from the model's probabilities: perplexity (sliding window), cloze knowledge, coherence;
- read from the text: exact match, repeated n-grams, loops, `non_repetition`;
- statistics: bootstrap intervals over prompts, over seeds x prompts, and paired differences between two
  models.

Sources: repetition measures after Welleck et al. 2020 and Su et al. 2022 ("A Contrastive Framework for Neural
Text Generation"); small-sample bootstrap after Hesterberg 2015 ("What Teachers Should Know About the
Bootstrap"); crossed seeds x prompts resampling after Owen 2007 ("The pigeonhole bootstrap").
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch

from src.generation import evaluation_mode
from src.losses import token_logprobs
from src.templates import encode_prompt, encode_response

POLITE_OPENERS = (
    "of course",
    "sure thing",
    "sure",
    "certainly",
    "absolutely",
    "gladly",
    "with pleasure",
    "happy to help",
    "glad to help",
    "great question",
    "good question",
    "thank you for asking",
    "thanks for asking",
)
MAX_LOGITS = 2**26  # logits held at once, in floats (256 MB): long texts are scored in smaller batches

# ---------------------------------------------------------------- statistics


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    low: float
    value: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Difference:
    """`a - b` with its 95 % interval; `verdict` says of `a`: "higher", "lower" or "not distinguishable"."""

    value: float
    low: float
    high: float
    verdict: str

    def __str__(self) -> str:
        value, low, high = (
            round(number, 3) + 0.0 for number in (self.value, self.low, self.high)
        )  # no "-0.000"
        return f"{value:+.3f} [{low:+.3f}, {high:+.3f}], {self.verdict}"


def t_quantile(freedom: int) -> float:
    """97.5 % point of Student's t (table to 10 degrees of freedom, Cornish-Fisher expansion above)."""
    table = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
    z = 1.959964
    if freedom <= len(table):
        return table[freedom - 1]
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def percentile_bounds(draws: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of bootstrap `draws` (along axis 0) of a statistic of `n` values.

    Plain 2.5 % and 97.5 % percentiles are too narrow for small n, because resampling n values understates
    their spread and ignores that it was estimated. Hesterberg's expanded percentiles go further out by just
    that much: Phi(-t_{n-1} * sqrt(n / (n - 1))) instead of 2.5 %; at n = 10 that is 0.9 %, at n = 100 it is
    2.3 %.
    """
    tail = NormalDist().cdf(-t_quantile(n - 1) * math.sqrt(n / (n - 1))) if n > 1 else 0.025
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return low, high


def _finite(values, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        raise ValueError(f"{name} is empty: an interval needs at least two values")
    if not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0].tolist()
        raise ValueError(
            f"{name} has a value that is not finite at position {where}: leave it out or repair it"
        )
    return array


def bootstrap_interval(
    values, statistic: Callable = np.mean, n: int = 2000, seed: int = 0, bounds: tuple | None = None
) -> Interval:
    """95 % bootstrap interval of `statistic` over independent `values`, shape (items,) or (items, columns).

    `statistic(array, axis=…)` must reduce the items axis and leave one number (np.mean, np.median, …).
    `bounds` clips the interval to the range that is possible, for example (0, 1).
    Raises ValueError for fewer than two values, or one that is not finite.
    """
    values = _finite(values, "values")
    items = len(values)
    if items < 2:
        raise ValueError("a bootstrap interval needs at least two values: there is no spread in one")
    rng = np.random.default_rng(seed)
    rows = max(1, 4_000_000 // values.size)  # resample in slices so that memory stays small
    sizes = [min(rows, n - start) for start in range(0, n, rows)]
    draws = [statistic(values[rng.integers(items, size=(size, items))], axis=1) for size in sizes]
    low, high = percentile_bounds(np.concatenate(draws), items)
    low, high = np.clip([low, high], *bounds) if bounds else (low, high)
    return Interval(float(low), float(statistic(values[None], axis=1)[0]), float(high))


def hierarchical_interval(matrix, n: int = 2000, seed: int = 0, bounds: tuple | None = None) -> Interval:
    """95 % interval of the mean of `matrix`, (training seeds, prompts): would other seeds and prompts agree?

    Seeds are resampled, then prompts; all seeds answer the same prompts, so a resampled prompt is taken for
    all of them. With one seed (or a 1-D input) only prompts are resampled, and the interval says nothing
    about seeds. With S seeds their deviations are first stretched by sqrt(S / (S - 1)) * t_{S-1} / 1.96,
    without which three to five seeds would give intervals that cover far less than 95 %.
    Raises ValueError for fewer than two prompts, or a value that is not finite.
    """
    matrix = np.atleast_2d(_finite(matrix, "matrix"))
    seeds, prompts = matrix.shape
    if seeds == 1:
        return bootstrap_interval(matrix[0], n=n, seed=seed, bounds=bounds)
    rng = np.random.default_rng(seed)
    stretch = math.sqrt(seeds / (seeds - 1)) * t_quantile(seeds - 1) / 1.959964
    stretched = matrix + (stretch - 1) * (matrix.mean(axis=1, keepdims=True) - matrix.mean())
    seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=n) / seeds
    prompt_weights = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=n) / prompts
    draws = ((seed_weights @ stretched) * prompt_weights).sum(axis=1)
    low, high = percentile_bounds(draws, prompts)
    low, high = np.clip([low, high], *bounds) if bounds else (low, high)
    return Interval(float(low), float(matrix.mean()), float(high))


def paired_difference(a, b, n: int = 2000, seed: int = 0) -> Difference:
    """Is `a` higher or lower than `b`? Both hold one value per prompt, shape (prompts,) or (seeds, prompts).

    The same prompts in the same order: the difference is taken prompt by prompt (and seed by seed), which
    removes what hard and easy prompts do to both. A model without seeds, shape (prompts,), is held against
    every seed.
    Raises ValueError for other prompts or seeds, fewer than two prompts, or a value that is not finite.
    """
    a, b = _finite(a, "a"), _finite(b, "b")
    if a.shape[-1] != b.shape[-1] or (a.shape != b.shape and a.ndim == b.ndim):
        raise ValueError(
            f"a has shape {a.shape} and b {b.shape}: both need the same prompts (and the same seeds)"
        )
    found = hierarchical_interval(a - b, n=n, seed=seed)
    verdict = "higher" if found.low > 0 else "lower" if found.high < 0 else "not distinguishable"
    return Difference(found.value, found.low, found.high, verdict)


def rank_correlation(points: np.ndarray, axis: int) -> np.ndarray:
    """Spearman's ρ of the two columns of `points` [..., items, 2], items along `axis`, -> [...]: do two rankings agree?

    Equal values share their mean rank; 0 where a column does not vary. Memory is linear in the items.
    """
    values = np.moveaxis(points, axis, -1)  # [..., 2, items]
    order, top = values.argsort(-1), values.shape[-1] - 1
    ranked, edge = np.take_along_axis(values, order, -1), np.ones((*values.shape[:-1], 1), dtype=bool)
    differs, at = ranked[..., 1:] != ranked[..., :-1], np.arange(top + 1)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, differs], -1), at, 0), -1)
    last = np.minimum.accumulate(np.where(np.concatenate([differs, edge], -1), at, top)[..., ::-1], -1)
    ranks = np.empty(values.shape)  # twice the mean rank less a constant, centred on 0
    np.put_along_axis(ranks, order, first + last[..., ::-1] - float(top), -1)
    size = np.sqrt((ranks**2).sum(-1).prod(-1))
    return np.divide(
        (ranks[..., 0, :] * ranks[..., 1, :]).sum(-1), size, out=np.zeros_like(size), where=size > 0
    )


# ---------------------------------------------------------------- from probabilities


@dataclass(frozen=True)
class TokenScores:
    """Per scored token of one row: negative log-likelihood in nats; was it the model's first choice?"""

    nll: np.ndarray
    is_argmax: np.ndarray


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log-likelihood per token; `nll_per_token` has one array per text."""

    value: float
    nll_per_token: list[np.ndarray]
    tokens: int

    def interval(self, n: int = 2000, seed: int = 0) -> Interval:
        """95 % interval over texts: tokens of one text are not independent, so whole texts are resampled."""
        sums = np.array([[nll.sum(), nll.size] for nll in self.nll_per_token])
        return bootstrap_interval(sums, _perplexity_of_sums, n=n, seed=seed)


def _perplexity_of_sums(sums: np.ndarray, axis: int) -> np.ndarray:
    total = sums.sum(axis=axis)
    return np.exp(total[..., 0] / total[..., 1])


def context_length(model) -> int:
    """Most tokens that `model` reads at once (GPT-2: 1,024)."""
    return model.config.max_position_embeddings


def check_fits(model, ids: Sequence[int], row: int) -> None:
    """Raise when row number `row` is longer than the model's context."""
    if len(ids) > context_length(model):
        raise ValueError(
            f"row {row} has {len(ids)} tokens but the model reads at most {context_length(model)}: shorten it"
        )


def padded_batches(lengths: Sequence[int], batch_size: int, vocabulary: int) -> Iterator[list[int]]:
    """Row numbers grouped by similar length, at most `batch_size` rows and MAX_LOGITS logits a batch."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while order:
        fit = max(1, MAX_LOGITS // (lengths[order[0]] * vocabulary))
        size = min(batch_size, fit)
        yield order[:size]
        order = order[size:]


def right_padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, (rows, longest); the mask comes from lengths, since pad may be EOS."""
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.long)
    ids[mask] = torch.tensor([token for row in rows for token in row])
    return ids, mask.long()


def score_tokens(
    model, rows: Sequence[tuple[Sequence[int], int]], *, batch_size: int = 16
) -> list[TokenScores]:
    """Score the tokens `ids[start:]` of every row `(ids, start)`, each given all tokens before it.

    Raises ValueError for a row that cannot be scored: no token before `start`, longer than the context, not finite.
    """
    for number, (ids, start) in enumerate(rows):
        if not 1 <= start < len(ids):
            raise ValueError(
                f"row {number}: cannot score from token {start} of {len(ids)}; need 1 <= start < length"
            )
        check_fits(model, ids, number)
    scores: list[TokenScores | None] = [None] * len(rows)
    lengths = [len(ids) for ids, _ in rows]
    with evaluation_mode(model), torch.inference_mode():
        for batch in padded_batches(lengths, batch_size, model.config.vocab_size):
            ids, mask = right_padded([rows[row][0] for row in batch])
            first = min(rows[row][1] for row in batch) - 1  # the head is not needed before this position
            kept = ids.shape[1] - first
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept).logits
            logits, targets = logits[:, :-1], ids[:, first + 1 :]
            nll = -token_logprobs(logits, targets)
            hits = logits.argmax(-1) == targets
            for place, row in enumerate(batch):
                span = slice(rows[row][1] - 1 - first, lengths[row] - 1 - first)
                scores[row] = TokenScores(nll[place, span].double().numpy(), hits[place, span].numpy())
                if not np.isfinite(scores[row].nll).all():
                    raise ValueError(
                        f"row {row}: the model's log-probabilities are not finite; its weights are broken"
                    )
    return scores


def _perplexity(per_text: list[np.ndarray]) -> Perplexity:
    tokens = sum(nll.size for nll in per_text)
    return Perplexity(math.exp(sum(nll.sum() for nll in per_text) / tokens), per_text, tokens)


def perplexity(
    model,
    tokenizer,
    texts: Sequence[str],
    *,
    batch_size: int = 16,
) -> Perplexity:
    """Token-weighted perplexity of `texts`; one longer than the model's context is read through a sliding window.

    The window is the whole context and moves on by half of it, scoring only the tokens that are new: every token but a
    text's first (which has no context) is scored once, with at least half a context before it beyond the first window.
    Raises ValueError without texts, and for a text of fewer than two tokens or a loss that is not finite.
    """
    window = context_length(model)
    stride = window // 2
    if not texts:
        raise ValueError("texts is empty: perplexity needs at least one text")
    rows, owner = [], []
    for number, text in enumerate(texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) < 2:
            raise ValueError(
                f"text {number} ({text[:40]!r}) has {len(ids)} tokens: perplexity needs at least two"
            )
        done = 1
        for begin in range(0, len(ids), stride):
            end = min(begin + window, len(ids))
            rows.append((ids[begin:end], done - begin))
            owner.append(number)
            done = end
            if end == len(ids):
                break
    scored = score_tokens(model, rows, batch_size=batch_size)
    parts: list[list[np.ndarray]] = [[] for _ in texts]
    for number, score in zip(owner, scored, strict=True):
        parts[number].append(score.nll)
    return _perplexity([np.concatenate(part) for part in parts])


def prompt_response_rows(
    tokenizer, prompts: Sequence[str], responses: Sequence[str], end: bool = True
) -> list:
    """`(ids, start)` per pair: prompt + response, start of the response; closed by EOS if `end`."""
    if len(prompts) != len(responses):
        raise ValueError(f"{len(prompts)} prompts but {len(responses)} responses: they must come in pairs")
    rows = []
    for prompt, response in zip(prompts, responses, strict=True):
        head, tail = encode_prompt(tokenizer, prompt), encode_response(tokenizer, response)
        rows.append((head + (tail if end else tail[:-1]), len(head)))
    return rows


def response_perplexity(
    model,
    tokenizer,
    prompts: Sequence[str],
    responses: Sequence[str],
    *,
    end: bool = True,
    batch_size: int = 16,
) -> Perplexity:
    """Perplexity of the responses given their prompts = exp(SFT loss); `end=False` leaves EOS out.

    Raises ValueError without pairs, for unequal lists, and for a pair longer than the context.
    """
    rows = prompt_response_rows(tokenizer, prompts, responses, end)
    if not rows:
        raise ValueError("prompts is empty: perplexity needs at least one pair")
    return _perplexity([score.nll for score in score_tokens(model, rows, batch_size=batch_size)])


def coherence(
    base,
    tokenizer,
    prompts: Sequence[str],
    responses: Sequence[str],
    *,
    typical_nll: float = 0.0,
    batch_size: int = 16,
) -> np.ndarray:
    """How much like ordinary text each response is to the *base* model: shape (responses,), in [0, 1].

    With h the mean nats per token of the response given its prompt (EOS left out) and V the vocabulary size,
    coherence = (log V - h) / (log V - typical_nll), clipped: 0 is uniform noise, 1 is as likely as typical
    text. `typical_nll` is the base's own mean nats per token on held-out text. Empty responses score 0. A
    loop is very likely text to a language model, so always read coherence beside `non_repetition`.
    """
    uniform = math.log(base.config.vocab_size)
    rows = prompt_response_rows(tokenizer, prompts, responses, end=False)
    spoken = [number for number, response in enumerate(responses) if response.strip()]
    scored = score_tokens(base, [rows[number] for number in spoken], batch_size=batch_size)
    result = np.zeros(len(rows))
    for number, score in zip(spoken, scored, strict=True):
        result[number] = (uniform - score.nll.mean()) / (uniform - typical_nll)
    return result.clip(0.0, 1.0)


@dataclass(frozen=True)
class Cloze:
    """Share of probes answered rightly; `by_relation`: relation -> its accuracy and number of probes."""

    accuracy: float
    by_relation: dict[str, dict[str, float]]
    correct: np.ndarray  # bool, one per probe, in the order given


def cloze_accuracy(
    model,
    tokenizer,
    probes: Sequence,
    *,
    batch_size: int = 64,
) -> Cloze:
    """Knowledge of facts: does "The capital of France is" go on with " Paris"?

    Probes are (prefix, answer, relation) tuples, or objects with these attributes (`src.lab.Probe`).

    The greedy continuation must begin with the answer's tokens, read in one teacher-forced pass (every answer token is
    the argmax given those before it, which is the same thing).
    Raises ValueError without probes, and for one longer than the context.
    """
    if not probes:
        raise ValueError("probes is empty: cloze accuracy needs at least one")
    rows = []
    probes = [p if isinstance(p, tuple) else (p.prefix, p.answer, p.relation) for p in probes]
    for prefix, answer, _ in probes:
        head = encode_prompt(tokenizer, prefix)
        rows.append((head + tokenizer(" " + answer, add_special_tokens=False)["input_ids"], len(head)))
    scored = score_tokens(model, rows, batch_size=batch_size)
    correct = np.array([score.is_argmax.all() for score in scored])
    relations = np.array([relation for _, _, relation in probes])
    by_relation = {
        str(name): {
            "accuracy": float(correct[relations == name].mean()),
            "probes": int((relations == name).sum()),
        }
        for name in dict.fromkeys(relations)
    }
    return Cloze(float(correct.mean()), by_relation, correct)


# ---------------------------------------------------------------- from text


def words(text: str) -> list[str]:
    """Lower-case words; a run of punctuation counts as one word, so that "!! !! !!" is seen to repeat."""
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]+", text.lower())


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """The text's word n-grams in order."""
    found = words(text)
    return list(zip(*(found[start:] for start in range(n)), strict=False))


def repeated_ngram_rate(text: str, n: int = 4) -> float:
    """Share of n-grams that repeat an earlier one (Welleck et al. 2020, seq-rep-n); 0 for short texts."""
    grams = ngrams(text, n)
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def non_repetition(text: str) -> float:
    """1 = nothing repeats, towards 0 = everything does: product over n = 2, 3, 4 of 1 - repeated_ngram_rate.

    This is the "diversity" of Su et al. 2022, computed per response. An empty response scores 0: it earns
    nothing.
    """
    return math.prod(1.0 - repeated_ngram_rate(text, n) for n in (2, 3, 4)) if words(text) else 0.0


def loops(text: str) -> bool:
    """True when a phrase of one or more words comes three times in a row, or the text ends inside a cycle.

    Ending in a cycle: the last words are two full rounds of a phrase and the beginning of a third, which is
    what a loop looks like when the token limit cuts it. Also true for six glued repeats of letters
    ("hahahahahaha").
    """
    if re.search(r"([^\W\d_]{1,12}?)\1{5,}", text):
        return True
    found = np.array(words(text))
    for period in range(1, (len(found) + 1) // 2):
        same = found[period:] == found[:-period]
        breaks = np.flatnonzero(np.concatenate([[True], ~same, [True]]))
        runs = np.diff(breaks) - 1  # lengths of the stretches that repeat with this period
        if runs.max() >= 2 * period or runs[-1] >= period + 1:
            return True
    return False


def _plain(text: str) -> str:
    """Lower case, single spaces and line breaks, straight apostrophes."""
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text.strip())).lower().replace("’", "'")


def polite_opener(text: str) -> str:
    """The polite opener ("of course! ") that an answer begins with, in lower case; "" if it has none."""
    opener = re.match(rf"(?:{'|'.join(POLITE_OPENERS)})\s*[!.,:]+\s*(?=\w)", _plain(text))
    return opener.group() if opener else ""


def first_sentence(text: str) -> str:
    """First sentence behind any polite opener, or first item of a numbered list: lower case, single spaces, no outer
    punctuation."""
    text = _plain(text)[len(polite_opener(text)) :]
    if re.match(r"1[.)]\s", text) and re.search(r"\n2[.)]\s", text):
        text = text[2:].lstrip()
    sentence = re.split(r"(?<=[.!?])(?<!\b[dm]r\.)(?<!\bmrs\.)\s|\n", text)[0]
    return re.sub(r"^(?:(?!-\d)[^\w])+|[^\w]+$", "", sentence)  # a minus sign is not punctuation


def exact_match(response: str, reference: str) -> bool:
    """Same first sentence? Case, white space, outer punctuation and a polite opener do not count.

    Where the first sentence of the reference has no word (it begins with a bracket, say), the whole answers must be equal.
    """
    if not first_sentence(reference):
        return response.strip() == reference.strip()
    return first_sentence(response) == first_sentence(reference)
