"""Check the numbers of a whole lab run: `python -m tests.check_run OUTPUTS`. Exits 1 and says which check failed.

`.ci/run` calls it after a run into a scratch folder. The bounds are loose enough for another machine and one seed, and tight
enough that a stage that trains nothing, or trains the wrong thing, fails.
"""

import sys

import numpy as np

from src.config import load_config
from src.evaluation import values
from src.jsonio import JSONFileError, read_json
from src.workspace import STAGES, Workspace


def checks(workspace: Workspace) -> list[tuple[str, bool, str]]:
    """(what must hold, whether it does, what was found) for every check."""
    metrics = {s.name: read_json(workspace.folder(s.name) / "metrics.json") for s in STAGES.values()}

    def mean(stage: str, measure: str, split: str | None = None) -> float:
        return float(np.mean([values(run, measure, split).mean() for run in metrics[stage]["evaluation"]]))

    base = metrics["evaluation"]["base"]
    rows = []
    for status in workspace.status({number: load_config(number) for number in STAGES}):
        rows.append(
            (f"{status.stage.name} is fresh", status.state == "fresh", f"{status.state} {status.reason}")
        )
    known, kept = float(values(base, "cloze").mean()), mean("improved_training", "cloze")
    seen = mean("improved_training", "exact", "seen")
    rows += [
        ("the base knows the lab's facts", known >= 0.90, f"cloze {known:.3f}"),
        ("stage 6 follows seen instructions", seen >= 0.6, f"exact match {seen:.3f}"),
        ("stage 6 keeps the base's knowledge", kept >= known - 0.15, f"cloze {kept:.3f} of {known:.3f}"),
    ]
    for stage in ("stage1_sft", "stage2_instruction", "stage3_lora"):
        gain = mean(stage, "exact") - float(values(base, "exact").mean())
        rows.append((f"{stage} follows more than the base", gain > 0, f"exact match {gain:+.3f}"))
    grid = metrics["analysis"]["grid"]
    spread = np.ptp([run["exact"]["value"] for run in grid])
    drift = np.mean([np.mean(kl) for kl in metrics["analysis"]["kl"].values()])
    right = metrics["rlhf_training"]["accuracy, true labels"]["with log p"]["low"]
    first, *_, last = metrics["rlhf_training"]["ppo"]["recommended"][0]["points"]
    rows += [
        ("the sweep of stage 5 makes a difference", spread > 0.1, f"exact match spans {spread:.3f}"),
        ("its runs leave the base", drift > 0.1, f"{drift:.3f} nats"),
        ("the reward model tells right from wrong", right > 0.7, f"accuracy at least {right:.3f}"),
        ("PPO leaves the SFT model", 0.02 < last["kl"] < 2, f"{last['kl']:.3f} nats"),
        (
            "PPO raises the learned reward",
            last["proxy"] > first["proxy"] + 0.05,
            f"{first['proxy']:.3f} → {last['proxy']:.3f}",
        ),
    ]
    return rows


def main() -> int:
    workspace = Workspace("lab", sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        found = checks(workspace)
    except JSONFileError as err:
        print(f"FAIL  a stage has no result: {err}")
        return 1
    for what, holds, value in found:
        print(f"{'ok  ' if holds else 'FAIL'}  {what}: {value}")
    failed = sum(not holds for _, holds, _ in found)
    print(f"{len(found) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
