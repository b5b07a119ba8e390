"""Questions about a world's state, in many forms, with the answers read off the state.

Each function returns one question with its answer, or "" where the state has nothing to ask about. A task asks the
same things in another form, which is why a model that has read these can learn the task from a few examples.
"""

from minipeft.tasks.telling import Teller, article, capital
from minipeft.tasks.world import FEELING_NAMES, OBJECTS, PEOPLE, PHRASES, PLACES, PRONOUNS, World

ASK = ("{q}? {a}.", "Question: {q}? Answer: {a}.", "{q}? Answer: {a}.", 'Someone asked, "{q}?" "{a}."')
CHECK = ("{q}? {a}.", "Question: {q}? Answer: {a}.", "{s}? {a}.", "{s}. Is that right? {a}.", "Check: {s}. {a}.")
TRUTH = ("True or false: {s}. {a}.", "{s}: {a}.", "{s}. This is {a}.")


def _ask(random, question: str, answer: str) -> str:
    return random.choice(ASK).format(q=question, a=capital(answer))


def _placed(random, world: World) -> str:
    """A person or object of the story whose place is determined."""
    known = [thing for thing in world.people + world.objects if world.where(thing)]
    return random.choice(known) if known else ""


def _named(thing: str) -> str:
    return thing if thing in PRONOUNS else "the " + thing


def where(random, world: World) -> str:
    thing = _placed(random, world)
    if not thing:
        return ""
    place = world.where(thing)
    they = PRONOUNS.get(thing, "it")
    form = random.randrange(4)
    if form == 0:
        forms = (
            f"Find {_named(thing)}: {place}.",
            f"Place of {_named(thing)}: {place}.",
            f"{capital(thing)}: {place}.",
        )
        return random.choice(forms)
    answer = (f"{they} is {PHRASES[place]}", PHRASES[place], f"{_named(thing)} is {PHRASES[place]}", place)[
        random.randrange(4)
    ]
    return _ask(random, f"Where is {_named(thing)}", answer)


def who_has(random, world: World) -> str:
    held = [thing for thing in world.objects if world.holder(thing)]
    if not held:
        return ""
    thing = random.choice(held)
    person = world.holder(thing)
    form = random.randrange(5)
    if form == 0:
        return f"{capital(thing)}: {person}." if random.random() < 0.5 else f"Owner of the {thing}: {person}."
    if form == 1:
        things = [other for other in held if world.holder(other) == person]
        return _ask(random, f"What does {person} have", " and ".join(article(other) for other in things))
    answer = (person, f"{person} has it", f"{person} has the {thing}")[random.randrange(3)]
    return _ask(random, f"Who has the {thing}", answer)


def who_is_there(random, world: World) -> str:
    thing = _placed(random, world)
    if not thing:
        return ""
    place = world.where(thing)
    if thing in PRONOUNS:
        people = [person for person in world.people if world.where(person) == place]
        return _ask(random, f"Who is {PHRASES[place]}", " and ".join(people))
    things = [other for other in world.objects if world.where(other) == place]
    return _ask(random, f"What is {PHRASES[place]}", " and ".join(article(other) for other in things))


def check(random, world: World) -> str:
    """A statement that is true, false or open, each as often, asked as yes / no / maybe or true / false / unknown."""
    truth = random.choice(("yes", "no", "yes", "no", "maybe"))
    claim = _claim(random, world, truth)
    if not claim:
        return ""
    statement, question = claim
    if random.random() < 0.3:
        word = {"yes": "true", "no": "false", "maybe": "unknown"}[truth]
        pattern = random.choice(TRUTH)
        return pattern.format(s=capital(statement), a=word if "This" in pattern else capital(word))
    return random.choice(CHECK).format(s=capital(statement), q=capital(question), a=capital(truth))


