"""What may be set: every section and field of the seven stages, with its type, its range and its choices.

`config.py` reads the YAML files against these classes. To add a setting: one line in a class here and one
in the YAML file, with a comment. To add a section: its class, and its name in `SECTIONS`. No field has
a default: each value is in a file. Rules between settings are in
`config.TOGETHER`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

PROFILES = ("lab", "gpt2")
NOTEBOOKS = {
    "01": "01_stage1_normal_sft",
    "02": "02_stage2_instruction_tuning",
    "03": "03_stage3_lora_qlora",
    "04": "04_evaluation_compare_stages",
    "05": "05_analysis_and_improvements",
    "06": "06_instruct_tuning_training",
    "07": "07_rlhf_reward_model_ppo",
}


# ---------------------------------------------------------------- what a field may hold (Annotated metadata)
@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included unless `open_low` (a learning rate must be above 0, not
    0)."""

    low: float
    high: float = math.inf
    open_low: bool = False

    def problem(self, value: float) -> str | None:
        above = value > self.low if self.open_low else value >= self.low
        if above and value <= self.high:
            return None
        lower = f"{'above' if self.open_low else 'at least'} {self.low:g}"
        return f"must be {lower}" + ("" if self.high == math.inf else f" and at most {self.high:g}")


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    values: tuple[str, ...]

    def problem(self, value: str) -> str | None:
        return (
            None
            if value in self.values
            else f"must be one of {', '.join(self.values)}" + nearest(value, self.values)
        )


class NoResult:
    """Marks a field that cannot change a result (threads) or only adds to it (seeds): left out of
    `Config.hash`."""


Count = Annotated[int, Range(1)]
Whole = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, open_low=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
LearningRate = Annotated[float, Range(0, 0.1, open_low=True)]


# ---------------------------------------------------------------- the sections
@dataclass(frozen=True)
class Common:
    """The keys without a section: `cfg.base_model`, `--set seeds=5`."""

    base_model: str
    instruction_data: str
    preference_data: str
    judge: str
    device: Annotated[str, Choice(("cpu",))]
    threads: Annotated[int, Range(0, 1024), NoResult]
    processes: Annotated[int, Range(0, 64), NoResult]
    precision: Annotated[str, Choice(("auto", "fp32", "bf16"))]
    seed: Whole
    seeds: Annotated[int, Range(1, 100), NoResult]


@dataclass(frozen=True)
class Evaluation:
    prompts: Count
    probes: Count
    paragraphs: Count
    max_new_tokens: Count
    temperature: NotNegative
    bootstrap: Annotated[int, Range(100)]


@dataclass(frozen=True)
class Data:
    rows: Count
    max_length: Annotated[int, Range(8, 1024)]


@dataclass(frozen=True)
class HeldOutData(Data):
    heldout: Count


@dataclass(frozen=True)
class AugmentedData(Data):
    augment: Whole
    min_grade: Share


@dataclass(frozen=True)
class Matrix:
    prompts: Count


@dataclass(frozen=True)
class Train:
    epochs: Count
    learning_rate: LearningRate
    schedule: Annotated[str, Choice(("cosine", "linear", "constant"))]
    warmup: Share
    batch_size: Count
    gradient_accumulation: Count
    max_grad_norm: Positive
    weight_decay: NotNegative
    templates: Annotated[str, Choice(("single", "five"))]


@dataclass(frozen=True)
class KLTrain(Train):
    kl_beta: NotNegative
    kl_anchor: Annotated[str, Choice(("response", "prose"))]
    pretrain_mix: NotNegative
    prose_batch: Count


@dataclass(frozen=True)
class Lora:
    r: Count
    alpha: Positive
    dropout: Annotated[float, Range(0, 0.9)]
    target_modules: tuple[str, ...]


@dataclass(frozen=True)
class LoraSweep:
    full_rates: Annotated[tuple[float, ...], Range(0, 0.1, open_low=True)]
    lora_rates: Annotated[tuple[float, ...], Range(0, 0.1, open_low=True)]
    ranks: Annotated[tuple[int, ...], Range(1)]


@dataclass(frozen=True)
class Compare:
    prompts: Count
    questions: str  # a path, or none


@dataclass(frozen=True)
class Sweep:
    rates: Annotated[tuple[float, ...], Range(0, 0.1, open_low=True)]
    sizes: Annotated[tuple[int, ...], Range(1)]
    steps: Count
    batch_size: Count
    warmup: Share
    max_length: Annotated[int, Range(8, 1024)]
    validation: Count


