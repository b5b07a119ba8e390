"""Hard prompts: what is read and accepted, against texts put together by hand; and that nothing is trained."""

from collections import Counter

import pytest
import torch
from helpers.choices import log_likelihood

import minipeft
from minipeft.errors import UserError
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.methods.prompts.template import Template
from minipeft.methods.registry import METHODS
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.racing.runs import RunSpec, run
from minipeft.tasks.demonstrations import draw_demonstrations
from minipeft.tasks.hand_written import first_prompt, hand_written
from minipeft.tasks.registry import load_task, task_names
from minipeft.training.adapter_files import load_adapter, read_adapter, save_adapter
from minipeft.training.evaluating import evaluate, predict
from minipeft.training.trainer import TrainingSettings, fine_tune
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.checkpoints import save_checkpoint
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig

SHOTS = (("the owl is red", "warm"), ("a hen", "cold"))
WORDS = {"warm": ["fox", "a dog is"], "cold": ["green", "seen"]}


def attached(model, **fields):
    method = HardPrompt(**fields)
    method.attach(model)
    return method


def test_demonstrations_stand_before_the_source_in_the_same_template_with_their_first_words(tiny_t5):
    method = attached(tiny_t5, template="seen {source} is", demonstrations=SHOTS, verbalizer=WORDS)
    text = "seen the owl is red is fox seen a hen is green seen blue ant is"
    assert tiny_t5.tokenizer.decode(method.source_ids("blue ant")) == text


def test_the_blank_is_filled_in_a_demonstration_and_left_open_for_the_model(tiny_t5):
    method = attached(tiny_t5, template="{source} is <X> and", demonstrations=SHOTS[1:], verbalizer=WORDS)
    tokenizer = tiny_t5.tokenizer
    blank = tokenizer.sentinel(0)
    expected = tokenizer.encode("a hen is green and ant is") + [blank] + tokenizer.encode("and")
    assert method.source_ids("ant") == expected
    assert method.answer_ids("warm") == [[blank, *tokenizer.encode(words)] for words in WORDS["warm"]]


@torch.no_grad()
@pytest.mark.parametrize("combine", ["average", "first"])
def test_the_answer_is_that_of_the_plain_model_on_the_whole_text(make_tiny_model, tiny_task, combine):
    plain, model = make_tiny_model(), make_tiny_model()
    attached(model, template="{source} and", demonstrations=SHOTS, verbalizer=WORDS, combine=combine)
    expected = []
    for example in tiny_task.dev:
        text = f"the owl is red and fox a hen and green {example.source} and"
        scores = {label: [log_likelihood(plain, text, word) for word in words] for label, words in WORDS.items()}
        kept = {label: many[:1] if combine == "first" else many for label, many in scores.items()}
        expected.append(max(kept, key=lambda label, kept=kept: sum(kept[label]) / len(kept[label])))
    assert predict(model, tiny_task.dev, tiny_task.labels, batch_size=5) == expected


@torch.no_grad()
def test_calibration_takes_off_what_an_answer_scores_behind_other_texts(make_tiny_model, tiny_task):
    plain, model, others = make_tiny_model(), make_tiny_model(), ("ant", "a hen and a hen", "")
    attached(model, template="{source} and", demonstrations=SHOTS, verbalizer=WORDS, calibration=others)

    def mean_score(source, label):
        text = f"the owl is red and fox a hen and green {source} and".replace("  ", " ")
        return sum(log_likelihood(plain, text, word) for word in WORDS[label]) / len(WORDS[label])

    usual = {label: sum(mean_score(text, label) for text in others) / len(others) for label in WORDS}
    expected = [max(WORDS, key=lambda label, source=example.source: mean_score(source, label) - usual[label])
                for example in tiny_task.dev]  # fmt: skip
    found = predict(model, tiny_task.dev, tiny_task.labels, batch_size=5)
    model.attached_method.calibration = ()
    uncalibrated = predict(model, tiny_task.dev, tiny_task.labels, batch_size=5)
    assert found == expected != uncalibrated


