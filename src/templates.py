"""Prompt templates and the exact boundary between prompt and response.

Notebook 02 compares the five templates below; from notebook 06 on models are trained for use in `SINGLE` alone. Notebook 07
reads dialogues in the format of HH-RLHF (Bai et al. 2022, arXiv 2204.05862).

Three rules keep the boundary exact, in training, generation, reward model and PPO alike:

1. A prompt never ends in white space, and a response always begins with one space.
2. Prompt and response are tokenised separately and concatenated, so no token ever spans the two.
3. EOS is appended to the response and learned like any other token. GPT-2 has no pad token; which tokens count is
   therefore decided by lengths and labels, never by comparing ids with a pad id.
"""

import difflib
import random
import re
from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase

IGNORE = -100  # the label of a token that carries no loss

TEMPLATES: dict[str, str] = {
    "alpaca": "### Instruction:\n{instruction}\n\n### Response:",
    "plain": "Instruction: {instruction}\n\nResponse:",
    "chatml": "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant",
    "tags": "<|user|>\n{instruction}\n<|assistant|>",
    "qa": "Question: {instruction}\nAnswer:",
}
SINGLE = "alpaca"

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
_TURN = re.compile(r"\n\n(Human|Assistant):")


# --- Instructions ---------------------------------------------------------------------------------


def build_prompt(instruction: str, input: str = "", template: str = SINGLE) -> str:
    """The prompt for one instruction; a non-empty `input` follows the instruction on a new line.

    All five templates have one slot, so the input field is treated the same way in each of them.
    Raises ValueError for an unknown template or an empty instruction, TypeError for anything but strings.
    """
    if template not in TEMPLATES:
        near = difflib.get_close_matches(str(template), TEMPLATES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"Unknown template {template!r}: choose one of {', '.join(TEMPLATES)}.{hint}")
    for name, value in (("instruction", instruction), ("input", input)):
        if not isinstance(value, str):
            raise TypeError(f"`{name}` must be a string, got {type(value).__name__}: {value!r:.60}")
    if not instruction.strip():
        raise ValueError("`instruction` is empty: there is nothing to ask.")
    request = instruction.strip() + (f"\n{input.strip()}" if input.strip() else "")
    return TEMPLATES[template].format(instruction=request)


def choose_templates(count: int, seed: int, names: Iterable[str] = tuple(TEMPLATES)) -> list[str]:
    """A template name for each of `count` examples, drawn uniformly: stage 2's template randomisation."""
    draw, names = random.Random(seed), list(names)
    return [draw.choice(names) for _ in range(count)]


# --- Tokens ---------------------------------------------------------------------------------------


def response_text(response: str) -> str:
    """The response as the model sees it: one leading space, nothing trailing."""
    return " " + response.strip()


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """Token ids of a prompt. Raises ValueError for an empty prompt or one that ends in white space."""
    if not prompt.strip():
        raise ValueError("The prompt is empty.")
    if prompt[-1].isspace():
        raise ValueError(
            f"The prompt ends in white space ({prompt[-20:]!r}). The response begins with the space; "
            "strip the prompt on the right."
        )
    return tokenizer(prompt, add_special_tokens=False)["input_ids"]


def encode_response(tokenizer: PreTrainedTokenizerBase, response: str) -> list[int]:
    """Token ids of " response" followed by EOS. An empty response is EOS alone."""
    text = response_text(response)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"] if text != " " else []
    return ids + [tokenizer.eos_token_id]


def encode_example(
    tokenizer: PreTrainedTokenizerBase, prompt: str, response: str, learn_eos: bool = True
) -> tuple[list[int], list[int]]:
    """(input_ids, labels) of equal length; labels are -100 on the prompt.

    `learn_eos=False` also masks the closing EOS, which is what a collator does that masks every pad token
    when pad = EOS: the model then never learns to stop.
    """
    prompt_ids, response_ids = encode_prompt(tokenizer, prompt), encode_response(tokenizer, response)
    targets = response_ids if learn_eos else [*response_ids[:-1], IGNORE]
    return prompt_ids + response_ids, [IGNORE] * len(prompt_ids) + targets


# --- Dialogues in the format of HH-RLHF -----------------------------------------------------------


def split_dialogue(text: str, where: str = "dialogue") -> tuple[str, str]:
    """(prompt, response): the prompt ends with the last "\\n\\nAssistant:", the rest is the response.

    The response may be empty (a few rows of the real data are). `where`, for instance "row 17", opens the
    message of every error: TypeError if `text` is no string, ValueError if it has no assistant turn or ends
    with a human one.
    """
    if not isinstance(text, str):
        raise TypeError(f"{where}: expected a string, got {type(text).__name__}.")
    head, found, response = text.rpartition(ASSISTANT)
    if not found:
        raise ValueError(f"{where}: no {ASSISTANT!r} in the text ({text[:60]!r}…).")
    if HUMAN in response:
        raise ValueError(f"{where}: the dialogue must end with the assistant's turn, not with the human's.")
    return head + ASSISTANT, response.strip()


def turns(text: str) -> list[tuple[str, str]]:
    """The dialogue as (speaker, words) pairs; the words of an open last turn are empty."""
    parts = _TURN.split(text)
    return [(speaker, words.strip()) for speaker, words in zip(parts[1::2], parts[2::2], strict=True)]


def truncate_dialogue(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    response_ids: list[int],
    max_length: int,
    where: str = "dialogue",
) -> list[int]:
    """Prompt ids such that prompt + response fit in `max_length` tokens; the response is never cut.

    Whole turns go first, from the left, so that what remains opens with a human turn. If the last human turn
    alone is too long, its beginning is cut token by token. ValueError if not even "\\n\\nAssistant:" and the
    response fit.
    """
    room = max_length - len(response_ids)
    least = len(encode_prompt(tokenizer, ASSISTANT))
    if room < least:
        raise ValueError(
            f"{where}: the response has {len(response_ids)} tokens and leaves no room for a prompt within "
            f"max_length={max_length}. Raise max_length or drop the row."
        )
    ids = encode_prompt(tokenizer, prompt)
    starts = [match.start() for match in re.finditer(HUMAN, prompt)]
    for start in starts:
        if len(ids) <= room:
            break
        ids = encode_prompt(tokenizer, prompt[start:])
    return ids[-room:]


def truncate_pair(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    chosen_ids: list[int],
    rejected_ids: list[int],
    max_length: int,
    where: str = "pair",
) -> list[int]:
    """`truncate_dialogue` where the longer response decides: chosen and rejected see the same prompt."""
    return truncate_dialogue(tokenizer, prompt, max(chosen_ids, rejected_ids, key=len), max_length, where)
