"""src/config.py on the real files of configs/, and on broken copies of them."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.config import CONFIG_FOLDER, ROOT, ConfigError, config_beside, load_config, stage_number
from src.schema import NOTEBOOKS, PROFILES, nearest, schema
from tests.smoke import overrides_of

SIX, SEVEN = "06_instruct_tuning_training.yaml", "07_rlhf_reward_model_ppo.yaml"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(CONFIG_FOLDER, tmp_path / "configs")
    return tmp_path / "configs"


def edit(folder, name, key, new):
    """Write `new` in place of the line of `key`; the line's number."""
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
    lines[at] = " " * (len(lines[at]) - len(lines[at].lstrip())) + new
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return at + 1


def error(folder, stage="06", environ=None, **more):
    with pytest.raises(ConfigError) as caught:
        load_config(stage, environ=environ or {}, folder=folder, **more)
    return str(caught.value)


@pytest.mark.parametrize("stage", NOTEBOOKS)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_stage_of_both_profiles_loads(stage, profile):
    cfg = load_config(stage, profile, environ={})
    assert set(cfg.flat()) == set(schema(stage))
    assert all(source.startswith("configs/") for source in cfg.source.values())


def test_source_settings_of_the_gpt2_profile():
    six, seven = load_config("06", "gpt2", environ={}), load_config("07", "gpt2", environ={})
    assert (six.data.rows, six.train.epochs, six.train.learning_rate, six.train.kl_beta) == (
        3000,
        2,
        2e-5,
        0.1,
    )
    assert six.train.schedule == "cosine"
    assert (seven.ppo.steps, seven.ppo.kl_coef, seven.ppo.learning_rate) == (150, 0.5, 5e-6)
    assert (seven.ppo.num_ppo_epochs, seven.ppo.mini_batch_size, seven.ppo.gradient_accumulation_steps) == (
        2,
        4,
        4,
    )
    assert load_config("01", "gpt2", environ={}).data.rows == 22
    two, three = (load_config(stage, "gpt2", environ={}) for stage in ("02", "03"))
    assert two.data.rows == three.data.rows == 200 and two.train.templates == "five"
    assert (six.train.templates, six.train.kl_anchor) == ("single", "response")
    journey = seven.journey
    assert (seven.reward.pairs, journey.v1_steps, journey.v2_steps, journey.v3_steps) == (5000, 30, 100, 150)
    assert (journey.v2_kl, journey.v3_kl) == (0.2, 0.5)
    lora = load_config("03", "gpt2", environ={}).lora
    assert (lora.r, lora.alpha, lora.target_modules) == (16, 32, ("c_attn", "c_proj"))


def test_types_and_attribute_access():
    cfg = load_config(6, environ={})
    assert isinstance(cfg.train.epochs, int) and isinstance(cfg.train.warmup, float)
    assert cfg.seeds == cfg.common.seeds
    assert cfg.flat()["train.kl_beta"] == cfg.train.kl_beta
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.train.epochs = 3
    with pytest.raises(AttributeError, match="no setting 'lora'"):
        _ = cfg.lora


@pytest.mark.parametrize(
    ("key", "new", "told"),
    [
        ("kl_beta", "kl_bta: 0.1", "unknown key train.kl_bta (did you mean train.kl_beta?)"),
        ("train", "trian:", "unknown key trian (did you mean train?)"),
        ("kl_beta", "kl_beta: much", "train.kl_beta must be a number, not 'much'"),
        ("kl_beta", "kl_beta: .nan", "train.kl_beta must be a number, not '.nan'"),
        ("kl_beta", "kl_beta: -0.1", "train.kl_beta = -0.1: must be at least 0"),
        ("kl_beta", "kl_beta: '0.1'", "train.kl_beta must be a number"),
        ("kl_beta", "kl_beta:", "train.kl_beta must be a number, not empty"),
        ("kl_beta", "kl_beta: [0.1]", "train.kl_beta must be a number, not a list"),
        ("epochs", "epochs: 2.5", "train.epochs must be a whole number, not '2.5'"),
        ("epochs", "epochs: true", "train.epochs must be a whole number, not 'true'"),
        (
            "schedule",
            "schedule: cosin",
            "must be one of cosine, linear, constant (did you mean cosine?)",
        ),
        ("kl_beta", "kl_beta: {lab: 0.1, gpt3: 1}", "unknown profile gpt3 (did you mean gpt2?)"),
        ("kl_beta", "kl_beta: {lab: 0.1}", "no value for the profile gpt2"),
        ("betas", "betas: [0, -1]", "ablation.betas = -1.0: must be at least 0"),
        ("source_beta", "source_beta: 0", "ablation.source_beta = 0.0: must be above 0"),
        ("kl_beta", "epochs: 3", "duplicate key epochs (first on line"),
        ("kl_beta", "kl_beta: [0.1", "not valid YAML"),
        ("kl_beta", "kl_beta: *x", "not valid YAML"),
    ],
)
def test_a_mistake_names_file_line_and_remedy(folder, key, new, told):
    line = edit(folder, SIX, key, new)
    message = error(folder)
    assert told in message and f"configs/{SIX}:" in message
    if "YAML" not in told:  # a syntax error is noticed where the parser gives up
        assert f"configs/{SIX}:{line}: " in message


