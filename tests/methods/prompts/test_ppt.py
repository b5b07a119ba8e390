"""Pre-trained prompts: what is read, what is answered, where training starts, and whose prompt is refused."""

import pytest
import torch
from helpers.models import tiny_gpt2, tiny_t5

from minipeft.errors import UserError
from minipeft.methods.prompts.ppt import PPT
from minipeft.methods.prompts.spot import SPoT, load_prompt, prompt_names, read_prompt_file, save_prompt
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.transformer.fingerprints import fingerprint

WORDS = "one two three ? . The correct is good bad yes no A B C It was".split()
SENTINEL = 36
STARTS = {"ppt": ("pretrained", PPT), "spot": ("source", SPoT)}
both = pytest.mark.parametrize("name", STARTS)


class Tokenizer:
    """One token a word, a stop or question mark its own; the first sentinel is 36."""

    def encode(self, text):
        return [2 + WORDS.index(word) for word in text.replace(".", " .").split()]

    def most_frequent(self, count):
        return list(range(2, 20))[:count]

    def sentinel(self, index):
        return SENTINEL - index


def ids(text):
    return [SENTINEL if word == "<X>" else 2 + WORDS.index(word) for word in text.split()]


def attached(method, model=None):
    model = model or tiny_t5()
    model.tokenizer = Tokenizer()
    method.attach(model)
    return method


CHOICE = "one ? A . two B . three ."
FORMS = [
    ({"format": "single"}, "one two", "one two <X>", "one two"),
    ({"format": "pair"}, "one | two three", "one <X> two three", "one two three"),
    (
        {"format": "choice"},
        "one ? A. two B. three .",
        f"{CHOICE} The correct one is <X>",
        f"{CHOICE} The correct one is",
    ),
    (
        {"format": "unified"},
        "one ? A. two B. three .",
        f"{CHOICE} The correct one is <X>",
        f"{CHOICE} The correct one is",
    ),
    (
        {"format": "unified", "labels": ("good", "bad")},
        "two",
        "two ? A . good B . bad . The correct one is <X>",
        "two ? A . good B . bad . The correct one is",
    ),
    ({"template": "{source} It was <X> ."}, "one", "one It was <X> .", "one It was ."),
]


@pytest.mark.parametrize("settings, source, with_blank, without", FORMS)
def test_a_source_is_read_with_a_blank_by_t5_and_without_one_by_gpt2(settings, source, with_blank, without):
    assert attached(PPT(**settings)).source_ids(source) == ids(with_blank)
    assert attached(PPT(**settings), tiny_gpt2()).source_ids(source) == ids(without)


def test_an_answer_is_the_sentinel_and_what_fills_the_blank():
    t5, gpt2 = attached(PPT()), attached(PPT(), tiny_gpt2())
    assert t5.answer_ids("good bad") == [[SENTINEL, *ids("good bad")]]
    assert gpt2.answer_ids("good bad") == [ids("good bad")]


def test_unified_answers_the_letter_of_a_label():
    method = attached(PPT(format="unified", labels=["good", "no", "bad"]))
    assert [method.answer_ids(label) for label in ("good", "no", "bad")] == [[[SENTINEL, *ids(x)]] for x in "ABC"]
    with pytest.raises(UserError, match="'yes' is none of ppt's labels, good, no, bad"):
        method.answer_ids("yes")
    plain = attached(PPT(format="choice", labels=["good"] * 17))  # here labels are only for the start
    assert plain.answer_ids("good") == [[SENTINEL, *ids("good")]] and plain.source_ids("one") == ids(
        "one The correct one is <X>"
    )


def test_the_blank_is_a_token_of_the_source_not_of_the_users_text():
    method = attached(PPT())
    method.model.tokenizer.encode = lambda text: [len(text)]
    assert method.source_ids("a <X> b") == [7, SENTINEL]


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"format": "triple"}, "single, pair, choice, unified, not 'triple'"),
        ({"template": "{source} It was"}, "needs the blank <X>"),
        ({"template": "<X>"}, "needs {source}"),
        ({"format": "unified", "labels": [str(i) for i in range(17)]}, "16 options, not for 17"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        PPT(**settings)


def write(path, model, length=3):
    torch.manual_seed(5)
    prompt = torch.randn(length, 12)
    save_prompt(path, prompt, fingerprint(model), "tiny", "test", {"steps": 7})
    return prompt


@both
@pytest.mark.parametrize("family", [tiny_t5, tiny_gpt2])
def test_training_starts_from_the_prompt_in_the_file(name, family, tmp_path):
    field, kind = STARTS[name]
    prompt = write(tmp_path / "p.pt", family())
    method = attached(kind(prompt_length=3, **{field: str(tmp_path / "p.pt")}), family())
    (start,) = method.state_dict().values()
    assert torch.equal(start, prompt)
    assert [file.name for file in tmp_path.iterdir()] == ["p.pt"]  # nothing temporary is left


@both
def test_another_length_and_another_base_are_refused_and_leave_the_model_alone(name, tmp_path):
    field, kind = STARTS[name]
    file = {field: str(tmp_path / "p.pt")}
    write(tmp_path / "p.pt", tiny_t5())
    model = tiny_t5()
    with pytest.raises(UserError, match=r"start is \(3, 12\), the prompt \(4, 12\)"):
        attached(kind(prompt_length=4, **file), model)
    other = tiny_t5()
    with torch.no_grad():
        other.head.weight[0, 0] += 1
    with pytest.raises(UserError, match="belongs to the base 'tiny', which is not this one"):
        attached(kind(prompt_length=3, **file), other)
    for left in (model, other):
        attached(METHODS["full"](), left)


@both
def test_an_adapter_loads_where_the_file_it_started_from_is_gone(name, tmp_path):
    field, kind = STARTS[name]
    write(tmp_path / "p.pt", tiny_t5())
    method = attached(kind(prompt_length=3, **{field: str(tmp_path / "p.pt")}))
    with torch.no_grad():
        next(iter(method.named_parameters().values())).mul_(-2)
    save_adapter(tmp_path / "adapter.pt", method.model, method)
    (tmp_path / "p.pt").unlink()
    fresh = tiny_t5()
    fresh.tokenizer = Tokenizer()
    again = load_adapter(tmp_path / "adapter.pt", fresh, METHODS)
    assert again.hyperparameters() == method.hyperparameters()
    (got,), (expected,) = again.state_dict().values(), method.state_dict().values()
    assert torch.equal(got, expected)


def test_files_that_are_no_prompts_are_refused(tmp_path):
    with pytest.raises(UserError, match="no prompt 'nowhere': give a file, or a bundled one"):
        read_prompt_file("nowhere")
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        read_prompt_file(tmp_path / "text.pt")
    torch.save({"prompt": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="is not a prompt file"):
        read_prompt_file(tmp_path / "other.pt")


def test_bundled_prompts_fit_the_bundled_base_they_name_and_say_how_they_were_made():
    assert prompt_names()
    for name in prompt_names():
        content = read_prompt_file(name)
        base = load(content["model"])
        prompt = load_prompt(name, fingerprint(base))
        assert prompt.shape == (20, base.config.hidden_size) and prompt.isfinite().all()
        assert content["kind"] == name and "pretrain-prompt" in content["provenance"]["command"]
