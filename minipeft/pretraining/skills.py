"""What a base can do before anyone tunes it: skills measured in the form in which it was pretrained, without a prompt.

    Anna watched the film. The plot was not dull. All in all, it was ...        good or bad?

Each probe is a text that stops before a word, with two words that may follow. The score of a probe is how much likelier
the first word is than the second; the AUC is the chance that a probe whose first word is right scores above one whose
second is: 100 is perfect, 50 is a coin. A base that has the skill only needs to be asked; one that has not must be
taught, and that takes more than a prompt.

The probes are drawn from the generators that pretraining reads, with a seed of their own; no bundled task wants the
words that are asked for here.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from minipeft.pretraining.batches import tokenizer
from minipeft.pretraining.span_corruption import Sentinel
from minipeft.tasks.making import causes, meanings, opinions, topics, tracking
from minipeft.tasks.making.people import NAMES
from minipeft.tasks.making.telling import capital
from minipeft.tasks.making.world import PHRASES
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.language_model import LanguageModel

PROBES = 160  # of each skill
GATE = {"plain": 95.0, "contrast": 95.0}  # what a base must reach to be released


@dataclass(frozen=True)
class Probe:
    """A text up to a word, the two words that could follow, and whether it is the `first`."""

    text: str
    words: tuple[str, str]
    first: bool


def opinion(generator: random.Random, form: str) -> Probe:
    """A review with one kind of judgement: is it good or bad in the end?"""
    domain = generator.choice(opinions.DOMAINS)
    lists, label = opinions.split_adjectives(domain, None), generator.choice(opinions.LABELS)
    sentence = opinions.fill(generator, lists, label, generator.choice(opinions.FORMS[form]))
    seen, thing = (generator.choice(opinions.OPINIONS[domain][part]) for part in ("seen", "things"))
    text = f"{generator.choice(NAMES)} {seen} the {thing}. {sentence} All in all, it was"
    return Probe(text, opinions.LABELS, label == opinions.LABELS[0])


def subject(generator: random.Random, turned_down: bool) -> Probe:
    """Which of two topics is spoken of: of nouns of one only, or beside nouns of the other that are turned down."""
    topic, wrong = generator.sample(topics.LABELS, 2)
    if turned_down:
        nouns = generator.sample(topics.WORDS[topic], 2), generator.sample(topics.WORDS[wrong], 2)
        text = topics.contrast(generator, *nouns, generator.sample(NAMES, 2))
    else:
        text = topics.sentences(generator, generator.sample(topics.WORDS[topic], 9), NAMES, 3)
    return in_random_order(generator, f"{text} Topic:", topic, wrong)


def kind(generator: random.Random) -> Probe:
    """Which of two categories a noun belongs to, in a sentence that says nothing of it."""
    label, wrong = generator.sample(meanings.LABELS, 2)
    noun = generator.choice(meanings.CATEGORIES[label])
    event = generator.choice(meanings.LEXICON["neutral"]).replace("{x}", noun)
    return in_random_order(generator, f"{generator.choice(NAMES)} {event}. Kind of thing:", label, wrong)


def where(generator: random.Random, moved: bool) -> Probe:
    """Where a thing is, which has `moved` since it was last named or has not: its place or another of the story."""
    wrong = []
    while not wrong:
        world, story, thing = tracking.draw(generator, moved)
        place = world.where(thing)
        wrong = [other for other in world.places if other != place and f" {other}" in story]
    wrong = generator.choice(wrong)
    return in_random_order(
        generator, f"{story} Where is the {thing}?", capital(PHRASES[place]), capital(PHRASES[wrong])
    )


def who(generator: random.Random) -> Probe:
    """Who has a thing: one of two people of the story."""
    while True:
        world, story, _ = tracking.draw(generator, generator.random() < 0.5)
        held = [thing for thing in world.objects if world.holder(thing)]
        others = [person for person in world.people if person in story]
        if held and len(others) > 1:
            thing = generator.choice(held)
            wrong = generator.choice([person for person in others if person != world.holder(thing)])
            return in_random_order(generator, f"{story} Who has the {thing}?", world.holder(thing), wrong)


def which(generator: random.Random) -> Probe:
    """Which of two things is at a place."""
    while True:
        world, story, thing = tracking.draw(generator, generator.random() < 0.5)
        question = tracking.which(generator, world, thing)
        if question:
            asked, _, answer = question.partition("? ")
            wrong = next(word for word in asked.partition(": ")[2].split(" or ") if capital(word) != answer[:-1])
            return in_random_order(generator, f"{story} {asked}?", answer[:-1], capital(wrong))


def whether(generator: random.Random) -> Probe:
    """Whether a thing is at a place of the story."""
    world, story, thing = tracking.draw(generator, generator.random() < 0.5)
    asked, _, answer = tracking.whether(generator, world, thing).partition("? ")
    return Probe(f"{story} {asked}?", ("Yes", "No"), answer == "Yes.")


def cause(generator: random.Random) -> Probe:
    """What came of an event: its effect, or that of another event around the same thing."""
    rules = causes.KINDS[generator.choice(list(causes.KINDS))]
    right, wrong = generator.sample(rules["rules"], 2)
    noun, name = generator.choice(rules["objects"]), generator.choice(NAMES)
    told = causes.put(generator, "cause", right, noun, name)
    effects = (capital(causes.put(generator, "effect", rule, noun, name)) for rule in (right, wrong))
    return in_random_order(generator, f"{told}. What happened then?", *effects)


def in_random_order(generator: random.Random, text: str, right: str, wrong: str) -> Probe:
    first = generator.random() < 0.5
    return Probe(text, (right, wrong) if first else (wrong, right), first)


SKILLS: dict[str, Callable[[random.Random], Probe]] = {
    "plain": lambda generator: opinion(generator, "plain"),
    "contrast": lambda generator: opinion(generator, "contrast"),
    "negation": lambda generator: opinion(generator, "negation"),
    "subject": lambda generator: subject(generator, turned_down=False),
    "turned-down subject": lambda generator: subject(generator, turned_down=True),
    "kind": kind,
    "where, named": lambda generator: where(generator, moved=False),
    "where, moved": lambda generator: where(generator, moved=True),
    "who": who,
    "which": which,
    "whether": whether,
    "cause": cause,
}


def probes(skill: str, count: int = PROBES) -> list[Probe]:
    """The probes of a skill: the same ones each time."""
    generator = random.Random(f"minipeft skill {skill}")
    return [SKILLS[skill](generator) for _ in range(count)]


def passes_gate(found: dict[str, float]) -> bool:
    """Whether a base with these AUCs is good enough to be released."""
    return all(found[skill] >= least for skill, least in GATE.items())


@torch.no_grad()
def skill_aucs(
    model: LanguageModel, objective: str, count: int = PROBES, skills: Iterable[str] = SKILLS
) -> dict[str, float]:
    """The AUC in percent of each of the `skills`, each probe put as `objective` puts a text whose end is hidden."""
    training = model.training
    model.eval()
    values = {skill: auc(model, objective, probes(skill, count)) for skill in skills}
    model.train(training)
    return values


def auc(model: LanguageModel, objective: str, asked: list[Probe]) -> float:
    """The share of pairs (a probe with the first word right, one with the second) that the scores order rightly."""
    scores = preferences(model, objective, asked)
    first = torch.tensor([probe.first for probe in asked])
    differences = scores[first][:, None] - scores[~first][None, :]  # (first right, second right)
    return 100 * ((differences > 0).double() + (differences == 0).double() / 2).mean().item()


def preferences(model: LanguageModel, objective: str, asked: list[Probe], batch_size: int = 80) -> torch.Tensor:
    """For each probe the log-likelihood of its first word minus that of its second, in nats, (probes,)."""
    device, found = next(model.parameters()).device, []
    for start in range(0, len(asked), batch_size):
        part = asked[start : start + batch_size]
        rows = [as_read(probe, objective) for probe in part]
        batch = Batch(*pad([source for source, _ in rows])).to(device)
        ids, mask = pad([word for _, words in rows for word in words])
        shape = (len(part), 2, -1)  # (probes, words, length)
        scores = model.score(batch, ids.view(shape).to(device), mask.view(shape).to(device))
        found.append((scores[:, 0] - scores[:, 1]).cpu())
    return torch.cat(found)


def as_read(probe: Probe, objective: str) -> tuple[list[int], list[list[int]]]:
    """The source, and both words as the target would begin with them."""
    own, text = tokenizer(), tokenizer().encode(probe.text)
    words = [own.encode(word) for word in probe.words]
    if objective == "causal":
        return [own.eos, *text], words
    if objective == "prefix":
        return [*text, own.eos], words
    hidden: Sentinel = own.sentinel
    return [*text, hidden(0), own.eos], [[hidden(0), *word] for word in words]
