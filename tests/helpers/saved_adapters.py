"""Adapter files of several methods, to be damaged; and what must hold whatever is made of them."""

import functools
from pathlib import Path

import torch

from helpers.laws import assert_same_snapshot, batch_for, new_model, snapshot
from helpers.method_table import FILES, new_method
from helpers.scrambling import scramble
from minipeft.errors import UserError
from minipeft.methods.registry import METHODS
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.transformer import tensor_files

CASES = [("lora", "t5"), ("lora", "gpt2"), ("adalora", "t5"), ("vera", "gpt2"), ("houlsby", "t5"), ("ia3", "gpt2"),
         ("prompt_tuning", "gpt2"), ("prefix_tuning", "t5"), ("p_tuning", "gpt2"), ("adapter_fusion", "gpt2"),
         ("norm_tuning", "t5"), ("hard_prompt", "t5")]  # fmt: skip


class Saved:
    """A method's file, and what a model with it computes; `model` is a plain one that no file may change."""

    def __init__(self, name, family):
        torch.manual_seed(0)
        self.model = new_model(family)
        self.before = snapshot(self.model)
        method = new_method(name, self.model)
        method.attach(self.model)
        scramble(method)
        self.batch = batch_for(method)
        self.outputs, self.path = self.model(self.batch), Path(FILES.name) / f"fuzz-{name}-{family}.pt"
        save_adapter(self.path, self.model, method)
        method.detach()
        self.whole = self.path.read_bytes()

    def content(self):
        """What the file holds, to be changed and sealed anew by `forge`."""
        return {key: value for key, value in tensor_files.read(self.path, "").items() if key != "checksum"}

    def forge(self, content):
        path = self.path.with_name("forged.pt")
        tensor_files.write_state(path, content)
        return path

    def try_bytes(self, content):
        path = self.path.with_name("damaged.pt")
        path.write_bytes(content)
        return self.try_file(path)

    def try_file(self, path, same_outputs=True):
        """Whether the file was loaded; either way the promises are checked."""
        try:
            method = load_adapter(path, self.model, METHODS)
        except UserError as error:
            sentence = str(error)
            assert path.name in sentence and "\n" not in sentence and len(sentence) < 700, sentence
            loaded = False
        else:
            outputs = self.model(self.batch if same_outputs else batch_for(method))
            assert not same_outputs or torch.equal(outputs, self.outputs)
            method.detach()
            loaded = True
        assert_same_snapshot(snapshot(self.model), self.before)
        assert not hasattr(self.model, "attached_method")
        return loaded


saved = functools.cache(Saved)
