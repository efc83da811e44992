"""Build the lab's base model from nothing: corpus -> BPE tokenizer -> GPT-2 -> `models/lab-gpt2`, with its report card.

    python -m src.lab.pretrain            # 40 to 70 minutes on two CPU cores (its report card says); resumes where it was stopped
    python -m src.lab.pretrain --tokens 12000000 --folder models/lab-gpt2

The architecture is GPT-2's (Radford et al. 2019), the corpus is `corpus.py`, the schedule is one cosine decay with warm-up.
What is shipped is bfloat16 safetensors; the gates in the report card are measured on exactly those weights.
"""

import argparse
import json
import math
import os
import shutil
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from src.runtime import autocast, malloc_environment, thread_count

from .corpus import held_out_prose, training_paragraphs

EOS = "<|endoftext|>"
VOCABULARY, BLOCK, WIDTH, LAYERS, HEADS = 4096, 256, 256, 4, 4
BATCH = 16  # blocks a step: 16 x 256 = 4,096 tokens
PEAK_LEARNING_RATE, WARMUP_STEPS, WEIGHT_DECAY = 2e-3, 100, 0.01
CHECKPOINT_EVERY = 200  # steps
# Words of the prompt templates: whole tokens, so that a format the base has never read costs few unknown pieces.
FORMAT_WORDS = (
    "### Instruction Response Question Answer Human Assistant user assistant <|im_start|> <|im_end|> <| |>"
)


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of `VOCABULARY` entries; every digit is a token of its own, with or without its space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r" ?\d"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = [FORMAT_WORDS, "\n\n".join(f"\n\n{word}:\n" for word in FORMAT_WORDS.split())]
    tokenizer.train_from_iterator([*texts, *(words * 200)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, bos_token=EOS, model_max_length=BLOCK
    )


def token_blocks(tokenizer: PreTrainedTokenizerFast, tokens: int, seed: int) -> np.ndarray:
    """`tokens` tokens of training prose, paragraphs closed by EOS, as int64 rows of `BLOCK` + 1 (last = next first)."""
    stream, ids, size = training_paragraphs(seed), [], 0
    while size < tokens + BLOCK + 1:
        for row in tokenizer(list(islice(stream, 5000)))["input_ids"]:
            ids.append(np.array([*row, tokenizer.eos_token_id], dtype=np.int64))
            size += len(row) + 1
    flat = np.concatenate(ids)
    rows = (tokens - 1) // BLOCK
    return np.stack([flat[i * BLOCK : i * BLOCK + BLOCK + 1] for i in range(rows)])


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> GPT2LMHeadModel:
    """A GPT-2 of about 4 million parameters with random weights."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=BLOCK,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        activation_function="gelu_pytorch_tanh",
        **{name: 0.0 for name in ("attn_pdrop", "embd_pdrop", "resid_pdrop")},
    )
    return GPT2LMHeadModel(config)


class Trainer:
    """The training loop with its resumable state: weights, Adam moments, step and loss history."""

    def __init__(self, model: GPT2LMHeadModel, blocks: np.ndarray, folder: Path, seed: int):
        self.model, self.blocks, self.folder, self.seed = model, blocks, folder, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.order = np.random.default_rng(seed).permutation(len(blocks))
        self.total = len(blocks) // BATCH
        decay = [p for p in model.parameters() if p.dim() > 1]
        rest = [p for p in model.parameters() if p.dim() <= 1]
        groups = [{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.95), fused=True)
        self.step, self.history, self.seconds = 0, [], 0.0

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then cosine to a twentieth of the peak."""
        if step < WARMUP_STEPS:
            return PEAK_LEARNING_RATE * (step + 1) / WARMUP_STEPS
        progress = (step - WARMUP_STEPS) / max(1, self.total - WARMUP_STEPS)
        return PEAK_LEARNING_RATE * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))

    def run(self) -> None:
        """Train to the end, saving state every `CHECKPOINT_EVERY` steps."""
        begun, losses = time.monotonic(), []
        first = self.step
        while self.step < self.total:
            rows = self.blocks[self.order[self.step * BATCH : (self.step + 1) * BATCH]]
            ids = torch.from_numpy(rows)
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate(self.step)
            with autocast("auto"):
                logits = self.model(ids[:, :-1], use_cache=False).logits
            loss = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
            losses.append(loss.item())
            if self.step % 50 == 0 or self.step == self.total:
                elapsed = time.monotonic() - begun
                eta = elapsed / (self.step - first) * (self.total - self.step)
                self.history.append(
                    {"tokens": self.step * BATCH * BLOCK, "loss": round(float(np.mean(losses)), 4)}
                )
                losses = []
                rate = (self.step - first) * BATCH * BLOCK / elapsed
                print(
                    f"step {self.step}/{self.total}  loss {self.history[-1]['loss']:.3f}  {rate:,.0f} tokens/s  "
                    f"{eta / 60:.1f} min left",
                    flush=True,
                )
            if self.step % CHECKPOINT_EVERY == 0:
                self.save(self.seconds + time.monotonic() - begun)
        self.seconds += time.monotonic() - begun

    def save(self, seconds: float) -> None:
        """Write the state beside the last one, then swap: a kill leaves one whole state."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items() if k != "lm_head.weight"}
        for index, moments in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{index}.{k}": v.contiguous() for k, v in moments.items()}
        facts = {"step": str(self.step), "seconds": str(seconds), "history": json.dumps(self.history)}
        facts |= {"blocks": str(len(self.blocks)), "seed": str(self.seed)}
        save_file({k: v.contiguous() for k, v in state.items()}, self.folder / "state.tmp", metadata=facts)
        os.replace(self.folder / "state.tmp", self.folder / "state.safetensors")

    def resume(self) -> None:
        """Take up the saved state, if there is one. SystemExit if it is of another amount of text or another seed."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            return
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            facts = file.metadata()
        for fact, asked in {"blocks": len(self.blocks), "seed": self.seed}.items():
            if facts.get(fact) != str(asked):  # None: written before the seed was
                raise SystemExit(
                    f"{path} belongs to another run ({fact}: {facts.get(fact)}, now {asked}): "
                    f"give --tokens and --seed of that run to finish it, or delete {self.folder} to start anew"
                )
        state = load_file(path)
        weights = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
        self.model.load_state_dict(weights, strict=False)  # lm_head is tied to the embedding
        moments: dict[int, dict] = {}
        for key, value in state.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.step, self.seconds, self.history = (
            int(facts["step"]),
            float(facts["seconds"]),
            json.loads(facts["history"]),
        )
        print(f"resuming at step {self.step}", flush=True)


