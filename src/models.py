"""Load, save and adapt the models of every stage. All seven notebooks begin here.

A loaded model is always in the same state: fp32, eval mode, every dropout probability 0 (a policy and its
reference must agree exactly at step 0), cache on. GPT-2's `gelu_new` is replaced by `gelu_pytorch_tanh`: the
same function, fused into one kernel. LoRA follows Hu et al. (2021, arXiv 2106.09685) through PEFT; GPT-2's
`Conv1D` stores its weights transposed, hence `fan_in_fan_out`.
"""

import copy
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub import try_to_load_from_cache
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Tokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging

from src.config import ROOT
from src.distributed import written_once
from src.fingerprint import LOCAL_FOLDERS, base_model_source
from src.runtime import naming_a_full_disk

LORA_TARGETS = {"gpt2": ["c_attn", "c_proj"]}
LORA_TARGETS_DEFAULT = ["q_proj", "k_proj", "v_proj", "o_proj"]  # Llama, Qwen, Mistral and their kin
GENERAL_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")  # two names of one class
SPARE_ROWS = 1024  # vocabularies are padded up to round numbers; more than this is a wrong tokenizer


class ModelError(RuntimeError):
    """A model or tokenizer cannot be used; the message says why and what to do."""


class ParameterCount(NamedTuple):
    """Parameters that train, all of them (adapters included), and the share in per cent."""

    trainable: int
    total: int
    percent: float


# --- Finding the files ----------------------------------------------------------------------------


def find_model(name: str | Path) -> str:
    """A local folder for `name`, or `name` itself when it is a Hub name that can be loaded.

    Paths are tried as given and relative to the project's root. A Hub name is looked for in `models/` first
    (`openai-community/gpt2` -> `models/gpt2`), then in the local cache, then on the Hub, which must answer
    within seconds. Raises ModelError.
    """
    text = str(name)
    here = Path(text).expanduser()
    source = here if here.is_dir() else base_model_source(text)
    if isinstance(source, Path):
        return str(source)
    owner, _, repository = text.partition("/")
    if text == "models/gpt2":
        raise ModelError(_ways_out("openai-community/gpt2", "there is no folder models/gpt2"))
    if owner in LOCAL_FOLDERS or "/" in repository or text.startswith((".", "~")) or Path(text).is_absolute():
        raise ModelError(
            f"No model folder {text!r}. If a stage should have written it, run that stage first."
        )
    try:
        cached = try_to_load_from_cache(text, "config.json")
    except ValueError:  # the Hub's own check of names
        raise ModelError(f"No model folder {text!r}, and a model on the Hub has no such name.") from None
    if isinstance(cached, str) and list(Path(cached).parent.glob("*.safetensors")):
        return str(Path(cached).parent)  # asking the Hub for news would only cost time, or fail
    if problem := hub_problem():
        raise ModelError(_ways_out(text, problem))
    return text


def hub_problem(timeout: float = 4.0) -> str | None:
    """None when the Hub answers within about 2 x `timeout` seconds, else why it cannot be used."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=timeout)
    except Exception as error:  # noqa: BLE001 (DNS, refused, proxy, TLS, timeout: all mean the same here)
        return f"{constants.ENDPOINT} does not answer ({type(error).__name__})"
    return None


def _ways_out(name: str, problem: str) -> str:
    folder = f"models/{name.rsplit('/', 1)[-1]}"
    return (
        f"Cannot load {name!r}: {problem}. Three ways out:\n"
        f"  1. put a copy into {folder} (config, safetensors, tokenizer files); it is found there;\n"
        "  2. use the lab profile, which needs no network: python -m src.run all --profile lab;\n"
        f"  3. on a machine with network access: hf download {name} --local-dir {folder}"
    )


# --- Tokenizers -----------------------------------------------------------------------------------


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or Hub name; pad = EOS if it has no pad token. Raises ModelError."""
    source = find_model(path)
    folder = Path(source)
    if (folder / "adapter_config.json").is_file() and not (folder / "tokenizer_config.json").is_file():
        return load_tokenizer(_adapter_base(folder))
    try:
        tokenizer = _tokenizer_class(folder).from_pretrained(source)
    except Exception as error:  # the tokenizers library raises bare Exception for broken files
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if not folder.is_dir():
            raise ModelError(_ways_out(source, reason)) from error
        raise ModelError(
            f"No usable tokenizer in {source!r}: {reason} Copy the tokenizer files of the base model there."
        ) from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"The tokenizer in {source!r} has no EOS token, so a response could never end.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # harmless: masks come from lengths, never from ids
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = int(1e30)  # lengths are checked where they matter; no log line for long text
    return tokenizer


