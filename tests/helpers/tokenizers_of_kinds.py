"""Small tokenizers of the kinds that Hugging Face folders hold: GPT-2's, T5's, whole words."""

import json

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers

SPECIAL = ["<pad>", "</s>", "<unk>", *(f"<extra_id_{index}>" for index in reversed(range(100)))]
LETTERS = "abcdefghijklmnopqrstuvwxyz</>_|0123456789"


def gpt2_kind(**changes):
    """Byte-level BPE without a space before the text."""
    backend = tokenizers.Tokenizer(models.BPE(**changes))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"],
                                  show_progress=False)  # fmt: skip
    backend.train_from_iterator(["it was good it was bad the end of text"] * 20, trainer)
    return backend


def t5_kind():
    """A Unigram vocabulary in which control words stand among the pieces, as in T5's own file."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), ("\u2581the", -2.5)]
    pieces += [(letter, -3.0) for letter in LETTERS]
    pieces += [(f"<extra_id_{index}>", 0.0) for index in reversed(range(100))]
    backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=2))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    backend.add_special_tokens(SPECIAL)
    return backend


def mt5_kind():
    """As T5's, with sentinels among the words, which no list calls special."""
    state = json.loads(t5_kind().to_str())
    words = [f"<extra_id_{index}>" for index in range(100)]
    state["model"]["vocab"] = [["\u2581" * (piece in words) + piece, score] for piece, score in state["model"]["vocab"]]
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in words]
    return tokenizers.Tokenizer.from_str(json.dumps(state))


def word_kind():
    """Whole words, looked up."""
    words = {word: number for number, word in enumerate([*SPECIAL, "a", "b", "the", "see"])}
    backend = tokenizers.Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(SPECIAL)
    return backend


def whole_words_of_bpe():
    """A BPE that takes a word out of its vocabulary before it looks at merges, as Llama 3's."""
    backend = gpt2_kind()
    state = json.loads(backend.to_str())
    state["model"]["ignore_merges"] = True
    return tokenizers.Tokenizer.from_str(json.dumps(state))


def llama_kind():
    """A BPE that puts `<s>` before every text, and whose texts may end with `<|im_end|>`."""
    backend = gpt2_kind()
    backend.add_special_tokens(["<s>", "<|im_end|>"])
    opening = ("<s>", backend.token_to_id("<s>"))
    backend.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[opening])
    return backend


def end_added_as_a_plain_token():
    """The end and a word of the user's own, both added and neither called special."""
    backend = gpt2_kind()
    backend.add_tokens([AddedToken("<sep>", special=False), AddedToken("</s>", special=False)])
    return backend
