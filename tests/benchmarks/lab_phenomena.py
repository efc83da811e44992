"""Are the lab's phenomena real? Three seeds of each, with the bounds they should meet: `python -m tests.benchmarks.lab_phenomena`.

Elicitation (exact match by split after SFT on clean rows), headroom for RLHF, forgetting by narrow high-rate SFT, loops from labels
without EOS, and reward hacking at a low KL coefficient. About ten minutes on two cores; run by hand after a change to the lab or its model.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from src import lab, runtime
from src.data import anchor_prose, examples, preference_examples
from src.generation import generate
from src.lab.instructions import instruction_pool
from src.metrics import cloze_accuracy, exact_match, loops
from src.models import load_model, load_tokenizer
from src.ppo import PPOConfig, PPOTrainer
from src.reward_model import GPT2RewardModel, RewardSettings, reward_function, score, train_reward_model
from src.sft import SFTSettings, train_sft
from src.templates import SINGLE, build_prompt

NARROW = ("opposite", "plural", "past tense")


class Lab:
    """The base model, its tokenizer, and the few measurements that all experiments share."""

    def __init__(self, base: Path, prompts: int):
        self.base, self.prompts = base, prompts
        self.tokenizer = load_tokenizer(base)
        self.probes = lab.cloze_probes()
        self.prose = anchor_prose(1500)
        self.models: dict[int, object] = {}

    def train(self, rows, **settings):
        model = load_model(self.base)
        chosen = SFTSettings(
            **{"batch_size": 32, "warmup": 0.05, "max_length": 160, "precision": "auto", **settings}
        )
        train_sft(
            model,
            self.tokenizer,
            examples(rows, [SINGLE]),
            chosen,
            prose=self.prose,
            progress=lambda text: None,
        )
        return model

    def sft(self, seed: int):
        """The recipe of notebook 06 on clean rows, at a lower rate and an epoch longer: it elicits more of the facts not shown."""
        if seed not in self.models:
            recipe = {"epochs": 4, "learning_rate": 3e-4, "kl_beta": 1.0, "kl_anchor": "prose"}
            self.models[seed] = self.train(instruction_pool(3000, seed, 0.0), seed=seed, **recipe)
        return self.models[seed]

    def cloze(self, model) -> float:
        return cloze_accuracy(model, self.tokenizer, self.probes).accuracy

    def answers(self, model, tasks, temperature=0.0, tokens=32):
        prompts = [build_prompt(t.instruction, t.input) for t in tasks]
        return prompts, generate(
            model, self.tokenizer, prompts, max_new_tokens=tokens, temperature=temperature, seed=1
        )

    def exact(self, model, split: str, kinds: tuple[str, ...]) -> float:
        tasks = lab.evaluation_tasks(split, self.prompts, kinds=kinds)
        _, found = self.answers(model, tasks)
        return float(np.mean([exact_match(g.text, t.answer) for g, t in zip(found, tasks, strict=True)]))

    def gold(self, model, kinds=tuple(lab.KINDS)) -> float:
        tasks = lab.evaluation_tasks("seen", self.prompts, kinds=kinds)
        prompts, found = self.answers(model, tasks, 1.0)
        return float(np.mean([lab.gold_score(p, g.text).total for p, g in zip(prompts, found, strict=True)]))

    def loop_rate(self, model) -> float:
        tasks = lab.evaluation_tasks("new fact", self.prompts)
        # an answer that never ends needs room to run in circles
        _, found = self.answers(model, tasks, tokens=64)
        return float(np.mean([loops(g.text) for g in found]))


def elicitation(world: Lab, seed: int) -> dict[str, float]:
    """SFT on 3,000 clean rows: exact match by split (facts, and the skills apart), and what is left to gain."""
    model = world.sft(seed)
    skills = tuple(kind for kind in lab.EXACT_KINDS if kind not in lab.FACT_KINDS)
    found = {f"exact match, {split}": world.exact(model, split, lab.FACT_KINDS) for split in lab.SPLITS}
    found |= {f"skills (not facts), {split}": world.exact(model, split, skills) for split in lab.SPLITS}
    return found | {
        "cloze after SFT": world.cloze(model),
        "headroom (1 - gold at temperature 1)": 1 - world.gold(model),
    }


def narrow_forgetting(world: Lab, seed: int) -> dict[str, float]:
    """Three task kinds, high learning rate."""
    rows = instruction_pool(200, seed, 0.0, NARROW)
    model = world.train(rows, epochs=10, learning_rate=2e-3, seed=seed)
    return {"cloze lost by narrow high-rate SFT": world.cloze(load_model(world.base)) - world.cloze(model)}


def loops_without_eos(world: Lab, seed: int) -> dict[str, float]:
    """The same run with and without EOS among the labels: 22 rows, seen 18 times at a high rate (as in notebook 05)."""
    rows = instruction_pool(22, seed, 0.0)
    rate = {
        eos: world.loop_rate(
            world.train(rows, epochs=18, learning_rate=3e-3, learn_eos=eos, batch_size=8, seed=seed)
        )
        for eos in (True, False)
    }
    return {"loop rate added by labels without EOS": rate[False] - rate[True]}


def hacking(world: Lab, seed: int) -> dict[str, float]:
    """PPO against the plain reward model with hardly any KL price: change of proxy and of gold on held-out prompts."""
    sft = world.sft(seed)
    pairs = [vars(p) for p in preference_examples(lab.preference_pairs(4000, seed))]
    prompts = list(dict.fromkeys(p["prompt"] for p in pairs))[:1000]
    held_out = list(
        dict.fromkeys(p.prompt for p in preference_examples(lab.preference_pairs(300, seed, True)))
    )[:200]
    reward = GPT2RewardModel(sft, seed=seed)
    settings = RewardSettings(learning_rate=2e-4, max_length=192, seed=seed)
    train_reward_model(reward, world.tokenizer, pairs, settings)

    def measure(model) -> tuple[float, float]:
        texts = [
            g.text
            for g in generate(model, world.tokenizer, held_out, max_new_tokens=24, temperature=1.0, seed=1)
        ]
        gold = np.mean([lab.gold_score(p, t).total for p, t in zip(held_out, texts, strict=True)])
        return float(score(reward, world.tokenizer, held_out, texts).mean()), float(gold)

    policy = load_model(world.base)
    policy.load_state_dict(sft.state_dict())
    reward.fit_normaliser(
        score(
            reward,
            world.tokenizer,
            held_out,
            [
                g.text
                for g in generate(sft, world.tokenizer, held_out, max_new_tokens=24, temperature=1.0, seed=2)
            ],
        )
    )
    before = measure(policy)
    config = PPOConfig(
        steps=60, batch_size=32, mini_batch_size=16, learning_rate=1e-4, kl_coef=0.01, critic="reward", max_new_tokens=24,
        precision="auto", seed=seed,
    )  # fmt: skip
    PPOTrainer(
        policy, sft, reward_function(reward, world.tokenizer), world.tokenizer, prompts, config, critic=reward
    ).train()
    after = measure(policy)
    return {
        "proxy gained by low-KL PPO": after[0] - before[0],
        "gold gained by low-KL PPO": after[1] - before[1],
    }


BOUNDS = {  # measurement -> (at least / at most, bound)
    "exact match, seen": (">=", 0.90),
    "exact match, new phrasing": (">=", 0.80),
    "exact match, new fact": (">=", 0.70),
    "exact match, new both": (">=", 0.50),
    "headroom (1 - gold at temperature 1)": (">=", 0.15),
    "cloze lost by narrow high-rate SFT": (">=", 0.30),
    "loop rate added by labels without EOS": (">=", 0.15),
    "proxy gained by low-KL PPO": (">=", 0.0),
    "gold gained by low-KL PPO": ("<=", 0.0),
}
EXPERIMENTS: dict[str, Callable[[Lab, int], dict[str, float]]] = {
    "elicitation": elicitation,
    "forgetting": narrow_forgetting,
    "loops": loops_without_eos,
    "hacking": hacking,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, default=Path("models/lab-gpt2"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=200, help="evaluation prompts in each split")
    parser.add_argument("--only", choices=EXPERIMENTS, help="one experiment")
    arguments = parser.parse_args()
    runtime.quiet_libraries()
    world = Lab(arguments.base, arguments.prompts)
    for name, experiment in EXPERIMENTS.items():
        if arguments.only in (None, name):
            found = [experiment(world, seed) for seed in range(arguments.seeds)]
            for what in found[0]:
                values = [row[what] for row in found]
                sign, bound = BOUNDS.get(what, ("", None))
                met = "" if bound is None else all(v >= bound if sign == ">=" else v <= bound for v in values)
                shown = " ".join(f"{v:+.3f}" for v in values)
                note = (
                    ""
                    if bound is None
                    else f"  wanted {sign} {bound}: {'met by every seed' if met else 'NOT met by every seed'}"
                )
                print(f"{what:<42} mean {np.mean(values):+.3f}  seeds {shown}{note}", flush=True)


if __name__ == "__main__":
    main()
