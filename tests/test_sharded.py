"""A sharded run gives the numbers and the model of `train_sft`: two processes, started as README says."""

import os
import re
import subprocess
import sys

import pytest
import torch

from src import runtime
from src.config import CONFIG_FOLDER, ConfigError, load_config
from src.data import examples
from src.models import ROOT, load_model, load_tokenizer
from src.sft import train_sft
from src.sharded import Sharding, _decay_groups, check_folder, check_settings, sharded_sft
from src.supervised import TEMPLATE_SETS, draw_rows, settings

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this build of torch has no gloo, through which processes on CPUs talk",
)
SET = [  # 21 rows in steps of 2 × 4: in the last one, of five rows, a process has nothing to do in a pass
    "data.rows=21", "data.heldout=4", "train.epochs=2", "train.batch_size=4", "train.gradient_accumulation=2", "precision=fp32",
]  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """({step: (loss, grad_norm)} as printed, the folder of the trained model)."""
    folder = tmp_path_factory.mktemp("sharded") / "model"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "src.sharded", str(folder), *(word for text in SET for word in ("--set", text))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=plain()
    ) as launcher:
        try:
            told, errors = launcher.communicate(timeout=600)
        finally:
            launcher.terminate()  # it ends its processes then; killed, it would leave them behind
    assert launcher.returncode == 0, errors[-4000:]
    lines = re.findall(r"step (\d+)/\d+  loss (\S+)  grad_norm (\S+)", told)
    return {int(step): (float(loss), float(norm)) for step, loss, norm in lines}, folder


def plain():
    """The environment without what a user has set, or another launcher."""
    return {k: v for k, v in os.environ.items() if not k.startswith("COURSE_") and k != "RANK"}


@pytest.fixture(scope="module")
def one():
    """(history, model) of the course's own trainer in one process."""
    cfg = load_config("02", environ={}, overrides=SET)
    runtime.seed_everything(cfg.seed)
    tokenizer, model = load_tokenizer(cfg.base_model), load_model(cfg.base_model)
    rows = draw_rows(cfg, tokenizer, cfg.seed).train
    pairs = examples(rows, TEMPLATE_SETS[cfg.train.templates], cfg.seed)
    return train_sft(model, tokenizer, pairs, settings(cfg, cfg.seed), progress=None).history, model


def test_losses_and_gradients_are_those_of_one_process(two, one):
    assert len(two[0]) == len(one[0]) == 6
    for row in one[0]:
        loss, norm = two[0][row["step"]]
        assert loss == pytest.approx(row["loss"], abs=2e-3)  # printed with three digits
        # Adam and the clipping would hide a wrong factor; the norm before them does not.
        assert norm == pytest.approx(row["grad_norm"], rel=2e-3), row["step"]
    assert one[0][-1]["loss"] < one[0][0]["loss"] - 1


def test_the_whole_model_is_written(two, one):
    trained, base = load_model(two[1]), load_model("models/lab-gpt2")
    moved = 0.0
    triples = zip(trained.named_parameters(), one[1].parameters(), base.parameters(), strict=True)
    for (name, ours), theirs, before in triples:
        if name.endswith("c_attn.bias"):  # a key's bias has no gradient but rounding, which Adam makes large
            continue
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4, msg=name)
        moved = max(moved, (ours - before).detach().abs().max().item())
    assert moved > 2e-3


def test_decay_spares_biases_and_norms_as_the_trainer_does():
    model = load_model("models/lab-gpt2")
    decayed, spared = _decay_groups(model, 0.1)
    assert decayed["weight_decay"] == 0.1 and spared["weight_decay"] == 0
    assert {p.ndim for p in decayed["params"]} == {2} and {p.ndim for p in spared["params"]} == {1}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def test_wrong_settings_are_named(tmp_path):
    path = tmp_path / "fsdp.yaml"
    whole = (CONFIG_FOLDER / "fsdp.yaml").read_text(encoding="utf-8")
    lines = len(whole.splitlines())
    for text, said in (
        (f"{whole}param_type: bf16\n", f":{lines + 1}: unknown key param_type (did you mean param_dtype?)"),
        (f"{whole}accelerator: cuda\n", f":{lines + 1}: duplicate key accelerator (first on line 3)"),
        (f"{whole}7: cpu\n", f":{lines + 1}: unknown key 7"),
        (f"{whole}[a, b]: cpu\n", f":{lines + 1}: a key must be a single word"),
        (whole.replace("accelerator:", "# "), ": the key accelerator is missing; every key must be written out"),
        (whole.replace(": cpu", ": gpu"), ":3: accelerator = gpu: must be one of cpu, cuda"),
        (whole.replace(": cpu", ": {lab: cpu, gpt2: cuda}"), ":3: accelerator must be a text, not a mapping"),
        (whole.replace(": true", ": 1"), ":6: reshard_after_forward must be true or false, not '1'"),
        ("- cpu", ":1: expected `key: value` lines"), ("{", ":1: not valid YAML"), ("", ": the key accelerator is missing"),
    ):  # fmt: skip
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=re.escape(f"configs/fsdp.yaml{said}")):
            Sharding.read(tmp_path)
    path.unlink()
    with pytest.raises(ConfigError, match=r"configs/fsdp.yaml is missing"):
        Sharding.read(tmp_path)


def test_no_value_of_the_file_is_also_in_the_code():
    with pytest.raises(TypeError, match="4 required positional arguments"):
        Sharding()


@pytest.mark.parametrize(
    ("override", "said"),
    [("seeds=2", "one seed"), ("precision=bf16", "param_dtype: fp32"), ("train.batch_size=1", "2 processes")],
)
def test_settings_it_could_not_keep_are_refused(override, said):
    with pytest.raises(ConfigError, match=said):
        check_settings(load_config("02", environ={}, overrides=[override]), Sharding.read(), processes=2)


def test_only_an_earlier_model_is_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    assert check_folder(tmp_path / "mine", "models/lab-gpt2") == tmp_path / "mine"
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    for folder, said in ((tmp_path / "mine", "not a model"), (ROOT / "models", "not a model"),
                         (ROOT / "models" / "lab-gpt2", "base model itself"),
                         (tmp_path / "mine" / "thesis.tex" / "model", "cannot be made")):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            check_folder(folder, "models/lab-gpt2")
    (tmp_path / "mine" / "config.json").write_text("{}")
    assert check_folder(tmp_path / "mine", "models/lab-gpt2")


def test_kl_is_refused():
    recipe = settings(load_config("06", environ={}, overrides=["train.kl_beta=0.1"]), 0)
    with pytest.raises(ValueError, match="kl_beta"):
        sharded_sft(None, None, [], recipe)


def test_it_says_that_torchrun_starts_it():
    command = [sys.executable, "-m", "src.sharded", "out"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=plain())
    assert done.returncode == 2 and "torchrun" in done.stderr
