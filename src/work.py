"""How much work a stage is, counted in tokens and optimiser steps, and how fast this machine does such work.

`plan.py` multiplies the two where a stage never ran here. Six kinds of token cost differently: those that are
trained on (forward and backward), those that a measurement reads in fp32, those that a run scores on its way
in its own precision (rewards, a filter, the losses of a trainer), those that are written one by one (to an
instruction, or to a dialogue), and those that an LLM judge reads. Whoever changes a notebook so that it
trains or measures more changes the count of its stage here; a test compares the counts with what the
reference run took.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from src import runtime
from src.config import Config, ConfigError
from src.fingerprint import base_model_source, local_path
from src.workspace import ROOT

GPT2_PARAMETERS = 124e6  # of a base that is not here yet
JUDGE_TOKENS = 220  # of one reply of an LLM judge: question, answer and what the judge is told
JUDGE_REPLIES = 3  # a graded answer takes one for each aspect
FIXED_SECONDS = 12.0  # of every stage: start, imports, figures
PROBE_TOKENS, PARAGRAPH_TOKENS = 12, 60  # a fact as a sentence; a paragraph of general prose
FILTER_PASSES = 9  # the filter reads an answer behind its own instruction and behind eight others
NORMALISED = 256  # prompts whose answers by the SFT model set the scale of a reward model
KL_FACTOR = 1.35  # training with a KL term against training without
LAB_SPLITS = 4  # of evaluation prompts; a file or Hub data set has one
CHARACTERS = 4.3  # of English text to a token of GPT-2's
LONGEST = 480  # tokens of an answer or a dialogue that still fits in gpt2's `max_length` of 512
# Real dialogues differ in length, and a batch is as wide as its longest row (the lab's are all short):
PADDED = 1.15  # cells to a token where rows of similar length are read together
SAMPLED_PADDED = 2.5  # and where the prompts of one rollout are


class Lengths(NamedTuple):
    """Mean lengths in tokens: a training row, its prompt, a preference pair with its prompt read once, a pair's prompt, an
    answer that may be as long as it likes."""

    row: float
    prompt: float
    pair: float
    pair_prompt: float
    answer: float

    def said(self, limit: int) -> float:
        """Tokens of an answer that is cut at `limit`."""
        return min(self.answer, limit)


def lengths(cfg: Config) -> Lengths:
    """What the profile's data has on average: of files their own, of what is to be downloaded Alpaca's and HH-RLHF's.

    GPT-2 is taken never to end an answer by itself: an upper bound. Raises ConfigError for a file that no stage could read.
    """
    lab_row, lab_pair = (36, 24), (52, 30)
    if cfg.instruction_data == cfg.preference_data == "lab":
        return Lengths(*lab_row, *lab_pair, answer=9)
    from src.files import DataError  # here, and below: `status` need not wait for `datasets`

    try:
        row, prompt = lab_row if cfg.instruction_data == "lab" else _row_lengths(cfg.instruction_data)
        pair, pair_prompt = lab_pair if cfg.preference_data == "lab" else _pair_lengths(cfg.preference_data)
    except DataError as error:
        raise ConfigError(str(error)) from None
    return Lengths(row, prompt, pair, pair_prompt, answer=math.inf)


@lru_cache
def _row_lengths(source: str) -> tuple[float, float]:
    """Tokens of an instruction row and of its prompt."""
    if local_path(source) is None:
        return 90, 35
    from src.data import load_instructions, usable_rows
    from src.templates import build_prompt

    longest = LONGEST * CHARACTERS  # the stages skip longer rows
    rows, _ = usable_rows(load_instructions(source), max_output_characters=round(longest))
    prompt = fmean(len(build_prompt(row["instruction"], row["input"])) for row in rows) / CHARACTERS
    return prompt + fmean(len(row["output"]) for row in rows) / CHARACTERS, prompt


@lru_cache
def _pair_lengths(source: str) -> tuple[float, float]:
    """Tokens of a preference pair, its prompt read once, and of the prompt."""
    if local_path(source) is None:
        return 215, 120
    from src.data import load_preferences, preference_examples

    pairs = preference_examples(load_preferences(source, report=lambda text: None))
    # the stages cut longer ones
    prompt = min(LONGEST, fmean(len(pair.prompt) for pair in pairs) / CHARACTERS)
    return prompt + fmean(len(pair.chosen) + len(pair.rejected) for pair in pairs) / CHARACTERS, prompt


@dataclass(frozen=True)
class Work:
    """Tokens, and optimiser steps."""

    trained: float = 0.0
    read: float = 0.0
    scored: float = 0.0
    written: float = 0.0
    told: float = 0.0
    judged: float = 0.0
    steps: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: float) -> Work:
        return Work(*(times * a for a in astuple(self)))

    def seconds(self, speed: Speed) -> float:
        """At the speeds of one machine."""
        return self.steps * speed.step_seconds + sum(
            getattr(self, kind) / getattr(speed, kind)
            for kind in ("trained", "read", "scored", "written", "told", "judged")
        )


class Speed(NamedTuple):
    """Tokens per second, by kind of work, and what an optimiser step takes whatever its batch.

    Measurements read in fp32; what is scored on the way, and what a judge reads, is bf16 where the CPU multiplies that
    natively. `told` are tokens written in answer to a dialogue: fewer rows at a time, each with a long past to look
    back at.
    """

    trained: float
    read: float
    scored: float
    written: float
    told: float
    judged: float
    step_seconds: float


# --- Counting --------------------------------------------------------------------------------------------------


def seconds_of(number: str, cfg: Config, speed: Speed) -> float:
    """Expected seconds of a stage: its work for every seed, and what comes once."""
    return FIXED_SECONDS + (COUNTS[number](cfg) * cfg.seeds + ONCE.get(number, _nothing)(cfg)).seconds(speed)


def _nothing(cfg: Config) -> Work:
    return Work()


def _look(cfg: Config, answers: int = 2) -> Work:
    """One standard measurement of a model: held-out prompts answered `answers` times, facts and prose read."""
    n = lengths(cfg)
    asked = _splits(cfg) * cfg.evaluation.prompts * answers
    known = cfg.evaluation.probes * PROBE_TOKENS + cfg.evaluation.paragraphs * PARAGRAPH_TOKENS
    return Work(read=asked * n.prompt + known, written=asked * _answer(cfg))


def _answer(cfg: Config) -> float:
    """Tokens of an answer in an evaluation."""
    return lengths(cfg).said(cfg.evaluation.max_new_tokens)


def _splits(cfg: Config) -> int:
    return LAB_SPLITS if cfg.instruction_data == "lab" else 1


def _training(cfg: Config, rows: float | None = None, heldout: bool = True) -> Work:
    """One run of the section `train`, with the held-out loss before it and after every epoch."""
    n, epochs = lengths(cfg), cfg.train.epochs
    rows = cfg.data.rows if rows is None else rows
    return Work(
        trained=rows * epochs * n.row,
        scored=(epochs + 1) * cfg.data.heldout * n.row if heldout else 0,
        steps=rows * epochs / (cfg.train.batch_size * cfg.train.gradient_accumulation),
    )


def _judged(cfg: Config, answers: float) -> Work:
    """Answers that an LLM judge reads, in tokens that the base would read in the same time; the lab's rubric is free."""
    if cfg.judge == "gold":
        return Work()
    times = parameters_of(cfg.judge) / parameters_of(cfg.base_model)
    return Work(judged=answers * JUDGE_REPLIES * JUDGE_TOKENS * times)


