"""Events put into words: many templates for each kind, pronouns where they are clear, dialogue and reported speech."""

from minipeft.tasks.making.world import LEXICON, PHRASES, PRONOUNS, Event, World

_PAST = {kind: [verb["past"] for verb in verbs] for kind, verbs in LEXICON["verbs"].items()}

# What follows the subject. {thing} is "the lamp" or "it", {here} "in the kitchen", {place} "kitchen", {other} a name.
PREDICATES = {
    "stand": [f"{verb} {{here}}" for verb in ("was", "was", "stood", "sat", "waited", "stayed", "worked", "rested")],
    "lie": [f"{verb} {{here}}" for verb in ("was", "was", "lay", "stood", "could be found", "was left")],
    "hold": [f"{verb} {{thing}}" for verb in ("had", "had", "held", "kept", "owned", "carried", "came with")],
    "go": [f"{verb} to the {{place}}" for verb in _PAST["move"]] + ["arrived {here}"],
    "take": [f"{verb} {{thing}}{where}" for verb in _PAST["take"] for where in ("", "", " {here}")],
    "drop": [f"{verb} {{thing}}{where}" for verb in _PAST["drop"] for where in ("", " {here}")],
    "give": [f"{verb} {{thing}} to {{other}}" for verb in _PAST["give"]],
    "put": ["put {thing} in the {other}", "hid {thing} in the {other}", "placed {thing} inside the {other}"],
    "feel": ["was {feeling}", "felt {feeling}", "was {feeling} because {they} {cause}", "{cause} and was {feeling}",
             "felt {feeling} because {they} {cause}", "{cause}, so {they} felt {feeling}"],
}  # fmt: skip
STARTS = ("Then ", "After that, ", "Later, ", "Soon ", "A little later ", "Next, ", "In the end ", "Meanwhile ")
REPORTS = ("{who} said that {line}.", "{who} knew that {line}.", "{who} told {whom} that {line}.",
           "{who} heard that {line}.", '"{line}," said {who}.', '{who} said, "{line}."',
           '"{line}," {who} told {whom}.')  # fmt: skip
FIRST_PERSON = ('"I {rest}," said {who}.', '{who} said, "I {rest}."', '{who} said: "I {rest}."')
OPENINGS = ("stand", "lie", "hold")  # true from the start, so no "then" before them


def article(word: str) -> str:
    """The word with "a" or "an"."""
    return ("an " if word[0] in "aeio" or word == "umbrella" else "a ") + word


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


class Teller:
    """Tells the events of one world in order; remembers who and what was last spoken of, so that pronouns are clear.

    `plain` is the share of sentences told without a speaker, in 0..1.
    """

    def __init__(self, world: World, plain: float = 0.8):
        self.world, self.generator, self.plain = world, world.generator, plain
        self.person = self.thing = ""  # what "she" and "it" would mean now
        self.known: set[str] = set()
        self.begun = False

    def _thing(self, event: Event) -> str:
        thing = event.thing
        if not thing:
            return ""
        if thing == self.thing and event.kind != "lie" and self.generator.random() < 0.5:
            return "it"
        if thing not in self.known:
            self.known.add(thing)
            if event.kind in OPENINGS or self.generator.random() < 0.3:
                return article(thing) if self.generator.random() < 0.5 else "the " + thing
        return "the " + thing

    def predicate(self, event: Event) -> str:
        """The sentence without its subject."""
        pattern = self.generator.choice(PREDICATES[event.kind])
        if "{here}" in pattern and not event.place:
            pattern = pattern.replace(" {here}", "")
        line = pattern.format(
            thing=self._thing(event) if event.kind != "lie" else "",
            here=PHRASES.get(event.place, ""),
            place=event.place,
            other=event.other,
            feeling=event.feeling,
            cause=event.cause,
            they=PRONOUNS.get(event.person, ""),
        )
        return line.replace(" down it", " it down").replace(" up it", " it up")

    def _note(self, event: Event) -> None:
        """Names two people of one pronoun in one sentence: "she" would be unclear next, so nobody is remembered."""
        clash = PRONOUNS.get(event.other) == PRONOUNS.get(event.person, "")
        self.person = "" if clash else event.person
        self.thing = "" if event.kind == "put" else event.thing

    def tell(self, event: Event, following: Event | None = None) -> str:
        """One sentence for `event`, or for it and the `following` one joined by "and" (same person)."""
        generator, person = self.generator, event.person
        if not person:
            subject = self._thing(event)
        elif person == self.person and generator.random() < 0.6:
            subject = PRONOUNS[person]
        else:
            subject = person
        rest = self.predicate(event)
        if event.kind == "go" and event.cause and generator.random() < 0.7:
            rest += f" because {PRONOUNS[person]} {event.cause}"
        self._note(event)
        begun, self.begun = self.begun, True
        if following:
            rest += " and " + self.predicate(following)
            self._note(following)
        elif generator.random() >= self.plain and (subject == person or not person):
            return self._spoken(event, subject, rest)
        if begun and event.kind not in OPENINGS and generator.random() < 0.3:
            return f"{generator.choice(STARTS)}{subject} {rest}."
        return f"{capital(subject)} {rest}."

    def _spoken(self, event: Event, subject: str, rest: str) -> str:
        """The sentence as told by someone of the story, by the person themselves or by another."""
        self.person = ""
        choice = self.generator.choice
        others = [person for person in self.world.people if person != event.person and person != event.other]
        if event.person and event.kind != "feel" and not event.cause and self.generator.random() < 0.3:
            return choice(FIRST_PERSON).format(who=event.person, rest=rest)
        if len(others) < 2:
            return f"{capital(subject)} {rest}." if not others else f'"{capital(subject)} {rest}," said {others[0]}.'
        who, whom = self.generator.sample(others, 2)
        pattern = choice(REPORTS)
        line = f"{subject} {rest}"
        return pattern.format(who=who, whom=whom, line=capital(line) if '"' in pattern else line)

    def tell_all(self, events: list[Event]) -> list[str]:
        """Sentences for the events in order; two in a row by the same person are sometimes joined."""
        sentences, index = [], 0
        while index < len(events):
            event = events[index]
            following = events[index + 1] if index + 1 < len(events) else None
            joined = (
                following is not None
                and event.person == following.person != ""
                and event.kind != "feel"
                and following.kind != "feel"
                and self.generator.random() < 0.5
            )
            sentences.append(self.tell(event, following if joined else None))
            index += 2 if joined else 1
        return sentences