def _tokenizer_class(folder: Path) -> type:
    """GPT-2's for bare vocabulary files; the general one where the files name it, for then they say everything.

    `AutoTokenizer` would put the class of the model's architecture over such files (Qwen2's over a word-level table).
    """
    if (folder / "vocab.json").is_file() and not (folder / "tokenizer.json").is_file():
        return GPT2Tokenizer
    config = folder / "tokenizer_config.json"
    named = json.loads(config.read_text("utf-8")).get("tokenizer_class") if config.is_file() else None
    return PreTrainedTokenizerFast if named in GENERAL_TOKENIZERS else AutoTokenizer


def check_vocabulary(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, where: str = "model"
) -> None:
    """Raises ModelError unless the model's embedding fits the tokenizer (a few spare rows are normal)."""
    rows = model.get_input_embeddings().num_embeddings
    if not len(tokenizer) <= rows <= len(tokenizer) + SPARE_ROWS:
        raise ModelError(
            f"{where}: the tokenizer has {len(tokenizer)} tokens but the model has {rows} embedding rows. "
            "They do not belong together; take both from the same folder."
        )


# --- Loading and saving ---------------------------------------------------------------------------


def load_model(path: str | Path) -> PreTrainedModel | PeftModel:
    """A causal LM from a stage folder, a local folder or the Hub: fp32, eval, dropout 0, cache on.

    A folder that holds a LoRA adapter gives a PeftModel on the base that its `adapter_config.json` names.
    Raises ModelError for a missing folder, an unreachable Hub, broken or incomplete weights, wrong tokenizer.
    """
    source = find_model(path)
    folder = Path(source)
    info = {"missing_keys": []}
    if (folder / "adapter_config.json").is_file():
        base = load_model(_adapter_base(folder))
        with reading(source):
            _check_files(folder)
            model = PeftModel.from_pretrained(base, source)
    else:
        with reading(source):
            _check_files(folder)
            config = _deterministic(AutoConfig.from_pretrained(source))
            model, info = AutoModelForCausalLM.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                attn_implementation=attention_for(config),
            )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ModelError(
            f"{source!r} lacks {len(missing)} weights of the model, for instance {missing[0]!r}."
        )
    if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        check_vocabulary(model, load_tokenizer(source), source)
    return model.eval()


