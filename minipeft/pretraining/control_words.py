"""Control words in a user's text: "</s>" in a page's source is five letters, and not the end of the text.

A tokenizer knows some tokens by name, as `<pad>`, `</s>` or `<extra_id_0>`, and by itself finds these names in whatever
it reads. Here they are put in by number alone, so a second tokenizer reads texts: same ids, blind to those names.
"""

import json
from collections.abc import Iterable

import tokenizers
from tokenizers import models


def reader_of_text(backend: tokenizers.Tokenizer, names: Iterable[str]) -> tokenizers.Tokenizer:
    """A tokenizer that gives every text the ids `backend` gives it, but for control words, which it reads as letters.

    Control words are those of `names` that `backend` knows, and all tokens that it calls special itself. Tokens that
    somebody added without calling them special stay: they are meant to be written.
    """
    added = backend.get_added_tokens_decoder().values()
    control = {str(token.content) for token in added if token.special}
    control |= {name for name in names if backend.token_to_id(name) is not None}
    if not _looks_words_up(backend) and not any(str(token.content) in control and not token.special for token in added):
        backend.encode_special_tokens = True
        return backend
    reader = tokenizers.Tokenizer.from_str(json.dumps(_without(control, json.loads(backend.to_str()))))
    reader.encode_special_tokens = True
    return reader


def _looks_words_up(backend: tokenizers.Tokenizer) -> bool:
    """Whether the model finds a whole word in its vocabulary. A BPE model builds words, and nothing builds these."""
    return not isinstance(backend.model, models.BPE) or getattr(backend.model, "ignore_merges", False)


def _without(control: set[str], state: dict) -> dict:
    """The description of the tokenizer with the control words' entries under names that no text contains."""
    vocabulary = state["model"]["vocab"]  # [token, score] by id in a Unigram model, else {token: id}
    known = vocabulary if isinstance(vocabulary, dict) else [token for token, _ in vocabulary]
    hidden = control.intersection(known) - {state["model"].get("unk_token")}  # the model asks for that one by its name
    renamed = {token: f"{token} \0" if token in hidden else token for token in known}  # no word has a space in it
    if isinstance(vocabulary, dict):
        state["model"]["vocab"] = {renamed[token]: number for token, number in vocabulary.items()}
    else:
        state["model"]["vocab"] = [[renamed[token], score] for token, score in vocabulary]
    kept = [token for token in state["added_tokens"] if token["content"] not in hidden]
    state["added_tokens"] = [{**token, "special": token["special"] or token["content"] in control} for token in kept]
    state["post_processor"] = None  # it names control words, and is not asked
    return state
