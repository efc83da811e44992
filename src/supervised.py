"""What the supervised notebooks 01 to 03 do beyond one call of `train_sft`: their rows, their cached runs, their probes.

A training run is keyed by everything that decides its result, so notebook 02 finds the stage-1 model that notebook 01
trained, and a second rendering trains only what is new. The probes ask the question of both notebooks: was a task learned,
or only its words? Recall on the trained prompts against paraphrases follows Allen-Zhu & Li (2023, arXiv 2309.14316).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from src import runtime
from src.config import Config
from src.data import examples, instruction_splits, load_instructions, paraphrases, row_problem
from src.evaluation import answer, evaluate, panel, values
from src.files import DataError
from src.fingerprint import base_model_hash, json_hash
from src.lab.facts import RELATIONS
from src.metrics import (
    Interval,
    bootstrap_interval,
    exact_match,
    first_sentence,
    hierarchical_interval,
    rank_correlation,
    response_perplexity,
)
from src.models import load_model, load_tokenizer, save_model
from src.sft import SFTSettings, train_sft
from src.templates import IGNORE, SINGLE, TEMPLATES, build_prompt, encode_example
from src.workspace import Run

TEMPLATE_SETS = {"single": [SINGLE], "five": list(TEMPLATES)}  # the choices of `train.templates`

# --- Rows ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draw:
    """Rows as scraped: `train`, rows of the same kind that are not trained on, and what had to be skipped on the way."""

    train: Dataset
    heldout: Dataset
    read: int  # raw rows read until `train` was full
    skipped: dict[str, int]  # of those, rows that no training could use, by reason


def draw_rows(cfg: Config, tokenizer, seed: int, avoid: Iterable[Mapping[str, str]] = ()) -> Draw:
    """The first `cfg.data.rows` usable rows of a raw draw, and the `cfg.data.heldout` next ones that ask something else.

    Usable means only that there is an instruction and an output, and that both fit in `cfg.data.max_length` tokens in any
    template: wrong, cut off and repeated answers stay in. No held-out row asks what a training row asks, nor what a row of
    `avoid` asks. Raises DataError when the source has too few rows.
    """
    wanted = cfg.data.rows + cfg.data.heldout
    raw = load_instructions(cfg.instruction_data, wanted + wanted // 4 + 20, seed=seed).to_list()
    problems = [row_problem(row) or _too_long(tokenizer, row, cfg.data.max_length) for row in raw]
    usable = [number for number, problem in enumerate(problems) if problem is None]
    train = [raw[number] for number in usable[: cfg.data.rows]]
    asked = {_question(row) for row in [*train, *avoid]}
    rest = [raw[number] for number in usable[cfg.data.rows :] if _question(raw[number]) not in asked]
    if len(train) < cfg.data.rows or len(rest) < cfg.data.heldout:
        raise DataError(
            f"{len(raw)} raw rows of {cfg.instruction_data} hold {len(train)} usable training rows and {len(rest)} held-out "
            f"ones; {cfg.data.rows} and {cfg.data.heldout} are wanted. Lower data.rows or data.heldout."
        )
    read = usable[cfg.data.rows - 1] + 1
    skipped = Counter(problem for problem in problems[:read] if problem)
    return Draw(Dataset.from_list(train), Dataset.from_list(rest[: cfg.data.heldout]), read, dict(skipped))


def _too_long(tokenizer, row: Mapping[str, str], max_length: int) -> str | None:
    prompts = [build_prompt(row["instruction"], row["input"], name) for name in TEMPLATES]
    longest = max(len(encode_example(tokenizer, prompt, row["output"])[0]) for prompt in prompts)
    return "too long" if longest > max_length else None


def _question(row: Mapping[str, str]) -> tuple[str, str]:
    return row["instruction"].strip().lower(), row["input"].strip().lower()


# --- Cached runs -----------------------------------------------------------------------------------------------


def train(run: Run, cfg: Config, rows: Draw, templates: Sequence[str], seed: int):
    """A copy of the base, trained: (model, tokenizer, SFTResult). Of several templates, each row gets one at random."""
    tokenizer, model = load_tokenizer(run.parent("base")), load_model(run.parent("base"))
    pairs = examples(rows.train, templates, seed)  # (prompt, response); only the response is learned
    heldout = examples(rows.heldout, templates, seed)  # their loss is measured after every epoch
    runtime.seed_everything(seed)
    result = train_sft(model, tokenizer, pairs, settings(cfg, seed), eval_examples=heldout)
    return model, tokenizer, result


def settings(cfg: Config, seed: int) -> SFTSettings:
    """The section `train` of a stage's configuration as settings of the trainer."""
    recipe = {name: value for name, value in asdict(cfg.train).items() if name != "templates"}
    return SFTSettings(**recipe, max_length=cfg.data.max_length, precision=cfg.precision, seed=seed)


