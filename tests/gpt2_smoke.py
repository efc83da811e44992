"""All seven stages in the gpt2 profile, offline and shortened: `python -m tests.gpt2_smoke FOLDER`.

The lab's rows written as files in Alpaca's and HH-RLHF's formats, and a tiny model with random weights as base and as LLM
judge, stand in for what the profile would download. It shows that every notebook runs on data whose truth nobody
knows, on a base that knows nothing, under a judge that is a language model. About four minutes on two cores.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from src.runtime import Stopwatch
from src.schema import NOTEBOOKS
from src.workspace import ROOT
from tests.smoke import overrides_of

ROWS, PAIRS = 1200, 1000


def make_inputs(folder: Path) -> dict[str, str]:
    """Write base, rows and pairs into `folder`; the overrides that name them."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from src.data import load_instructions, load_preferences
    from src.models import load_tokenizer, save_model

    torch.manual_seed(0)
    tokenizer = load_tokenizer(ROOT / "models" / "lab-gpt2")
    shape = GPT2Config(vocab_size=len(tokenizer), n_layer=2, n_embd=64, n_head=2)
    save_model(GPT2LMHeadModel(shape), tokenizer, folder / "base")
    rows = load_instructions("lab", ROWS).to_list()
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    pairs = load_preferences("lab", PAIRS).to_list()
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    return {
        "base_model": str(folder / "base"),
        "judge": str(folder / "base"),
        "instruction_data": str(folder / "rows.json"),
        "preference_data": str(folder / "pairs.jsonl"),
    }


def main(folder: Path) -> int:
    """Run the stages one after the other; 1 and its output when one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [f"{key}={value}" for key, value in make_inputs(folder).items()]
    environment = os.environ | {"COURSE_OUTPUTS": str(folder / "outputs"), "HF_HUB_OFFLINE": "1"}
    for number in NOTEBOOKS:
        command = [sys.executable, "-m", "src.run", number, "--profile", "gpt2"]
        for text in [*inputs, *overrides_of(number)]:
            command += ["--set", text]
        watch = Stopwatch()
        done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
        print(f"gpt2 profile, shortened, stage {number}: {watch.seconds:.0f} s", flush=True)
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-2000:])
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
