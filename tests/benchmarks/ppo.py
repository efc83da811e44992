"""How long is a PPO step at GPT-2's size, where does the time go, and how much memory does it take?

    python -m tests.benchmarks.ppo --data hh_rlhf.jsonl.gz --steps 3 --tokenizer models/gpt2

GPT-2-124M's shape with random weights and the settings of notebook 07's gpt2 profile: 16 prompts of real HH dialogues, 48 new
tokens, three networks (policy, reference, reward model; a fourth with `--set ppo.critic=reward`). Random weights hardly
ever say EOS, so every answer has the full length: the dearest case. TRL has no PPO to compare with. Run by hand; nothing is
asserted. `--set ppo.batch_size=4` and the like change a setting of the notebook.
"""

import argparse
import statistics
import time

from src.headless import table
from tests.benchmarks import common
from tests.benchmarks.common import Line, Runs

VARIANTS = ("ours",)
SECONDS, MEMORY = 12, 6  # targets for 16 prompts of 48 new tokens: seconds a step, GB
PHASES = ("rollout", "score", "forward", "update")


def main(arguments: list[str] | None = None) -> list[Line]:
    parser = common.make_parser(__doc__, VARIANTS)
    parser.add_argument("--data", required=True, type=common.existing, help="HH-format .jsonl or .jsonl.gz")
    parser.add_argument("--steps", type=common.positive, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return common.benchmark("ppo", parser, run, report, summary, arguments)


def report(runs: Runs) -> str:
    best, peak = common.fastest(runs)["ours"], common.peaks(runs)
    rows = [("step", "seconds", *PHASES, "prompt tokens", "response tokens")]
    for number, step in enumerate(best["steps"], start=1):
        times = [f"{step[key]:.2f}" for key in ("seconds", *PHASES)]
        rows.append((str(number), *times, str(step["prompt_tokens"]), str(step["response_tokens"])))
    means = [f"{statistics.mean(step[key] for step in best['steps']):.2f}" for key in ("seconds", *PHASES)]
    rows.append(("mean", *means, "", ""))
    return (
        f"\nmatmul peak: fp32 {peak['fp32']:.2f}, bf16 {peak['bf16']:.2f} TFLOP/s ({best['threads']} threads); "
        f"precision {best['precision']}\n{table(rows)}\n"
        f"{best['seconds']:.2f} s a step, {common.share(best, runs):.1%} of the peak; "
        f"peak memory {best['memory'] / 1000:.2f} GB"
    )


def summary(runs: Runs) -> list[Line]:
    best = common.fastest(runs)["ours"]
    memory = max(run["memory"] for run in runs["ours"])
    goals = [
        common.at_most(best["seconds"], SECONDS, "s"),
        common.at_most(memory / 1000, MEMORY, "GB"),
    ]
    work = f"PPO step, {best['batch']} prompts × {best['new_tokens']} tokens"
    peak = max(common.peaks(runs).values())
    return [Line(work, best["seconds"], common.share(best, runs), memory, goals=goals, peak=peak)]


def run(name: str, options: argparse.Namespace) -> dict:
    """`--steps` steps; `seconds` and `flops` are means a step."""
    from dataclasses import asdict

    from src.config import load_config
    from src.models import fresh_copy, load_tokenizer
    from src.ppo import PPOConfig, PPOTrainer
    from src.reward_model import GPT2RewardModel, reward_function
    from src.runtime import resolve_precision
    from src.templates import encode_prompt

    cfg = load_config("07", profile="gpt2", overrides=options.set)
    tokenizer = load_tokenizer(options.tokenizer)
    pairs = common.preferences(options.data)
    prompts = list(dict.fromkeys(pair["prompt"] for pair in pairs))[: cfg.ppo.prompts]
    policy = common.gpt2(name)
    reference = fresh_copy(policy).requires_grad_(False)
    reward = GPT2RewardModel(
        policy, logprob_features=cfg.reward.logprob_features, max_length=cfg.reward.max_length
    )
    recipe = asdict(cfg.ppo)
    for other in ("prompts", "measure_every"):
        recipe.pop(other)
    config = PPOConfig(
        **recipe | {"steps": options.steps},
        precision=cfg.precision,
    )
    steps, drawn = [], []
    score = reward_function(reward, tokenizer, precision=cfg.precision)

    def scored(asked, answers, ended):
        drawn.append(asked)
        return score(asked, answers, ended)

    def stamp(trainer, row):
        times.append(time.perf_counter())
        phases = {phase: row[f"seconds_{phase}"] for phase in PHASES}
        asked = sum(len(encode_prompt(tokenizer, prompt)) for prompt in drawn[-1])
        said = round(row["response_length"] * config.batch_size)
        seconds = times[-1] - times[-2]
        steps.append({"seconds": seconds, **phases, "prompt_tokens": asked, "response_tokens": said})
        times[-1] = time.perf_counter()  # what this function took is not part of the next step

    trainer = PPOTrainer(
        policy,
        reference,
        scored,
        tokenizer,
        prompts,
        config,
        critic=reward if config.critic == "reward" else None,
    )
    times = [time.perf_counter()]
    trainer.train(on_step=stamp)
    return {
        "seconds": statistics.mean(step["seconds"] for step in steps),
        "flops": statistics.mean(needed(s["prompt_tokens"], s["response_tokens"], config) for s in steps),
        "steps": steps,
        "batch": config.batch_size,
        "new_tokens": config.max_new_tokens,
        "precision": resolve_precision(cfg.precision),
    }


def needed(prompt_tokens: int, response_tokens: int, config) -> float:
    """Operations of a step: sampling, old and reference pass with head, reward model and own critic without, the updates."""
    tokens, critics = prompt_tokens + response_tokens, int(config.critic == "reward")
    forward = 3 * common.flops(tokens, response_tokens, factor=2) + (1 + critics) * common.flops(
        tokens, factor=2
    )
    return forward + config.num_ppo_epochs * (
        common.flops(tokens, response_tokens) + critics * common.flops(tokens)
    )


if __name__ == "__main__":
    common.start(main)
