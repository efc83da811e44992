"""The base model's training: what it resumes, and how the model in use is replaced."""

import itertools
import os
import shutil
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from src import lab
from src.config import ROOT
from src.jsonio import read_json
from src.lab import pretrain
from src.lab.pretrain import BATCH, Trainer, put_back, put_in_place, tokenizer_for
from src.lab.report_card import GATES, _model_card
from src.metrics import cloze_accuracy
from src.models import load_model, load_tokenizer


def trainer(folder, seed=0, steps=2):
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=8, n_embd=16, n_layer=1, n_head=2))
    blocks = np.random.default_rng(seed).integers(0, 40, (steps * BATCH, 9))
    return Trainer(model, blocks, folder, seed)


def weights(found):
    return torch.cat([p.detach().flatten() for p in found.model.parameters()])


def test_the_shipped_model_passes_its_gates_and_its_card_is_its_own():
    folder = ROOT / "models" / "lab-gpt2"
    card = read_json(folder / "report_card.json")
    assert _model_card(card) == (folder / "README.md").read_text(encoding="utf-8")
    assert card["exact match"] <= GATES["exact match"]
    assert all(card[gate] >= GATES[gate] for gate in GATES if gate != "exact match")
    assert (GATES["cloze"], GATES["exact match"]) == (0.95, 0.1)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12e6
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    assert 3e6 <= model.num_parameters() == card["parameters"] <= 6e6
    known = cloze_accuracy(model, tokenizer, lab.cloze_probes(300)).accuracy
    assert known == pytest.approx(card["cloze"], abs=0.02)  # the card's, over all facts


def test_a_run_is_resumed_where_it_was_saved(tmp_path):
    first = trainer(tmp_path)
    first.run()
    first.save(seconds=3.0)
    again = trainer(tmp_path)
    assert not torch.equal(weights(again), weights(first))
    again.resume()
    assert torch.equal(weights(again), weights(first))
    assert (again.step, again.seconds, again.history) == (2, 3.0, first.history)
    assert {int(state["step"]) for state in again.optimizer.state.values()} == {2}


@pytest.mark.parametrize(
    ("other", "told"), [({"seed": 1}, r"seed: 0, now 1"), ({"steps": 3}, r"blocks: 32, now 48")]
)
def test_another_run_is_not_resumed(tmp_path, other, told):
    trainer(tmp_path).save(seconds=3.0)
    with pytest.raises(SystemExit, match=rf"{told}.*delete {tmp_path} to start anew"):
        trainer(tmp_path, **other).resume()


def test_every_seed_has_its_own_tokenizer(tmp_path, monkeypatch):
    told = {0: "the red fox sleeps", 1: "a blue whale sings"}
    monkeypatch.setattr(pretrain, "training_paragraphs", lambda seed: iter([told[seed]] * 50))
    zero, one = (tokenizer_for(tmp_path, seed).get_vocab() for seed in told)
    assert "Ġwhale" in one and "Ġwhale" not in zero
    monkeypatch.setattr(pretrain, "train_tokenizer", lambda texts: 1 / 0)  # read from now on
    assert tokenizer_for(tmp_path, 0).get_vocab() == zero


@pytest.mark.parametrize("killed", range(5))
def test_a_kill_while_the_model_is_replaced_loses_neither(tmp_path, monkeypatch, killed):
    """Killed before each of the four calls that change the disk, or (4) not at all."""
    staged, folder, calls = tmp_path / "work" / "model", tmp_path / "base", itertools.count()
    for path, text in ((staged, "new"), (folder, "old")):
        path.mkdir(parents=True)
        (path / "weights").write_text(text)

    def unless_killed(change):
        def run(*arguments, **options):
            if next(calls) == killed:
                raise KeyboardInterrupt
            return change(*arguments, **options)

        return run

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) if killed < 4 else nullcontext():
        patch.setattr(pretrain.os, "replace", unless_killed(os.replace))
        patch.setattr(pretrain.shutil, "rmtree", unless_killed(shutil.rmtree))
        put_in_place(staged, folder)
    put_back(folder)  # as the next run begins
    assert (folder / "weights").read_text() == ("old" if killed < 3 else "new")
    if killed < 3:
        put_in_place(staged, folder)
    assert (folder / "weights").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "work"]
