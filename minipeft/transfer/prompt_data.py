"""The data of `pretrain-prompt`: documents of the corpus made into examples that fit a model.

A kind of question (prompt_pretraining.py, pseudo_labels.py) becomes a task with a train and a dev split. A source that
leaves no room for the prompt, the template and the answer is left out.
Lesson: lessons/08_prompt_transfer. Test: tests/transfer/test_prompt_data.py.
"""

from pathlib import Path
from random import Random

from minipeft.errors import UserError
from minipeft.files import write_text
from minipeft.tasks.jsonl import read_jsonl, to_jsonl
from minipeft.tasks.lettering import LETTERS
from minipeft.tasks.making import opinions
from minipeft.tasks.making.corpus import TRAINING_SEED, VALIDATION_SEED, document
from minipeft.tasks.task import Example, Task
from minipeft.training.settings import TrainingSettings
from minipeft.transfer.prompt_pretraining import (
    PAIR_WORDS,
    SINGLE_WORDS,
    sentence_choices,
    sentence_pairs,
    split_sentences,
    usable,
)
from minipeft.transfer.pseudo_labels import graded_texts, train_classifier
from minipeft.transformer.fingerprints import fingerprint

OPTIONS = 6  # of a "choice"
WORDS_AROUND = 16  # tokens that a template and the answer may need
TOKENS_PER_OPTION = 16  # of a sentence with its letter: more than most need
SEEDS = {"train": TRAINING_SEED, "dev": VALIDATION_SEED}


def made_task(args, model, run_dir: Path) -> Task:
    """Train and dev examples of `args.kind`; those too long for `model` are left out."""
    labels = {"pair": PAIR_WORDS, "single": SINGLE_WORDS}.get(args.kind, ())
    room = room_for_source(model, args.prompt_length)
    counts = {"train": args.documents, "dev": max(100, args.documents // (4 if args.kind == "single" else 20))}
    if args.kind == "single":
        made_from = f"{args.documents}-seed{args.seed}-{fingerprint(model)[:8]}"  # those of other flags are others
        splits = single_texts(args, counts, run_dir / made_from)
    else:
        splits = {split: questions(args.kind, model.tokenizer, split, counts[split], room) for split in counts}
    for split, examples in splits.items():
        splits[split] = tuple(e for e in examples if len(model.tokenizer.encode(e.source)) <= room)
        if not splits[split]:
            raise UserError(f"{counts[split]} documents gave no {split} example of this kind: give more --documents.")
    return Task(f"ppt-{args.kind}", "Made to pre-train prompts.", "accuracy", labels, test=(), **splits)


def questions(kind: str, tokenizer, split: str, count: int, room: int) -> list[Example]:
    """`count` examples from as many documents of the corpus, without labels."""
    generator = Random(f"minipeft prompt pretraining {kind} {split}")
    texts = [split_sentences(document(SEEDS[split], index)) for index in range(count)]
    if kind == "pair":
        return sentence_pairs(texts, count, generator)
    most = min(single_token_letters(tokenizer), room // TOKENS_PER_OPTION)
    return sentence_choices(texts, count, generator, (min(OPTIONS, most),) * 2 if kind == "choice" else (2, most))


def single_texts(args, counts: dict[str, int], run_dir: Path) -> dict[str, list[Example]]:
    """Reviews of the corpus with pseudo labels, kept in `run_dir`, so that the classifier is needed once."""
    files = {split: run_dir / f"{split}.jsonl" for split in counts}
    if not all(file.exists() for file in files.values()):
        classifier = train_classifier(args.model, args.device, args.seed, run_dir / "classifier")
        for split, file in files.items():
            generator = Random(f"minipeft prompt pretraining single {split}")
            passages = (split_sentences(opinions.passage(generator)) for _ in range(counts[split]))
            examples = graded_texts(classifier, [text for text in passages if usable(text)], counts[split], generator)
            write_text(file, to_jsonl(examples))
    return {split: read_jsonl(file) for split, file in files.items()}


def room_for_source(model, prompt_length: int) -> int:
    """How many tokens a source may have beside the prompt, the template and the answer."""
    positions = model.max_positions
    return (TrainingSettings.max_source_length if positions is None else positions - prompt_length) - WORDS_AROUND


def single_token_letters(tokenizer) -> int:
    """How many of the option letters, from A on, are one token each."""
    several = [number for number, letter in enumerate(LETTERS) if len(tokenizer.encode(letter)) != 1]
    return min([*several, len(LETTERS)])
