"""Templates: what stands around a source text, in words, as virtual tokens, or as the blank that T5 fills.

    "[V][V] {source} It was <X>."

`{source}` is the text; a text of two parts, "a | b", may be given as `{first}` and `{second}`. `[V]` is a virtual
token, whose vector a method learns; `<X>` is the first sentinel, T5's mark for words left out; the rest is read as is.
Test: tests/methods/prompts/test_template.py.
"""

import re
from dataclasses import dataclass

from minipeft.errors import UserError, require_text
from minipeft.transformer.text_joints import encode_after

MARKS = re.compile(r"(\[V\]|<X>)")
SLOTS = re.compile(r"\{source\}|\{first\}|\{second\}")
SEPARATOR = " | "  # between the two parts of a source


@dataclass(frozen=True)
class Template:
    """Raises UserError for a template that would lose the source or a part of it."""

    text: str = "{source}"

    def __post_init__(self):
        require_text(self.text, "The template")
        whole, parts = "{source}" in self.text, [slot in self.text for slot in ("{first}", "{second}")]
        if whole == any(parts) or (any(parts) and not all(parts)):
            raise UserError(f"A template needs {{source}}, or both {{first}} and {{second}}; got {self.text!r}.")

    @property
    def virtual_tokens(self) -> int:
        return self.text.count("[V]")

    def encode(self, source: str, tokenizer, first_virtual: int | None = None, begins: bool = True) -> list[int]:
        """The token ids of the filled template; virtual token number i has the id `first_virtual` + i.

        begins: whether no text stands before it. Each part but the first gets a space before it, where the tokenizer
        puts none itself.
        """
        first, separator, second = source.partition(SEPARATOR)
        if "{first}" in self.text and not separator:
            raise UserError(f"The template has {{first}} and {{second}}, and the source no {SEPARATOR!r}: {source!r}.")
        slots = {"{source}": source, "{first}": first, "{second}": second}
        ids = []
        virtual = 0  # how many virtual tokens there were
        for piece in MARKS.split(self.text):
            if piece == "[V]":
                if first_virtual is None:
                    raise UserError("This method learns no vectors: take [V] out of its template.")
                ids.append(first_virtual + virtual)
                virtual += 1
            elif piece == "<X>":
                ids.append(tokenizer.sentinel(0))
                begins = False
            else:  # filled only now: marks in the user's own text are text
                text = SLOTS.sub(lambda match: slots[match[0]], piece).strip()
                if text:
                    ids += tokenizer.encode(text) if begins else encode_after(tokenizer, text)
                    begins = False
        return ids
