"""Twenty templates and four verbalizers for each of two tasks: the words of chapter 04.

Templates stand in four groups: ends that pretraining's texts have, other ends, instructions before the text, and ends
that ask for nothing of the kind. Every template is read with every verbalizer.
"""

from dataclasses import dataclass

from minipeft.tasks.making.opinions import LABELS as OPINIONS
from minipeft.tasks.making.telling import capital
from minipeft.tasks.making.topics import LABELS as TOPICS


@dataclass(frozen=True)
class Wordings:
    """templates: by group. verbalizers: by name, a word for each label, in the order of the task's labels.

    first: the template and the verbalizer that a careful reader of pretraining's texts would take.
    """

    templates: dict[str, tuple[str, ...]]
    verbalizers: dict[str, tuple[str, ...]]
    first: tuple[str, str]

    @property
    def all_templates(self) -> list[str]:
        return [template for group in self.templates.values() for template in group]

    @property
    def words(self) -> list[str]:
        """All words, verbalizer after verbalizer."""
        return [word for verbalizer in self.verbalizers.values() for word in verbalizer]


SENTIMENT = Wordings(
    {
        "pretraining's own": (
            "{source} Verdict:",
            "{source} Was it good or bad?",
            "{source} All in all, it was",
            "{source} Opinion:",
            "{source} Rating:",
        ),
        "other words": (
            "{source} It was",
            "{source} In short, it was",
            "{source} I would say that it was",
            "{source} In one word:",
            "{source} Is that good or bad?",
            "{source} Bad or good?",
            "{source} Answer:",
            "{source} Judgement:",
            "{source} What did they think of it?",
        ),
        "an instruction first": (
            "Say whether it was good or bad. {source} Verdict:",
            "Is this review good or bad? {source} Answer:",
            "Read the review and give a verdict. {source} Verdict:",
            "Review: {source} Verdict:",
        ),
        "nothing asked": ("{source}", "{source} The kitchen was"),
    },
    {
        "good. bad.": ("good.", "bad."),
        "Good. Bad.": ("Good.", "Bad."),
        "Yes. No.": ("Yes.", "No."),
        "great. terrible.": ("great.", "terrible."),
    },
    ("{source} All in all, it was", "good. bad."),
)
RELATED = {"weather": "rain", "sport": "football", "music": "songs", "cooking": "food", "health": "illness",
           "travel": "trains", "school": "lessons", "money": "banks", "farming": "cows", "crime": "police"}  # fmt: skip
TOPIC = Wordings(
    {
        "pretraining's own": (
            "{source} Topic:",
            "{source} Subject:",
            "{source} It was all about",
            "{source} What did they talk about?",
        ),
        "other words": (
            "{source} They talked about",
            "{source} What is this about?",
            "{source} Theme:",
            "{source} In short:",
            "{source} In one word:",
            "{source} Answer:",
            "{source} Category:",
            "{source} What was the subject?",
            "{source} Filed under:",
            "{source} All in all, it was about",
        ),
        "an instruction first": (
            "Say what it is about. {source} Topic:",
            "Which subject is it? {source} Answer:",
            "Find the topic. {source} Subject:",
            "Text: {source} Topic:",
        ),
        "nothing asked": ("{source}", "{source} Where is the lamp?"),
    },
    {
        "weather.": tuple(f"{label}." for label in TOPICS),
        "weather": TOPICS,
        "Weather.": tuple(f"{capital(label)}." for label in TOPICS),
        "rain.": tuple(f"{RELATED[label]}." for label in TOPICS),
    },
    ("{source} Topic:", "weather."),
)
TASKS = {"sentiment": SENTIMENT, "topic": TOPIC}
LABELS = {"sentiment": OPINIONS, "topic": TOPICS}


def spoken(task: str, wording: str) -> tuple[str, dict[str, str]]:
    """The template of a wording, and the word for each label."""
    template, _, name = wording.rpartition(" | ")
    return template, dict(zip(LABELS[task], TASKS[task].verbalizers[name], strict=True))
