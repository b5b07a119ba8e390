"""Questions with answers to choose from, and the likelihood of one answer computed alone."""

from minipeft.tasks.task import Example
from minipeft.training.batches import collate, encode_examples


def log_likelihood(model, source, target):
    """Minus the summed loss of one pair, end-of-sequence included."""
    (encoded,) = encode_examples(model, [Example(source, target)])
    return -model.loss(collate([encoded])).item() * len(encoded.target)


CHOICES = [
    Example("the fox is red and a cat is seen", "cold", ("warm", "cold", "a red owl")),
    Example("the owl is blue", "the blue hen", ("the blue hen", "ant")),
    Example("the ant is green and a cat is seen", "dog", ("green", "dog", "hen", "a")),
]
