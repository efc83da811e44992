"""What a run would cost before it starts: minutes, memory and downloads, from this machine's measured
speed.

`python -m src.run plan` prints it. A stage's time comes from its last run here, else from the reference run,
scaled by the number of seeds and by the speed of this machine against the one in that run's manifest; other
changed settings are not counted. Where neither run is there (the gpt2 profile on a new machine) a stage's work
is counted in tokens and optimiser steps (`work.py`) and priced at the speed at which this machine trains, reads
and writes with a model of the base's shape; marked `counted`.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from src import runtime, work
from src.config import Config
from src.fingerprint import base_model_source, local_path
from src.headless import clock, has_copy, table
from src.jsonio import JSONFileError, read_json
from src.workspace import REFERENCE, STAGES, Stage, Workspace, reads, sources_of

HUB_MB = {  # size of what is downloaded once
    "openai-community/gpt2": 550,
    "tatsu-lab/alpaca": 25,
    "Anthropic/hh-rlhf": 95,
    "Qwen/Qwen2.5-1.5B-Instruct": 3100,
    "Qwen/Qwen2.5-3B-Instruct": 6200,
}


def show_plan(configs: dict[str, Config], force: bool = False) -> int:
    """Print the plan of `all` (with `force`: `all --force`) for these configurations; returns the exit code 0."""
    import torch

    cfg = configs["01"]
    workspace = Workspace(cfg.profile)
    threads = runtime.thread_count(cfg.threads)
    torch.set_num_threads(threads)
    machine = runtime.measure_machine(seconds=3.0)
    parameters = work.parameters_of(cfg.base_model)
    print(
        f"profile {cfg.profile}, {threads} threads, "
        f"precision {runtime.resolve_precision(cfg.precision)}\n"
        f"this machine: {machine['gflops']:.0f} GFLOP/s in fp32 matrix products; a model of "
        f"{parameters / 1e6:.1f} M parameters could train at "
        f"{machine['training_gflops'] * 1e9 / (6 * parameters):.0f} tokens/s in fp32\n"
    )
    speed = Measured(cfg)
    rows, total = [("stage", "state", "minutes", "peak MB", "from")], 0.0
    for status in workspace.status(configs):
        stage = status.stage
        name = f"{stage.number} {stage.name}"
        if status.state == "fresh" and not force:
            copied = has_copy(workspace, stage)
            what = "will be skipped" if copied else "its executed notebook is made again, from the cache"
            rows.append((name, "fresh", "0", "", what))
            continue
        minutes, memory, source = expect(stage, configs[stage.number], workspace, machine, speed)
        total += minutes
        rows.append((name, status.state, f"{minutes:.1f}", memory, source))
    print(table(rows))
    print(f"\ntogether about {clock(total * 60)} (minutes:seconds)")
    for name, megabytes in downloads(configs):
        print(f"download: {name}, about {megabytes} MB" if megabytes else f"download: {name}, size unknown")
    return 0


def expect(
    stage: Stage, cfg: Config, workspace: Workspace, machine: dict[str, float], speed: Measured
) -> tuple[float, str, str]:
    """(minutes, peak MB as text, where the numbers come from) of one stage.

    A last run is taken to have had as many trainings side by side as the next one will have; the reference run's minutes
    are those of one training after another, so side by side they are a fifth to a quarter too many.
    """
    for folder, source in (
        (workspace.folder(stage.name), "its last run"),
        (REFERENCE / stage.name, "reference run"),
    ):
        try:
            was = read_json(folder / "manifest.json")
            if was["profile"] != cfg.profile:
                continue
            ratio = was["machine"]["tokens_per_second"] / machine["tokens_per_second"]
            minutes = was["duration_seconds"] / 60 * ratio * cfg.seeds / was["seeds"]
            return minutes, str(was["peak_memory_mb"]), f"{source}, machine ratio {ratio:.2f}"
        except (JSONFileError, KeyError, TypeError, ZeroDivisionError):
            continue
    minutes = work.seconds_of(stage.number, cfg, speed.value) / 60
    memory = work.memory_mb(stage.number, cfg, work.parameters_of(cfg.base_model))
    return minutes, f"≈ {memory:.0f}", "counted"


class Measured:
    """This machine's speed with a model of the base's shape, measured when it is first asked for, and said."""

    def __init__(self, cfg: Config):
        self.cfg = cfg

    @cached_property
    def value(self) -> work.Speed:
        """The speeds of `work.measure_speed`."""
        speed = work.measure_speed(self.cfg)
        print(
            f"measured with random weights of the base's shape: {speed.trained:.0f} tokens/s trained "
            f"(plus {1000 * speed.step_seconds:.0f} ms a step), {speed.read:.0f} read in fp32, {speed.scored:.0f} scored, "
            f"{speed.written:.0f} written, {speed.told:.0f} in answer to a dialogue, {speed.judged:.0f} read by a judge\n"
        )
        return speed


def downloads(configs: dict[str, Config]) -> list[tuple[str, int | None]]:
    """(Hub name, MB or None) of what these stages need and neither the project nor the Hub's cache holds."""
    from huggingface_hub.constants import HF_HUB_CACHE

    wanted = [("models", cfg.base_model) for cfg in configs.values()]
    for number, cfg in configs.items():
        for key, name in sources_of(cfg).items():
            if reads(STAGES[number], key):
                wanted.append(("models" if key == "judge" else "datasets", name))
    found = []
    for kind, name in dict.fromkeys(wanted):
        local = isinstance(base_model_source(name), Path) or local_path(name) is not None
        # "models/x" and "~/x" are folders that the user has yet to make
        on_hub = "/" in name and not name.startswith(("models/", "~"))
        cached = os.path.isdir(os.path.join(HF_HUB_CACHE, f"{kind}--{name.replace('/', '--')}"))
        if on_hub and not local and not cached:
            found.append((name, HUB_MB.get(name)))
    return found