@torch.no_grad()
def test_a_text_calibrated_with_itself_has_the_score_0_whatever_its_own_answers_are(make_tiny_model):
    model = make_tiny_model()
    method = attached(model, calibration=["the fox is red and a cat is seen"])
    batch = Batch(*pad([[*method.source_ids(method.calibration[0]), *model.source_suffix]] * 2))
    rows = [[method.answer_ids(text)[0] for text in texts] for texts in (("warm", "cold"), ("hen", "dog"))]
    ids, mask = pad([answer for row in rows for answer in row])
    scores = method.score(batch, ids.view(2, 2, -1), mask.view(2, 2, -1))
    assert torch.allclose(scores, torch.zeros(2, 2), atol=1e-5)


def test_average_and_first_are_not_the_same_and_neither_is_without_words(tiny_t5):
    tokenizer = tiny_t5.tokenizer
    average = attached(tiny_t5, verbalizer=WORDS)
    assert average.answer_ids("warm") == [tokenizer.encode(words) for words in WORDS["warm"]]
    average.detach()
    first = attached(tiny_t5, verbalizer=WORDS, combine="first")
    assert first.answer_ids("warm") == [tokenizer.encode("fox")]
    first.detach()
    assert attached(tiny_t5).answer_ids("warm") == [tokenizer.encode("warm")]


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"template": "no source"}, "A template needs"),
        ({"demonstrations": ["the owl", "warm"]}, "a pair of source and answer"),
        ({"demonstrations": [("a", "b", "c")]}, "a pair of source and answer"),
        ({"combine": "sum"}, "not 'sum'"),
        ({"verbalizer": {"warm": "fox"}}, "'warm' needs a list"),
        ({"verbalizer": {"warm": []}}, "'warm' needs a list"),
        ({"verbalizer": {"warm": 3}}, "verbalizer must be a dictionary"),
        ({"verbalizer": {"warm": [3]}}, "verbalizer must be a dictionary"),
        ({"verbalizer": {"warm": ["fox", " "]}}, "'warm' needs a list"),
        ({"verbalizer": {"warm": ["fox"], "cold": ["fox "]}}, "'fox' stands there twice"),
        ({"verbalizer": {"warm": ["fox\ud83d"]}}, "verbalizer holds half a character"),
        ({"verbalizer": {"warm\ud83d": ["fox"]}}, "verbalizer holds half a character"),
        ({"demonstrations": [["the fox", "\ude00"]]}, "demonstration holds half a character"),
        ({"calibration": ["N/A", "\ude00"]}, "calibration holds half a character"),
        ({"calibration": [3]}, "calibration must be"),
        ({"verbalizer": {"warm": ["fox"], "cold": ["hen", "fox"]}}, "'fox' stands there twice"),
    ],
)
def test_hyper_parameters_that_make_no_sense_are_refused(fields, words):
    with pytest.raises(UserError, match=words):
        HardPrompt(**fields)


def test_a_label_without_words_is_named(tiny_t5):
    with pytest.raises(UserError, match="no words for 'hot': it has warm, cold"):
        attached(tiny_t5, verbalizer=WORDS).answer_ids("hot")


def test_a_prompt_that_is_too_long_says_so_and_is_not_cut(make_tiny_model, tiny_task):
    model = make_tiny_model()
    attached(model, demonstrations=SHOTS * 12)
    with pytest.raises(UserError, match="example 1 .*the words that a method puts around it"):
        evaluate(model, tiny_task, max_source_length=60)


def test_fine_tuning_a_hard_prompt_scores_it_and_changes_nothing(make_tiny_model, tiny_task):
    model = make_tiny_model()
    method = attached(model, template="{source} and", verbalizer=WORDS)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    result = fine_tune(model, method, tiny_task, TrainingSettings(steps=9))
    assert result.dev_scores == [(0, evaluate(model, tiny_task, "dev")["score"])]
    assert (result.best_dev, result.trained_parameters, result.losses) == (result.dev_scores[0][1], 0, [])
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_a_hard_prompt_is_saved_as_text_and_read_back(make_tiny_model, tmp_path):
    model = make_tiny_model()
    method = attached(model, template="a {source}", demonstrations=SHOTS, verbalizer=WORDS)
    save_adapter(tmp_path / "adapter.pt", model, method)
    again = load_adapter(tmp_path / "adapter.pt", make_tiny_model(), METHODS)
    assert again.source_ids("red hen") == method.source_ids("red hen") and again.answer_ids(
        "warm"
    ) == method.answer_ids("warm")


