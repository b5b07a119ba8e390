"""Templates keep the source whole, count their virtual tokens and put every mark where it was written."""

import pytest

from minipeft.errors import UserError
from minipeft.methods.prompts.template import Template


class Letters:
    """Every letter is its own token: its code point."""

    def encode(self, text):
        return [ord(letter) for letter in text]

    def sentinel(self, index):
        return 999 - index


def test_words_virtual_tokens_and_the_blank_stand_where_the_template_puts_them():
    template = Template("[V]q [V]{source}? <X>.")
    assert template.virtual_tokens == 2
    expected = [500, ord("q"), 501, ord("a"), ord("b"), ord("?"), 999, ord(".")]
    assert template.encode("ab", Letters(), first_virtual=500) == expected


def test_a_source_of_two_parts_is_taken_apart():
    template = Template("{second}[V]{first}")
    assert template.encode("x | y | z", Letters(), 700) == [ord(letter) for letter in "y | z"] + [700, ord("x")]


def test_text_without_marks_between_is_one_text():
    assert Template("a {source} b").encode("x", Letters()) == Letters().encode("a x b")


def test_marks_and_slots_in_the_source_are_text():
    template, source = Template("[V]{first};{second}"), "[V]<X> | {first}"
    assert template.encode(source, Letters(), 700) == [700, *Letters().encode("[V]<X>;{first}")]


@pytest.mark.parametrize("text", ["no place", "{first} alone", "{source} {first} {second}", "{second}"])
def test_a_template_that_would_lose_the_source_or_read_it_twice_is_refused(text):
    with pytest.raises(UserError, match="A template needs"):
        Template(text)


def test_a_source_of_one_part_and_a_method_without_vectors_are_refused():
    with pytest.raises(UserError, match="the source no"):
        Template("{first} {second}").encode("one part", Letters())
    with pytest.raises(UserError, match=r"take \[V\] out"):
        Template("[V]{source}").encode("a", Letters())
