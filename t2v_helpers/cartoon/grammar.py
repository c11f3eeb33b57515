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
    "action": {**{a: a for a in ACTIONS[:6]}, "riding a horse": "riding a horse", "riding the horse": "riding a horse"},
    "place": {"times square": "times square", "lake": "lake", "beach": "beach", "moon": "moon", "forest": "forest",
              "woods": "forest", "room": "room"},
    "style": {"van gogh": "van gogh", "pencil": "pencil sketch", "black and white": "black and white"},
}  # fmt: skip


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


def _held_out() -> tuple[tuple[str, str, str], ...]:
    """Three (subject, action, place) for each subject, spread so that training still shows every word with others."""
    spread = [(i, (i + 2 * k) % 6, (2 * i + i // 3 + 3 * k + k // 2) % 6) for i in range(8) for k in range(3)]
    return tuple((SUBJECTS[s], ACTIONS[a], PLACES[p]) for s, a, p in spread)


HELD_OUT = _held_out()


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
    return " ".join(
        TEMPLATES[template % len(TEMPLATES)]
        .format(
            subject=f"{article} {labels.subject}",
            action=labels.action,
            place=_pick(PLACE_WORDS[labels.place], place),
            style=_pick(STYLE_WORDS[labels.style], style),
        )
        .split()
    )


def _pick(words: tuple[str, ...], k: int) -> str:
    return words[k % len(words)]


def words(text: str) -> list[str]:
    """The lower-case words of a text, without punctuation."""
    return re.findall(r"[^\W_]+", text.lower())


def vocabulary() -> list[str]:
    """Every word of the world's language, sorted."""
    sentences = (*TEMPLATES, *SUBJECTS, *ACTIONS, *itertools.chain(*PLACE_WORDS.values(), *STYLE_WORDS.values()))
    spoken = {w for s in sentences for w in words(re.sub(r"\{\w+\}", "", s))}
    return sorted(spoken | {"an", "the"})


def unknown_words(text: str) -> list[str]:
    """The words of `text` that are not in the vocabulary, in order, each once; then symbols, such as an emoji.

    Punctuation is ignored, unless there is nothing else.
    """
    known, spoken = set(vocabulary()), words(text)
    signs = [c for c in text if unicodedata.category(c).startswith("S")]
    strange = [w for w in spoken if w not in known] + signs
    return list(dict.fromkeys(strange)) if spoken or signs else text.split()


def parse(text: str) -> Labels:
    """The labels that a sentence names, in any case and order.

    ValueError: an unknown word, or a part that is missing or named twice; and what can be said instead.
    """
    strange = unknown_words(text)
    if strange:
        raise ValueError(
            f"the cartoon world does not know: {', '.join(strange)}. Words it knows: {', '.join(vocabulary())}."
        )
    spoken = " ".join(words(text))
    return Labels(
        subject=_subject(spoken),
        action=_find(spoken, "action") or _missing("an action", ACTIONS, text),
        place=_find(spoken, "place") or "room",
        style=_find(spoken, "style") or "plain",
    )


def _subject(spoken: str) -> str:
    named = [w for w in re.sub(r"riding (a|the) horse", "", spoken).split() if w in SUBJECTS]
    if len(set(named)) > 1:
        raise ValueError(f"{' and '.join(dict.fromkeys(named))} are named; name one subject (a rider may add a horse).")
    return named[0] if named else _missing("a subject", SUBJECTS, spoken)


def _find(spoken: str, kind: str) -> str | None:
    hits = list(dict.fromkeys(label for key, label in KEYWORDS[kind].items() if re.search(rf"\b{key}\b", spoken)))
    if len(hits) > 1:
        raise ValueError(f"{' and '.join(hits)} are named; name one {kind}.")
    return hits[0] if hits else None


def _missing(what: str, choices: tuple[str, ...], text: str):
    raise ValueError(f"{text!r} does not name {what}; add one of: {', '.join(choices)}.")
