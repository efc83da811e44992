"""Notebook 02's training for a model that is too large for one process: FSDP2 (Zhao et al. 2023, arXiv 2304.11277).

    torchrun --standalone --nproc_per_node 2 -m src.sharded FOLDER --profile gpt2 --set data.rows=2000

Rows, batches, loss and schedule are those of `train_sft`, and in fp32 so are the numbers it reports. What differs is
where things are kept: every process has 1/n of each weight, gradient and Adam moment, and gathers the weights of one
block at a time, just when it computes. While it starts, each process holds a whole copy once, in the machine's memory.

`configs/fsdp.yaml` says how, precision included. It is also the one door to GPUs; the notebooks are pinned to the CPU
and do not come here.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from transformers import PreTrainedModel, Trainer, get_scheduler

from src import runtime
from src.config import CONFIG_FOLDER, Config, ConfigError, load_config, read_section
from src.data import DataError, examples
from src.fingerprint import base_model_source
from src.losses import IGNORE, response_cross_entropy
from src.models import ModelError, load_model, load_tokenizer, save_model
from src.schema import Choice
from src.sft import GroupedSampler, SFTSettings, collate, encode_rows
from src.supervised import TEMPLATE_SETS, draw_rows, settings

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True)
class Sharding:
    """`configs/fsdp.yaml`, whose comments explain the fields."""

    accelerator: Annotated[str, Choice(tuple(BACKENDS))]
    param_dtype: Annotated[str, Choice(tuple(DTYPES))]
    reduce_dtype: Annotated[str, Choice(tuple(DTYPES))]
    reshard_after_forward: bool

    @classmethod
    def read(cls, folder: Path = CONFIG_FOLDER) -> Sharding:
        """Raises ConfigError for a missing, unknown or duplicate key and for a value outside its choices."""
        return read_section(cls, "fsdp.yaml", folder)


def shard(model: PreTrainedModel, how: Sharding) -> PreTrainedModel:
    """Spread `model` in place over all processes: each of its blocks is gathered by itself, the embeddings together."""
    mesh = init_device_mesh(how.accelerator, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy(DTYPES[how.param_dtype], DTYPES[how.reduce_dtype])
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList))
    blocks = max(lists, key=lambda found: sum(p.numel() for p in found.parameters()))
    for part in (*blocks, model):
        fully_shard(part, mesh=mesh, mp_policy=policy, reshard_after_forward=how.reshard_after_forward)
    return model


def sharded_sft(
    model: PreTrainedModel, tokenizer, pairs: Sequence[tuple[str, str]], recipe: SFTSettings
) -> list[dict[str, float]]:
    """Train a model that `shard` has spread on (prompt, response) pairs, in place.

    Returns step, loss (nats per response token) and grad_norm of every optimiser step, the same in all processes.
    Raises ValueError for unusable pairs and for what this loop leaves to `train_sft` (the KL and prose terms),
    FloatingPointError when the loss diverges.
    """
    recipe.check()
    if recipe.kl_beta or recipe.pretrain_mix:
        raise ValueError("sharded training has no KL and no prose term; kl_beta and pretrain_mix must be 0")
    rows, _ = encode_rows(tokenizer, pairs, recipe)
    rank, processes, device = dist.get_rank(), dist.get_world_size(), next(model.parameters()).device
    size = recipe.batch_size * recipe.gradient_accumulation
    sampler = GroupedSampler(
        [len(row["input_ids"]) for row in rows], size, recipe.seed, recipe.group_by_length
    )
    steps = recipe.max_steps or math.ceil(math.ceil(len(rows) / size) * recipe.epochs)
    optimizer = torch.optim.AdamW(_decay_groups(model, recipe.weight_decay), lr=recipe.learning_rate)
    warmup = recipe.warmup if recipe.warmup >= 1 else math.ceil(steps * recipe.warmup)
    kind = "constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule
    schedule = get_scheduler(kind, optimizer, int(warmup), steps)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    epochs = ([*sampler] for _ in itertools.count())
    batches = (epoch[at : at + size] for epoch in epochs for at in range(0, len(epoch), size))
    history = []
    model.train()
    for step, numbers in enumerate(itertools.islice(batches, steps), 1):
        batch = [rows[number] for number in numbers]
        items = sum(label != IGNORE for row in batch for label in row["labels"][1:])
        loss = torch.zeros((), device=device)
        for first in range(0, size, recipe.batch_size):
            # Every process runs every pass, rows or none: the others wait for its part of the weights.
            micro = collate(batch[first : first + recipe.batch_size][rank::processes], pad)
            logits = model(input_ids=micro["input_ids"].to(device), use_cache=False).logits
            part = response_cross_entropy(logits, micro["labels"].to(device), num_items=items)
            (part * processes).backward()  # FSDP averages the processes' gradients; the loss is their sum
            loss += part.detach()
        dist.all_reduce(loss)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"step {step}: the loss is {loss.item()}; lower learning_rate")
        limit = recipe.max_grad_norm or math.inf  # 0: no limit
        norm = nn.utils.clip_grad_norm_(model.parameters(), limit).full_tensor()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        history.append({"step": step, "loss": loss.item(), "grad_norm": norm.item()})
        if rank == 0:
            print(f"step {step}/{steps}  loss {loss.item():.3f}  grad_norm {norm.item():.3f}", flush=True)
    return history


def _decay_groups(model: nn.Module, decay: float) -> list[dict]:
    """Biases and norms are never decayed: the rule of the library's trainer, which `train_sft` builds on."""
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[name in decayed].append(parameter)
    return [{"params": groups[True], "weight_decay": decay}, {"params": groups[False], "weight_decay": 0.0}]


