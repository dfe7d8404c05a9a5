"""What a person may say under an answer, and of the page itself: the forms and back. Pure.

People are asked in their words ("Was this right?") and answer by pressing; what they press becomes the fields that every other
door of feedback reads. A question with two possible answers needs no second one: what is not right is the other. With more, the
page asks which it was; for a number, what it really was.

```
Answer ─▶ AnswerForm ─▶ template ─▶ browser ─▶ posted ─▶ fields_of ─▶ FeedbackReader.from_form
```
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from fairlead.answer import Answer
from fairlead.errors import FairleadError, SchemaMismatch
from fairlead.schema import Output, label_text
from fairlead.serving.feedback.said import LONGEST_COMMENT, VALUE_PREFIX, Said
from fairlead.serving.pages import words
from fairlead.serving.pages.form import CHOICES, SUGGESTIONS

__all__ = [
    "RIGHT",
    "AnswerForm",
    "Asked",
    "Entered",
    "PageForm",
    "answer_form",
    "asked_again",
    "entered_of",
    "fields_of",
    "sentence_of",
    "what_is_missing",
]

RIGHT = "right"
"""The number that the page's "Was this right?" becomes: 1 for yes, 0 for no."""

Widget = Literal["none", "choice", "suggest", "number"]


class Entered(msgspec.Struct, frozen=True):
    """What a person has entered so far, to be shown again beside a complaint."""

    right: str = ""
    label: str = ""
    rating: str = ""
    comment: str = ""


class AnswerForm(msgspec.Struct, frozen=True):
    """What is asked under an answer.

    Attributes:
        id: Of the prediction.
        said: The prediction, as `FeedbackReader` reads it back.
        in_words: The prediction as people read it; empty where it is none of the model's.
        yes_or_no: Whether "Was this right?" is asked; a number is hardly ever right to the last digit.
        widget: How the right answer is given, where yes and no do not tell it.
        choices: What may be right instead: what is posted, and what is read.
        entered: What was entered before.
        longest: Characters of a comment.
    """

    id: str
    said: str
    in_words: str
    yes_or_no: bool
    widget: Widget
    choices: tuple[tuple[str, str], ...] = ()
    entered: Entered = Entered()
    longest: int = LONGEST_COMMENT


class PageForm(msgspec.Struct, frozen=True):
    """What is asked about the page.

    Attributes:
        id: Of the prediction that stands on it, else one that no prediction has.
        entered: What was entered before.
        longest: Characters of a comment.
    """

    id: str
    entered: Entered = Entered()
    longest: int = LONGEST_COMMENT


class Asked(msgspec.Struct, frozen=True):
    """One of the page's two places for feedback, in the state it is in.

    Attributes:
        form: What is asked.
        thanks: What was said, once it is recorded.
        complaint: Why it was not taken, and what to do.
    """

    form: AnswerForm | PageForm
    thanks: str = ""
    complaint: tuple[str, str] | None = None


def answer_form(output: Output, answer: Answer) -> AnswerForm:
    """What is asked under an answer."""
    return asked_again(output, answer.id, label_text(answer.prediction), Entered())


def asked_again(output: Output, identity: str, said: str, entered: Entered) -> AnswerForm:
    """The same, from what a browser posted.

    Args:
        output: What the model gives.
        identity: The prediction's id.
        said: The prediction as text.
        entered: What was entered.
    """
    spelled = [(label_text(one), words.word(one, output.classes)) for one in output.classes]
    others = [one for one in spelled if one[0] != said]
    widget: Widget
    if output.task == "regression":
        widget, others = "number", []
    elif len(others) < 2:
        widget, others = "none", []
    else:
        widget = "choice" if len(others) <= CHOICES else "suggest"
    return AnswerForm(
        id=identity,
        said=said,
        in_words=dict(spelled).get(said, "") if spelled else _number_in_words(said),
        yes_or_no=output.task == "classification",
        widget=widget,
        choices=tuple(others[:SUGGESTIONS]),
        entered=entered,
    )


def entered_of(posted: Mapping[str, str]) -> Entered:
    """What was entered, from what a browser posted."""
    # A browser ends lines with two characters and counts them as one.
    return Entered(*(posted.get(name, "").replace("\r\n", "\n") for name in Entered.__struct_fields__))


def fields_of(output: Output, posted: Mapping[str, str]) -> dict[str, str]:
    """What a browser posted, as the texts that `FeedbackReader.from_form` reads."""
    entered = entered_of(posted)
    label, about = entered.label, posted.get("about", "answer")
    right = {"yes": "1", "no": "0"}.get(entered.right, "") if output.task == "classification" else ""
    if right == "1":
        label = posted.get("said", "")
    elif right == "0" and not label:
        label = _the_other(output, posted.get("said", ""))
    return {
        "id": posted.get("prediction", ""),
        "label": label,
        "rating": entered.rating,
        "comment": entered.comment,
        "about": about,
        VALUE_PREFIX + RIGHT: right,
    }


def sentence_of(output: Output, said: Said) -> str:
    """What a person said, in a sentence, to be read once more."""
    parts = []
    right = (said.values or {}).get(RIGHT)
    if right is not None:
        parts.append("right" if right else "not right")
    if said.label is not None and not right:
        parts.append(f"it was {words.word(said.label, output.classes)}")
    if said.rating is not None:
        parts.append(f"{said.rating} of 5")
    if said.comment is not None:
        parts.append(f"“{said.comment}”")
    return f"You said: {' · '.join(parts)}"


def what_is_missing(error: FairleadError) -> tuple[str, str]:
    """Why feedback that was entered on the page was not taken, and what to do."""
    if isinstance(error, SchemaMismatch):
        field = error.values.get("field")
        if field is None:
            return "Nothing was entered yet.", "Answer one of the questions, or write a comment."
        if field == "label":
            return "What it really was cannot be read.", f"Enter {error.values['expected']}."
        return f"The {field} cannot be taken.", f"It takes {error.values['expected']}."
    return "Your feedback was not taken.", error.hint or "Send it again in a moment."


def _number_in_words(said: str) -> str:
    try:
        return words.number(float(said))
    except ValueError:
        return ""


def _the_other(output: Output, said: str) -> str:
    """Of two classes, the one that was not said; empty where there are more."""
    others = [label_text(one) for one in output.classes if label_text(one) != said]
    return others[0] if len(others) == 1 else ""
