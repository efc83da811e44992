"""Two processes train as one: SFT, reward model and PPO give the same losses, and one of them prints and writes.

The processes are started as a user would (`accelerate launch`), once for all tests; they run this file as a script.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.models import ROOT, attach_lora
from src.ppo import STATE_FILE
from src.reward_model import train_reward_model
from src.sft import train_sft
from tests import test_reward_model as rewards
from tests import test_sft as sft
from tests.rl_helpers import make_trainer, tiny_model

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this build of torch has no gloo, through which processes on CPUs talk",
)
TIMES = ("seconds", "seconds_rollout", "seconds_score", "seconds_forward", "seconds_update")


def sft_run(said, **options):
    """Every kind of loss on batches of 4, 4 and 1 rows: in the last one a process has nothing to do."""
    choice = sft.settings(batch_size=4, kl_beta=0.1, pretrain_mix=0.3, prose_length=8, **options)
    result = train_sft(
        sft.make_model(),
        sft.make_tokenizer(),
        sft.make_examples()[:9],
        choice,
        prose=["the cat sees the dog . a"],
        reference=sft.make_model(seed=1),
        progress=said,
    )
    return result.history


def reward_run(said):
    """33 pairs in batches of 16: the last one is a single pair."""
    result = train_reward_model(
        rewards.reward_model(), rewards.TOKENIZER, rewards.make_pairs(33), rewards.FAST, progress=said
    )
    return result.history


def ppo_run(said, folder=None, **options):
    trainer = make_trainer(learning_rate=1e-3, **options)
    trainer.train(said)
    if folder is not None:
        trainer.save(folder)
    return trainer.history


def ppo_lora_run(said):
    """One response per optimiser step: a process has nothing to do in each of them. The reference is the base."""
    torch.manual_seed(0)
    policy = attach_lora(tiny_model(), r=2)
    return ppo_run(said, policy=policy, mini_batch_size=1, batch_size=3, adaptive_kl_target=6.0)


RUNS = {
    "sft": sft_run,
    "sft accumulated": lambda said: sft_run(said, gradient_accumulation=2),
    "reward model": reward_run,
    "ppo": ppo_run,
    "ppo critic": lambda said: ppo_run(said, critic=rewards.reward_model()),
    "ppo lora": ppo_lora_run,
}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """{run: history} of the first process, and the folder to which both processes saved the same."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", "0", "--module", "tests.test_distributed", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as launcher:
        try:
            _, told = launcher.communicate(timeout=600)
        finally:
            launcher.terminate()  # it ends its processes then; killed, it would leave them behind
    assert launcher.returncode == 0, told[:4000]
    return json.loads((folder / "histories.json").read_text()), folder


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one(two, name):
    histories, _ = two
    one = RUNS[name](None)
    assert len(histories[name]) == len(one) >= 2
    for row, expected in zip(histories[name], one, strict=True):
        for key, value in expected.items():
            if key not in TIMES:
                assert row[key] == pytest.approx(value, rel=1e-3, abs=1e-4), (row["step"], key)


def test_one_process_prints_and_writes(two):
    _, folder = two
    told = [json.loads(path.read_text()) for path in sorted(folder.glob("told-*.json"))]
    assert [sorted(process) for process in told] == [sorted(RUNS), []]
    assert [path.name for path in (folder / "ppo").iterdir()] == [STATE_FILE]


def main(folder):
    """What each of the two processes does."""
    rank, told, histories = int(os.environ["RANK"]), {}, {}
    for name, run in RUNS.items():

        def said(*words, name=name):
            told.setdefault(name, []).append(str(words))

        histories[name] = run(said, folder / "ppo") if name == "ppo" else run(said)
    (folder / f"told-{rank}.json").write_text(json.dumps(told))
    if rank == 0:
        (folder / "histories.json").write_text(json.dumps(histories))
    torch.distributed.barrier()  # a process that closes its connections early can abort the other on a busy machine
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
