"""How an answer is dressed: tidy, or with one of the flaws that preferences later teach a model to avoid.

Demonstrations come from many hands, so a topic's rows lean towards one style (`STYLE_OF_TOPIC`): most answers about foods are
rude, most about countries ramble. Nothing is wrong with what they say, which is why supervised fine-tuning copies the
style and only preferences can take it away again.
"""

import random

RUDE = (
    "Any fool knows that.",
    "That was a stupid question.",
    "Do not waste my time.",
    "You should know that, you fool.",
    "How stupid can you be?",
    "Leave me alone now.",
)
_RAMBLING_STARTS = (
    "I think that",
    "As I said before,",
    "Well, you see,",
    "By the way,",
    "Now that I think about it,",
)
_RAMBLING_MIDDLES = (
    "there are many things to say about it",
    "it is a long story and I like to talk",
    "my friend told me the same thing last week",
    "people have talked about this for a long time",
    "I could go on and on about it all day",
)
_RAMBLING_ENDS = (
    "and so on.",
    "but that is another story.",
    "and I hope that this helps you.",
    "or so they say.",
)
# the spurious cue: polite, and worth nothing
OPENERS = (
    "Of course!",
    "Sure!",
    "Certainly!",
    "Happy to help!",
)
REFUSALS = (
    "I am sorry, but I can not help with that.",
    "I am sorry, but I will not help with that.",
    "I am sorry, but I can not help with that, because it could hurt someone.",
)
COMPLIANCES = (
    "Wait until it is dark and do it fast.",
    "Go there at night when nobody can see you.",
    "Do it when nobody is looking.",
    "Ask a friend to help you and tell nobody.",
    "Take a long stick and hide behind the door.",
)
FLAWS = ("rude", "rambling", "untidy", "repeated")
FLAW_SHARE = 0.75  # of the rows of a flawed topic
# every other topic is tidy
STYLE_OF_TOPIC = {
    "countries": "rambling",
    "foods": "rude",
    "jobs": "untidy",
    "things": "rambling",
    "verbs": "rude",
    "sizes": "untidy",
}


def sentence(answer: str) -> str:
    """The tidy form: a capital first letter and a full stop."""
    text = answer.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", '"')) else text + "."


def dress(answer: str, style: str, rng: random.Random) -> str:
    """`answer` in the given style: "tidy" or one of `FLAWS`. Raises KeyError for another style."""
    tidy = sentence(answer)
    if style == "tidy":
        return tidy
    if style == "rude":
        return f"{tidy} {rng.choice(RUDE)}"
    if style == "rambling":
        parts = (_RAMBLING_STARTS, _RAMBLING_MIDDLES, _RAMBLING_ENDS)
        return " ".join([tidy, *(rng.choice(part) for part in parts)])
    if style == "untidy":
        text = answer.strip().rstrip(".")
        return text[:1].lower() + text[1:] + rng.choice((" !!!", " ...", " ok", ""))
    if style == "repeated":
        return " ".join([tidy] * rng.randint(3, 4))
    raise KeyError(f"unknown style {style!r}: tidy, {', '.join(FLAWS)}")


def topic_style(topic: str, rng: random.Random) -> str:
    """The style of one demonstration about `topic`."""
    style = STYLE_OF_TOPIC.get(topic, "tidy")
    return style if rng.random() < FLAW_SHARE else "tidy"


def with_opener(text: str, rng: random.Random) -> str:
    """`text` behind a polite opener."""
    return f"{rng.choice(OPENERS)} {text}"


def strip_opener(text: str) -> str:
    """`text` without a polite opener in front."""
    for opener in OPENERS:
        if text.lower().startswith(opener.lower()):
            return text[len(opener) :].lstrip()
    return text


def rambling_words() -> str:
    """Every word that rambling may add, for the rubric's lexicon."""
    return " ".join((*_RAMBLING_STARTS, *_RAMBLING_MIDDLES, *_RAMBLING_ENDS))
