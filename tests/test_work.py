"""The counted work of a stage against what the reference run took, and speeds that are really measured."""

import pytest

from src import work
from src.config import load_config
from src.jsonio import read_json
from src.workspace import REFERENCE, STAGES

SPEED = work.Speed(8000.0, 30000.0, 4500.0, 0.02)  # of the lab's model; only their ratios matter here


def expected(number: str, **changes) -> float:
    cfg = load_config(
        number, "lab", environ={}, overrides=[f"{k.replace('__', '.')}={v}" for k, v in changes.items()]
    )
    return work.seconds_of(number, cfg, SPEED)


def test_counts_agree_with_the_reference_run():
    """One factor, the machine's, must explain all stages: none is off by more than half from what it then says."""
    ratios = {}
    for stage in STAGES.values():
        manifest = read_json(REFERENCE / stage.name / "manifest.json")
        if (
            manifest["profile"] == "lab" and manifest["duration_seconds"] > 60
        ):  # less is mostly start and imports
            ratios[stage.number] = manifest["duration_seconds"] / expected(
                stage.number, seeds=manifest["seeds"]
            )
    assert len(ratios) >= 5
    middle = sorted(ratios.values())[len(ratios) // 2]
    assert all(2 / 3 < ratio / middle < 1.5 for ratio in ratios.values()), ratios


@pytest.mark.parametrize(
    ("number", "change"),
    [
        ("01", "train.epochs"), ("02", "data.rows"), ("03", "evaluation.prompts"), ("04", "compare.prompts"), ("05", "sweep.steps"),
        ("06", "filter.pool"), ("06", "data.augment"), ("07", "reward.pairs"), ("07", "ppo.steps"), ("07", "dpo.pairs"), ("07", "seeds"),
    ],
)  # fmt: skip
def test_more_of_anything_takes_longer(number, change):
    value = load_config(number, "lab", environ={}).flat()[change]
    assert expected(number, **{change.replace(".", "__"): 2 * value}) > expected(number)


def test_an_llm_judge_costs_and_the_rubric_does_not():
    gpt2 = load_config("04", "gpt2", environ={})
    rubric = load_config("04", "gpt2", environ={}, overrides=["judge=gold"])
    speed = work.Speed(300.0, 1000.0, 100.0, 0.4)
    assert work.seconds_of("04", gpt2, speed) > 1.5 * work.seconds_of("04", rubric, speed)


def test_speeds_are_measured_with_the_shape_of_the_base():
    small = load_config("01", "lab", environ={})
    speed = work.measure_speed(small, rows=8)
    assert speed.read > speed.trained > 0 and speed.written > 0 and speed.step_seconds >= 0


def test_memory_grows_with_the_model():
    cfg = load_config("07", "lab", environ={})
    assert work.memory_mb("07", cfg, 124e6) > work.memory_mb("07", cfg, 4e6) > 700