def fine_tune(run: Run, cfg: Config, rows: Draw, templates: Sequence[str], seed: int) -> dict[str, Any]:
    """`train`, with its model kept: the same rows, settings and seed are trained only once.

    Returns history, evaluations (held-out loss by epoch), steps, response_tokens and seconds; the model is in
    `result["folder"] / "model"`.
    """

    def compute(folder):
        model, tokenizer, result = train(run, cfg, rows, templates, seed)
        save_model(model, tokenizer, folder / "model")
        kept = ("history", "evaluations", "steps", "response_tokens", "seconds")
        return {name: getattr(result, name) for name in kept}

    return run.cached("fine_tune", _key(cfg, rows, templates, seed), compute)


def train_and_test(run: Run, cfg: Config, rows: Draw, templates: Sequence[str], seed: int) -> dict[str, Any]:
    """`by_template` of a model that is trained for this test only and not kept."""

    def compute(_):
        model, tokenizer, _ = train(run, cfg, rows, templates, seed)
        return by_template(model, tokenizer, cfg, rows.heldout)

    key = _key(cfg, rows, templates, seed) | {"matrix": asdict(cfg.matrix), "base_seed": cfg.seed}
    return run.cached("train_and_test", key | {"limit": cfg.evaluation.max_new_tokens}, compute)


def _key(cfg: Config, rows: Draw, templates: Sequence[str], seed: int) -> dict[str, Any]:
    data = json_hash([rows.train.to_list(), rows.heldout.to_list()])
    return {"settings": asdict(settings(cfg, seed)), "templates": list(templates), "data": data}


def measured(run: Run, cfg: Config, folder) -> dict[str, Any]:
    """`evaluate` and the answers to the prompt panel of the model in `folder`; what one notebook has measured the others find."""

    def compute(_):
        model, tokenizer = load_model(folder), load_tokenizer(folder)
        return evaluate(model, tokenizer, cfg, seed=cfg.seed) | {"panel": panel(model, tokenizer, cfg)}

    key = {"model": base_model_hash(str(folder)), "evaluation": asdict(cfg.evaluation), "seed": cfg.seed}
    return run.cached("measured", key, compute)


# --- Probes ----------------------------------------------------------------------------------------------------


def recall(model, tokenizer, cfg: Config, rows: Dataset, template: str) -> dict[str, list]:
    """Does the model give a row's own answer again: to its very prompt, and to paraphrases of it?

    Per row: "trained" (0 or 1) and "paraphrased" (share of its paraphrases), both exact match with the answer the row taught,
    right or wrong; "answer" and "paraphrase", "paraphrase_answer" (the first that failed, or the first) are the texts.
    Per held-out prompt of the first evaluation split, whether the answer is that of a training row: "borrowed" where it is
    wrong, "fits" where it is right all the same. Raises DataError for a row that has no paraphrase.
    """
    others = paraphrases(cfg.instruction_data, rows)
    counts = np.cumsum([0, *map(len, others)])
    own = [build_prompt(row["instruction"], row["input"], template) for row in rows]
    reworded = [build_prompt(*pair, template) for pairs in others for pair in pairs]
    answers = [g.text for g in answer(model, tokenizer, own + reworded, cfg)]
    again, anew = answers[: len(own)], answers[len(own) :]
    found: dict[str, list] = {
        name: [] for name in ("trained", "paraphrased", "answer", "paraphrase", "paraphrase_answer")
    }
    for number, row in enumerate(rows):
        here = slice(counts[number], counts[number + 1])
        if not others[number]:
            raise DataError(f"Row {number} has no paraphrase: {row['instruction']!r} is no task of the lab.")
        right = [exact_match(text, row["output"]) for text in anew[here]]
        shown = right.index(False) if False in right else 0
        found["trained"].append(float(exact_match(again[number], row["output"])))
        found["paraphrased"].append(float(np.mean(right)))
        found["answer"].append(again[number])
        found["paraphrase"].append(" ".join(others[number][shown]).strip())
        found["paraphrase_answer"].append(anew[here][shown])
    items = next(iter(instruction_splits(cfg.instruction_data, cfg.evaluation.prompts, cfg.seed).values()))
    others = answer(
        model, tokenizer, [build_prompt(item.instruction, item.input, template) for item in items], cfg
    )
    taught = {first_sentence(row["output"]) for row in rows}
    of_a_row = np.array([first_sentence(g.text) in taught for g in others])
    right = np.array([exact_match(g.text, item.answer) for g, item in zip(others, items, strict=True)])
    return found | {"borrowed": (of_a_row & ~right).astype(float), "fits": (of_a_row & right).astype(float)}


def recalled(run: Run, cfg: Config, folder, rows: Dataset, template: str) -> dict[str, list]:
    """`recall` of the model in `folder`, cached."""

    def compute(_):
        return recall(load_model(folder), load_tokenizer(folder), cfg, rows, template)

    key = {"model": base_model_hash(str(folder)), "rows": json_hash(rows.to_list()), "template": template}
    return run.cached("recall", key | {"evaluation": asdict(cfg.evaluation), "seed": cfg.seed}, compute)


