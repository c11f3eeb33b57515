"""What each word of a prompt does: one thing in it is changed, the noise stays, the judge reads both videos.

Every seed has one sentence, "a dog is dancing in times square in van gogh style", and another word for each of its four
parts. The ways to change it are the keys of `wordings`, `texts` and two negative prompts. Recorded is also how well the
attention maps of the words predict where the video changes. Videos have 8 frames in 8 steps, which the judge reads as
well as more (study `knobs`).

Cost: 7 CPU minutes, SEEDS times 23 videos. Notebook 04 calls a way different from the sentence as it is if McNemar's
test does: 6 lost of 16, which a true loss of 50 % reaches in 89 % of tables. A part that is left out or replaced is
lost in nearly all. What changes fewer, such as the small words, is tried there on 16 fresh seeds.
"""

import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import grammar
from t2v_helpers.core import checking, tables
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import attention_maps
from t2v_helpers.model import denoising, generate, loading
from t2v_helpers.studies.study import Study, cells

SETTINGS = {"scheduler": "dpm++", "steps": 8, "guidance": loading.GUIDANCE["cartoon"], "frames": 8}
SEEDS = 16
SENTENCES = 20_404  # the seed of the sentences, used nowhere else
PARTS = metrics.LABELS  # subject, action, place, style
CONTROL = "is"  # a word for nothing visible
NOTHING = "a video"  # known words that ask for nothing
UNKNOWN = "zebra"
SMALL = {"a", "an", "the", "is", "in", "on", "by", "as"}


@dataclass(frozen=True)
class Sentence:
    """The sentence of a seed: its labels, other labels that differ in every part, and its four phrases."""

    seed: int
    labels: cartoon.Labels
    other: cartoon.Labels

    @property
    def prompt(self) -> str:
        """The sentence, such as "a dog is dancing in times square in van gogh style"."""
        return cartoon.caption(self.labels)

    @property
    def phrases(self) -> dict[str, str]:
        """Part -> its words: {"subject": "a dog", "action": "dancing", "place": "in times square", ...}."""
        place, style = grammar.PLACE_WORDS[self.labels.place][0], grammar.STYLE_WORDS[self.labels.style][0]
        return dict(zip(PARTS, (named(self.labels.subject), self.labels.action, place, style), strict=True))

    def replaced(self, part: str) -> str:
        """The sentence with the other word for that part."""
        return cartoon.caption(replace(self.labels, **{part: getattr(self.other, part)}))


def named(subject: str) -> str:
    """A subject with its article: "an elephant"."""
    return f"{'an' if subject[0] in 'aeiou' else 'a'} {subject}"


def sentence(seed: int) -> Sentence:
    """The sentence of a seed. It names all four parts, so no empty room, plain style or riders (two subjects)."""
    rng = np.random.default_rng([SENTENCES, seed])
    choices = cartoon.SUBJECTS, cartoon.ACTIONS[:6], cartoon.PLACES[:5], cartoon.STYLES[1:]
    pairs = [rng.choice(words, 2, replace=False) for words in choices]
    asked, other = (cartoon.Labels(*(str(pair[k]) for pair in pairs)) for k in range(2))
    return Sentence(seed, asked, other)


def wordings(s: Sentence) -> dict[str, str]:
    """Way of changing -> prompt, for all ways that change only words."""
    subject, prompt, words = s.labels.subject, s.prompt, s.prompt.split()
    mixed = np.random.default_rng(s.seed).permutation(words)
    both = f"{subject} and {named(s.other.subject)}"
    misspelt = subject[0] + subject[2] + subject[1] + subject[3:]
    left_out = {f"without {part}": " ".join(prompt.replace(s.phrases[part], "").split()) for part in PARTS}
    return {
        "as it is": prompt,
        **left_out,
        "without small words": " ".join(word for word in words if word not in SMALL),
        **{f"other {part}": s.replaced(part) for part in PARTS},
        "shuffled": " ".join(mixed),
        "three times": prompt.replace(subject, " ".join([subject] * 3)),
        "misspelt": prompt.replace(subject, misspelt),
        "unknown subject": prompt.replace(named(subject), f"a {UNKNOWN}"),
        "two of them": prompt.replace(f"{named(subject)} is", f"two {subject}s are"),
        "not": f"not {prompt}",
        "two subjects": cartoon.caption(s.labels, template=1).replace(subject, both),
        "nothing asked": NOTHING,
    }


def spec_of(s: Sentence, prompt: str, negative: str = "") -> GenerationSpec:
    """SETTINGS for a prompt, from the noise of the sentence's seed."""
    return GenerationSpec(prompt, negative_prompt=negative, seed=s.seed, **SETTINGS)


def from_text(pipe, text: Tensor, spec: GenerationSpec) -> np.ndarray:
    """The video uint8 [f h w c] of text vectors [2 t d] (negative prompt first) instead of the spec's words."""
    *_, last = denoising.denoise(pipe, spec, text)
    return denoising.decode_latents(pipe, last.latents)[0]


