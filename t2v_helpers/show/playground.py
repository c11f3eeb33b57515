"""The playground: choose words and settings in the page, press Generate, and see the video.

    playground.show(loading.load("cartoon"))

Without a live page (a run of all notebooks, or a test) nobody can press anything, so one still result is shown.
"""

import os
import sys
from html import escape

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display as show_in_page

from t2v_helpers import cartoon
from t2v_helpers.cartoon.judge import CLASSES
from t2v_helpers.core import checking
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import schedulers
from t2v_helpers.model import loading, validation
from t2v_helpers.model.generate import generate
from t2v_helpers.model.pipeline import course_pipeline
from t2v_helpers.show import display

FIRST = cartoon.Labels("robot", "dancing", "times square")
NO_PAGE = "No live page here, so this is a still. `make lab` opens one; T2V_HEADLESS=0 shows the controls anyway."


def show(pipe) -> None:
    """Show the controls in a live page, and otherwise one still result, always the same. ValueError: see `is_live`."""
    if is_live():
        show_in_page(Playground(pipe).page)
    else:
        display.show_filmstrip(generate(pipe, first_spec(pipe)), NO_PAGE)


def is_live() -> bool:
    """True where a browser or an editor shows this notebook, so that widgets can be used.

    T2V_HEADLESS=1 means no and T2V_HEADLESS=0 yes. Without it: Jupyter's server names its session to its kernels, VS
    Code and Colab leave marks, and nbclient and nbval, which only run cells, leave none. ValueError: T2V_HEADLESS.
    """
    said = os.environ.get("T2V_HEADLESS", "")
    if said not in ("", "0", "1"):
        raise ValueError(
            f"T2V_HEADLESS={checking.shown(said)}, but 1 (no page), 0 (a page) or nothing (find out) is needed."
        )
    shell = get_ipython()
    if said or shell is None:
        return said == "0"
    return "JPY_SESSION_NAME" in os.environ or "__vsc_ipynb_file__" in shell.user_ns or "google.colab" in sys.modules


def first_spec(pipe) -> GenerationSpec:
    """The playground's first spec, with the model's own guidance, and a student's own sampling."""
    own = loading.sampling(course_pipeline(pipe))
    return GenerationSpec(cartoon.caption(FIRST), guidance=loading.defaults(pipe).guidance, **own)


class Playground:
    """The controls, a message and a video. `page` is the widget to show; `generate` is what the button does.

    Choosing words (in the cartoon world only) writes the sentence, which may also be edited.
    """

    def __init__(self, pipe):
        self.pipe = pipe
        first = first_spec(pipe)
        self.words = {
            name: widgets.Dropdown(options=words, value=getattr(FIRST, name), description=name)
            for name, words in (CLASSES if loading.is_cartoon(pipe) else {}).items()
        }
        self.sentence = widgets.Text(first.prompt, description="sentence", layout={"width": "40em"})
        able = schedulers.able(course_pipeline(pipe).scheduler.config)
        self.scheduler = widgets.Dropdown(options=able, value=first.scheduler, description="scheduler")
        self.steps = widgets.IntSlider(first.steps, 1, 100, description="steps")
        self.guidance = widgets.FloatSlider(first.guidance, min=1, max=15, step=0.5, description="guidance")
        self.seed = widgets.IntText(first.seed, description="seed")
        self.button = widgets.Button(description="Generate", button_style="primary")
        self.progress = widgets.IntProgress(0, layout={"visibility": "hidden"})
        self.message, self.result = widgets.HTML(), widgets.HTML()
        for choice in self.words.values():
            choice.observe(self._write_sentence, "value")
        self.sentence.observe(self._ready, "value")
        self.button.on_click(self.generate)
        self.page = self._lay_out()

    def spec(self) -> GenerationSpec:
        """The spec of the controls. ValueError: words that the cartoon world does not know."""
        if self.words:
            validation.refuse_unknown_words(self.sentence.value, course_pipeline(self.pipe).new_words)
        numbers = {name: getattr(self, name).value for name in ("scheduler", "steps", "guidance", "seed")}
        return GenerationSpec(self.sentence.value, **numbers)

    def generate(self, _button=None) -> None:
        """Make the video and show it, or an error in one sentence."""
        self._ready()
        self.button.disabled = True
        self.progress.value, self.progress.layout.visibility = 0, "visible"
        try:
            made = generate(self.pipe, self.spec(), self._count)
            self.result.value = display.video_html(made, fps=loading.defaults(self.pipe).fps, autoplay=True)
        except (ValueError, OSError, MemoryError) as error:
            self._say(error)
        finally:
            self.button.disabled, self.progress.layout.visibility = False, "hidden"

    def _count(self, step) -> None:
        self.progress.max, self.progress.value = step.total, step.index + 1

    def _say(self, error: Exception) -> None:
        sentence = escape(" ".join(str(error).split()), quote=False)
        self.message.value = f'<p role="alert"><b>No new video:</b> {sentence}</p>'

    def _write_sentence(self, _change) -> None:
        try:
            labels = cartoon.Labels(**{name: choice.value for name, choice in self.words.items()})
        except ValueError as error:  # an elephant that rides a horse
            self._say(error)
            self.button.disabled = True  # until other words are chosen: the sentence is still the one before
        else:
            self.sentence.value = cartoon.caption(labels)
            self._ready()

    def _ready(self, _change=None) -> None:
        self.message.value, self.button.disabled = "", False

    def _lay_out(self) -> widgets.VBox:
        rows = [self.words.values(), [self.sentence], [self.steps, self.guidance], [self.scheduler, self.seed]]
        rows += [[self.button, self.progress], [self.message], [self.result]]
        return widgets.VBox([widgets.HBox(list(row), layout={"flex_flow": "row wrap"}) for row in rows if row])