def _stage1(cfg: Config) -> Work:
    n = lengths(cfg)
    # a row and three paraphrases, by base and stage
    recall = 2 * (4 * cfg.data.rows + cfg.evaluation.prompts)
    return _training(cfg) + _look(cfg) + Work(read=recall * n.prompt, written=recall * _answer(cfg))


def _stage2(cfg: Config) -> Work:
    n, templates = lengths(cfg), 5
    cell = Work(
        read=cfg.matrix.prompts * n.prompt + cfg.data.heldout * n.row,
        written=cfg.matrix.prompts * _answer(cfg),
    )
    return _training(cfg) * (1 + templates) + cell * ((2 + templates) * templates) + _look(cfg)


def _stage3(cfg: Config) -> Work:
    runs = 2 + len(cfg.sweep.full_rates) + len(cfg.sweep.lora_rates) + len(cfg.sweep.ranks)
    return (_training(cfg) + _look(cfg, answers=1)) * runs + _look(cfg)


def _stage3_once(cfg: Config) -> Work:
    return _look(cfg, answers=0) * 5  # five number formats


def _stage4_once(cfg: Config) -> Work:
    n = lengths(cfg)
    asked = 4 * 2 * _splits(cfg) * cfg.compare.prompts
    return Work(read=2 * asked * (n.prompt + _answer(cfg)), written=asked * _answer(cfg)) + _judged(
        cfg, asked
    )


