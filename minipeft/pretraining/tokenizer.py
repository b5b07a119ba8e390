"""The tokenizer: byte-level BPE over words, with punctuation and digits always tokens of their own.

A text is read with one space put before it, so that a word is the same token at the start of a text and inside it;
`decode` takes that space away again. What a user writes is text: words that look like control tokens, as "</s>", are
read as letters (`control_words.py`); the end and the sentinels are put in by number alone.

Numbering, as T5: 0 is `<pad>`, 1 is `</s>`, then all tokens from the most to the least frequent, and last the 100
sentinels in descending order: with V tokens, V - 1 is `<extra_id_0>`, V - 2 is `<extra_id_1>`, ... The bundled one is
rebuilt by `python -m minipeft.pretraining.build_tokenizer`.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

from minipeft.errors import UserError, excerpt, quoted, require_text
from minipeft.paths import DATA
from minipeft.pretraining.control_words import reader_of_text

BUNDLED = DATA / "tokenizer" / "tokenizer.json"
PAD, EOS, END_OF_TEXT = "<pad>", "</s>", "<|endoftext|>"
SENTINELS = 100
SENTINEL_WORDS = tuple(f"<extra_id_{index}>" for index in range(SENTINELS))
SENTINELS_OF_MT5 = tuple(f"\u2581{word}" for word in SENTINEL_WORDS)  # pieces of its vocabulary, as if they were words
PIECES = r" ?[\p{L}\p{M}]+| ?\p{N}| ?[^\s\p{L}\p{M}\p{N}]|\s+(?!\S)|\s"  # a word, a digit, a mark, or white space


class Tokenizer:
    """Text to ids and back. `size` counts all ids; `pad` and `eos` are the ids of padding and end-of-sequence.

    `opening` are the ids that a text to continue begins with, as Llama's `<s>`: `encode` leaves them to who puts parts
    together. eos: an id to end texts with, where the model says which; else it is found by its name.
    """

    def __init__(self, backend: tokenizers.Tokenizer, eos: int | None = None):
        self.backend, self._given_eos = backend, eos
        self.backend.no_truncation()  # a tokenizer.json may say so, and nothing is ever cut here
        self.backend.no_padding()
        self.size = backend.get_vocab_size()
        self.pad = self._first_known(PAD, END_OF_TEXT, default=0)
        self.eos = self._first_known(EOS, END_OF_TEXT) if eos is None else self._control_token(eos)
        self.opening = self._put_before_a_text()
        self._reader = reader_of_text(backend, (PAD, EOS, END_OF_TEXT, *SENTINEL_WORDS, *SENTINELS_OF_MT5))
        names = (backend.token_to_id(name) for name in (*SENTINEL_WORDS, *SENTINELS_OF_MT5))
        self._sentinels = {token for token in names if token is not None}
        probe = backend.encode("a", add_special_tokens=False)
        self.adds_space = "".join(probe.tokens).startswith(("\u0120", "\u2581", " "))  # a space, as BPE and T5 write it
        self._leading_space = self.adds_space and backend.decode(probe.ids).startswith(" ")

    def __reduce__(self):
        return type(self), (
            self.backend,
            self._given_eos,
        )  # a copied or pickled backend forgets that control words are text

    @classmethod
    def load(cls, path: str | Path | None = None, eos: int | None = None) -> "Tokenizer":
        """The bundled tokenizer, or the one of a Hugging Face `tokenizer.json` (its file or the folder it is in)."""
        path = BUNDLED if path is None else Path(path)
        path = path / "tokenizer.json" if path.is_dir() else path
        if not path.is_file():
            raise UserError(f"There is no tokenizer file {path}; give a tokenizer.json or the folder it is in.")
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)), eos)
        except Exception as error:  # the package raises bare Exception
            raise UserError(f"{path} is not a tokenizer.json that can be read: {error}") from error

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without end-of-sequence. Raises UserError for half a character, as of a cut emoji."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of every text, as `encode`."""
        for text in texts:
            if not isinstance(text, str):
                raise UserError(f"A text must be a string, not {type(text).__name__} {quoted(text)}.")
            if not text.isascii():
                require_text(text, f"The text '{excerpt(text)}'")
        return [encoding.ids for encoding in self._reader.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids` up to the first end-of-sequence; padding and sentinels are left out."""
        kept = []
        for token in map(int, ids):
            if token == self.eos:
                break
            if token not in self._sentinels:
                kept.append(token)
        text = self.backend.decode(kept, skip_special_tokens=True)
        return text.removeprefix(" ") if self._leading_space else text

    def sentinel(self, index: int) -> int:
        """The id of `<extra_id_{index}>`. Raises UserError where the tokenizer has none."""
        names = (f"<extra_id_{index}>", f"\u2581<extra_id_{index}>")
        token = next((token for name in names if (token := self.backend.token_to_id(name)) is not None), None)
        if token is None:
            raise UserError(f"This tokenizer has no sentinel {index}, the blank <X> of templates; T5's have 0 to 99.")
        return token

    def most_frequent(self, count: int) -> list[int]:
        """The ids of the `count` most frequent tokens: the first ones after the special tokens."""
        special = set(self.backend.get_added_tokens_decoder())
        return [token for token in range(self.size) if token not in special][:count]

    def _control_token(self, token: int) -> int:
        """`token`, if it can end a text. Raises UserError for a word."""
        added = self.backend.get_added_tokens_decoder().get(token)
        if (added is not None and added.special) or self.backend.id_to_token(token) in (EOS, END_OF_TEXT):
            return token
        raise UserError(f"This tokenizer has no control token {token}, with which the model is to end a text.")

    def _put_before_a_text(self) -> tuple[int, ...]:
        """What the tokenizer.json itself puts before every text; what it puts behind is left to the model."""
        encoding = self.backend.encode("a")
        pairs = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        return tuple(token for token, _ in itertools.takewhile(lambda pair: pair[1], pairs))

    def _first_known(self, *names: str, default: int | None = None) -> int:
        known = (self.backend.token_to_id(name) for name in names)
        found = next((token for token in known if token is not None), default)
        if found is None:
            raise UserError(
                f"This tokenizer has none of the tokens {', '.join(names)}; minipeft needs one to end a text."
            )
        return found


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int = 4096, extra_words: Mapping[str, int] | None = None
) -> tokenizers.Tokenizer:
    """Learns a BPE vocabulary of exactly `vocabulary_size` ids from `texts`, specials and sentinels included.

    `extra_words` are learned from as if each stood so often more in the texts; ids are numbered by the texts alone.
    Raises ValueError when the texts are too few to fill the vocabulary.
    """
    texts = list(texts)
    extra = (word for word, count in (extra_words or {}).items() for _ in range(count))
    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = normalizers.Prepend(" ")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    learned = vocabulary_size - SENTINELS
    trainer = trainers.BpeTrainer(
        vocab_size=learned,
        special_tokens=[PAD, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(itertools.chain(texts, extra), trainer)
    if backend.get_vocab_size() != learned:
        raise ValueError(f"The texts give {backend.get_vocab_size()} tokens, {learned} were asked for: add texts.")
    backend = _numbered_by_frequency(backend, texts)
    backend.add_special_tokens([AddedToken(sentinel, special=True) for sentinel in reversed(SENTINEL_WORDS)])
    return backend


def _numbered_by_frequency(backend: tokenizers.Tokenizer, texts: list[str]) -> tokenizers.Tokenizer:
    """The same tokenizer with its ids given out again, most frequent token first. Merges keep their order."""
    counts = Counter(token for encoding in backend.encode_batch(texts) for token in encoding.tokens)
    state = json.loads(backend.to_str())
    learned = [token for token in state["model"]["vocab"] if token not in (PAD, EOS)]
    learned.sort(key=lambda token: (-counts[token], token))
    state["model"]["vocab"] = {token: number for number, token in enumerate([PAD, EOS, *learned])}
    return tokenizers.Tokenizer.from_str(json.dumps(state))
