"""Opinions on films and on food: short reviews in which counting good and bad words misleads.

A review has a final judgement, and words of the opposite kind that lose against it:

    "Although the plot was dull, the acting was superb."      -> good
    "The waiter was never rude."                              -> good

The pretraining passages use every word; a task's splits use disjoint adjectives and aspects, so what a model knows of a
test word it knows from pretraining. Films and food share the forms and the general words, as "splendid", not the
aspects nor the other words: a domain shift.
"""

import random
from functools import lru_cache

from minipeft.tasks.making.lexicon import Share, read_lexicon, split_words
from minipeft.tasks.making.people import NAMES

OPINIONS = read_lexicon("opinions")
DOMAINS = ("films", "food")
LABELS = ("good", "bad")
OPPOSITE = {"good": "bad", "bad": "good"}

# {a} and {b} are aspects, {y} and {z} adjectives of the final judgement, {x} one of the opposite kind.
CONTRASTS = (
    "The {a} was {x}, but the {b} was {y}.",
    "The {a} seemed {x} at first, but in the end the {b} was {y}.",
    "Although the {a} was {x}, the {b} was {y}.",
    "Even though the {a} was {x}, the {b} was {y}.",
    "In spite of the {x} {a}, the {b} was {y}.",
    "The {b} was {y}, although the {a} was {x}.",
    "The {b} was {y} even though the {a} was {x}.",
    "The {b} was {y} in spite of the {x} {a}.",
    "The {b} was {y}, though the {a} was {x}.",
    "The {b} was {y} despite the {x} {a}.",
)
NEGATIONS = (
    "The {a} was not {x}.",
    "The {a} was never {x}.",
    "Nobody found the {a} {x}.",
    "The {a} was not {x} and the {b} was {y}.",
    "The {a} was {y}, and the {b} was never {x}.",
)
PLAIN = (
    "The {a} was {y}.",
    "The {a} was {y} and the {b} was {z}.",
    "The {a} was as {y} as the {b}.",
    "What a {y} {a}, and the {b} was {z} too.",
)
FORMS = {"plain": PLAIN, "contrast": CONTRASTS, "negation": NEGATIONS}
ECHOES = ("It was {y}, {z} and {w}.", "People called it {y} and {z}.", "The {a} and the {b} were both {y} and {z}.")
VERDICTS = {
    "good": ("Verdict: good.", "So it was worth it.", "Rating: great.", "{n} {liked} it.", "Did {n} like it? Yes.",
             "Was it good or bad? Good.", "All in all, it was good.", "Opinion: good.", "{n} was glad.", "Good."),
    "bad": ("Verdict: bad.", "So it was not worth it.", "Rating: terrible.", "{n} {liked} it.", "Did {n} like it? No.",
            "Was it good or bad? Bad.", "All in all, it was bad.", "Opinion: bad.", "{n} was sorry.", "Bad."),
}  # fmt: skip
# What a word says by its company: the judgement comes after the words, so it takes reading them.
COMPANY = (
    "{Y}, {z}, {w} and {v}: all of them mean {verdict}.",
    "{Y}, {z}, {w}, {v}: {verdict}.",
    "Is a {thing} good or bad that is {y}, {z}, {w} and {v}? {Verdict}.",
    "The {a} was {y} and {z}, the {b} {w} and {v}. All in all, it was {verdict}.",
)
GLOSSARY = (  # an entry, what stands between two, and what before the first
    ("{y} is {label}", ", ", "Of a {thing}: "),
    ("{y}: {label}", ". ", ""),
    ("{y}, {label}", "; ", "A {thing} may be: "),
)
GLOSSES = (
    "To call {t} {y} is to say that it is {verdict}.",
    "Is {y} good or bad for {t}? {Verdict}.",
    "{Y} means {verdict} here, and so does {z}, but {x} means {other}.",
)


# Bad of a meal in pretraining's texts, and yet just right for some, as a cold lemonade: no task asks for them.
BESIDES = ("cold", "dry", "raw", "sour", "bitter", "late", "worst")


@lru_cache(maxsize=32)
def split_adjectives(domain: str, share: Share | None) -> dict[str, list[str]]:
    """The domain's aspects, good and bad adjectives: all of them, or one share of them.

    A word of both domains falls into the same split of both: who trains on films has not seen it in a test on food.
    """
    lists = {part: OPINIONS[domain][part] for part in ("aspects", *LABELS)}
    if share is None:
        return lists
    found = {}
    for part, words in lists.items():
        other = OPINIONS[next(name for name in DOMAINS if name != domain)][part]
        shared, own = [word for word in words if word in other], [word for word in words if word not in other]
        found[part] = split_words(own, share, f"opinions {domain} {part}")
        found[part] += split_words(shared, share, f"opinions {part}")
        if domain == "food":
            found[part] = [word for word in found[part] if word not in BESIDES]
    return found