def _stage5(cfg: Config) -> Work:
    n, grid = lengths(cfg), len(cfg.sweep.rates) * len(cfg.sweep.sizes)
    runs = 2 * grid + 2 + len(cfg.sweep.sizes) + 4  # EOS learned and masked; narrow; no loops; templates
    steps = cfg.sweep.steps
    one = Work(trained=steps * cfg.sweep.batch_size * n.row, read=cfg.sweep.validation * n.row, steps=steps)
    gradients = Work(trained=2 * 5 * 2 * cfg.analysis.rows * n.row)
    return (one + _look(cfg)) * runs + gradients


def _stage6(cfg: Config) -> Work:
    train = lambda rows: _training(cfg, rows, heldout=False)
    strengths = sum(beta > 0 for beta in cfg.ablation.betas)
    kl = KL_FACTOR if cfg.train.kl_beta else 1.0
    main = train(cfg.data.rows) * (kl + 1) + _look(cfg) * 2
    small = train(cfg.ablation.rows) * (2 * strengths * KL_FACTOR + 5 * kl + 4)
    looks = _look(cfg, answers=1) * (2 * strengths + 7) + _look(cfg, answers=5) * 2
    written = Work()
    if cfg.data.augment:
        # here: it brings the whole trainer, which `status` need not wait for
        from src.augment import WRITER_EPOCHS

        n, tasks = lengths(cfg), cfg.data.augment
        writer = Work(
            trained=WRITER_EPOCHS * cfg.ablation.rows * n.prompt,
            read=2 * tasks * n.prompt,
            scored=(tasks + cfg.ablation.rows) * FILTER_PASSES * n.row / 2,
            written=tasks * (n.prompt + _answer(cfg)),
            steps=WRITER_EPOCHS
            * cfg.ablation.rows
            / (cfg.train.batch_size * cfg.train.gradient_accumulation),
        )
        written = (
            writer + _judged(cfg, tasks) + (train(1.4 * cfg.ablation.rows) * kl + _look(cfg, answers=1)) * 2
        )
    return main + small + looks + written


def _stage6_once(cfg: Config) -> Work:
    return Work(scored=cfg.filter.pool * FILTER_PASSES * lengths(cfg).row / 2)