def test_demonstrations_are_balanced_and_follow_the_seed(tiny_task):
    pairs = {(example.source, example.target) for example in tiny_task.train}
    for shots in (0, 1, 4, 7):
        drawn = draw_demonstrations(tiny_task, shots, seed=3)
        counts = Counter(answer for _, answer in drawn)
        assert len(set(drawn)) == shots and set(drawn) <= pairs
        assert abs(counts["warm"] - counts["cold"]) == shots % 2
        assert drawn == draw_demonstrations(tiny_task, shots, seed=3)
    seeds = [draw_demonstrations(tiny_task, 1, seed) for seed in range(12)]
    assert {answer for ((_, answer),) in seeds} == {"warm", "cold"}, "a single demonstration must not favour a label"
    orders = [tuple(answer for _, answer in draw_demonstrations(tiny_task, 2, seed)) for seed in range(12)]
    assert set(orders) == {("warm", "cold"), ("cold", "warm")}
    with pytest.raises(UserError, match="'warm'; 500 are needed|'cold'; 500 are needed"):
        draw_demonstrations(tiny_task, 1000)
    with pytest.raises(UserError, match="-1 demonstrations"):
        draw_demonstrations(tiny_task, -1)


WRITTEN = [name for name in task_names() if hand_written(name).templates]


@pytest.mark.parametrize("name", WRITTEN)
def test_hand_written_prompts_fit_their_task(name):
    task, tokenizer, prompts = load_task(name), Tokenizer.load(), hand_written(name)
    assert len(set(prompts.templates)) == len(prompts.templates) >= 3 and len(prompts.verbalizers) >= 2
    texts = [tuple(Template(text).encode(task.dev[0].source, tokenizer)) for text in prompts.templates]
    assert len(set(texts)) == len(texts) and all(len(text) > 5 for text in texts)
    answers = set(task.labels) or {word for example in task.test for word in example.candidates}
    for words in prompts.verbalizers:
        assert answers == set(words) if task.labels else answers <= set(words)
        HardPrompt(verbalizer=words)  # refuses a word used twice
        spoken = [tuple(tokenizer.encode(word)) for said in words.values() for word in said]
        assert len(set(spoken)) == len(spoken) and max(map(len, spoken)) <= 6
    HardPrompt(**first_prompt(name))


def test_the_tasks_asked_for_have_hand_written_prompts():
    assert {"sentiment", "sentiment_food", "topic", "category", "opinion_now"} <= set(WRITTEN)
    assert first_prompt("my own task") == {}


def test_compare_takes_the_first_hand_written_prompt_of_a_bundled_task(tmp_path):
    torch.manual_seed(0)
    sizes = {"heads": 2, "head_size": 4, "feed_forward_size": 12, "encoder_layers": 1, "decoder_layers": 1}
    base = EncoderDecoder(EncoderDecoderConfig(Tokenizer.load().size, hidden_size=8, **sizes))
    save_checkpoint(tmp_path / "base", base)
    spec = RunSpec(str(tmp_path / "run"), str(tmp_path / "base"), "sentiment", "hard_prompt", test_limit=30)
    result = run(spec)
    told = read_adapter(tmp_path / "run" / "adapter.pt")["hyperparameters"]
    assert {key: told[key] for key in ("template", "verbalizer")} == first_prompt("sentiment")
    assert result["trained_parameters"] == 0 and result["memory"]["activations"] == 0
    model = minipeft.load(tmp_path / "base")
    minipeft.load_adapter(tmp_path / "run" / "adapter.pt", model)
    assert evaluate(model, load_task("sentiment"), "test", limit=30)["score"] == result["test"]
