"""What a run would cost before it starts: minutes, memory and downloads, from this machine's measured
speed.

`python -m src.run plan` prints it. A stage's time comes from its last run here, else from the reference
run, scaled by the speed of this machine against the one in that run's manifest. Where nothing was ever run
(the gpt2 profile on a new machine), training alone is estimated as 6 · parameters · tokens operations
(Kaplan et al. 2020, section 2.1) and marked `training ≈`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from src import runtime
from src.config import Config
from src.fingerprint import base_model_source
from src.headless import clock, table
from src.jsonio import JSONFileError, read_json
from src.workspace import REFERENCE, Stage, Workspace

GPT2_PARAMETERS = 124e6
ROW_TOKENS, PAIR_TOKENS = (
    90,
    300,
)  # mean length of an Alpaca row, and of both sides of an HH-RLHF pair, in GPT-2 tokens
HUB_MB = {  # size of what is downloaded once
    "openai-community/gpt2": 550,
    "tatsu-lab/alpaca": 25,
    "Anthropic/hh-rlhf": 95,
    "Qwen/Qwen2.5-3B-Instruct": 6200,
}


def show_plan(configs: dict[str, Config], force: bool = False) -> int:
    """Print the plan of `all` for these configurations."""
    import torch

    cfg = configs["01"]
    workspace = Workspace(cfg.profile)
    threads = runtime.thread_count(cfg.threads)
    torch.set_num_threads(threads)
    machine = runtime.measure_machine(seconds=3.0)
    parameters = base_parameters(cfg.base_model)
    speed = machine["training_gflops"] * 1e9 / (6 * parameters)
    print(
        f"profile {cfg.profile}, {threads} threads, "
        f"precision {runtime.resolve_precision(cfg.precision)}\n"
        f"this machine: {machine['gflops']:.0f} GFLOP/s in fp32 matrix products; a model of "
        f"{parameters / 1e6:.1f} M parameters trains at about {speed:.0f} tokens/s in fp32\n"
    )
    rows, total, unknown = [("stage", "state", "minutes", "peak MB", "from")], 0.0, False
    for status in workspace.status(configs):
        stage = status.stage
        name = f"{stage.number} {stage.name}"
        if status.state == "fresh" and not force:
            rows.append((name, "fresh", "0", "", "will be skipped"))
            continue
        minutes, memory, source = expect(stage, configs[stage.number], workspace, machine, speed)
        unknown |= minutes is None
        total += minutes or 0.0
        rows.append((name, status.state, "?" if minutes is None else f"{minutes:.1f}", memory, source))
    print(table(rows))
    print(
        f"\ntogether about {clock(total * 60)} (minutes:seconds)"
        + (" plus the stages marked ?" if unknown else "")
    )
    for name, megabytes in downloads(cfg):
        print(f"download: {name}, about {megabytes} MB" if megabytes else f"download: {name}, size unknown")
    return 0


def expect(
    stage: Stage, cfg: Config, workspace: Workspace, machine: dict[str, float], speed: float
) -> tuple[float | None, str, str]:
    """(minutes or None, peak MB as text, where the numbers come from) of one stage."""
    for folder, source in (
        (workspace.folder(stage.name), "its last run"),
        (REFERENCE / stage.name, "reference run"),
    ):
        try:
            was = read_json(folder / "manifest.json")
            if was["profile"] != cfg.profile:
                continue
            ratio = was["machine"]["tokens_per_second"] / machine["tokens_per_second"]
            minutes = was["duration_seconds"] / 60 * ratio * max(1.0, cfg.seeds / was["seeds"])
            return minutes, str(was["peak_memory_mb"]), f"{source}, machine ratio {ratio:.2f}"
        except (JSONFileError, KeyError, TypeError, ZeroDivisionError):
            continue
    tokens = training_tokens(cfg)
    return (tokens * cfg.seeds / speed / 60, "", "training ≈") if tokens else (None, "", "never run")


def training_tokens(cfg: Config) -> float:
    """Tokens that a stage trains on, one seed; PPO counts its generation and reference passes as one more
    epoch."""
    flat, tokens = cfg.flat(), 0.0
    if "train.epochs" in flat:
        tokens += cfg.data.rows * cfg.train.epochs * ROW_TOKENS * (4 / 3 if "train.kl_beta" in flat else 1)
    if "reward.pairs" in flat:
        tokens += cfg.reward.pairs * cfg.reward.epochs * PAIR_TOKENS
    if "ppo.steps" in flat:
        answers = cfg.ppo.steps * cfg.ppo.batch_size * (cfg.ppo.num_ppo_epochs + 1)
        tokens += answers * (PAIR_TOKENS / 2 + cfg.ppo.max_new_tokens)
    return tokens


def base_parameters(name: str) -> float:
    """Parameters of a local base model, read from the headers of its safetensors files; GPT-2's for one on
    the Hub."""
    source = base_model_source(name)
    count = 0
    for path in sorted(Path(source).glob("*.safetensors")) if isinstance(source, Path) else []:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for key, tensor in header.items():
            size = 1
            for n in tensor.get("shape", [0]) if key != "__metadata__" else [0]:
                size *= n
            count += size
    return float(count or GPT2_PARAMETERS)


def downloads(cfg: Config) -> list[tuple[str, int | None]]:
    """(Hub name, MB or None) of what this profile needs and neither the project nor the Hub's cache holds."""
    from huggingface_hub.constants import HF_HUB_CACHE

    wanted = [("models", cfg.base_model), ("models", cfg.judge)]
    wanted += [("datasets", cfg.instruction_data), ("datasets", cfg.preference_data)]
    found = []
    for kind, name in wanted:
        local = isinstance(base_model_source(name), Path) or Path(name).exists() or "/" not in name
        local |= name.startswith("models/")  # a folder of the project is never downloaded
        if not local and not os.path.isdir(os.path.join(HF_HUB_CACHE, f"{kind}--{name.replace('/', '--')}")):
            found.append((name, HUB_MB.get(name)))
    return found
