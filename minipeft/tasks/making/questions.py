"""Questions about a world's state, in many forms, with the answers read off the state.

Each function returns one question with its answer, or "" where the state has nothing to ask about. A task asks the
same things in another form, which is why a model that has read these can learn the task from a few examples.
"""

from minipeft.tasks.making.telling import article, capital
from minipeft.tasks.making.world import FEELING_NAMES, OBJECTS, PEOPLE, PHRASES, PLACES, PRONOUNS, World

ASK = ("{q}? {a}.", "Question: {q}? Answer: {a}.", "{q}? Answer: {a}.", 'Someone asked, "{q}?" "{a}."')


def ask(generator, question: str, answer: str) -> str:
    return generator.choice(ASK).format(q=question, a=capital(answer))


def _placed(generator, world: World) -> str:
    """A person or object of the story whose place is determined."""
    known = [thing for thing in world.people + world.objects if world.where(thing)]
    return generator.choice(known) if known else ""


def named(thing: str) -> str:
    return thing if thing in PRONOUNS else "the " + thing


def where(generator, world: World) -> str:
    thing = _placed(generator, world)
    if not thing:
        return ""
    place = world.where(thing)
    they = PRONOUNS.get(thing, "it")
    form = generator.randrange(4)
    if form == 0:
        forms = (
            f"Find {named(thing)}: {place}.",
            f"Place of {named(thing)}: {place}.",
            f"{capital(thing)}: {place}.",
        )
        return generator.choice(forms)
    answer = (f"{they} is {PHRASES[place]}", PHRASES[place], f"{named(thing)} is {PHRASES[place]}", place)[
        generator.randrange(4)
    ]
    return ask(generator, f"Where is {named(thing)}", answer)


def who_has(generator, world: World) -> str:
    held = [thing for thing in world.objects if world.holder(thing)]
    if not held:
        return ""
    thing = generator.choice(held)
    person = world.holder(thing)
    form = generator.randrange(5)
    if form == 0:
        return f"{capital(thing)}: {person}." if generator.random() < 0.5 else f"Owner of the {thing}: {person}."
    if form == 1:
        things = [other for other in held if world.holder(other) == person]
        return ask(generator, f"What does {person} have", " and ".join(article(other) for other in things))
    answer = (person, f"{person} has it", f"{person} has the {thing}")[generator.randrange(3)]
    return ask(generator, f"Who has the {thing}", answer)


def who_is_there(generator, world: World) -> str:
    thing = _placed(generator, world)
    if not thing:
        return ""
    place = world.where(thing)
    if thing in PRONOUNS:
        people = [person for person in world.people if world.where(person) == place]
        return ask(generator, f"Who is {PHRASES[place]}", " and ".join(people))
    things = [other for other in world.objects if world.where(other) == place]
    return ask(generator, f"What is {PHRASES[place]}", " and ".join(article(other) for other in things))


def feelings(generator, world: World) -> str:
    if not world.feelings:
        return ""
    person, event = generator.choice(list(world.feelings.items()))
    they = PRONOUNS[person]
    forms = (
        (f"How does {person} feel", event.feeling),
        (f"How is {person}", f"{they} is {event.feeling}"),
        (f"Who is {event.feeling}", person),
        (f"Why is {person} {event.feeling}", f"because {they} {event.cause}"),
        (f"Who {event.cause}", f"{person}, and {they} is {event.feeling}"),
    )
    return ask(generator, *generator.choice(forms))


def lists(generator, world: World) -> str:
    """The words of the story by category."""
    groups = [
        ("People", "person", world.people),
        ("Objects", "object", world.objects),
        ("Places", "place", world.places),
    ]
    generator.shuffle(groups)
    if generator.random() < 0.6:
        return " ".join(f"{name}: {', '.join(words)}." for name, _, words in groups[: generator.randint(1, 3)])
    _, kind, words = groups[0]
    word = generator.choice(words)
    return generator.choice(
        (
            f"{capital(word)} is {article(kind)}.",
            f"Kind of {word}: {kind}.",
            f"What is {word}? {capital(article(kind))}.",
        )
    )


def kinds(generator, world: World) -> str:
    """Categories of words that need not be in the story."""
    names = {"person": PEOPLE, "place": PLACES, "object": OBJECTS, "feeling": FEELING_NAMES}
    chosen = generator.sample(sorted(names), generator.randint(2, 3))
    return "Words: " + ", ".join(f"{generator.choice(names[kind])} is {article(kind)}" for kind in chosen) + "."


def summary(generator, world: World) -> str:
    person = generator.choice([person for person in world.people if person in world.inside] or [""])
    if not person:
        return ""
    things = [thing for thing in world.objects if world.holder(thing) == person]
    held = " and ".join(article(thing) for thing in things)
    feeling, they = world.feeling(person), capital(PRONOUNS[person])
    text = f"{person} is {PHRASES[world.where(person)]}"
    if generator.random() < 0.5:
        text += "." + (f" {they} has {held}." if held else "") + (f" {they} is {feeling}." if feeling else "")
    else:
        text += (f" with {held}" if held else "") + (f" and feels {feeling}" if feeling else "") + "."
    return generator.choice(("Summary: ", "In short: ", "At the end: ")) + text