@dataclass(frozen=True)
class Analysis:
    rows: Count
    blocks: Annotated[int, Range(3)]
    texts: Annotated[int, Range(2)]
    directions: Count


@dataclass(frozen=True)
class Filter:
    pool: Count
    anchor_paragraphs: Count
    min_words: Count
    max_words: Count
    max_repetition: Share


@dataclass(frozen=True)
class Ablation:
    rows: Count
    few_rows: Count
    betas: Annotated[tuple[float, ...], Range(0)]
    source_beta: Positive
    low_rate: LearningRate
    high_rate: LearningRate


@dataclass(frozen=True)
class Reward:
    logprob_features: bool
    labels: Annotated[str, Choice(("data", "judge"))]
    pairs: Count
    heldout_pairs: Count
    prompts: Count
    max_length: Annotated[int, Range(8, 1024)]
    epochs: Count
    learning_rate: LearningRate
    batch_size: Count
    micro_batch_size: Count
    margin: NotNegative
    centre: NotNegative


@dataclass(frozen=True)
class PPO:
    learning_rate: LearningRate
    learning_rate_schedule: Annotated[str, Choice(("constant", "linear"))]
    kl_coef: NotNegative
    steps: Count
    prompts: Count
    batch_size: Count
    responses_per_prompt: Count
    mini_batch_size: Count
    gradient_accumulation_steps: Count
    num_ppo_epochs: Count
    clip_range: Annotated[float, Range(0, 1, open_low=True)]
    clip_range_value: Annotated[float, Range(0, 1, open_low=True)]
    vf_coef: NotNegative
    critic: Annotated[str, Choice(("shared", "reward"))]
    target_kl: NotNegative  # 0: never
    adaptive_kl_target: NotNegative  # 0: kl_coef stays as it is
    adaptive_kl_horizon: Count
    gamma: Share
    lam: Share
    max_new_tokens: Count
    measure_every: Count


@dataclass(frozen=True)
class Journey:
    v1_steps: Count
    v2_steps: Count
    v2_kl: NotNegative
    v3_steps: Count
    v3_kl: NotNegative
    high_rate: NotNegative  # a learning rate, or 0: no such run
    hack_steps: Count
    hack_kl: NotNegative


@dataclass(frozen=True)
class DPO:
    pairs: Count
    beta: Positive
    learning_rate: LearningRate
    epochs: Count
    batch_size: Count
    gradient_accumulation_steps: Count


EVERYWHERE: dict[str, type] = {"common": Common, "evaluation": Evaluation}  # configs/common.yaml
SECTIONS: dict[str, dict[str, type]] = {  # the notebook's own file
    "01": {"data": HeldOutData, "train": Train},
    "02": {"data": HeldOutData, "train": Train, "matrix": Matrix},
    "03": {"data": HeldOutData, "train": Train, "lora": Lora, "sweep": LoraSweep},
    "04": {"compare": Compare},
    "05": {"sweep": Sweep, "analysis": Analysis},
    "06": {"data": AugmentedData, "filter": Filter, "train": KLTrain, "ablation": Ablation},
    "07": {"reward": Reward, "ppo": PPO, "journey": Journey, "dpo": DPO},
}


# ---------------------------------------------------------------- reading the classes
def sections(stage: str) -> dict[str, type]:
    """Section name → dataclass, for one stage number."""
    return EVERYWHERE | SECTIONS[stage]


@lru_cache
def schema(stage: str) -> dict[str, tuple[Any, tuple]]:
    """Dotted key → (plain type, metadata) of a stage."""
    return {
        dotted(section, name): field
        for section, kind in sections(stage).items()
        for name, field in fields_of(kind).items()
    }


def fields_of(kind: type) -> dict[str, tuple[Any, tuple]]:
    """Field name → (plain type, metadata) of a section's dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    out = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        plain, *meta = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        out[field.name] = (plain, tuple(meta))
    return out


def dotted(section: str, name: str) -> str:
    return name if section == "common" else f"{section}.{name}"


def section_of(key: str) -> str:
    """The section in a dotted key: the reverse of `dotted`."""
    return key.split(".")[0] if "." in key else "common"


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean x?)`; a key whose last part matches counts, so that `kl_beta` finds `train.kl_beta`."""
    known = list(known)
    tail = [k for k in known if k.split(".")[-1] == word.split(".")[-1]]
    close = tail or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