@written_once
def save_model(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path
) -> Path:
    """Write fp32 safetensors and the tokenizer; `folder` holds its old content or the new, never a mixture
    (`put_in_place` says what a kill can leave).

    Of a PeftModel only the adapter is written, with the base's path relative to the project's root.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if any(p.dtype != torch.float32 for p in model.parameters() if p.is_floating_point()):
        model = fresh_copy(model).float()
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with quiet(), naming_a_full_disk(folder):
            if isinstance(model, PeftModel):
                _save_adapter(model, temporary)
            else:
                model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        temporary.chmod(0o755)
        put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def fresh_copy(model: nn.Module) -> nn.Module:
    """An independent copy in eval mode, also of a model whose `forward` a trainer has patched.

    Trainers may leave a `forward` on the instance that computes with the *original* weights; a plain deepcopy
    would take it along, and a "frozen" reference made that way moves with the policy.
    """
    patches = [
        (module, module.__dict__.pop("forward")) for module in model.modules() if "forward" in module.__dict__
    ]
    try:
        twin = copy.deepcopy(model)
    finally:
        for module, forward in patches:
            module.__dict__["forward"] = forward
    twin.zero_grad(set_to_none=True)
    if getattr(twin, "config", None) is not None:
        twin.config.use_cache = True
    return twin.eval()


# --- LoRA -----------------------------------------------------------------------------------------


def attach_lora(
    model: PreTrainedModel,
    r: int = 16,
    alpha: int = 32,
    dropout: float = 0.0,
    target_modules: list[str] | None = None,
) -> PeftModel:
    """Put rank-`r` adapters (scale alpha / r) on `model`, in place, and freeze everything else.

    `target_modules=None` takes the attention projections of the architecture; for GPT-2 `c_attn` and
    `c_proj`, where the name `c_proj` also matches the MLP's second layer. Fresh adapters change nothing:
    their B matrices are zero.
    """
    names = target_modules or LORA_TARGETS.get(model.config.model_type, LORA_TARGETS_DEFAULT)
    hits = [m for n, m in model.named_modules() if any(n == t or n.endswith(f".{t}") for t in names)]
    if not hits:
        raise ModelError(
            f"No layer of {type(model).__name__} is called {' or '.join(names)}; set target_modules."
        )
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=list(names),
        fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in hits),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with quiet():
        return get_peft_model(model, config).eval()


def merge_lora(model: PeftModel) -> PreTrainedModel:
    """A plain model with W + (alpha / r) B A in place of the adapters; the PeftModel stays as it is."""
    return fresh_copy(model).merge_and_unload().requires_grad_(True).eval()


def count_parameters(model: nn.Module) -> ParameterCount:
    """Count parameters as PEFT does: shared tensors once, adapters included in the total."""
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return ParameterCount(trainable, total, 100 * trainable / total)


# --- Helpers --------------------------------------------------------------------------------------


def _deterministic(config: PretrainedConfig) -> PretrainedConfig:
    for key, value in config.to_dict().items():
        if ("dropout" in key or key.endswith("pdrop")) and isinstance(value, float):
            setattr(config, key, 0.0)
    if getattr(config, "activation_function", None) == "gelu_new":
        config.activation_function = "gelu_pytorch_tanh"
    config.use_cache = True
    return config


def attention_for(config: PretrainedConfig) -> str:
    """Which attention code is fastest on a CPU: plain products for a narrow model, the fused kernel for a wide one.

    The fused kernel's backward pass took a fifth of a lab training step (measured: 1.25 x the time); at GPT-2's width both
    are equally fast and the fused one needs far less memory.
    """
    return "eager" if config.hidden_size < 512 else "sdpa"


def _adapter_base(folder: Path) -> str:
    with reading(str(folder)):
        base = json.loads((folder / "adapter_config.json").read_text()).get("base_model_name_or_path")
    if not base:
        raise ModelError(
            f"{folder}/adapter_config.json does not name its base model (base_model_name_or_path)."
        )
    return base


def _save_adapter(model: PeftModel, folder: Path) -> None:
    base = model.peft_config["default"].base_model_name_or_path
    if not base:
        raise ModelError(
            "The adapter's base model was never loaded from or saved to a folder; save it first."
        )
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    if Path(base).is_dir() and Path(base).resolve().is_relative_to(ROOT):
        config["base_model_name_or_path"] = Path(base).resolve().relative_to(ROOT).as_posix()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def put_in_place(new: Path, folder: Path) -> None:
    """Make `new` what is in `folder`, which goes back if that fails. A kill between the two renames leaves the old content
    beside it, as `<new>.old`."""
    aside = new.with_name(new.name + ".old")
    if folder.exists():
        os.replace(folder, aside)
    try:
        os.replace(new, folder)
    except OSError:
        if aside.exists():
            os.replace(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _check_files(folder: Path) -> None:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt"):
            pass  # opening reads the header and compares it with the length of the file


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, log lines or deprecation notes: they would end up in committed notebooks."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Turn whatever a library or the Hub raises into one ModelError that names the source."""
    try:
        with quiet():
            yield
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if not Path(source).is_dir():
            raise ModelError(_ways_out(source, reason)) from error
        raise ModelError(
            f"Cannot load the model in {source!r}: {reason} A damaged or incomplete folder must be "
            "written again: re-run its stage, or download it again."
        ) from error
