"""Supervised fine-tuning on TRL's `SFTTrainer`, with the loss of `src.losses` and an eye on CPU time.

Notebooks 01-03 and 06 train with it, notebook 05 sweeps with it. Instruction tuning after Ouyang et al.
(2022, arXiv 2203.02155); the KL term of notebook 06 is the full-vocabulary KL(policy || reference) at the
demonstrations' response tokens or on general prose, `pretrain_mix` the likelihood term of the same paper's
PPO-ptx.

What makes it fast: the LM head runs on response positions only and never builds a [B, T, V] tensor; batches
group rows of similar length; right padding needs no attention mask under causal attention, which keeps the
fused kernel; bf16 autocast for the trunk where the CPU computes bf16 natively (head and losses stay in fp32).
"""

import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from accelerate.data_loader import prepare_data_loader
from datasets import Dataset
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from transformers.pytorch_utils import Conv1D
from trl import SFTConfig, SFTTrainer

from src.distributed import is_main, own_share
from src.losses import SFTLoss, chunked_sft_loss
from src.models import fresh_copy, quiet
from src.runtime import Stopwatch, autocast, progress, resolve_precision
from src.templates import IGNORE, encode_example, encode_prompt

Row = dict[str, list[int]]
# The most that kept reference states may take; what does not fit is computed again in every epoch.
KEPT_BYTES = 2**30


