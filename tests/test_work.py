"""The counted work of a stage against what the reference run took, and speeds that are really measured."""

import itertools
import json
from types import SimpleNamespace

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from src import work
from src.config import ConfigError, load_config
from src.jsonio import read_json
from src.workspace import REFERENCE, ROOT, STAGES

# of the lab's model; only their ratios matter here
SPEED = work.Speed(8000.0, 30000.0, 40000.0, 4500.0, 4500.0, 60000.0, 0.02)


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
        # less is mostly start and imports
        if manifest["profile"] == "lab" and manifest["duration_seconds"] > 60:
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


def test_rewards_and_filters_are_priced_at_the_precision_of_the_run():
    """They are scored in bf16 where that is fast; what stage 1 measures is read in fp32, whatever the precision."""
    slow, fast = (work.Speed(300.0, 500.0, scored, 250.0, 200.0, 1500.0, 0.3) for scored in (500.0, 5000.0))
    for number, share in (("06", 0.05), ("07", 0.05)):
        cfg = load_config(number, "gpt2", environ={})
        assert work.seconds_of(number, cfg, fast) < (1 - share) * work.seconds_of(number, cfg, slow)
    none = load_config("04", "gpt2", environ={})
    assert work.seconds_of("04", none, fast) == work.seconds_of("04", none, slow)


def test_an_llm_judge_costs_and_the_rubric_does_not():
    gpt2 = load_config("04", "gpt2", environ={})
    rubric = load_config("04", "gpt2", environ={}, overrides=["judge=gold"])
    speed = work.Speed(300.0, 1000.0, 1000.0, 100.0, 80.0, 1500.0, 0.4)
    assert work.seconds_of("04", gpt2, speed) > 1.5 * work.seconds_of("04", rubric, speed)


def test_pairs_that_the_judge_labels_are_counted():
    speed = work.Speed(300.0, 1000.0, 1000.0, 100.0, 80.0, 1500.0, 0.4)
    seconds = [
        work.seconds_of("07", load_config("07", "gpt2", environ={}, overrides=[f"reward.labels={labels}"]), speed)
        for labels in ("data", "judge")
    ]  # fmt: skip
    assert seconds[1] > 1.5 * seconds[0]


def test_ppo_cuts_its_answers_itself():
    """A short evaluation does not make PPO's answers short; a smaller `ppo.max_new_tokens` does."""
    speed = work.Speed(300.0, 1000.0, 1000.0, 100.0, 80.0, 1500.0, 0.4)
    usual, short, cut = (
        work.seconds_of("07", load_config("07", "gpt2", environ={}, overrides=changes), speed)
        for changes in ([], ["evaluation.max_new_tokens=8"], ["ppo.max_new_tokens=8"])
    )
    assert cut < 0.9 * usual and 0.99 * usual < short < usual


def test_files_are_counted_with_their_own_lengths(tmp_path):
    row = {"instruction": "Say it.", "input": "", "output": "word " * 344}
    rows = [row | {"instruction": f"Say it {n}."} for n in range(30)]
    unusable = [row | {"output": " "}, row | {"output": "word " * 3440}]
    (tmp_path / "rows.json").write_text(json.dumps(rows + unusable))
    talk = "\n\nHuman: Say it {}.\n\nAssistant: "
    pairs = [
        {"chosen": talk.format(n) + "a" * 430, "rejected": talk.format(n) + "b" * 860} for n in range(30)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    files = [f"instruction_data={tmp_path / 'rows.json'}", f"preference_data={tmp_path / 'pairs.jsonl'}"]
    found = work.lengths(load_config("07", "gpt2", environ={}, overrides=files))
    assert found.row - found.prompt == pytest.approx(400, abs=1)  # 344 × 5 characters, 4.3 to a token
    assert found.pair - found.pair_prompt == pytest.approx(300, abs=1)
    assert 5 < found.prompt < 20 and found.said(64) == 64
    (tmp_path / "rows.json").write_text("[{")
    work._row_lengths.cache_clear()
    with pytest.raises(ConfigError, match="rows.json"):
        work.lengths(load_config("07", "gpt2", environ={}, overrides=files))


def test_speeds_are_measured_with_the_shape_of_the_base(monkeypatch):
    """Whether one speed is above another is not asked: on a machine that does other things too, it need not be."""
    shapes, build = [], AutoModelForCausalLM.from_config
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_config", lambda shape, **kw: shapes.append(shape) or build(shape, **kw)
    )
    speed = work.measure_speed(load_config("01", "lab", environ={}), rows=8)
    assert min(speed[:6]) > 0 and speed.step_seconds >= 0
    base = AutoConfig.from_pretrained(ROOT / "models" / "lab-gpt2")
    assert [(shape.n_layer, shape.n_embd) for shape in shapes] == [(base.n_layer, base.n_embd)]


