"""Chapter 04's scores of words: the library's own evaluation takes the same answers from them."""

import minipeft
from minipeft.course.chapters import LESSONS, load_answers
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.tasks.registry import load_task
from minipeft.training.evaluating import evaluate

FOLDER = LESSONS / "04_hard_prompts"


def test_the_likeliest_word_is_the_answer_that_evaluate_gives():
    scoring, wordings = (load_answers(FOLDER / name) for name in ("scoring.py", "wordings.py"))
    model, task, template = minipeft.load("t5-0.4m"), load_task("sentiment"), "{source} Verdict:"
    words = wordings.SENTIMENT.verbalizers["Yes. No."]
    shown = [(example.source, word) for example, word in zip(task.train, words, strict=False)]
    examples = task.test[:30]
    scores = scoring.word_scores(model, template, [example.source for example in examples], words, shown)
    answers = [task.labels[place] for place in scores.argmax(1)]

    verbalizer = {label: [word] for label, word in zip(task.labels, words, strict=True)}
    back = {word: label for label, word in zip(task.labels, words, strict=True)}
    method = HardPrompt(template, [(source, back[word]) for source, word in shown], verbalizer)
    method.attach(model)
    found = evaluate(model, task, "test", limit=len(examples), predictions=True)["predictions"]
    assert answers == found and len(set(answers)) == 2


def test_calibration_takes_out_what_every_text_is_told():
    scoring = load_answers(FOLDER / "scoring.py")
    scores = scoring.torch.tensor([[3.0, 1.0], [3.0, 2.5]])
    others = scoring.torch.tensor([[4.0, 1.0], [2.0, 2.0]])  # means 3.0 and 1.5
    assert scoring.calibrated(scores, others).argmax(1).tolist() == [0, 1]


def test_every_task_has_twenty_templates_and_four_verbalizers_none_twice():
    wordings = load_answers(FOLDER / "wordings.py")
    for name, words in wordings.TASKS.items():
        assert len(set(words.all_templates)) == len(words.all_templates) >= 20
        assert len(set(words.words)) == len(words.words) == 4 * len(wordings.LABELS[name])
        assert words.first[0] in words.all_templates and words.first[1] in words.verbalizers
        assert tuple(load_task(name).labels) == tuple(wordings.LABELS[name])
