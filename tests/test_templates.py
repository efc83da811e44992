"""Templates: the boundary between prompt and response, EOS, and the dialogue format."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from src import templates
from src.templates import (
    IGNORE,
    SINGLE,
    TEMPLATES,
    build_prompt,
    choose_templates,
    encode_example,
    encode_prompt,
    encode_response,
    response_text,
    split_dialogue,
    truncate_dialogue,
    truncate_pair,
    turns,
)

DIALOGUE = "\n\nHuman: Hi there\n\nAssistant: Hello.\n\nHuman: Name a cat\n\nAssistant: Tom"


@pytest.fixture(scope="module")
def tokenizer():
    """A byte-level BPE whose only special token is EOS, as GPT-2's."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = ["### Response: the cat sat", "Human: Assistant: Name a cat", "Hello. Tom"] * 9
    bpe.train_from_iterator(
        words,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def test_there_are_five_templates_and_one_of_them_is_the_single_one():
    assert len(TEMPLATES) == 5 and SINGLE in TEMPLATES
    assert len({build_prompt("Say hi", template=name) for name in TEMPLATES}) == 5


@pytest.mark.parametrize("name", TEMPLATES)
def test_prompts_hold_instruction_and_input_and_never_end_in_white_space(name):
    prompt = build_prompt("  Sort these {words} \n", "  b, a\n", name)
    assert "Sort these {words}\nb, a" in prompt
    assert prompt == prompt.rstrip()
    assert "\nb, a" not in build_prompt("Sort these {words}", "  ", name)


def test_build_prompt_refuses_bad_arguments():
    with pytest.raises(ValueError, match="Did you mean 'alpaca'"):
        build_prompt("Say hi", template="alpacca")
    with pytest.raises(ValueError, match="`instruction` is empty"):
        build_prompt("  \n")
    with pytest.raises(TypeError, match="`input` must be a string, got int"):
        build_prompt("Say hi", 3)


def test_template_choice_is_random_but_repeatable_and_uses_all():
    drawn = choose_templates(500, seed=1)
    assert drawn == choose_templates(500, seed=1) != choose_templates(500, seed=2)
    assert all(60 < drawn.count(name) < 140 for name in TEMPLATES)


def test_responses_begin_with_one_space():
    assert response_text("\n  the cat \n") == " the cat"


@pytest.mark.parametrize("name", TEMPLATES)
def test_boundary_is_exact(tokenizer, name):
    prompt = build_prompt("Name a cat", template=name)
    ids, labels = encode_example(tokenizer, prompt, "the cat sat")
    cut = labels.count(IGNORE)
    assert tokenizer.decode(ids[:cut]) == prompt
    assert tokenizer.decode(ids[cut:]) == " the cat sat<|endoftext|>"
    assert labels == [IGNORE] * cut + ids[cut:]
    # Encoding the two parts anywhere else gives the same ids; the prompt's do not depend on the answer.
    assert ids == encode_prompt(tokenizer, prompt) + encode_response(tokenizer, "the cat sat")
    assert ids[:cut] == encode_example(tokenizer, prompt, "Tom")[0][:cut]


def test_eos_is_learned_although_it_is_also_the_pad_token(tokenizer):
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    ids, labels = encode_example(tokenizer, "Name a cat", "Tom")
    assert ids[-1] == labels[-1] == tokenizer.eos_token_id
    ids_off, labels_off = encode_example(tokenizer, "Name a cat", "Tom", learn_eos=False)
    assert ids_off == ids and labels_off == [*labels[:-1], IGNORE]


def test_an_empty_response_is_eos_alone(tokenizer):
    assert encode_response(tokenizer, " \n") == [tokenizer.eos_token_id]


@pytest.mark.parametrize("prompt, message", [("Name a cat ", "ends in white space"), (" ", "is empty")])
def test_encode_prompt_refuses(tokenizer, prompt, message):
    with pytest.raises(ValueError, match=message):
        encode_prompt(tokenizer, prompt)


def test_split_dialogue():
    prompt, response = split_dialogue(DIALOGUE)
    assert prompt.endswith("Name a cat\n\nAssistant:") and response == "Tom"
    assert prompt + response_text(response) == DIALOGUE
    assert split_dialogue("\n\nHuman: Hi\n\nAssistant:")[1] == ""


@pytest.mark.parametrize(
    "text, error, message",
    [
        (None, TypeError, "row 17: expected a string, got NoneType"),
        ("Human: hi", ValueError, "row 17: no .*Assistant"),
        (DIALOGUE + "\n\nHuman: more", ValueError, "row 17: the dialogue must end with the assistant"),
    ],
)
def test_split_dialogue_names_the_row(text, error, message):
    with pytest.raises(error, match=message):
        split_dialogue(text, where="row 17")


def test_turns():
    assert turns(DIALOGUE)[1:3] == [("Assistant", "Hello."), ("Human", "Name a cat")]
    assert turns(split_dialogue(DIALOGUE)[0])[-1] == ("Assistant", "")


def test_truncation_takes_whole_turns_from_the_left(tokenizer):
    prompt, response = split_dialogue(DIALOGUE)
    answer = encode_response(tokenizer, response)
    whole, last = (
        encode_prompt(tokenizer, prompt),
        encode_prompt(tokenizer, "\n\nHuman: Name a cat\n\nAssistant:"),
    )
    cut = lambda length: truncate_dialogue(tokenizer, prompt, answer, length)
    assert cut(len(whole) + len(answer)) == whole
    assert cut(len(whole) + len(answer) - 1) == last
    assert cut(len(last) + len(answer)) == last
    assert cut(len(last) + len(answer) - 3) == last[3:]  # the last turn alone is too long
    for length in range(len(encode_prompt(tokenizer, templates.ASSISTANT)) + len(answer), 60):
        assert len(cut(length)) + len(answer) <= length
        assert tokenizer.decode(cut(length)).endswith("\n\nAssistant:")


def test_the_response_is_never_cut(tokenizer):
    answer = encode_response(tokenizer, "the cat sat " * 20)
    with pytest.raises(ValueError, match=f"row 3: the response has {len(answer)} tokens .* max_length=40"):
        truncate_dialogue(tokenizer, "\n\nHuman: Hi\n\nAssistant:", answer, 40, where="row 3")


def test_a_pair_shares_its_prompt(tokenizer):
    prompt, _ = split_dialogue(DIALOGUE)
    short, long = encode_response(tokenizer, "Tom"), encode_response(tokenizer, "the cat sat " * 8)
    length = len(long) + 20
    shared = truncate_pair(tokenizer, prompt, short, long, length)
    assert shared == truncate_pair(tokenizer, prompt, long, short, length)
    assert len(shared) + len(long) <= length
    assert shared != truncate_dialogue(tokenizer, prompt, short, length)
