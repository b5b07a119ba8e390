"""Questions that judge: is a statement right, whom does a pronoun mean, can an event come next.

The forms are the same for every answer, so that reading the statement without the story gives nothing away.
"""

from minipeft.tasks.making.questions import feelings, kinds, lists, named, summary, where, who_has, who_is_there
from minipeft.tasks.making.telling import Teller, capital
from minipeft.tasks.making.world import FEELING_NAMES, PHRASES, PRONOUNS, World

CHECK = ("{q}? {a}.", "Question: {q}? Answer: {a}.", "{s}? {a}.", "{s}. Is that right? {a}.", "Check: {s}. {a}.")
TRUTH = ("True or false: {s}. {a}.", "{s}: {a}.", "{s}. This is {a}.")


def check(generator, world: World) -> str:
    """A statement that is true, false or open, each as often, asked as yes / no / maybe or true / false / unknown."""
    truth = generator.choice(("yes", "no", "yes", "no", "maybe"))
    claim = _claim(generator, world, truth)
    if not claim:
        return ""
    statement, question = claim
    if generator.random() < 0.3:
        word = {"yes": "true", "no": "false", "maybe": "unknown"}[truth]
        pattern = generator.choice(TRUTH)
        return pattern.format(s=capital(statement), a=word if "This" in pattern else capital(word))
    return generator.choice(CHECK).format(s=capital(statement), q=capital(question), a=capital(truth))


def _claim(generator, world: World, truth: str) -> tuple[str, str] | None:
    """A statement of that truth and the question for it; the same forms for every truth."""
    kind = generator.choice(("where", "where", "has", "feels"))
    things = {"where": world.people + world.objects, "has": world.objects, "feels": world.people}[kind]
    value = {"where": world.where, "has": world.holder, "feels": world.feeling}[kind]
    answers = {"where": world.places, "has": world.people, "feels": FEELING_NAMES}[kind]
    wanted = [thing for thing in things if (value(thing) is None) == (truth == "maybe")]
    if not wanted or (kind == "has" and truth == "maybe"):
        return None
    thing = generator.choice(wanted)
    answer = value(thing)
    if truth != "yes":
        answer = generator.choice([other for other in answers if other != answer])
    if kind == "where":
        return f"{named(thing)} is {PHRASES[answer]}", f"is {named(thing)} {PHRASES[answer]}"
    if kind == "has":
        return f"{answer} has the {thing}", f"does {answer} have the {thing}"
    return f"{thing} is {answer}", f"is {thing} {answer}"


def whom(generator, world: World) -> str:
    """A pronoun that only the state explains: one person of that pronoun has the thing, or feels so."""
    person = generator.choice(world.people)
    they = capital(PRONOUNS[person])
    facts = [f"has the {thing}" for thing in world.objects if world.holder(thing) == person]
    feeling = world.feeling(person)
    if feeling and sum(world.feeling(other) == feeling for other in world.people) == 1:
        facts.append(f"is {feeling}")
    place = world.where(person)
    if place and sum(world.where(other) == place for other in world.people) == 1:
        facts.append(f"is {PHRASES[place]}")
    if not facts:
        return ""
    fact = generator.choice(facts)
    forms = (f"{they} {fact}. Who? {person}.", f"{they} {fact}. {they} means {person}.", f"{they} {fact}: {person}.")
    return generator.choice(forms)


def fits(generator, world: World) -> str:
    """Whether an event can come next."""
    event = world.propose(generator.choice(("take", "drop", "drop", "give", "give", "go")))
    if event.kind == "give" and event.person == event.other:
        return ""
    answer = "Yes" if world.possible(event) else "No"
    if answer == "No" and generator.random() < 0.5:
        return ""
    line = Teller(world, plain=1.0).tell(event)
    return generator.choice(
        (f"Next: {line} Fits? {answer}.", f"Can this be next? {line} {answer}.", f'Does "{line}" fit? {answer}.')
    )


QUESTIONS = (
    where,
    where,
    where,
    who_has,
    who_has,
    who_is_there,
    check,
    check,
    check,
    feelings,
    lists,
    kinds,
    summary,
    whom,
    fits,
)
