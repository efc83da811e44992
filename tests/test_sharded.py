"""A sharded run gives the numbers and the model of `train_sft`: two processes, started as README says."""

import subprocess
import sys

import pytest
import torch

from src import runtime
from src.config import ConfigError, load_config
from src.data import examples
from src.models import ROOT, load_model, load_tokenizer
from src.sft import train_sft
from src.sharded import Sharding, sharded_sft
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
    """(the loss of every step as printed, the folder of the trained model)."""
    folder = tmp_path_factory.mktemp("sharded") / "model"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]  # fmt: skip
    command += ["-m", "src.sharded", str(folder), *(word for text in SET for word in ("--set", text))]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("step ")]
    return [float(words[-1]) for words in lines], folder


@pytest.fixture(scope="module")
def one():
    """(losses, model) of the course's own trainer in one process."""
    cfg = load_config("02", environ={}, overrides=SET)
    runtime.seed_everything(cfg.seed)
    tokenizer, model = load_tokenizer(cfg.base_model), load_model(cfg.base_model)
    rows = draw_rows(cfg, tokenizer, cfg.seed).train
    pairs = examples(rows, TEMPLATE_SETS[cfg.train.templates], cfg.seed)
    result = train_sft(model, tokenizer, pairs, settings(cfg, cfg.seed), progress=None)
    return [row["loss"] for row in result.history], model


def test_losses_are_those_of_one_process(two, one):
    assert len(two[0]) == len(one[0]) == 6
    assert two[0] == pytest.approx(one[0], abs=2e-3)  # printed with three digits
    assert one[0][-1] < one[0][0] - 1


def test_the_whole_model_is_written(two, one):
    trained, base = load_model(two[1]), load_model("models/lab-gpt2")
    moved = 0.0
    for ours, theirs, before in zip(
        trained.parameters(), one[1].parameters(), base.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4)
        moved = max(moved, (ours - before).detach().abs().max().item())
    assert moved > 2e-3


def test_wrong_settings_are_named(tmp_path):
    path = tmp_path / "fsdp.yaml"
    path.write_text("param_type: bf16")
    with pytest.raises(ConfigError, match=r"fsdp.yaml: unknown key 'param_type' \(did you mean param_dtype\?\)"):  # fmt: skip
        Sharding.read(path)
    path.write_text("accelerator: gpu")
    with pytest.raises(ConfigError, match="accelerator='gpu', choose one of cpu, cuda"):
        Sharding.read(path)
    assert Sharding.read() == Sharding()  # the file that is shipped says what the defaults are


def test_kl_is_refused():
    recipe = settings(load_config("06", environ={}, overrides=["train.kl_beta=0.1"]), 0)
    with pytest.raises(ValueError, match="kl_beta"):
        sharded_sft(None, None, [], recipe, Sharding())


def test_it_says_that_torchrun_starts_it():
    done = subprocess.run(
        [sys.executable, "-m", "src.sharded", "out"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2 and "torchrun" in done.stderr
