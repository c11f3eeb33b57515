"""The language of the cartoon world: what can be said, and what each sentence means.

A sentence names a subject, an action, a place and a style; without a place it means the empty room, without a style
plain. The words are few, so that a small model can learn them all well.
"""

import itertools
import re
import unicodedata
from dataclasses import dataclass, fields

from t2v_helpers.core import checking

SUBJECTS = ("robot", "dog", "cat", "monkey", "horse", "fish", "elephant", "duck")
RIDERS = ("robot", "dog", "cat", "monkey", "duck")
ACTIONS = ("dancing", "jumping", "spinning", "walking left", "walking right", "sleeping", "riding a horse")
PLACES = ("times square", "lake", "beach", "moon", "forest", "room")
STYLES = ("plain", "van gogh", "pencil sketch", "black and white")

PLACE_WORDS = {
    "times square": ("in times square", "in the times square", "at times square"),
    "lake": ("by a lake", "around a lake", "near the lake"),
    "beach": ("on a beach", "on the beach", "at the beach"),
    "moon": ("on the moon", "on a moon"),
    "forest": ("in a forest", "in the forest", "in the woods"),
    "room": ("in an empty room", "in a room", ""),
}
STYLE_WORDS = {
    "plain": ("",),
    "van gogh": ("in van gogh style", "in the style of van gogh", "like a van gogh painting"),
    "pencil sketch": ("as a pencil sketch", "drawn with a pencil", "as a pencil drawing"),
    "black and white": ("in black and white", "as a black and white film"),
}
TEMPLATES = (
    "{subject} is {action} {place} {style}",
    "a cartoon of {subject} {action} {place} {style}",
    "{place} {subject} is {action} {style}",
    "a video of {subject} that is {action} {place} {style}",
    "{style} {subject} {action} {place}",
)
KEYWORDS = {  # that decide each label
    "subject": {subject: subject for subject in SUBJECTS},  # but for the horse of a rider
    "action": {**{action: action for action in ACTIONS}, "riding the horse": "riding a horse"},
    "place": {**{place: place for place in PLACES}, "woods": "forest"},
    "style": {"van gogh": "van gogh", "pencil": "pencil sketch", "black and white": "black and white"},
}


@dataclass(frozen=True)
class Labels:
    """What a clip shows: one of SUBJECTS, ACTIONS, PLACES and STYLES each.

    ValueError: a word outside these lists, or a subject that cannot ride a horse.
    """

    subject: str
    action: str
    place: str = "room"
    style: str = "plain"

    def __post_init__(self):
        for field, allowed in zip(fields(self), (SUBJECTS, ACTIONS, PLACES, STYLES), strict=True):
            checking.one_of(field.name, getattr(self, field.name), allowed)
        if self.action == "riding a horse" and self.subject not in RIDERS:
            raise ValueError(f"a {self.subject} cannot ride a horse; choose a rider from: {', '.join(RIDERS)}.")


HELD_OUT = tuple(  # (subject, action, place): three a subject, spread so that training shows every word with others
    (SUBJECTS[i], ACTIONS[(i + 2 * k) % 6], PLACES[(2 * i + i // 3 + 3 * k + k // 2) % 6])
    for i, k in itertools.product(range(8), range(3))
)


def is_held_out(labels: Labels) -> bool:
    """Whether training never shows this combination, in any style."""
    return (labels.subject, labels.action, labels.place) in HELD_OUT


def combinations() -> list[Labels]:
    """The whole grammar: every subject, action, place and style that can be drawn together."""
    everything = itertools.product(SUBJECTS, ACTIONS, PLACES, STYLES)
    return [Labels(*c) for c in everything if c[1] != "riding a horse" or c[0] in RIDERS]


def caption(labels: Labels, template: int = 0, place: int = 0, style: int = 0) -> str:
    """A sentence for these labels. `template`, `place` and `style` choose among the wordings (any whole number)."""
    article = "an" if labels.subject[0] in "aeiou" else "a"
    choices = (TEMPLATES, template), (PLACE_WORDS[labels.place], place), (STYLE_WORDS[labels.style], style)
    sentence, where, how = (wordings[k % len(wordings)] for wordings, k in choices)
    spoken = sentence.format(subject=f"{article} {labels.subject}", action=labels.action, place=where, style=how)
    return " ".join(spoken.split())


# An emoji of several characters: a digit in a key, a flag of two letters, one of tags; or up to four pictures, each
# with at most one variation or tone of skin, joined by U+200D (Unicode Technical Standard 51).
_PICTURE = "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
_LOOK = "[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]"
EMOJI = re.compile(
    "[0-9#*]\ufe0f?\u20e3|[\U0001f1e6-\U0001f1ff]{2}|\U0001f3f4[\U000e0030-\U000e007a]{3,6}\U000e007f"
    f"|{_PICTURE}(?={_LOOK}|\u200d{_PICTURE}){_LOOK}?(?:\u200d{_PICTURE}{_LOOK}?){{0,3}}"
)


def words(text: str) -> list[str]:
    """The lower-case words of a text, without punctuation; accents join their letters by NFC, as for the tokenizer."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text).lower())


def vocabulary() -> list[str]:
    """Every word of the world's language, sorted."""
    sentences = (*TEMPLATES, *SUBJECTS, *ACTIONS, *itertools.chain(*PLACE_WORDS.values(), *STYLE_WORDS.values()))
    spoken = {w for s in sentences for w in words(re.sub(r"\{\w+\}", "", s))}
    return sorted(spoken | {"an", "the"})


def unknown_words(text: str) -> list[str]:
    """The words of `text` that are not in the vocabulary, in order, each once; then symbols, such as an emoji.

    Punctuation is ignored, unless there is nothing else. An emoji of several characters (EMOJI) is one symbol.
    """
    single = EMOJI.sub(" ", text)
    known, spoken = set(vocabulary()), words(single)
    signs = EMOJI.findall(text) + [c for c in single if unicodedata.category(c).startswith("S")]
    strange = [w for w in spoken if w not in known] + signs
    return list(dict.fromkeys(strange)) if spoken or signs else text.split()


def parse(text: str) -> Labels:
    """The labels that a sentence names, in any case and order.

    ValueError: an unknown word, or a part that is missing or named twice; and what can be said instead.
    """
    if strange := unknown_words(text):
        raise ValueError(
            f"the cartoon world does not know: {checking.listed(*strange)}. Words it knows: {', '.join(vocabulary())}."
        )
    spoken = " ".join(words(text))
    subject = _find(re.sub(r"riding (a|the) horse", "", spoken), "subject") or _missing("a subject", SUBJECTS, spoken)
    action = _find(spoken, "action") or _missing("an action", ACTIONS, text)
    return Labels(subject, action, _find(spoken, "place") or "room", _find(spoken, "style") or "plain")


def _find(spoken: str, kind: str) -> str | None:
    hits = list(dict.fromkeys(label for key, label in KEYWORDS[kind].items() if re.search(rf"\b{key}\b", spoken)))
    if len(hits) > 1:
        raise ValueError(f"{' and '.join(hits)} are named; name one {kind}.")
    return hits[0] if hits else None


def _missing(what: str, choices: tuple[str, ...], text: str):
    raise ValueError(f"{checking.shown(text)} does not name {what}; add one of: {', '.join(choices)}.")