def _claim(random, world: World, truth: str) -> tuple[str, str] | None:
    """A statement of that truth and the question for it; the same forms for every truth."""
    kind = random.choice(("where", "where", "has", "feels"))
    things = {"where": world.people + world.objects, "has": world.objects, "feels": world.people}[kind]
    value = {"where": world.where, "has": world.holder, "feels": world.feeling}[kind]
    answers = {"where": world.places, "has": world.people, "feels": FEELING_NAMES}[kind]
    wanted = [thing for thing in things if (value(thing) is None) == (truth == "maybe")]
    if not wanted or (kind == "has" and truth == "maybe"):
        return None
    thing = random.choice(wanted)
    answer = value(thing)
    if truth != "yes":
        answer = random.choice([other for other in answers if other != answer])
    if kind == "where":
        return f"{_named(thing)} is {PHRASES[answer]}", f"is {_named(thing)} {PHRASES[answer]}"
    if kind == "has":
        return f"{answer} has the {thing}", f"does {answer} have the {thing}"
    return f"{thing} is {answer}", f"is {thing} {answer}"


def feelings(random, world: World) -> str:
    if not world.feelings:
        return ""
    person, event = random.choice(list(world.feelings.items()))
    they = PRONOUNS[person]
    forms = (
        (f"How does {person} feel", event.feeling),
        (f"How is {person}", f"{they} is {event.feeling}"),
        (f"Who is {event.feeling}", person),
        (f"Why is {person} {event.feeling}", f"because {they} {event.cause}"),
        (f"Who {event.cause}", f"{person}, and {they} is {event.feeling}"),
    )
    return _ask(random, *random.choice(forms))


def lists(random, world: World) -> str:
    """The words of the story by category."""
    groups = [
        ("People", "person", world.people),
        ("Objects", "object", world.objects),
        ("Places", "place", world.places),
    ]
    random.shuffle(groups)
    if random.random() < 0.6:
        return " ".join(f"{name}: {', '.join(words)}." for name, _, words in groups[: random.randint(1, 3)])
    _, kind, words = groups[0]
    word = random.choice(words)
    return random.choice(
        (
            f"{capital(word)} is {article(kind)}.",
            f"Kind of {word}: {kind}.",
            f"What is {word}? {capital(article(kind))}.",
        )
    )


def kinds(random, world: World) -> str:
    """Categories of words that need not be in the story."""
    names = {"person": PEOPLE, "place": PLACES, "object": OBJECTS, "feeling": FEELING_NAMES}
    chosen = random.sample(sorted(names), random.randint(2, 3))
    return "Words: " + ", ".join(f"{random.choice(names[kind])} is {article(kind)}" for kind in chosen) + "."


def summary(random, world: World) -> str:
    person = random.choice([person for person in world.people if person in world.inside] or [""])
    if not person:
        return ""
    things = [thing for thing in world.objects if world.holder(thing) == person]
    held = " and ".join(article(thing) for thing in things)
    feeling, they = world.feeling(person), capital(PRONOUNS[person])
    text = f"{person} is {PHRASES[world.where(person)]}"
    if random.random() < 0.5:
        text += "." + (f" {they} has {held}." if held else "") + (f" {they} is {feeling}." if feeling else "")
    else:
        text += (f" with {held}" if held else "") + (f" and feels {feeling}" if feeling else "") + "."
    return random.choice(("Summary: ", "In short: ", "At the end: ")) + text


def whom(random, world: World) -> str:
    """A pronoun that only the state explains: one person of that pronoun has the thing, or feels so."""
    person = random.choice(world.people)
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
    fact = random.choice(facts)
    forms = (f"{they} {fact}. Who? {person}.", f"{they} {fact}. {they} means {person}.", f"{they} {fact}: {person}.")
    return random.choice(forms)


def fits(random, world: World) -> str:
    """Whether an event can come next."""
    event = world.propose(random.choice(("take", "drop", "drop", "give", "give", "go")))
    if event.kind == "give" and event.person == event.other:
        return ""
    answer = "Yes" if world.possible(event) else "No"
    if answer == "No" and random.random() < 0.5:
        return ""
    line = Teller(world, plain=1.0).tell(event)
    return random.choice(
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
