"""Hand-written prompts for bundled tasks: words around the source, and words that stand for each answer.

They ask as the pretraining texts do ("... It was all about music."), so that a base can answer without training. Of a
source "a | b" the two parts are {first} and {second}. The first template and the first verbalizer are those that
together did best with `t5-0.8m` on dev, on three draws of words that no race has, as rates are chosen.
`making/build.py` writes them into each task's `task.json`.
"""

from minipeft.tasks.hand_written import HandWritten
from minipeft.tasks.making import meanings, topics
from minipeft.tasks.making.telling import capital

OPINION = HandWritten(
    templates=(
        "{source} All in all, it was",
        "{source} Verdict:",
        "{source} Was it good or bad?",
        "{source} Opinion:",
        "{source} Did everyone like it?",
    ),
    verbalizers=(
        {"good": ["good."], "bad": ["bad."]},
        {"good": ["Good."], "bad": ["Bad."]},
        {"good": ["Yes."], "bad": ["No."]},
        {"good": ["good.", "Good.", "great."], "bad": ["bad.", "Bad.", "terrible."]},
    ),
)
HAND_WRITTEN = {
    "sentiment": OPINION,
    "sentiment_food": OPINION,
    "topic": HandWritten(
        templates=(
            "{source} It was all about",
            "{source} Topic:",
            "{source} Subject:",
            "{source} What did they talk about?",
        ),
        verbalizers=(
            {label: [f"{label}."] for label in topics.LABELS},
            {label: [f"{capital(label)}."] for label in topics.LABELS},
            {label: [f"{label}.", f"{capital(label)}."] for label in topics.LABELS},
        ),
    ),
    "category": HandWritten(
        templates=(
            "{source} Category:",
            "{source} Kind of thing:",
            "{source} It was",
            "{source} What was it?",
        ),
        verbalizers=(
            {label: [f"{label}."] for label in meanings.LABELS},
            {label: [f"{capital(meanings.kind_of(label))}."] for label in meanings.LABELS},
            {label: [f"{meanings.kind_of(label)}."] for label in meanings.LABELS},
            {label: [f"{capital(label)}."] for label in meanings.LABELS},
            {label: [f"{label}.", f"{capital(label)}."] for label in meanings.LABELS},
        ),
    ),
    "opinion_now": HandWritten(
        templates=(
            "{second} All in all, the {first} was",
            "{second} Was the {first} good or bad?",
            "{second} Verdict on the {first}:",
        ),
        verbalizers=OPINION.verbalizers[:2],
    ),
}