def _stage7(cfg: Config) -> Work:
    n, reward, ppo = lengths(cfg), cfg.reward, cfg.ppo
    wide, padded = _padding(cfg)
    answer = n.said(ppo.max_new_tokens)
    prompt, text = padded * n.pair_prompt, wide * (n.pair_prompt + answer)
    models = Work(
        trained=2 * reward.pairs * reward.epochs * wide * n.pair,
        scored=2 * _held_out(cfg),
        steps=2 * reward.pairs * reward.epochs / reward.batch_size,
    )
    # of each of the two forms
    scale = Work(read=NORMALISED * prompt, scored=NORMALISED * text, told=NORMALISED * answer)
    # a prompt's eight answers share its reading
    sampled = scale * 2 + Work(
        scored=reward.prompts * (prompt + 8 * 2 * text), told=reward.prompts * 8 * answer
    )
    journey = cfg.journey
    steps = [ppo.steps, journey.hack_steps, journey.v2_steps] + [ppo.steps] * bool(journey.high_rate)
    if (journey.v3_steps, journey.v3_kl, "constant") != (ppo.steps, ppo.kl_coef, ppo.learning_rate_schedule):
        steps.append(journey.v3_steps)
    step = Work(
        trained=ppo.batch_size * ppo.num_ppo_epochs * text,
        scored=ppo.batch_size * (prompt / ppo.responses_per_prompt + 3 * text),
        told=ppo.batch_size * answer,
        steps=ppo.num_ppo_epochs * ppo.batch_size / (ppo.mini_batch_size * ppo.gradient_accumulation_steps),
    )
    sampled += _judged(cfg, reward.prompts * 8)
    # two samples of a prompt, and a greedy answer
    seen = _judged(cfg, 3 * reward.prompts) + Work(
        scored=reward.prompts * (2 * prompt + 7 * text), told=reward.prompts * 3 * answer
    )
    cooler = 4 * 1.6  # four policies at a lower temperature, whose distance is measured once more
    runs = step * sum(steps) + seen * (2 + cooler + sum(-(-n // ppo.measure_every) for n in steps))
    pairs, batch = cfg.dpo.pairs * cfg.dpo.epochs, cfg.dpo.batch_size * cfg.dpo.gradient_accumulation_steps
    both = pairs * wide * (n.pair + n.pair_prompt)  # DPO reads the prompt before either side
    dpo = Work(trained=both, scored=both, steps=pairs / batch)
    return models + sampled + runs + dpo + _look(cfg)


def _padding(cfg: Config) -> tuple[float, float]:
    """Cells to a token of a dialogue where rows of similar length are together, and where one rollout's prompts are."""
    return (1.0, 1.0) if cfg.preference_data == "lab" else (PADDED, SAMPLED_PADDED)


def _held_out(cfg: Config) -> float:
    """Tokens that an evaluation of a reward model reads: either answer with the prompt before it."""
    n = lengths(cfg)
    return cfg.reward.heldout_pairs * _padding(cfg)[0] * (n.pair + n.pair_prompt)


def _stage7_once(cfg: Config) -> Work:
    controls = max(4, cfg.seeds)  # each on an eighth of the pairs
    ten = _judged(cfg, 6 * 10)  # the ten queries to six models
    if cfg.reward.labels == "judge":  # two replies about two answers: as many tokens as three about one
        ten += _judged(cfg, cfg.reward.pairs)
    trained = controls * cfg.reward.pairs / 8 * lengths(cfg).pair * _padding(cfg)[0]
    return Work(trained=trained, scored=controls * _held_out(cfg)) + ten


COUNTS = {
    "01": _stage1, "02": _stage2, "03": _stage3, "04": _nothing, "05": _stage5, "06": _stage6, "07": _stage7,
}  # fmt: skip
ONCE = {
    "01": _look,
    "03": _stage3_once,
    "04": _stage4_once,
    "05": _look,
    "06": _stage6_once,
    "07": _stage7_once,
}


def memory_mb(number: str, cfg: Config, parameters: float) -> float:
    """Expected peak: weights, gradients and Adam's two moments of what is trained (16 bytes a parameter), 4 bytes a
    parameter for each frozen model beside it, and what the widest batch keeps for its backward pass. An LLM judge is
    read in fp32 first and then kept in bf16, where the CPU multiplies that natively."""
    n, flat = lengths(cfg), cfg.flat()
    frozen = 3 if number == "07" else 1
    batch = flat.get("train.batch_size") or flat.get("sweep.batch_size") or 0
    tokens = batch * n.row * 2  # padded to its longest row
    if number == "07":
        longest = min(cfg.reward.max_length, 3 * n.pair)
        pairs = cfg.reward.micro_batch_size * 1.35 * longest  # both answers in one row
        sides = 2 * cfg.dpo.batch_size * 2 * longest  # two rows a pair, with logits
        tokens = max(pairs, cfg.ppo.mini_batch_size * longest, sides) / 2  # no padding: these are the longest
    # activations of all layers grow as the square root of the weights, times depth
    kept = tokens * parameters**0.5 * 120
    trained = 0 if number == "04" else 16
    needed = (trained + 4 * frozen) * parameters + kept
    if cfg.judge != "gold" and (number in ("04", "07") or (number == "06" and cfg.data.augment)):
        judge = parameters_of(cfg.judge)
        bf16 = runtime.resolve_precision(cfg.precision) == "bf16"
        needed = max(4 * judge, needed + (2 if bf16 else 4) * judge)
    return 700 + needed / 1e6


def parameters_of(name: str) -> float:
    """Parameters of a local model, read from the headers of its safetensors files; of one on the Hub what its name
    says (Qwen2.5-1.5B: 1.5e9), and GPT-2's for a name that says nothing.

    Raises ConfigError for a file that is no safetensors file, such as the pointer that Git LFS leaves.
    """
    source = base_model_source(name)
    count = 0
    for path in sorted(Path(source).glob("*.safetensors")) if isinstance(source, Path) else []:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ConfigError(
                    f"{path} holds no weights (is it a Git LFS pointer?): download the model again"
                )
            header = json.loads(file.read(length))
        for key, tensor in header.items():
            size = 1
            for n in tensor.get("shape", [0]) if key != "__metadata__" else [0]:
                size *= n
            count += size
    larger = {"gpt2-medium": 355e6, "gpt2-large": 774e6, "gpt2-xl": 1558e6}
    if not count and name.rpartition("/")[2] in larger:
        return larger[name.rpartition("/")[2]]
    said = re.search(r"(\d+(?:\.\d+)?)([bm])(?![a-z])", name, re.IGNORECASE)
    named = float(said[1]) * {"B": 1e9, "M": 1e6}[said[2].upper()] if said else GPT2_PARAMETERS
    return float(count or named)


# --- Measuring -------------------------------------------------------------------------------------------------


def measure_speed(cfg: Config, rows: int = 16) -> Speed:
    """Tokens a second of a model of the base's shape with random weights: some seconds of training, reading, writing.

    It is the course's own trainer, reader and sampler that are timed, on `rows` rows as long as the profile's, after a
    first turn that does not count. Two batch sizes tell a token's share of a training step from the step's own. A
    base on the Hub that is not here yet is timed as GPT-2, and scaled by the size in its name.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config

    from src.generation import generate, sample_ids
    from src.metrics import response_perplexity
    from src.models import load_tokenizer
    from src.sft import SFTSettings, train_sft

    source = base_model_source(cfg.base_model)
    shape = AutoConfig.from_pretrained(source) if isinstance(source, Path) else GPT2Config()
    tokenizer = load_tokenizer(ROOT / "models" / "lab-gpt2")  # its ids are valid for any larger vocabulary
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(shape, dtype=torch.float32)  # whatever it was saved in
    text = " the cat sat on a mat and" * round(lengths(cfg).row / 7)
    length = len(tokenizer("Say:" + text)["input_ids"])

    def step_time(batch: int) -> float:
        settings = SFTSettings(
            max_steps=4, learning_rate=1e-6, batch_size=batch, max_length=1024, precision=cfg.precision
        )
        history = train_sft(model, tokenizer, [("Say:", text)] * batch, settings, progress=None).history
        at = [row["seconds"] for row in history]
        return min(later - earlier for earlier, later in itertools.pairwise(at))

    few, many = 2, rows
    short, long = step_time(few), step_time(many)
    # a busy machine may turn the two around
    a_token = max(long - short, 0.1 * long) / ((many - few) * length)
    step = max(0.0, short - few * length * a_token)
    prompts, texts = ["Say:"] * rows, [text] * rows
    read = _rate(lambda: response_perplexity(model, tokenizer, prompts, texts), rows * length)
    batch = torch.randint(len(tokenizer), (rows, length))
    with torch.inference_mode(), runtime.autocast(cfg.precision):
        scored = _rate(lambda: model.base_model(batch, use_cache=False), batch.numel())
    new = 16
    written = _rate(
        lambda: generate(model, tokenizer, prompts * 2, max_new_tokens=new, temperature=1.0), 2 * rows * new
    )
    talks = torch.randint(len(tokenizer), (rows, round(lengths(cfg).pair_prompt))).tolist()

    def tell(count: int) -> float:
        """Seconds for `count` tokens in answer to each of some dialogues, no row ending before."""
        return rows / _rate(
            lambda: sample_ids(
                model,
                talks,
                eos_token_id=-1,
                max_new_tokens=count,
                temperature=1.0,
                precision=cfg.precision,
            ),
            rows,
        )

    whole = tell(1 + new)  # with the reading of the prompts, which is counted by itself
    told = rows * new / max(whole - tell(1), 0.1 * whole)
    if runtime.resolve_precision(cfg.precision) == "bf16":
        model = model.bfloat16()
    ids = torch.randint(len(tokenizer), (8, JUDGE_TOKENS))
    with torch.inference_mode():
        judged = _rate(lambda: model(ids, use_cache=False, logits_to_keep=1), ids.numel())
    times = 1.0  # how much larger the base is than the model that was timed
    if not isinstance(source, Path):
        times = parameters_of(cfg.base_model) / GPT2_PARAMETERS
    found = Speed(1 / a_token, read, scored, written, told, judged, step)
    return Speed(*(speed / times for speed in found[:-1]), found.step_seconds * times)


def _rate(work: Callable[[], object], tokens: float) -> float:
    """Tokens a second of the fastest of three turns, after one that does not count: whatever else a machine does can
    only slow a turn down. On a slow machine, where turns are long enough to be steady, five seconds of them are enough."""
    work()
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < 5:
        watch = runtime.Stopwatch()
        work()
        seconds.append(watch.seconds)
    return tokens / min(seconds)
