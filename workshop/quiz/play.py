"""The quiz in a notebook: one question at a time, with buttons, and the reason after each answer."""

from html import escape
from pathlib import Path

import ipywidgets as widgets
import yaml

QUESTIONS = Path(__file__).with_name("questions.yaml")


def questions() -> list[dict]:
    """Each {"ask", "answers", "right" (counts from 0), "why", "from"}."""
    return yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))


class Quiz(widgets.VBox):
    """All questions below one another, and the score. `answer(k, choice)` is what a button does."""

    def __init__(self, asked: list[dict]):
        self.asked, self.given = asked, {}
        self.score = widgets.HTML()
        self.said = [widgets.HTML() for _ in asked]
        super().__init__([*map(self._question, range(len(asked))), self.score])
        self._show_score()

    def _question(self, k: int) -> widgets.VBox:
        one = self.asked[k]
        buttons = [widgets.Button(description=text, layout={"width": "auto"}) for text in one["answers"]]
        for choice, button in enumerate(buttons):
            button.on_click(lambda _, choice=choice: self.answer(k, choice))
        return widgets.VBox([widgets.HTML(f"<b>{k + 1}. {escape(one['ask'])}</b>"), *buttons, self.said[k]])

    def answer(self, k: int, choice: int) -> None:
        """Answer question k; the first answer counts."""
        self.given.setdefault(k, choice)
        one, right = self.asked[k], choice == self.asked[k]["right"]
        word = "Right." if right else f"Not quite: {one['answers'][one['right']]}."
        self.said[k].value = f"{escape(word)} {escape(one['why'])} <i>(notebook {escape(one['from'])})</i>"
        self._show_score()

    def _show_score(self) -> None:
        right = sum(self.asked[k]["right"] == choice for k, choice in self.given.items())
        self.score.value = f"<b>{right} right at the first try, {len(self.given)} of {len(self.asked)} answered</b>"


def play() -> Quiz:
    """The quiz, to be the last value of a cell."""
    return Quiz(questions())
