"""The tiny world: people who walk about, pick things up and hand them on, with a state that knows every answer.

    inside = {"lamp": "Anna", "Anna": "kitchen"}      where(lamp) = kitchen,  holder(lamp) = Anna

One dictionary says what each thing is in or with; following it leads to the place. Stories and tasks are told from the
events, their answers are read off the state, so no answer is ever guessed from the text.
"""

from typing import NamedTuple

from minipeft.tasks.making.lexicon import read_lexicon

LEXICON = read_lexicon("world")
PRONOUNS = {person["name"]: person["pronoun"] for person in LEXICON["people"]}
PHRASES = {place["name"]: place["phrase"] for place in LEXICON["places"]}  # kitchen -> "in the kitchen"
FEELINGS = {feeling["name"]: tuple(feeling["causes"]) for feeling in LEXICON["feelings"]}
FEELING_KINDS = {feeling["name"]: feeling["kind"] for feeling in LEXICON["feelings"]}  # "good" or "bad"
PEOPLE, PLACES = tuple(PRONOUNS), tuple(PHRASES)
OBJECTS, CONTAINERS = tuple(LEXICON["objects"]), tuple(LEXICON["containers"])
FEELING_NAMES, CONTAINER_SET = tuple(FEELINGS), frozenset(CONTAINERS)

# Statements about things not placed yet, then actions; a kind listed twice is drawn twice as often.
KINDS = (
    "stand",
    "stand",
    "lie",
    "lie",
    "hold",
    "go",
    "go",
    "go",
    "take",
    "take",
    "drop",
    "drop",
    "give",
    "put",
    "feel",
)


class Event(NamedTuple):
    """One thing that happens or is stated. Unused fields stay empty; `cause` is what the person did or met with."""

    kind: str
    person: str = ""
    thing: str = ""
    place: str = ""
    other: str = ""  # who receives, or the container that the thing is put in
    feeling: str = ""
    cause: str = ""


class World:
    """The state of one small story: lists of words for people, places and objects, all unplaced at first."""

    def __init__(self, generator, people, places, objects, kinds=KINDS):
        self.generator, self.people, self.places, self.objects, self.kinds = generator, people, places, objects, kinds
        self.inside: dict[str, str] = {}
        self.feelings: dict[str, Event] = {}
        self.events: list[Event] = []

    def where(self, thing: str) -> str | None:
        """The place of a person or object, or None where the story does not determine it."""
        inside = self.inside
        while thing in inside:
            thing = inside[thing]
        return thing if thing in PHRASES else None

    def holder(self, thing: str) -> str | None:
        """The person who has an object, in hand or in a container they carry, or None."""
        inside = self.inside
        while thing in inside:
            thing = inside[thing]
            if thing in PRONOUNS:
                return thing
        return None

    def feeling(self, person: str) -> str | None:
        """How a person feels, or None where the story does not say."""
        event = self.feelings.get(person)
        return event.feeling if event else None

    def cause(self, event: Event) -> str | None:
        """Why an event happened, as something its person did ("found a coin"), or None."""
        return event.cause or None

    def possible(self, event: Event) -> bool:
        """Whether an event can come next without contradicting the state."""
        kind, person, thing = event.kind, event.person, event.thing
        if kind == "stand":
            return person not in self.inside
        if kind == "lie" or kind == "hold":
            return thing not in self.inside
        if kind == "go":
            return self.where(person) != event.place
        if kind == "feel":
            return self.feeling(person) != event.feeling
        if kind == "take":  # from the floor or a container at hand, never out of someone's hands
            return (
                self.holder(thing) is None
                and self.inside.get(person) is not None
                and (self.where(thing) in (None, self.where(person)))
            )
        here = self.inside.get(person)
        if here is None or self.inside.get(thing) != person:
            return False
        if kind == "give":
            return event.other != person and self.inside.get(event.other, here) == here
        if kind == "put":
            return event.other in CONTAINER_SET and thing not in CONTAINER_SET and self.where(event.other) == here
        return True  # drop

    def apply(self, event: Event) -> Event:
        """Changes the state and records the event; a meeting tells where the receiver is. ValueError if impossible."""
        if not self.possible(event):
            raise ValueError(f"{event} contradicts the state {self.inside}.")
        kind, person, thing, inside = event.kind, event.person, event.thing, self.inside
        if kind == "stand" or kind == "go":
            inside[person] = event.place
        elif kind == "lie":
            inside[thing] = event.place
        elif kind == "hold" or kind == "take":
            inside[thing] = person
        elif kind == "drop":
            inside[thing] = inside[person]
        elif kind == "give":
            inside[event.other] = inside[person]
            inside[thing] = event.other
        elif kind == "put":
            inside[thing] = event.other
        else:
            self.feelings[person] = event
        self.events.append(event)
        return event

    def propose(self, kind: str) -> Event:
        """A random event of one kind, possible or not."""
        choice = self.generator.choice
        person = choice(self.people)
        if kind == "go":
            place = choice(self.places)
            if self.generator.random() < 0.15:
                wanted = [thing for thing in self.objects if self.inside.get(thing) == place]
                if wanted:
                    return Event(kind, person, place=place, cause=f"wanted the {choice(wanted)}")
            return Event(kind, person, place=place)
        if kind == "stand":
            return Event(kind, person, place=choice(self.places))
        if kind == "feel":
            feeling = choice(FEELING_NAMES)
            return Event(kind, person, feeling=feeling, cause=choice(FEELINGS[feeling]))
        thing = choice(self.objects)
        if kind == "lie":
            return Event(kind, thing=thing, place=choice(self.places))
        if kind == "give":
            return Event(kind, person, thing, self.where(person) or "", choice(self.people))
        if kind == "put":
            return Event(kind, person, thing, self.where(person) or "", choice(self.objects))
        return Event(kind, person, thing, self.where(person) or "")

    def step(self) -> Event:
        """Draws events until one is possible, and lets it happen."""
        while True:
            event = self.propose(self.generator.choice(self.kinds))
            if self.possible(event):
                return self.apply(event)