def texts(pipe, s: Sentence) -> dict[str, Tensor]:
    """Way -> text vectors [2 t d] that mix the sentence with the one of the other subject."""
    here, there = (denoising.encode_prompt(pipe, spec_of(s, p)) for p in (s.prompt, s.replaced("subject")))
    row = attention_maps.tokens_of(pipe.tokenizer, s.prompt, s.labels.subject)[0]
    alone, after = here.clone(), here.clone()
    alone[1, row], after[1, row + 1 :] = there[1, row], there[1, row + 1 :]
    return {"its row alone": alone, "all rows after": after, "halfway": torch.lerp(here, there, 0.5)}


def change(video: np.ndarray, other: np.ndarray, size: int = 8) -> np.ndarray:
    """How much two videos uint8 [f h w c] differ: grey levels, averaged over tiles and channels, [f size size]."""
    apart = np.abs(video.astype(float) - other).mean(axis=-1)  # [f h w]
    f, h, w = apart.shape
    return apart.reshape(f, size, h // size, size, w // size).mean(axis=(2, 4))


def line(pipe, seed: int) -> dict:
    """What is found for one seed: {"seed", "prompt", "found", "ranks"}.

    found: {way: [subject, action, place, style]}, as the judge reads them. ranks: {word: {part: `rank_correlation` of
    the word's map and the change when that part is replaced}}.
    """
    s = sentence(seed)
    with attention_maps.recorded(pipe) as maps, torch.no_grad():
        first = generate.generate(pipe, spec_of(s, s.prompt)).frames
    videos = {"as it is": first} | made(pipe, s)
    changes = {part: change(first, videos[f"other {part}"]) for part in PARTS}
    words = s.phrases | {"subject": s.labels.subject, CONTROL: CONTROL}
    heats = {name: maps.of_word(pipe.tokenizer, s.prompt, phrase).numpy() for name, phrase in words.items()}
    return {
        "seed": seed,
        "prompt": s.prompt,
        "found": {way: read(video) for way, video in videos.items()},
        "ranks": {
            name: {part: round(rank_correlation(heat, seen), 3) for part, seen in changes.items()}
            for name, heat in heats.items()
        },
    }


def made(pipe, s: Sentence) -> dict[str, np.ndarray]:
    """Way -> the video uint8 [f h w c], for all ways but "as it is". Unknown words are intended here."""
    asked = {way: (prompt, "") for way, prompt in wordings(s).items() if way != "as it is"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "prompt has words unknown")
        videos = {way: generate.generate(pipe, spec_of(s, *words)).frames for way, words in asked.items()}
        open_prompt, came = asked["without subject"][0], named(read(videos["without subject"])[0])
        against = {"negative, said": (s.prompt, s.phrases["subject"]), "negative, open": (open_prompt, came)}
        videos |= {way: generate.generate(pipe, spec_of(s, *words)).frames for way, words in against.items()}
        return videos | {way: from_text(pipe, text, spec_of(s, s.prompt)) for way, text in texts(pipe, s).items()}


def read(video: np.ndarray) -> list[str]:
    """What the judge reads in a video uint8 [f 64 64 c]: [subject, action, place, style]."""
    return list(astuple(metrics.read(video[None])[0]))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays of one shape, -1 to 1."""
    return float(stats.spearmanr(a.ravel(), b.ravel()).statistic)


def answers(lines: Sequence[dict], way: str, part: str, wanted: str = "labels") -> list[bool]:
    """For each seed, whether `part` is read as asked after a way of changing; wanted="other": as in the other labels.

    ValueError: an unknown way or part.
    """
    checking.one_of("part", part, PARTS)
    asked = [getattr(getattr(sentence(found["seed"]), wanted), part) for found in lines]
    seen = [labels[PARTS.index(part)] for labels in cells(lines, "found", way)]
    return [a == b for a, b in zip(asked, seen, strict=True)]


def share(lines: Sequence[dict], way: str, part: str, wanted: str = "labels") -> metrics.Share:
    """How often `answers` are true. ValueError: an unknown way or part, or no lines."""
    return metrics.Share.of(answers(lines, way, part, wanted))


def summary(lines: list[dict]) -> str:
    """How often each part is read as asked after each way of changing."""
    rows = ([way, *(f"{share(lines, way, part).share:.0%}" for part in PARTS)] for way in lines[0]["found"])
    return tables.aligned([["way", *PARTS], *rows], right=True)


STUDY = Study(
    name="knowledge",
    asks="What does each word of a prompt do?",
    file="knowledge.jsonl",
    seeds=SEEDS,
    minutes=4,
    head=lambda pipe: {"settings": SETTINGS},
    row=line,
    summary=summary,
)