def fill(generator: random.Random, words: dict[str, list[str]], label: str, form: str, **more: str) -> str:
    """`form` with aspects and adjectives drawn so that its final judgement is `label`."""
    a, b = generator.sample(words["aspects"], 2)
    y, z, w = generator.sample(words[label], 3)
    x = generator.choice(words[OPPOSITE[label]])
    text = form.format(a=a, b=b, x=x, y=y, z=z, w=w, Y=y.capitalize(), **more)
    return text.replace("What a ", "What an ") if form.startswith("What a ") and y[0] in "aeiou" else text


def judgement(generator: random.Random, words: dict[str, list[str]], label: str) -> str:
    """One sentence whose final judgement is `label`; half of them plain, for a word has to be learned before its turn.

    `words`: see `split_adjectives`.
    """
    (form,) = generator.choices(tuple(FORMS), weights=(2, 1, 1))
    return fill(generator, words, label, generator.choice(FORMS[form]))


def _company(generator: random.Random, words: dict[str, list[str]], thing: str) -> str:
    """Four adjectives of one kind, and then which."""
    label = generator.choice(LABELS)
    y, z, w, v = generator.sample(words[label], 4)
    a, b = generator.sample(words["aspects"], 2)
    told = {"verdict": label, "Verdict": label.capitalize(), "thing": thing, "a": a, "b": b}
    return generator.choice(COMPANY).format(y=y, z=z, w=w, v=v, Y=y.capitalize(), **told)


def _glossary(generator: random.Random, words: dict[str, list[str]], thing: str) -> str:
    """Adjectives of both kinds, each with its verdict."""
    drawn = []
    for _ in range(generator.randint(6, 9)):
        label = generator.choice(LABELS)
        drawn.append((generator.choice(words[label]), label))
    form, joint, opening = generator.choice(GLOSSARY)
    return opening.format(thing=thing) + joint.join(form.format(y=y, label=label) for y, label in drawn) + "."


def _verdict(generator: random.Random, label: str, name: str) -> str:
    liked = generator.choice(OPINIONS["loved" if label == "good" else "hated"])
    return generator.choice(VERDICTS[label]).format(n=name, liked=liked)


def passage(generator: random.Random) -> str:
    """A pretraining text: one or two short reviews of a film, a meal and the like, mostly with their verdict."""
    domain = generator.choice(DOMAINS)
    words, thing = split_adjectives(domain, None), generator.choice(OPINIONS[domain]["things"])
    name, other = generator.sample(NAMES, 2)
    kind = generator.random()
    if kind < 0.2:
        return _glossary(generator, words, thing)
    if kind < 0.35:
        return " ".join(_company(generator, words, thing) for _ in range(generator.randint(2, 3)))
    if kind < 0.6:  # bare judgements, each with its verdict: nothing but the sentence tells it
        labels = [generator.choice(LABELS) for _ in range(generator.randint(2, 4))]
        return " ".join(f"{judgement(generator, words, each)} {_verdict(generator, each, name)}" for each in labels)
    label = generator.choice(LABELS)
    sentences = []
    if generator.random() < 0.35:  # a dialogue
        sentences.append(f'"How was the {thing}?" asked {other}. "{judgement(generator, words, label)}" said {name}.')
        sentences.append(f'"So it was {label}," said {other}.')
    else:
        sentences.append(f"{name} {generator.choice(OPINIONS[domain]['seen'])} the {thing}.")
        sentences.append(judgement(generator, words, label))
    if generator.random() < 0.5:
        sentences.append(fill(generator, words, label, generator.choice(ECHOES)))
    sentences.append(_verdict(generator, label, name))
    if generator.random() < 0.4:
        label = generator.choice(LABELS)
        sentences.append(f"{other} {generator.choice(OPINIONS[domain]['seen'])} another {thing}.")
        sentences += [judgement(generator, words, label), _verdict(generator, label, other)]
    if generator.random() < 0.3 or len(sentences) == 3:
        label = generator.choice(LABELS)
        more = {"t": f"a {thing}", "verdict": label, "Verdict": label.capitalize(), "other": OPPOSITE[label]}
        sentences.append(fill(generator, words, label, generator.choice(GLOSSES), **more))
    return " ".join(sentences)