def test_a_steps_own_time_is_told_from_its_tokens(monkeypatch):
    """With a trainer whose step takes 0.5 s and 1 ms a token, both come out."""
    tokens = {}

    def trainer(model, tokenizer, rows, settings, progress):
        tokens[len(rows)] = len(rows) * len(tokenizer("".join(rows[0]))["input_ids"])
        seconds = 0.5 + 0.001 * tokens[len(rows)]
        noise = [9.0, 0.0, 3.0, 0.0]  # the first step warms up, others are disturbed: the fastest one counts
        return SimpleNamespace(
            history=[{"seconds": at} for at in itertools.accumulate(seconds + n for n in noise)]
        )

    monkeypatch.setattr("src.sft.train_sft", trainer)
    speed = work.measure_speed(load_config("01", "lab", environ={}), rows=8)
    assert speed.trained == pytest.approx(1000) and speed.step_seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("times", "counted"),
    [([2.0, 1.0, 1.5], 3), ([4.0, 1.0], 2), ([7.0], 1)],  # a slow machine's turns are few, and long
)
def test_the_fastest_turn_counts_and_the_first_does_not(monkeypatch, times, counted):
    left, turns = iter(times), []
    monkeypatch.setattr(work.runtime, "Stopwatch", lambda: SimpleNamespace(seconds=next(left)))
    assert work._rate(lambda: turns.append(1), 7) == 7 / min(times) and len(turns) == 1 + counted


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2.5-1.5B-Instruct", 1.5e9), ("facebook/opt-6.7b", 6.7e9), ("org/SmolLM2-360M", 3.6e8),
        ("openai-community/gpt2-xl", 1.558e9), ("openai-community/gpt2-of-nobody", work.GPT2_PARAMETERS), ("org/8bits-7Base", work.GPT2_PARAMETERS),
    ],
)  # fmt: skip
def test_a_model_that_is_not_here_has_the_size_in_its_name(name, parameters):
    assert work.parameters_of(name) == parameters


def test_a_pointer_in_place_of_weights_is_said(tmp_path):
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ConfigError, match="holds no weights.*LFS"):
        work.parameters_of(str(tmp_path))


def test_lengths_go_by_the_data_not_by_the_profile():
    lab, own = (load_config("06", "gpt2", environ={}, overrides=[f"instruction_data={d}"]) for d in ("lab", "tatsu-lab/alpaca"))  # fmt: skip
    assert work.lengths(lab).row < work.lengths(own).row
    assert work.lengths(lab).pair == work.lengths(own).pair


def test_an_llm_judge_takes_memory_where_it_judges():
    for number in ("04", "07"):
        gpt2 = load_config(number, "gpt2", environ={}, overrides=["precision=fp32"])
        rubric = load_config(number, "gpt2", environ={}, overrides=["precision=fp32", "judge=gold"])
        judge = work.memory_mb(number, gpt2, 124e6) - work.memory_mb(number, rubric, 124e6)
        assert judge == pytest.approx(4 * 1.5e9 / 1e6)


def test_memory_grows_with_the_model():
    cfg = load_config("07", "lab", environ={})
    assert work.memory_mb("07", cfg, 124e6) > work.memory_mb("07", cfg, 4e6) > 700