def by_template(model, tokenizer, cfg: Config, heldout: Dataset) -> dict[str, dict[str, list[float]]]:
    """Per template of the test: exact match of `cfg.matrix.prompts` held-out prompts and nats a token of `heldout` rows.

    The prompts are those of the first evaluation split, the same under each template, so that only the format differs.
    """
    splits = instruction_splits(cfg.instruction_data, cfg.matrix.prompts, cfg.seed)
    items = next(iter(splits.values()))
    found = {}
    for name in TEMPLATES:
        prompts = [build_prompt(item.instruction, item.input, name) for item in items]
        texts = [g.text for g in answer(model, tokenizer, prompts, cfg)]
        exact = [float(exact_match(text, item.answer)) for text, item in zip(texts, items, strict=True)]
        found[name] = {"exact": exact, "nll": row_losses(model, tokenizer, heldout, name)}
    return found


def tested(run: Run, cfg: Config, folder, heldout: Dataset) -> dict[str, Any]:
    """`by_template` of the model in `folder`, cached."""

    def compute(_):
        return by_template(load_model(folder), load_tokenizer(folder), cfg, heldout)

    key = {"model": base_model_hash(str(folder)), "matrix": asdict(cfg.matrix), "base_seed": cfg.seed}
    key |= {"heldout": json_hash(heldout.to_list()), "limit": cfg.evaluation.max_new_tokens}
    return run.cached("by_template", key, compute)


def row_losses(model, tokenizer, rows: Dataset, template: str) -> list[float]:
    """Mean nats a response token (EOS counted) of every row in `template`: the training loss, on rows not trained on."""
    pairs = examples(rows, [template])
    scored = response_perplexity(model, tokenizer, *zip(*pairs, strict=True))
    return [float(nll.mean()) for nll in scored.nll_per_token]


# --- For the eye -----------------------------------------------------------------------------------------------


def token_line(tokenizer, prompt: str, response: str) -> str:
    """Prompt and response as the trainer sees them: tokens parted by "|", those that carry loss in [brackets]."""
    ids, labels = encode_example(tokenizer, prompt, response)
    pieces = [repr(tokenizer.decode([token]))[1:-1] for token in ids]
    marked = [f"[{text}]" if label != IGNORE else text for text, label in zip(pieces, labels, strict=True)]
    return "|".join(marked).replace("]|[", "][")


def smoothed(history: Sequence[Mapping[str, float]], window: int) -> list[dict[str, float]]:
    """Training loss averaged over `window` steps (one epoch: every row counted once), placed at each window's last step."""
    window = min(window, len(history))
    means = np.convolve([row["loss"] for row in history], np.full(window, 1 / window), mode="valid")
    return [
        {"step": row["step"], "loss": float(mean)}
        for row, mean in zip(history[window - 1 :], means, strict=True)
    ]


def fall(curves: Sequence[Sequence[Mapping[str, float]]]) -> Interval:
    """Spearman's rank correlation of step and loss, one curve a seed: −1 falls at every step, 0 does not fall at all.

    Over several seeds the interval is about their mean; of a single curve its points are resampled, which is too narrow for
    a smoothed curve, whose points are not independent.
    """
    if len(curves) == 1:
        points = np.array([(row["step"], row["loss"]) for row in curves[0]], dtype=float)
        return bootstrap_interval(points, rank_correlation, bounds=(-1, 1))
    each = [
        rank_correlation(np.array([[(row["step"], row["loss"]) for row in curve]]), axis=1)[0]
        for curve in curves
    ]
    return hierarchical_interval(np.array(each)[:, None], bounds=(-1, 1))


def cloze_by_topic(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean cloze accuracy of measured models (one a seed) by topic of the probes and its number of facts: "countries (74)" …"""
    topics: dict[str, list[float]] = {}
    for run in runs:
        for relation, correct in zip(run["relations"], run["cloze"], strict=True):
            topics.setdefault(RELATIONS[relation].topic, []).append(correct)
    return {
        f"{topic} ({len(values) // len(runs)})": float(np.mean(values)) for topic, values in topics.items()
    }


def none_seen(runs: Sequence[Mapping[str, Any]]) -> str:
    """What "no answer loops" can mean: with 0 of n a rate of up to 3 / n would still be no surprise (the rule of three); "" if one does."""
    found = np.stack([values(run, "loops") for run in runs])
    if found.any():
        return ""
    return f"(No loop in {found.shape[1]} prompts: a true rate of up to {3 / found.shape[1]:.1%} would still fit. An interval of width 0 hides that.) "


def spread_note(cfg: Config) -> str:
    """What the intervals of this rendering cover, in one sentence."""
    if cfg.seeds == 1:
        return (
            "This rendering trained **one seed**: intervals come from the prompts alone, say nothing about other training runs, "
            "and no verdict is final."
        )
    return f"Intervals are 95 %, over **{cfg.seeds} training seeds** (each with its own draw of rows) and the prompts."