@dataclass
class SFTSettings:
    """One training run. Defaults are the source's: 2e-5, cosine, no KL."""

    epochs: float = 1
    max_steps: int | None = None  # optimiser steps; None: as many as `epochs` make
    learning_rate: float = 2e-5
    schedule: str = "cosine"  # cosine, linear or constant
    warmup: float = 0.0  # below 1 a share of all steps, otherwise a number of steps
    batch_size: int = 8  # rows per micro-batch, of all processes together
    gradient_accumulation: int = 1  # micro-batches per optimiser step
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    max_length: int = 512  # tokens of prompt + response + EOS
    too_long: str = "error"  # or skip: longer rows are left out and listed in the result
    group_by_length: bool = True
    precision: str = "auto"  # auto, fp32 or bf16
    kl_beta: float = 0.0
    kl_anchor: str = "response"  # response or prose: where the KL to the reference is measured
    pretrain_mix: float = 0.0  # weight of the cross-entropy on prose
    prose_batch: int = 4  # prose blocks per micro-batch
    prose_length: int = 64  # tokens per prose block
    learn_eos: bool = True
    seed: int = 0

    def check(self) -> None:
        """Raises ValueError for a setting outside its choices."""
        choices = {
            "schedule": ("cosine", "linear", "constant"),
            "precision": ("auto", "fp32", "bf16"),
            "kl_anchor": ("response", "prose"),
            "too_long": ("error", "skip"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(allowed)}.")


@dataclass
class SFTResult:
    """`history`: one dict per optimiser step with step, loss, ce, kl, prose_ce (nats per token), grad_norm,
    learning_rate, tokens (so far, without padding) and seconds. `evaluations`: step and loss before training
    and after every epoch. `response_tokens`: tokens that carried loss, over all epochs. `skipped`: rows left
    out because they are too long.
    """

    history: list[dict[str, float]]
    seconds: float
    response_tokens: int
    steps: int
    evaluations: list[dict[str, float]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)


def train_sft(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[tuple[str, str]],
    settings: SFTSettings,
    *,
    reference: PreTrainedModel | None = None,
    prose: Sequence[str] | None = None,
    eval_examples: Sequence[tuple[str, str]] | None = None,
    progress: Callable[[str], None] | None = progress,
) -> SFTResult:
    """Fine-tune `model` in place on (prompt, response) pairs; it comes back in eval mode, nothing patched.

    `reference=None` with kl_beta > 0 means the model as it comes in (with adapters: the base below them).
    `prose` are general texts for kl_anchor="prose" and pretrain_mix. `progress(text)` is told every logged
    step. Raises ValueError or TypeError that names the row for unusable examples, FloatingPointError when the
    loss diverges.
    """
    settings.check()
    rows, skipped = encode_rows(tokenizer, examples, settings)
    eval_rows = encode_rows(tokenizer, eval_examples, settings, "Evaluation row")[0] if eval_examples else []
    needs_prose = settings.pretrain_mix > 0 or (settings.kl_beta > 0 and settings.kl_anchor == "prose")
    blocks = prose_blocks(tokenizer, prose or [], settings.prose_length) if needs_prose else None
    if settings.kl_beta > 0 and reference is None and not isinstance(model, PeftModel):
        reference = _frozen_copy(model, resolve_precision(settings.precision))
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder, _handed_back_clean(model), quiet():
        trainer = ResponseTrainer(
            model, tokenizer, rows, settings, reference, blocks, eval_rows, progress, folder
        )
        trainer.train()
    return SFTResult(
        history=trainer.history,
        seconds=watch.seconds,
        response_tokens=trainer.response_tokens,
        steps=trainer.state.global_step,
        evaluations=trainer.evaluations,
        skipped=skipped,
    )


# --- Data -----------------------------------------------------------------------------------------


def encode_rows(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[tuple[str, str]],
    settings: SFTSettings,
    kind: str = "Row",
) -> tuple[list[Row], list[int]]:
    """(rows with input_ids and labels, numbers of rows skipped as too long). Errors name the row, from 0."""
    rows, skipped = [], []
    for number, (prompt, response) in enumerate(examples):
        for name, text in (("prompt", prompt), ("response", response)):
            if not isinstance(text, str):
                raise TypeError(
                    f"{kind} {number}: the {name} must be a string, got {type(text).__name__}: {text!r:.60}"
                )
            if not text.strip():
                raise ValueError(
                    f"{kind} {number}: the {name} is empty. Filter such rows out before training."
                )
        try:
            ids, labels = encode_example(tokenizer, prompt, response, settings.learn_eos)
        except ValueError as error:
            raise ValueError(f"{kind} {number}: {error}") from error
        if len(ids) <= settings.max_length:
            rows.append({"input_ids": ids, "labels": labels})
        elif settings.too_long == "skip":
            skipped.append(number)
        else:
            raise ValueError(
                f"{kind} {number}: {len(ids)} tokens (prompt {labels.count(IGNORE)}) are more than "
                f"max_length={settings.max_length}. Shorten it, raise max_length, or set too_long='skip'."
            )
    if not rows:
        raise ValueError(f"No examples to train on ({len(skipped)} of {len(examples)} rows are too long).")
    return rows, skipped


def prose_blocks(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> Tensor:
    """General prose, joined by EOS and cut into blocks: int64 [blocks, length]. ValueError if it fills no
    block.
    """
    stream = [i for text in texts for i in [*encode_prompt(tokenizer, text.strip()), tokenizer.eos_token_id]]
    count = len(stream) // length
    if not count:
        raise ValueError(f"kl_anchor='prose' and pretrain_mix need `prose` of at least {length} tokens.")
    return torch.tensor(stream[: count * length]).view(count, length)


def collate(rows: list[Row], pad_id: int) -> dict[str, Tensor]:
    """Pad on the right to the longest row: input_ids and labels [B, T]; `tokens` counts them without padding.

    There is no attention mask: under causal attention no real token sees the padding behind it, and the
    labels of padding are -100.
    """
    rows = rows or [{"input_ids": [], "labels": []}]  # a process whose share of the last batch is empty
    longest = max(1, *(len(row["input_ids"]) for row in rows))
    ids = [row["input_ids"] + [pad_id] * (longest - len(row["input_ids"])) for row in rows]
    labels = [row["labels"] + [IGNORE] * (longest - len(row["labels"])) for row in rows]
    tokens = torch.tensor(sum(len(row["input_ids"]) for row in rows))
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor(labels), "tokens": tokens}


class GroupedSampler(Sampler[int]):
    """Every row once per epoch, in batches of similar length whose order is random.

    Rows are shuffled, sorted by length within pools of 50 batches, cut into batches, and the batches are
    shuffled. The library's own sampler leaves them sorted, so that every epoch would end on the shortest
    answers.
    """

    def __init__(self, lengths: list[int], batch: int, seed: int, grouped: bool = True):
        self.lengths, self.batch, self.grouped = lengths, batch, grouped
        self.random = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(len(self.lengths), generator=self.random).tolist()
        if not self.grouped:
            return iter(order)
        full = len(order) - len(order) % self.batch  # the incomplete batch, random rows, stays last
        batches = []
        for start in range(0, full, 50 * self.batch):
            pool = sorted(order[start : min(start + 50 * self.batch, full)], key=self.lengths.__getitem__)
            batches += [pool[i : i + self.batch] for i in range(0, len(pool), self.batch)]
        shuffled = [batches[i] for i in torch.randperm(len(batches), generator=self.random).tolist()]
        return iter([i for batch in [*shuffled, order[full:]] for i in batch])


# --- Trainer --------------------------------------------------------------------------------------


class ResponseTrainer(SFTTrainer):
    """`SFTTrainer` with response-only chunked loss, KL and prose terms, and little machinery per step."""

    def __init__(self, model, tokenizer, rows, settings, reference, blocks, eval_rows, show, folder):
        self.rows, self.eval_rows, self.settings, self.blocks = rows, eval_rows, settings, blocks
        self.show = show if show and is_main() else lambda text: None
        self.reference, self.beta = reference, settings.kl_beta
        self.kept: dict[tuple[bytes, int], Tensor] = {}  # see _reference_states
        self.precision = resolve_precision(settings.precision)
        self.history, self.evaluations, self.tokens, self.response_tokens = [], [], 0, 0
        self.grad_dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        self.sums = torch.zeros(5, dtype=torch.float64)  # since the last log line: see compute_loss
        self.pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.random = torch.Generator().manual_seed(settings.seed)
        super().__init__(
            model=model,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(rows),
            data_collator=lambda batch: collate(own_share(batch), self.pad_id),
            args=_arguments(settings, folder),
            callbacks=[_Follow(self)],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = True  # the loss below divides by the token count of the whole step
        base = _base(model)
        self.head, trunk = base.get_output_embeddings(), base.base_model
        if self.head.bias is not None:
            raise ValueError(
                f"{type(base).__name__} has a bias on its LM head, which the chunked loss does not support."
            )
        # Called through the (possibly wrapped) model: adapters and distributed training must see the forward.
        base.forward = lambda input_ids, **_: trunk(input_ids=input_ids, use_cache=False).last_hidden_state
        self.watch = Stopwatch()

    def _get_train_sampler(self, train_dataset=None) -> GroupedSampler:
        step = self.settings.batch_size * self.settings.gradient_accumulation
        lengths = [len(row["input_ids"]) for row in self.rows]
        return GroupedSampler(lengths, step, self.settings.seed, self.settings.group_by_length)

    def get_train_dataloader(self) -> DataLoader:
        # Plain lists instead of the Arrow table, whose conversion costs more than a small model's collation.
        # Every process reads every batch, and the collator keeps its share: the batches stay those of one process.
        loader = DataLoader(
            self.rows,
            self.settings.batch_size,
            sampler=self._get_train_sampler(),
            collate_fn=self.data_collator,
        )
        return prepare_data_loader(loader, num_processes=1, process_index=0)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """CE on the response + beta * KL at the anchor + mix * CE on prose, in nats per token of the step."""
        ids, at_response = inputs["input_ids"], self.beta if self.settings.kl_anchor == "response" else 0.0
        # num_items counts the tokens of all processes, and distributed training averages gradients over them.
        processes = self.accelerator.num_processes
        prose_total, prose_ce, prose_kl = torch.zeros(3)
        if self.blocks is not None:
            pick = torch.randint(len(self.blocks), (self.settings.prose_batch,), generator=self.random)
            block, share = self.blocks[pick], 1 / self.current_gradient_accumulation_steps
            mix = self.settings.pretrain_mix
            extra = self._loss(model, block, block, self.beta - at_response, ce_weight=mix)
            # Its gradient is taken at once: what both forward passes keep for it is never alive together.
            self.accelerator.backward(extra.total * share)
            prose_total, prose_ce, prose_kl = (part.detach() * share for part in extra)
        loss = self._loss(model, ids, inputs["labels"], at_response, num_items=num_items_in_batch)
        total, kl = loss.total * processes + prose_total, loss.kl + prose_kl / processes
        prose_ce = prose_ce / processes
        learned = (inputs["labels"][:, 1:] != IGNORE).sum()
        self.sums += torch.stack([loss.ce, kl, prose_ce, inputs["tokens"], learned])
        return total

    def _loss(self, model, ids: Tensor, labels: Tensor, beta: float, **options) -> SFTLoss:
        ref_hidden = ref_head = None
        if beta:
            ref_hidden = self._reference_states(model, ids, labels[:, 1:] != IGNORE)
            ref_head = None if self.reference is None else self.reference.get_output_embeddings().weight
        with autocast(self.precision):
            hidden = model(input_ids=ids)
        options["grad_dtype"] = self.grad_dtype
        return chunked_sft_loss(hidden, self.head.weight, labels, ref_hidden, ref_head, beta, **options)

    def _reference_states(self, model, ids: Tensor, learned: Tensor) -> Tensor:
        """[N, d]: the reference's hidden states before the N tokens that `learned` [B, T - 1] marks.

        The reference never changes, so the states of a row are the same in every epoch. They are computed when the
        row is first seen and kept: d numbers a token, where its logits would be V.
        """
        keys = []  # a row's tokens as far as it is learned, and how many of them are
        for row, marks in zip(ids, learned, strict=True):
            end = int(marks.nonzero()[-1]) + 2 if marks.any() else 0
            keys.append((row[:end].numpy().tobytes(), int(marks.sum())))
        new = [i for i, key in enumerate(keys) if key not in self.kept]
        fresh = {}
        if new:
            # Its own context: autocast would keep what it casts here, without gradient, for the policy.
            with torch.no_grad(), autocast(self.precision):
                hidden = self._reference(model, ids[new])
            fresh = {keys[i]: states[:-1][learned[i]] for i, states in zip(new, hidden, strict=True)}
        found = torch.cat([fresh[key] if key in fresh else self.kept[key] for key in keys])
        if sum(states.nbytes for states in self.kept.values()) < KEPT_BYTES:
            self.kept |= fresh
        return found

    def _reference(self, model, ids: Tensor) -> Tensor:
        """Hidden states [B, T, d] of the reference; without one, of the model with its adapters off."""
        if self.reference is None:
            with self.accelerator.unwrap_model(model).disable_adapter():
                return model(input_ids=ids)
        return self.reference.base_model(input_ids=ids, use_cache=False).last_hidden_state

    def evaluate_rows(self) -> None:
        """Mean cross-entropy of the evaluation rows per response token, whatever the batches."""
        self.model.eval()
        rows, size = sorted(self.eval_rows, key=lambda row: len(row["input_ids"])), self.settings.batch_size
        total = count = 0
        with torch.no_grad():
            for start in range(0, len(rows), size):
                batch = collate(rows[start : start + size], self.pad_id)
                total += self._loss(
                    self.model, batch["input_ids"], batch["labels"], 0.0, num_items=1
                ).ce.item()
                count += int((batch["labels"][:, 1:] != IGNORE).sum())
        self.evaluations.append({"step": self.state.global_step, "loss": total / count})

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" not in logs:
            return  # the library's closing summary
        step, last = self.state.global_step, self.history[-1]["step"] if self.history else 0
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"The loss is {logs['loss']} at step {step}, with learning rate {logs['learning_rate']:g}. "
                "Lower the learning rate, add warm-up, or clip gradients (max_grad_norm)."
            )
        *means, tokens, learned = self.accelerator.reduce(self.sums).tolist()
        self.sums.zero_()
        self.tokens += int(tokens)
        self.response_tokens += int(learned)
        ce, kl, prose_ce = (value / (step - last) for value in means)
        row = {"step": step, "loss": logs["loss"], "ce": ce, "kl": kl, "prose_ce": prose_ce}
        row |= {"grad_norm": logs["grad_norm"], "learning_rate": logs["learning_rate"]}
        self.history.append(row | {"tokens": self.tokens, "seconds": self.watch.seconds})
        rate = self.tokens / self.watch.seconds
        self.show(f"step {step}/{self.state.max_steps}  loss {row['loss']:.3f}  {rate:,.0f} tokens/s")


class _Follow(TrainerCallback):
    """Evaluates before the first and after every epoch."""

    def __init__(self, trainer: ResponseTrainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **_):
        self._evaluate()

    def on_epoch_end(self, args, state, control, **_):
        self._evaluate()

    def on_train_end(self, args, state, control, **_):
        self.trainer.show("")

    def _evaluate(self) -> None:
        if self.trainer.eval_rows:
            self.trainer.evaluate_rows()


def _arguments(settings: SFTSettings, folder: str) -> SFTConfig:
    schedule = "constant_with_warmup" if settings.schedule == "constant" else settings.schedule
    return SFTConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,  # autocast is ours: the library's wrapper would stay on the model
        activation_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
        ddp_find_unused_parameters=False,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=settings.warmup,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        max_grad_norm=settings.max_grad_norm,
        weight_decay=settings.weight_decay,
        optim="adamw_torch_fused",
        seed=settings.seed,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


def _frozen_copy(model: PreTrainedModel, precision: str) -> PreTrainedModel:
    """A reference that never changes. With bf16 its trunk's matrices are rounded here, once, as autocast would round
    them at every step: the same numbers for less time and memory.
    """
    reference = fresh_copy(model).requires_grad_(False)
    if precision == "bf16":
        for module in reference.base_model.modules():
            if isinstance(module, (nn.Linear, Conv1D)):
                module.to(torch.bfloat16)
    return reference


def _base(model: nn.Module) -> PreTrainedModel:
    return model.get_base_model() if isinstance(model, PeftModel) else model


@contextmanager
def _handed_back_clean(model: nn.Module) -> Iterator[None]:
    """Undo what a trainer leaves on a model: a patched forward, changed configs, gradients, training mode.

    A leftover forward would tie every later copy of the model to this one.
    """
    base = _base(model)
    attributes, configs = (
        set(vars(base)),
        copy.deepcopy((base.config.__dict__, base.generation_config.__dict__)),
    )
    try:
        yield
    finally:
        for name in set(vars(base)) - attributes | {"forward"}:
            vars(base).pop(name, None)
        for config, before in zip((base.config, base.generation_config), configs, strict=True):
            config.__dict__.update(before)
        base.config.use_cache = True
        model.zero_grad(set_to_none=True)
        model.eval()