def test_missing_key_section_and_file(folder):
    edit(folder, SIX, "kl_beta", "# kl_beta")
    assert f"configs/{SIX}: the key train.kl_beta is missing" in error(folder)
    edit(folder, "common.yaml", "seed", "# seed")
    assert "configs/common.yaml: the key seed is missing" in error(folder, "01")
    (folder / "01_stage1_normal_sft.yaml").write_text("train: 3\n", encoding="utf-8")
    assert ":1: train is a section" in error(folder, "01")
    (folder / "01_stage1_normal_sft.yaml").write_bytes(b"\xff\xfe\xff")
    assert "cannot be read" in error(folder, "01")
    (folder / "01_stage1_normal_sft.yaml").unlink()
    assert "01_stage1_normal_sft.yaml is missing" in error(folder, "01")


def test_number_forms_that_yaml_reads_differently(folder):
    edit(folder, SIX, "kl_beta", "kl_beta: 1e-4")  # a text to YAML 1.1
    edit(folder, SIX, "epochs", "epochs: 010")  # octal eight to YAML 1.1
    cfg = load_config("06", environ={}, folder=folder)
    assert cfg.train.kl_beta == 1e-4 and cfg.train.epochs == 10


def test_a_stage_file_may_restate_a_common_key(folder):
    with (folder / SIX).open("a", encoding="utf-8") as file:
        file.write("\nevaluation:\n  prompts: 7\n")
    cfg = load_config("06", environ={}, folder=folder)
    assert cfg.evaluation.prompts == 7 and cfg.source["evaluation.prompts"].startswith(f"configs/{SIX}")
    assert load_config("05", environ={}, folder=folder).evaluation.prompts != 7


def test_precedence_and_where_a_value_came_from():
    environ = {"COURSE_SET": "train.epochs=5; data.rows=20;ppo.steps=3", "COURSE_PROFILE": "gpt2"}
    cfg = load_config("06", overrides=["train.epochs=7", "06:seeds=2", "judge=a: b"], environ=environ)
    assert (cfg.profile, cfg.train.epochs, cfg.data.rows, cfg.seeds, cfg.judge) == ("gpt2", 7, 20, 2, "a: b")
    assert (cfg.source["train.epochs"], cfg.source["data.rows"]) == ("--set", "environment")
    assert cfg.source["train.kl_beta"].startswith(f"configs/{SIX}:")
    flagged = load_config("06", environ={"COURSE_SET_FLAGS": "train.epochs=9\nseeds=3"})
    assert flagged.train.epochs == 9 and flagged.source["seeds"] == "--set"
    lists = load_config("03", overrides=["lora.target_modules=[c_attn]"], environ={})
    assert lists.lora.target_modules == ("c_attn",)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.kl_bta=1", "unknown key train.kl_bta (did you mean train.kl_beta?)"),
        ("kl_beta=1", "did you mean train.kl_beta?"),
        ("ppo.steps=3", "ppo.steps is not a key of stage 06; it is one of 07"),
        ("train.epochs=x", "train.epochs must be a whole number"),
        ("train.epochs", "an override is written key=value"),
        ("train.epochs=", "an override is written key=value"),
        ("9:train.epochs=1", "there is no stage"),
        ("threads=[", "is not a value"),
        ("device=cuda", "must be one of cpu"),
    ],
)
def test_a_wrong_override_is_an_error(override, told):
    assert told in error(CONFIG_FOLDER, overrides=[override])


