"""Classes cut out of their files and run as a reader would who pastes them: under two imports and nothing else.

import torch
from torch import nn
"""

import ast
import importlib
import inspect

import torch
from torch import nn

HEAD = "import torch\nfrom torch import nn\n\n"


def top_level(source):
    """What the names at the top of a file stand for, as pieces of code."""
    names = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names[node.name] = node
        elif isinstance(node, ast.Assign):
            names |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0]: node for alias in node.names}
    return names


def read_names(node, names):
    """Which of `names` a piece of code reads, those in annotations written as text not included."""
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} & names.keys()


def foreign_names(source, class_name):
    """What a class takes from its file besides torch and nn."""
    names = top_level(source)
    return read_names(names[class_name], names) - {"torch", "nn", class_name}


def cut_out(source, class_name):
    """The text of one class of a file, its decorators included."""
    return ast.unparse(top_level(source)[class_name])


def with_its_parts(module, class_name, done=None):
    """The text of a class after everything of ours that it rests on, from whichever file, as one file would have it."""
    done = {} if done is None else done
    names = top_level(inspect.getsource(module))
    if (module.__name__, class_name) in done:
        return done
    node = names[class_name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("minipeft"):
            return with_its_parts(importlib.import_module(node.module), class_name, done)
    else:
        done[module.__name__, class_name] = None  # its place is taken behind what it needs
        for name in sorted(read_names(node, names) - {class_name}):
            with_its_parts(module, name, done)
        del done[module.__name__, class_name]
    done[module.__name__, class_name] = ast.unparse(node)
    return done


def paste(text, class_name):
    """The class that `text` defines in an empty file."""
    namespace = {}
    exec(HEAD + text, namespace)
    return namespace[class_name]


def run(make, kind):
    """Output and gradients of the module that `make` builds from the class `kind`, the same numbers each time."""
    torch.manual_seed(0)
    module, inputs = make(kind)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    output = module(*inputs)
    output = output if isinstance(output, tuple) else (output,)
    total = sum(part[part.isfinite()].square().sum() for part in output if part.is_floating_point())
    if total.requires_grad:
        total.backward()
    tensors = [*module.parameters(), *(x for x in inputs if isinstance(x, torch.Tensor) and x.is_leaf)]
    gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
    return [part.detach() for part in output], gradients


# Plain parts, for classes that are built around a model's own.


class PlainAttention(nn.Module):
    """What a prefix and an adapter in the heads ask of an attention: sizes, project, attend, output."""

    def __init__(self, hidden, heads, head):
        super().__init__()
        self.heads, self.head_size = heads, head
        self.query, self.key, self.value = (nn.Linear(hidden, heads * head) for _ in range(3))
        self.output = nn.Linear(heads * head, hidden)

    def project(self, hidden, context=None, cache=None):
        seen = hidden if context is None else context
        return (
            linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, x in ((self.query, hidden), (self.key, seen), (self.value, seen))
        )

    def attend(self, query, key, value, bias=None):
        scores = query @ key.mT if bias is None else query @ key.mT + bias
        return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


class PlainStack(nn.Module):
    """What prompts ask of a stack: blocks, and hidden states with the mask that goes with them."""

    def __init__(self, hidden):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(hidden, hidden)])

    def forward(self, vectors, mask, *context, caches=None):
        return self.blocks[0](vectors).cumsum(1), mask


class PlainPositions(nn.Module):
    """What a prefix asks of a GPT-2's positions: a vector for each real token, counted from the front."""

    def __init__(self, room, hidden):
        super().__init__()
        self.table = nn.Embedding(room, hidden)

    def forward(self, mask, length):
        return self.table(mask.long().cumsum(1)[:, -length:] - 1)


class PlainAdapter(nn.Linear):
    """An adapter that can say what it adds."""

    def update(self, u):
        return self(u)


class Gives(nn.Module):
    """Numbers that are given to whoever asks, one part of them where a part is asked for."""

    def __init__(self, *shape):
        super().__init__()
        self.numbers = nn.Parameter(torch.randn(shape))

    def forward(self, part=None):
        return self.numbers if part is None else self.numbers[part]


class Mean(nn.Module):
    """A mixture without weights of its own."""

    def forward(self, u, z):
        return z.mean(-2)
