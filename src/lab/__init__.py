"""The lab: a small true world with a base model that knows it, data to post-train on, and a rubric that knows the truth.

Everything is generated from tables and a seed in seconds; nothing is downloaded. The data sets have the schemas of Alpaca and HH-RLHF,
so the rest of the course cannot tell the lab from the real thing. Read `relation.py`, `facts.py`, `skills.py`, `stories.py`, `corpus.py`,
`tasks.py`, `styles.py`, `rubric.py`, `instructions.py`, `preferences.py`, `probes.py` in that order.
"""

from .instructions import SPLITS, evaluation_tasks, instruction_pool, pool_labels
from .preferences import preference_pairs
from .probes import PROSE_BEGINNINGS, Probe, cloze_probes, held_out_prose
from .rubric import GoldScore, first_sentence, gold_score
from .tasks import EXACT_KINDS, FACT_KINDS, KINDS, Task, draw_task, find_task, rephrase

__all__ = [
    "EXACT_KINDS",
    "FACT_KINDS",
    "KINDS",
    "PROSE_BEGINNINGS",
    "SPLITS",
    "GoldScore",
    "Probe",
    "Task",
    "cloze_probes",
    "draw_task",
    "evaluation_tasks",
    "find_task",
    "first_sentence",
    "gold_score",
    "held_out_prose",
    "instruction_pool",
    "pool_labels",
    "preference_pairs",
    "rephrase",
]
