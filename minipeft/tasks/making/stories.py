"""Short stories of the tiny world, about half of them with questions and answers: the text a base is pretrained on.

python -m minipeft.tasks.making.stories 20 0        prints 20 stories made from seed 0
"""

import random
import sys

from minipeft.tasks.making.judgements import QUESTIONS
from minipeft.tasks.making.telling import Teller
from minipeft.tasks.making.world import CONTAINERS, OBJECTS, PEOPLE, PLACES, World

MAX_WORDS = 90


def _cast(generator) -> World:
    """Two to four people and places, one to four objects; sometimes one of the objects is a container."""
    objects = generator.sample(OBJECTS, generator.randint(1, 4))
    if generator.random() < 0.25:
        objects.append(generator.choice(CONTAINERS))
    return World(
        generator,
        generator.sample(PEOPLE, generator.randint(2, 4)),
        generator.sample(PLACES, generator.randint(2, 4)),
        objects,
    )


def _questions(generator, world: World, count: int) -> list[str]:
    asked = (generator.choice(QUESTIONS)(generator, world) for _ in range(count + 1))
    return list(dict.fromkeys(question for question in asked if question))[:count]


def story(generator: random.Random) -> str:
    """One story of 3 to 8 sentences and at most 90 words, with questions in about half of the cases.

    A pure function of the generator passed in. Questions follow the story, come between its sentences (the answer is
    then the state at that point) or stand before it with the answer at the end.
    """
    world = _cast(generator)
    teller = Teller(world)
    shape = generator.random()
    first = generator.randint(3, 6)
    sentences = teller.tell_all([world.step() for _ in range(first)])
    if shape < 0.1:  # questions in between
        sentences += _questions(generator, world, 1)
        teller.person = teller.thing = ""
        sentences += teller.tell_all([world.step() for _ in range(2)])
        sentences += _questions(generator, world, 1)
    elif shape < 0.25:  # the question before the story, its answer after it
        question, mark, answer = (_questions(generator, world, 1) or [""])[0].partition("? ")
        if mark and '"' not in question:
            sentences = [question + "?", *sentences, answer]
    elif shape < 0.65:
        sentences += _questions(generator, world, generator.randint(1, 3))
    elif first < 5:
        sentences += teller.tell_all([world.step()])
    words = [len(sentence.split()) for sentence in sentences]
    while sum(words) > MAX_WORDS:
        sentences.pop()
        words.pop()
    return " ".join(sentences)


if __name__ == "__main__":
    generator = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        print(story(generator))
