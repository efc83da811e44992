"""How fast is `src.sft` against stock `trl.SFTTrainer`?

    python -m tests.benchmarks.sft --data alpaca.json --rows 200 --tokenizer models/gpt2

GPT-2-124M's shape with random weights, the same rows in the same order, the same batch size and learning
rate. Every run is a process of its own, and the variants alternate, so that a busy machine hurts them alike.
Run by hand; nothing is asserted.

  stock       SFTTrainer with its defaults and use_cpu: bf16 autocast, activation checkpointing, dropout 0.1
  stock-best  the same with what its documentation offers on a CPU: no checkpointing, no dropout, bf16 only if
  native ours        src.sft in the same order ours-grouped  src.sft as the notebooks use it: batches of
  similar length (another order, so no curve to compare)
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VARIANTS = ("stock", "stock-best", "ours", "ours-grouped")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="Alpaca-format .json or .jsonl")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--tokenizer", default="models/gpt2", help="folder with GPT-2's tokenizer")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--rounds", type=int, default=1, help="how often every variant runs; the best time counts"
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--profile", action="store_true", help="print where the time goes in `ours`")
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print("RESULT " + json.dumps(run(options.one, options)))
        return

    from src.runtime import malloc_environment

    runs: dict[str, list[dict]] = {name: [] for name in options.variants}
    for number in range(options.rounds):
        for name in options.variants:
            print(f"round {number + 1}/{options.rounds}: {name} …", file=sys.stderr, flush=True)
            extra = {} if name == "stock" else malloc_environment()
            command = [sys.executable, "-m", "tests.benchmarks.sft", *sys.argv[1:], "--one", name]
            done = subprocess.run(
                command, check=False, env=os.environ | extra, capture_output=True, text=True
            )
            results = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            if not results:
                sys.exit(f"{name} failed:\n{done.stdout}\n{done.stderr}")
            print("\n".join(line for line in done.stdout.splitlines() if line not in results), end="")
            runs[name].append(json.loads(results[-1][7:]))
    report(runs)


def report(runs: dict[str, list[dict]]) -> None:
    """The table, ratios to stock, and how far the loss curves are apart."""
    best = {name: min(several, key=lambda run: run["seconds"]) for name, several in runs.items()}
    peak = {kind: max(run[kind] for several in runs.values() for run in several) for kind in ("fp32", "bf16")}
    threads = next(iter(best.values()))["threads"]
    print(f"\nmatmul peak: fp32 {peak['fp32']:.2f}, bf16 {peak['bf16']:.2f} TFLOP/s ({threads} threads)")
    print(f"{'':14}{'seconds':>9}{'samples/s':>11}{'tokens/s':>10}{'of peak':>9}{'peak MB':>9}{'× stock':>9}")
    for name, run in best.items():
        seconds = run["seconds"]
        rate = run["flops"] / seconds / 1e12
        ratio = f"{best['stock']['seconds'] / seconds:.2f}" if "stock" in best else "-"
        print(
            f"{name:14}{seconds:9.1f}{run['rows'] / seconds:11.2f}{run['tokens'] / seconds:10.0f}"
            f"{rate / max(peak.values()):9.1%}{run['memory']:9.0f}{ratio:>9}"
        )
    for name in ("stock", "stock-best"):
        if name in best and "ours" in best:
            theirs, ours = best[name]["losses"], best["ours"]["losses"]
            gaps = [abs(a - b) for a, b in zip(theirs, ours, strict=True)]
            print(
                f"loss curves, ours against {name}: mean difference {statistics.mean(gaps):.4f}, "
                f"largest {max(gaps):.4f}, last {theirs[-1]:.4f} and {ours[-1]:.4f}"
            )


def run(name: str, options: argparse.Namespace) -> dict:
    """One epoch of one variant in this process."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from src.models import load_tokenizer
    from src.runtime import peak_memory_mb, quiet_libraries
    from src.sft import GroupedSampler, SFTSettings, encode_rows
    from src.templates import IGNORE, build_prompt

    quiet_libraries()
    tokenizer = load_tokenizer(options.tokenizer)
    records = [row for row in read(options.data) if row["output"].strip()][: options.rows]
    examples = [(build_prompt(row["instruction"], row["input"]), row["output"]) for row in records]
    settings = SFTSettings(
        batch_size=options.batch, max_length=1024, schedule="linear", group_by_length=name == "ours-grouped"
    )
    rows, _ = encode_rows(tokenizer, examples, settings)
    torch.manual_seed(0)
    config = GPT2Config()
    if name != "stock":
        config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    if name.startswith("ours"):
        config.activation_function = "gelu_pytorch_tanh"
    model = GPT2LMHeadModel(config)
    result = {"threads": torch.get_num_threads()} | matmul_peaks()
    if name.startswith("ours"):
        seconds, losses = run_ours(model, tokenizer, examples, settings, options.profile)
    else:
        order = list(GroupedSampler([len(row["input_ids"]) for row in rows], options.batch, 0, grouped=False))
        seconds, losses = run_stock(
            model, tokenizer, [rows[i] for i in order], options.batch, name == "stock-best"
        )
    tokens = sum(len(row["input_ids"]) for row in rows)
    responses = sum(x != IGNORE for row in rows for x in row["labels"])
    head = model.lm_head.weight.numel()
    trunk = sum(p.numel() for p in model.transformer.h.parameters())
    return result | {
        "seconds": seconds,
        "losses": losses,
        "rows": len(rows),
        "tokens": tokens,
        "flops": 6 * (trunk * tokens + head * responses),  # what the task needs, whatever a variant spends
        "memory": peak_memory_mb(),
    }


def run_ours(model, tokenizer, examples, settings, profiled: bool) -> tuple[float, list[float]]:
    from torch.profiler import ProfilerActivity, profile

    from src.sft import train_sft

    if not profiled:
        result = train_sft(model, tokenizer, examples, settings)
    else:
        with profile(activities=[ProfilerActivity.CPU]) as trace:
            result = train_sft(model, tokenizer, examples, settings)
        print(
            trace.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=48)
        )
    return result.seconds, [row["loss"] for row in result.history]


def run_stock(model, tokenizer, rows, batch: int, best: bool) -> tuple[float, list[float]]:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from src.runtime import native_bf16

    tuned = {"activation_checkpointing": False, "bf16": native_bf16()} if best else {}
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            use_cpu=True,
            num_train_epochs=1,
            per_device_train_batch_size=batch,
            train_sampling_strategy="sequential",
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            report_to="none",
            seed=0,
            **tuned,
        )
        data = Dataset.from_list(rows)
        trainer = SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
        started = time.perf_counter()
        trainer.train()
    return time.perf_counter() - started, [row["loss"] for row in trainer.state.log_history if "loss" in row]


def read(path: str) -> list[dict]:
    text = Path(path).read_text(encoding="utf-8")
    return (
        json.loads(text)
        if text.lstrip().startswith("[")
        else [json.loads(line) for line in text.splitlines() if line]
    )


def matmul_peaks() -> dict[str, float]:
    """TFLOP/s of a product of GPT-2's size in fp32 and bf16: the best of a few."""
    import torch

    peaks = {}
    for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = torch.randn(1024, 768).to(dtype), torch.randn(768, 3072).to(dtype)
        times = []
        for _ in range(12):
            started = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - started)
        peaks[kind] = 2 * 1024 * 768 * 3072 / min(times) / 1e12
    return peaks


if __name__ == "__main__":
    main()
