"""Fixtures that all rooms of the tests share: tiny models of all families and a task that they learn."""

import gc
import json
import os

import pytest
import torch
from helpers.word_models import EVERY_MAKER, MAKERS, make_tiny_gpt, make_tiny_t5, make_tiny_task
from hypothesis import HealthCheck, settings

from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.transformer.checkpoints import save_checkpoint
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig

# A busy or an old machine is slow, not wrong: no deadline, and no complaint about the speed of drawing.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
# What `HYPOTHESIS_PROFILE=deep pytest` asks for, and CI runs: other examples each time, and more where they are few.
settings.register_profile("deep", settings.get_profile("default"), derandomize=False, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

gc.set_threshold(200_000, 50, 1000)  # the tests make few cycles and many objects: a seventh of the time was looking
torch.set_num_threads(1)  # tiny tensors: a second thread costs more than it brings, all the more on a busy machine


@pytest.fixture
def tiny_t5():
    return make_tiny_t5()


@pytest.fixture
def tiny_gpt():
    return make_tiny_gpt()


@pytest.fixture(params=EVERY_MAKER)
def make_tiny_model(request):
    """A function that makes the same tiny model again and again; the test runs once for each family."""
    return MAKERS[request.param]


@pytest.fixture
def tiny_model(make_tiny_model):
    return make_tiny_model()


@pytest.fixture
def tiny_task():
    return make_tiny_task()


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory):
    """A random base of a few thousand numbers that reads the bundled tokenizer's ids."""
    torch.manual_seed(0)
    sizes = {"heads": 2, "head_size": 4, "feed_forward_size": 12, "encoder_layers": 1, "decoder_layers": 1}
    model = EncoderDecoder(EncoderDecoderConfig(Tokenizer.load().size, hidden_size=8, **sizes))
    folder = tmp_path_factory.mktemp("base")
    save_checkpoint(folder, model)
    return str(folder)


@pytest.fixture
def own_data(tmp_path):
    lines = [
        {"source": f"the {a} met the {b}", "target": "yes" if a < b else "no"} for a in "abcdefg" for b in "hijabk"
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return str(file)
