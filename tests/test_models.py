"""Models: loading, saving, copying, LoRA, and one clear error for each way a folder can be broken."""

import errno
import json
import os
import shutil
import time

import pytest
import torch
from peft import PeftModel
from safetensors import SafetensorError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from src import fingerprint
from src import models as subject
from src.models import (
    ModelError,
    attach_lora,
    count_parameters,
    fresh_copy,
    load_model,
    load_tokenizer,
    merge_lora,
    save_model,
)

WORDS = ["<|endoftext|>", *(f"w{i}" for i in range(39))]


def set_root(monkeypatch, folder):
    """The project's root as the finder of models and the writer of adapters see it."""
    for module in (subject, fingerprint):
        monkeypatch.setattr(module, "ROOT", folder)


def make_tokenizer(words=WORDS):
    table = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[0]))
    table.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=table, eos_token=words[0])


def make_gpt2(vocabulary=40):
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=32, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return GPT2LMHeadModel(config).eval()


@pytest.fixture
def folder(tmp_path):
    return save_model(make_gpt2(), make_tokenizer(), tmp_path / "stage")


@pytest.fixture
def ids():
    return torch.randint(1, len(WORDS), (2, 9), generator=torch.Generator().manual_seed(0))


def randomise_adapters(model):
    """Give the adapters the weights training would: B starts at zero."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3


# --- Loading and saving


def test_saved_and_loaded_model_computes_the_same(folder, ids):
    original, loaded = make_gpt2(), load_model(folder)
    assert original.config.activation_function == "gelu_new"
    torch.testing.assert_close(loaded(ids).logits, original(ids).logits, atol=1e-5, rtol=0)
    assert {p.name for p in folder.iterdir()} >= {"model.safetensors", "config.json", "tokenizer.json"}


def test_loaded_model_is_in_the_agreed_state(folder, ids):
    model = load_model(folder)
    assert not model.training and model.config.use_cache
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.config.activation_function == "gelu_pytorch_tanh"
    model.train()  # dropout must be gone, not only asleep
    assert torch.equal(model(ids).logits, model(ids).logits)


def test_saving_is_fp32_and_replaces_the_old_folder_as_a_whole(folder, ids):
    (folder / "left_over.txt").write_text("old")
    halved = make_gpt2().bfloat16()
    save_model(halved, make_tokenizer(), folder)
    assert not (folder / "left_over.txt").exists()
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert {p.dtype for p in load_model(folder).parameters()} == {torch.float32}
    assert halved.dtype == torch.bfloat16


def test_a_failed_save_leaves_the_old_model(folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()
    tokenizer = make_tokenizer()
    monkeypatch.setattr(tokenizer, "save_pretrained", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_model(make_gpt2(), tokenizer, folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_failed_rename_puts_the_old_model_back(folder, monkeypatch):
    before, rename, calls = (folder / "model.safetensors").read_bytes(), os.replace, []

    def second_fails(old, new):
        calls.append(new)
        if len(calls) == 2:
            raise OSError(errno.EACCES, "Permission denied")
        rename(old, new)

    monkeypatch.setattr("src.models.os.replace", second_fails)
    with pytest.raises(OSError, match="Permission denied"):
        save_model(make_gpt2(), make_tokenizer(), folder)
    assert (folder / "model.safetensors").read_bytes() == before and len(calls) == 3
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


FULL = {  # what Python and safetensors say of a full disk
    "python": OSError(errno.ENOSPC, "No space left on device"),
    "safetensors": SafetensorError(
        "Error while serializing: I/O error: No space left on device (os error 28)"
    ),
}


@pytest.mark.parametrize("library", FULL)
def test_a_full_disk_is_named_and_leaves_the_old_model(folder, monkeypatch, library):
    before = (folder / "model.safetensors").read_bytes()
    model = make_gpt2()

    def write(target):
        (target / "model.safetensors").write_bytes(before[:100])
        raise FULL[library]

    monkeypatch.setattr(model, "save_pretrained", write)
    with pytest.raises(
        OSError, match="No space left on device: .*stage was not written.*untouched.*Free some"
    ) as caught:
        save_model(model, make_tokenizer(), folder)
    assert caught.value.errno == errno.ENOSPC
    assert (folder / "model.safetensors").read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_tokenizer_gets_a_pad_token_and_keeps_its_eos(folder):
    tokenizer = load_tokenizer(folder)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 0
    assert tokenizer.padding_side == "right"


def test_bare_gpt2_tokenizer_files_are_enough(tmp_path):
    letters = {c: i for i, c in enumerate(["<|endoftext|>", "a", "b", "ab"])}
    (tmp_path / "vocab.json").write_text(json.dumps(letters))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    assert load_tokenizer(tmp_path)("abb")["input_ids"] == [3, 2]


# --- What can go wrong


def test_missing_folder():
    with pytest.raises(ModelError, match="No model folder 'outputs/lab/nothing/model'.*run that stage first"):
        load_model("outputs/lab/nothing/model")


@pytest.mark.parametrize("damage", ["truncated", "garbage", "no weights", "broken config"])
def test_broken_folders(folder, damage):
    weights = folder / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "garbage":
        weights.write_bytes(b"not a model")
    elif damage == "no weights":
        weights.unlink()
    else:
        (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="Cannot load the model in .*stage.*re-run its stage"):
        load_model(folder)


def test_missing_weights_are_not_made_up(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_layer": 3}))
    with pytest.raises(ModelError, match=r"lacks 12 weights of the model, for instance 'transformer\.h\.2"):
        load_model(folder)


@pytest.mark.parametrize("words", [[*WORDS, "one more"], ["<|endoftext|>", *(f"x{i}" for i in range(2000))]])
def test_foreign_tokenizer(folder, words):
    make_tokenizer(words).save_pretrained(folder)
    with pytest.raises(ModelError, match=f"the tokenizer has {len(words)} tokens but the model has 40"):
        load_model(folder)


def test_far_too_small_tokenizer(tmp_path):
    with pytest.raises(ModelError, match="the tokenizer has 40 tokens but the model has 2000"):
        load_model(save_model(make_gpt2(2000), make_tokenizer(), tmp_path / "big"))


def test_foreign_tokenizer_in_an_adapter_folder(tmp_path):
    base = save_model(make_gpt2(), make_tokenizer(), tmp_path / "base")
    words = [*WORDS, "one more"]
    stage = save_model(attach_lora(load_model(base)), make_tokenizer(words), tmp_path / "lora")
    with pytest.raises(ModelError, match=f"lora.*the tokenizer has {len(words)} tokens but the model has 40"):
        load_model(stage)


def test_damaged_adapter(tmp_path):
    base = save_model(make_gpt2(), make_tokenizer(), tmp_path / "base")
    weights = save_model(attach_lora(load_model(base)), make_tokenizer(), tmp_path / "lora")
    weights = weights / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ModelError, match="Cannot load the model in .*lora.*re-run its stage"):
        load_model(tmp_path / "lora")


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_damaged_tokenizer(folder, file):
    (folder / file).write_text((folder / file).read_text()[:40])
    for load in (load_tokenizer, load_model):
        with pytest.raises(ModelError, match="No usable tokenizer in .*stage.*Copy the tokenizer files"):
            load(folder)


def test_tokenizer_without_eos(folder):
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in config.items() if k not in ("eos_token", "pad_token")}))
    with pytest.raises(ModelError, match="has no EOS token"):
        load_tokenizer(folder)


@pytest.mark.parametrize("name", ["openai-community/gpt2", "models/gpt2"])
def test_unreachable_hub_names_three_ways_out_at_once(monkeypatch, tmp_path, name):
    set_root(monkeypatch, tmp_path)
    monkeypatch.setattr(subject, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        load_model(name)
    assert time.monotonic() - started < 10
    for way in ("models/gpt2", "lab profile", "hf download openai-community/gpt2 --local-dir models/gpt2"):
        assert way in str(caught.value)


@pytest.mark.parametrize("load", [load_model, load_tokenizer])
def test_a_name_that_the_hub_does_not_have_is_no_damaged_folder(monkeypatch, tmp_path, load):
    """The Hub answers, the download fails: a typo in the name, a private model, a proxy in between."""
    set_root(monkeypatch, tmp_path)
    monkeypatch.setattr(subject, "hub_problem", lambda: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="Cannot load 'nobody/nothing': .*\\n.*models/nothing") as caught:
        load("nobody/nothing")
    for way in ("put a copy into models/nothing", "lab profile", "hf download nobody/nothing"):
        assert way in str(caught.value)
    assert "damaged" not in str(caught.value)


def test_a_downloaded_copy_is_found_under_its_hub_name(monkeypatch, tmp_path, folder):
    set_root(monkeypatch, tmp_path)
    shutil.copytree(folder, tmp_path / "models" / "gpt2")
    assert subject.find_model("openai-community/gpt2") == str(tmp_path / "models" / "gpt2")
    assert subject.find_model("models/gpt2") == str(tmp_path / "models" / "gpt2")


@pytest.mark.parametrize("name", ["my gpt2", "C:\\models\\gpt2", "models\\gpt2"])
def test_a_name_that_the_hub_would_not_take_is_one_clear_error(monkeypatch, tmp_path, name):
    set_root(monkeypatch, tmp_path)
    with pytest.raises(ModelError, match="No model folder .*no such name"):
        load_model(name)


def test_what_the_finder_finds_is_what_the_fingerprint_hashes(monkeypatch, tmp_path, folder):
    """A base in the home folder, or of any owner in models/, is known by its weights, not by its name."""
    set_root(monkeypatch, tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for name, place in (("nobody/small", "models/small"), ("~/small", "home/small")):
        before = fingerprint.base_model_hash(name)
        shutil.copytree(folder, tmp_path / place)
        assert subject.find_model(name) == str(fingerprint.base_model_source(name)) == str(tmp_path / place)
        assert fingerprint.base_model_hash(name) != before
    assert fingerprint.base_model_source("outputs/small") == "outputs/small"  # not models/small


# --- Copies


def test_fresh_copy_is_independent_even_of_a_patched_model(ids):
    model = make_gpt2()
    inner = model.forward
    model.forward = lambda *args, **kwargs: inner(*args, **kwargs)
    twin = fresh_copy(model)
    before = twin(ids).logits
    assert torch.equal(before, model(ids).logits)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    assert torch.equal(twin(ids).logits, before)
    assert "forward" in vars(model)  # the original keeps what it had
    assert twin.lm_head.weight is twin.transformer.wte.weight and not twin.training


# --- LoRA


def test_fresh_lora_changes_nothing(ids):
    wanted = make_gpt2()(ids).logits
    model = attach_lora(make_gpt2(), r=4, alpha=8)
    assert torch.equal(model(ids).logits, wanted)


def test_lora_finds_its_targets():
    gpt2 = attach_lora(make_gpt2())
    assert gpt2.peft_config["default"].fan_in_fan_out
    hit = {
        name.split(".lora_A")[0].split("h.0.")[-1]
        for name, _ in gpt2.named_parameters()
        if "h.0." in name and "lora_A" in name
    }
    assert hit == {"attn.c_attn", "attn.c_proj", "mlp.c_proj"}
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=40,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    llama = attach_lora(llama)
    assert not llama.peft_config["default"].fan_in_fan_out
    assert sum("lora_A" in name for name, _ in llama.named_parameters()) == 4


def test_lora_with_unknown_target():
    with pytest.raises(ModelError, match="No layer of GPT2LMHeadModel is called q_projection"):
        attach_lora(make_gpt2(), target_modules=["q_projection"])


def test_parameter_count():
    r, d = 4, 32
    model = attach_lora(make_gpt2(), r=r)
    adapters = 2 * r * ((d + 3 * d) + (d + d) + (4 * d + d))
    count = count_parameters(model)
    assert count.trainable == adapters
    assert count.total == count_parameters(make_gpt2()).total + adapters
    assert count.percent == pytest.approx(100 * adapters / count.total)


def test_merged_equals_unmerged_and_leaves_the_adapters_alone(ids):
    model = attach_lora(make_gpt2(), r=4)
    randomise_adapters(model)
    wanted = model(ids).logits
    assert (wanted - make_gpt2()(ids).logits).abs().max() > 0.01
    merged = merge_lora(model)
    assert type(merged) is GPT2LMHeadModel and all(p.requires_grad for p in merged.parameters())
    torch.testing.assert_close(merged(ids).logits, wanted, atol=1e-5, rtol=0)
    assert torch.equal(model(ids).logits, wanted)
    with model.disable_adapter():
        torch.testing.assert_close(model(ids).logits, make_gpt2()(ids).logits, atol=1e-6, rtol=0)


def test_adapter_folder_loads_on_its_base_wherever_the_project_is(monkeypatch, tmp_path, ids):
    set_root(monkeypatch, tmp_path / "here")
    save_model(make_gpt2(), make_tokenizer(), tmp_path / "here" / "models" / "base")
    model = attach_lora(load_model("models/base"), r=4)
    randomise_adapters(model)
    stage = save_model(model, make_tokenizer(), tmp_path / "here" / "outputs" / "lora")
    names = {p.name for p in stage.iterdir()}
    assert "adapter_model.safetensors" in names and not names & {"model.safetensors", "README.md"}
    assert json.loads((stage / "adapter_config.json").read_text())["base_model_name_or_path"] == "models/base"
    (tmp_path / "here").rename(tmp_path / "there")
    set_root(monkeypatch, tmp_path / "there")
    again = load_model("outputs/lora")
    assert isinstance(again, PeftModel) and not again.training
    torch.testing.assert_close(again(ids).logits, model(ids).logits, atol=1e-6, rtol=0)
    assert len(load_tokenizer("outputs/lora")) == len(WORDS)


def test_adapter_without_its_base(monkeypatch, tmp_path):
    set_root(monkeypatch, tmp_path)
    save_model(make_gpt2(), make_tokenizer(), tmp_path / "models" / "base")
    stage = save_model(attach_lora(load_model("models/base")), make_tokenizer(), tmp_path / "lora")
    shutil.rmtree(tmp_path / "models")
    with pytest.raises(ModelError, match="No model folder 'models/base'"):
        load_model(stage)
    with pytest.raises(ModelError, match="base model was never loaded from or saved to a folder"):
        save_model(attach_lora(make_gpt2()), make_tokenizer(), tmp_path / "other")