def save_whole(model: PreTrainedModel, base: str | Path, tokenizer, folder: Path) -> None:
    """Gather the weights in the first process and write them as any stage's model: `load_model(folder)` reads them."""
    weights = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if dist.get_rank() == 0:
        whole = load_model(base)
        whole.load_state_dict(weights)
        inspect.unwrap(save_model)(whole, tokenizer, folder)  # as it stands: the others are told below
    dist.barrier()


def check_folder(folder: Path, base: str) -> Path:
    """Where the model can go: `folder`, absolute. ConfigError before anything is trained if it cannot be written there,
    or if something else would be replaced: only an earlier model is."""
    folder = folder.expanduser().resolve()
    source = base_model_source(base)
    if folder.is_file() or (
        folder.is_dir() and any(folder.iterdir()) and not (folder / "config.json").is_file()
    ):
        raise ConfigError(f"{folder} holds something that is not a model: name a new folder")
    if isinstance(source, Path) and folder == source.resolve():
        raise ConfigError(f"{folder} is the base model itself: name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error}") from None
    if not os.access(folder.parent, os.W_OK):
        raise ConfigError(f"{folder.parent} cannot be written to")
    return folder


def check_settings(cfg: Config, how: Sharding, processes: int) -> None:
    """ConfigError for a setting that this script could not keep, and for GPUs that are not there."""
    if cfg.seeds > 1:
        raise ConfigError("a sharded run trains one seed: leave seeds at 1 and set seed")
    if cfg.precision not in ("auto", how.param_dtype):
        raise ConfigError(f"precision={cfg.precision}, but fsdp.yaml says param_dtype: {how.param_dtype}")
    if cfg.train.batch_size < processes:
        raise ConfigError(
            f"train.batch_size={cfg.train.batch_size} rows are shared by {processes} processes: some would never get one"
        )
    if how.accelerator == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(os.environ["LOCAL_RANK"]) >= found:
            raise ConfigError(
                f"accelerator: cuda needs a GPU for each process of a machine, and {found} are here"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """What each process does; the first one says what went wrong."""
    parser = argparse.ArgumentParser(
        prog="torchrun --standalone --nproc_per_node N -m src.sharded", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, help="where the trained model goes")
    parser.add_argument("--profile")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    args = parser.parse_args(arguments)
    if "RANK" not in os.environ:
        parser.error("start it with torchrun, which says how many processes there are")
    try:
        cfg, how = load_config("02", args.profile, args.overrides), Sharding.read()
        check_settings(cfg, how, int(os.environ["WORLD_SIZE"]))
        _train(cfg, how, check_folder(args.folder, cfg.base_model))
    except (ConfigError, DataError, ModelError, FloatingPointError) as error:
        if os.environ["RANK"] == "0":
            print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


def _train(cfg: Config, how: Sharding, folder: Path) -> None:
    if cfg.threads:
        torch.set_num_threads(cfg.threads)  # otherwise torchrun's choice
    if how.accelerator == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    runtime.seed_everything(cfg.seed)
    tokenizer, model = load_tokenizer(cfg.base_model), load_model(cfg.base_model)
    rows = draw_rows(cfg, tokenizer, cfg.seed).train
    pairs = examples(rows, TEMPLATE_SETS[cfg.train.templates], cfg.seed)
    dist.init_process_group(BACKENDS[how.accelerator])
    shard(model, how)  # moves each process's part to its GPU, never the whole
    sharded_sft(model, tokenizer, pairs, settings(cfg, cfg.seed))
    save_whole(model, cfg.base_model, tokenizer, folder)


if __name__ == "__main__":
    sys.exit(main())