@pytest.mark.parametrize(
    ("stage", "override", "told"),
    [
        ("06", "ablation.source_beta=0.2", "ablation.source_beta = 0.2: must be one of ablation.betas = [0.0, "),
        ("06", "ablation.betas=[0, 3]", "ablation.source_beta = 0.1: must be one of ablation.betas = [0.0, 3.0]"),
        ("06", "filter.min_words=99", "filter.min_words = 99: must be at most filter.max_words = 80 (configs/"),
        ("07", "ppo.batch_size=60", "must be a multiple of ppo.mini_batch_size = 16 (configs/"),
        ("07", "ppo.gradient_accumulation_steps=3", "x ppo.gradient_accumulation_steps = 3 (--set); change one"),
        ("07", "ppo.responses_per_prompt=3", "must be a multiple of ppo.responses_per_prompt = 3 (--set)"),
        ("07", "ppo.measure_every=3", "journey.v1_steps = 8: must be a multiple of ppo.measure_every = 3 (--set)"),
        ("07", "journey.v1_steps=24", "--set: journey.v1_steps = 24: must be at most journey.v2_steps = 16 ("),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_together_are_named(stage, override, told):
    message = error(CONFIG_FOLDER, stage, overrides=[override])
    assert told in message and message.count("configs/") >= 1


def test_the_lines_of_settings_that_do_not_fit_together(folder):
    line = edit(folder, SEVEN, "v1_steps", "v1_steps: 12")
    assert f"configs/{SEVEN}:{line}: journey.v1_steps = 12: must be a multiple" in error(folder, "07")


def test_only_all_overrides_together_must_fit():
    # none of them fits by itself
    told = [
        "ppo.measure_every=3",
        "journey.v1_steps=21",
        "journey.v2_steps=21",
    ]
    for overrides, environ in ((told, {}), (told[:1], {"COURSE_SET": ";".join(told[1:])})):
        assert load_config("07", overrides=overrides, environ=environ).journey.v1_steps == 21


@pytest.mark.parametrize("stage", NOTEBOOKS)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_shortened_setting_and_the_commands_of_readme_fit(stage, profile):
    assert load_config(stage, profile, overrides_of(stage), environ={})
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"python -m src\.run [^`\n]*--set[^`\n]*", readme)
    assert len(commands) >= 4
    for words in (shlex.split(command, comments=True) for command in commands):
        if (stage in words or "all" in words) and profile in (
            words if "--profile" in words else PROFILES[:1]
        ):
            told = ";".join(text for option, text in pairwise(words) if option == "--set")
            assert load_config(stage, profile, environ={"COURSE_SET": told})


def test_another_stage_of_the_same_run_shares_data_and_base_but_not_its_training():
    cfg = load_config(
        "02", overrides=["instruction_data=mine.json", "train.epochs=9", "evaluation.prompts=7"], environ={}
    )
    other, plain = config_beside("01", cfg), load_config("01", environ={})
    assert (other.instruction_data, other.evaluation.prompts) == ("mine.json", 7)
    assert other.source["instruction_data"] == "--set"
    assert other.train == plain.train and other.data == plain.data and other.stage == "01"
    assert config_beside("01", load_config("02", environ={})).flat() == plain.flat()


def test_a_typo_in_the_environment_is_an_error_for_every_stage():
    assert "unknown key train.kl_bta" in error(CONFIG_FOLDER, "01", {"COURSE_SET": "train.kl_bta=1"})
    assert (
        load_config("01", environ={"COURSE_SET": "train.kl_beta=1"}).source["train.epochs"] != "environment"
    )
    assert "unknown profile 'gtp2'" in error(CONFIG_FOLDER, "01", {"COURSE_PROFILE": "gtp2"})
    assert "profiles are lab, gpt2 (did you mean lab?)" in error(CONFIG_FOLDER, "01", profile="labs")


def test_hash_changes_with_what_changes_a_result_only(folder):
    plain = load_config("06", environ={}, folder=folder)
    for harmless in ("threads=3", "seeds=9", f"train.kl_beta={plain.train.kl_beta!r}0"):
        assert load_config("06", overrides=[harmless], environ={}, folder=folder).hash() == plain.hash()
    for other in ("seed=1", "train.kl_beta=0.2", "precision=fp32"):
        assert load_config("06", overrides=[other], environ={}, folder=folder).hash() != plain.hash()
    edit(folder, SIX, "train", "# a comment moves every line\n\ntrain:")
    assert load_config("06", environ={}, folder=folder).hash() == plain.hash()


def test_stage_names():
    assert stage_number(6) == stage_number("6") == stage_number("06_instruct_tuning_training") == "06"
    for wrong in ("8", "06_other", "", "x", None):
        with pytest.raises(ConfigError, match="there is no stage"):
            stage_number(wrong)
    assert nearest("zzzzzz", ["train.epochs"]) == ""


yaml_text = st.text(alphabet="abl: -{}[]#&*!|>'\"%@`,?\n\t01.5é\x00", max_size=60)


@settings(max_examples=40, deadline=None)
@given(text=yaml_text, key=st.sampled_from(["kl_beta", "epochs", "schedule"]))
def test_fuzz_any_text_gives_values_or_a_config_error(tmp_path_factory, text, key):
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    if not folder.exists():
        shutil.copytree(CONFIG_FOLDER, folder)
    shutil.copy(CONFIG_FOLDER / SIX, folder / SIX)
    edit(folder, SIX, key, f"{key}: {text}")
    try:
        cfg = load_config("06", environ={}, folder=folder)
    except ConfigError as err:
        assert SIX in str(err) and "\n" not in str(err)
    else:
        assert cfg.train.kl_beta >= 0 and cfg.train.epochs >= 1


@settings(max_examples=40, deadline=None)
@given(key=st.sampled_from(sorted(schema("06"))), value=st.text(min_size=1, max_size=12))
def test_fuzz_overrides(key, value):
    try:
        cfg = load_config("06", overrides=[f"{key}={value}"], environ={})
    except ConfigError as err:
        assert key in str(err)
    else:
        assert cfg.source[key] == "--set"