def train(model: GPT2LMHeadModel, blocks: np.ndarray, folder: Path, seed: int) -> Trainer:
    """One pass over `blocks`, resumed from the state in `folder` if there is one."""
    trainer = Trainer(model, blocks, folder, seed)
    trainer.resume()
    trainer.run()
    return trainer


def tokenizer_for(work: Path, seed: int) -> PreTrainedTokenizerFast:
    """The tokenizer of a seed's prose: trained once, then read from `work`."""
    folder = work / f"tokenizer-{seed}"
    if not (folder / "tokenizer_config.json").exists():
        train_tokenizer(list(islice(training_paragraphs(seed), 40_000))).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def put_in_place(staged: Path, folder: Path) -> None:
    """Make `staged` the model in `folder`: old one aside, new one in, old one deleted. A kill loses neither."""
    put_back(folder)
    if folder.exists():
        os.replace(folder, _aside(folder))
    os.replace(staged, folder)
    shutil.rmtree(_aside(folder), ignore_errors=True)


def put_back(folder: Path) -> None:
    """Undo a `put_in_place` that was killed: the old model returns to `folder`, unless the new one is there."""
    aside = _aside(folder)
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
    elif aside.exists():
        os.replace(aside, folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}-old")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=20_000_000, help="training tokens, each read once")
    parser.add_argument("--folder", type=Path, default=Path("models/lab-gpt2"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    settings = malloc_environment()
    # read before Python starts: start again
    if any(os.environ.get(name) != value for name, value in settings.items()):
        os.execve(
            sys.executable,
            [sys.executable, "-m", "src.lab.pretrain", *sys.argv[1:]],
            {**os.environ, **settings},
        )
    torch.set_num_threads(thread_count())
    work = arguments.folder.with_name(f".{arguments.folder.name}-work")
    work.mkdir(parents=True, exist_ok=True)
    put_back(arguments.folder)

    begun = time.monotonic()
    tokenizer = tokenizer_for(work, arguments.seed)
    blocks = token_blocks(tokenizer, arguments.tokens, arguments.seed)
    print(f"{blocks.size:,} tokens of prose in {time.monotonic() - begun:.0f} s", flush=True)
    trainer = train(new_model(tokenizer, arguments.seed), blocks, work / "state", arguments.seed)
    staged = work / "model"
    trainer.model.eval().to(torch.bfloat16).save_pretrained(staged)
    tokenizer.save_pretrained(staged)

    from .report_card import write_report_card  # needs matplotlib, which training does not

    # the gates are measured on what is shipped
    model = GPT2LMHeadModel.from_pretrained(staged, dtype=torch.float32)
    facts = {
        "parameters": model.num_parameters(),
        "tokens": trainer.total * BATCH * BLOCK,
        "seconds": round(trainer.seconds),
        "learning_rate": PEAK_LEARNING_RATE,
        "history": trainer.history,
    }
    write_report_card(model, tokenizer, staged, facts, held_out_prose(400, arguments.seed))
    put_in_place(staged, arguments.folder)
    shutil.rmtree(work)
    print(f"written: {arguments.folder}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
