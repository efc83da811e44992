"""The shortened setting: all seven stages for real, on so little data that they take a minute or two together.

`test_notebooks.py` executes the notebooks in it, `benchmarks/kill_stages.py` kills them in it.
"""

import os
from pathlib import Path

SMOKE = (
    "evaluation.prompts=6", "evaluation.probes=44", "evaluation.paragraphs=4", "evaluation.bootstrap=100",
    "evaluation.max_new_tokens=8",
    "01:data.heldout=8", "01:train.epochs=2",
    "02:data.rows=24", "02:data.heldout=8", "02:train.epochs=1", "02:matrix.prompts=6",
    "03:data.rows=24", "03:data.heldout=8", "03:train.epochs=1", "03:sweep.full_rates=[1e-4, 1e-3]",
    "03:sweep.lora_rates=[1e-3]", "03:sweep.ranks=[1]",
    "04:compare.prompts=4", "04:compare.questions=tests/questions.jsonl", "05:sweep.rates=[3e-4, 3e-3]", "05:sweep.sizes=[12, 24]", "05:sweep.steps=2", "05:sweep.validation=8",
    "05:analysis.rows=12", "05:analysis.blocks=3", "05:analysis.texts=6",
    "06:data.rows=48", "06:data.augment=12", "06:train.epochs=1", "06:filter.pool=120", "06:filter.anchor_paragraphs=60", "06:ablation.rows=24",
    "06:ablation.few_rows=16", "06:ablation.betas=[0, 0.1]",
    "07:reward.pairs=64", "07:reward.heldout_pairs=60", "07:reward.prompts=12", "07:ppo.steps=2", "07:ppo.prompts=24",
    "07:ppo.batch_size=8", "07:ppo.mini_batch_size=4", "07:ppo.gradient_accumulation_steps=1", "07:ppo.max_new_tokens=8", "07:ppo.measure_every=1",
    "07:dpo.pairs=16", "07:journey.v1_steps=1", "07:journey.v2_steps=2", "07:journey.v3_steps=2", "07:journey.hack_steps=2",
)  # fmt: skip


def overrides_of(number: str) -> list[str]:
    """What `SMOKE` sets in one stage."""
    return [text.split(":")[-1] for text in SMOKE if ":" not in text or text.startswith(f"{number}:")]


def environment(outputs: Path) -> dict[str, str]:
    """The environment of a run into `outputs` that neither the user's settings nor the Hub can change."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COURSE_")}
    return plain | {"COURSE_OUTPUTS": str(outputs), "HF_HUB_OFFLINE": "1"}
