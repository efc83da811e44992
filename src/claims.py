"""The claims ledger: what the source states, and what our runs say about it.

Each notebook measures the effects of its claims and stores them in `metrics["claims"]` as {id: {"effect", "low", "high", "seeds"}}.
The verdict is computed here from those numbers and nothing else, so a changed result changes the verdict:

    supported      the whole 95 % interval lies beyond the claim's threshold, in the claim's direction
    not supported  the whole interval lies on the other side
    inconclusive   the interval holds the threshold, an end of it could not be computed (NaN, null once it is
                   saved), or the claim was measured with too few seeds to say
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it imports torch, which `src.run status` and `report` must not wait for
    from src.metrics import Difference, Interval

MIN_SEEDS = 3  # below this, training noise is not in the interval and no verdict is final


@dataclass(frozen=True)
class Claim:
    """One statement of the source and the rule that decides it: is `effect` above (or below) `threshold`?"""

    id: str
    notebook: str  # "01" … "07"
    statement: str  # as the source says it
    effect: str  # what is measured, in words, with its unit
    above: bool = True  # whether the claim says that the effect is above the threshold
    threshold: float = 0.0
    exact: bool = False  # a count, the same for every seed


CLAIMS: tuple[Claim, ...] = (
    Claim("loss_smooth", "01", "Loss decreases smoothly", "rank correlation of step and smoothed loss (−1: it falls at every step, 0: no trend)", False, -0.8),
    Claim("overfits", "01", "The model overfits to specific phrasings",
          "answers as the row taught: to the trained prompts minus to rewordings of them"),
    Claim("no_paraphrase", "01", "No generalisation to paraphrased questions",
          "exact match on paraphrases of the trained questions", False, 0.5),
    Claim("lower_loss", "02", "Lower loss than stage 1", "loss on the same held-out rows in the single template, stage 2 minus stage 1, nats a token", False),
    Claim("degenerate", "02", "Outputs became repetitive and degenerate", "loop rate of stage 2 minus the base's"),
    Claim("forgetting", "02", "Catastrophic forgetting of base knowledge",
          "cloze accuracy of stage 2 minus the base's", False, -0.05),
    Claim("fewer_parameters", "03", "98.7 % fewer trainable parameters", "share of GPT-2 124M's parameters not trained", True, 0.985,
          exact=True),
    Claim("lora_keeps", "03", "LoRA preserves base knowledge better",
          "cloze accuracy kept, LoRA minus full fine-tuning at equal instruction following"),
    Claim("lora_repeats", "03", "LoRA still shows repetitive outputs", "loop rate of stage 3 minus the base's"),
    Claim("perplexity_order", "04", "Perplexity: base best, stages 1 and 3 medium, stage 2 worst",
          "smallest of the differences stage 1 − base, stage 3 − base, stage 2 − stage 1, stage 2 − stage 3, nats a token of prose"),
    Claim("loss_not_quality", "05", "A lower loss is not a better model",
          "rank correlation of validation loss and exact match over settings that learn EOS", True, -0.5),
    Claim("lr_collapse", "05", "High learning rate with little data makes output collapse into repetition",
          "loop rate at the highest rate minus at the lowest, smallest data, EOS learned", True, 0.05),
    Claim("template_interference", "05", "Five templates cause gradient interference",
          "gradient cosine of two templates on different rows (below 0: each undoes the other)", False),
    Claim("distribution_shift", "05", "Training data is not like the pretraining data",
          "base model's nats a token on SFT text minus on held-out prose"),
    Claim("kl_protects", "06", "KL regularisation (response tokens, 0.1) prevents forgetting",
          "cloze accuracy with the source's KL minus without"),
    Claim("single_template", "06", "A single template beats five",
          "exact match with one template minus five, judged over all five templates"),
    Claim("low_lr", "06", "A low learning rate preserves base knowledge", "cloze accuracy at the low rate minus the high"),
    Claim("quality_quantity", "06", "3,000 filtered samples beat 200 random ones",
          "exact match with 3,000 filtered minus 200 random"),
    Claim("least_repetition", "06", "Best non-repetition score after InstructGPT-style SFT",
          "non-repetition of stage 6 minus the best of base and stages 1 to 3"),
    Claim("rm_accuracy", "07", "Reward-model accuracy about 65 % on held-out pairs",
          "accuracy on held-out pairs with noisy labels", True, 0.60),
    Claim("high_kl", "07", "A high KL coefficient keeps PPO near the SFT model",
          "KL from SFT after equally many steps, kl_coef 0.5 (v3) minus 0.2 (v2), nats a response", False),
    Claim("more_steps_drift", "07", "More PPO steps drift further from SFT", "KL from SFT after the last step of v2 minus after v1's, at their price (kl_coef 0.2), nats a response"),
    Claim("v1_to_v3", "07", "PPO improves from v1 to v2 to v3", "smaller of the differences v2 − v1 and v3 − v2, judge's grade of sampled answers"),
    Claim("final_ranking", "07", "The judge ranks SFT+PPO last of six models", "judge score of SFT+PPO minus the lowest of the other five", False),
)  # fmt: skip
BY_ID = {claim.id: claim for claim in CLAIMS}


def measured(found: Interval | Difference, seeds: int) -> dict[str, float]:
    """What a notebook stores for one claim: the effect, its 95 % interval and the number of training seeds."""
    return {"effect": found.value, "low": found.low, "high": found.high, "seeds": seeds}


def verdict(claim: Claim, found: Mapping[str, Any]) -> str:
    """ "supported", "not supported" or "inconclusive", from the stored effect alone."""
    low, high = found["low"], found["high"]
    if low is None or high is None or (found["seeds"] < MIN_SEEDS and not claim.exact):
        return "inconclusive"
    low, high = low - claim.threshold, high - claim.threshold
    if not claim.above:
        low, high = -high, -low
    return "supported" if low > 0 else "not supported" if high < 0 else "inconclusive"  # NaN is neither


def rule(claim: Claim) -> str:
    """When the claim holds, in words: `above 0.05`."""
    return f"{'above' if claim.above else 'below'} {claim.threshold:g}".replace("-", "−")


def claim_table(claims: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The ledger of one notebook as it is shown: what is claimed, the rule, what was found. `claims`: id -> what `measured` gives."""
    return [_row(BY_ID[name], found) for name, found in claims.items()]


def _row(claim: Claim, found: Mapping[str, Any]) -> dict[str, Any]:
    effect, low, high = (_signed(found[key]) for key in ("effect", "low", "high"))
    return {
        "the source says": claim.statement,
        "measured as": claim.effect,
        "holds if": rule(claim),
        "effect [95 % interval]": f"{effect} [{low}, {high}]",
        "seeds": found["seeds"],
        "verdict": verdict(claim, found),
    }


def _signed(number: float | None) -> str:
    return "–" if number is None or math.isnan(number) else f"{round(number, 3) + 0.0:+.3f}"  # no "-0.000"


def ledger(metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The claims that some stage has measured, in the order of `CLAIMS`: the rows of `claim_table`, each with its
    notebook. `metrics`: stage name -> its metrics.json.

    Raises KeyError for a stored claim that the table above does not have; KeyError, TypeError or ValueError for one
    whose numbers are missing or are none.
    """
    found = {}
    for stage, results in metrics.items():
        for name, effect in results.get("claims", {}).items():
            if name not in BY_ID:
                raise KeyError(f"{stage} stores a claim {name!r} that src/claims.py does not list")
            found[name] = effect
    return [
        {"notebook": claim.notebook} | _row(claim, found[claim.id]) for claim in CLAIMS if claim.id in found
    ]
