"""Finding the modules that a user's target names, and putting wrappers in their places.

A target is the end of a module's dotted path ("query", "cross_attention.value") or a pattern of all of it
("decoder.blocks.*.attention.*").
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from minipeft.errors import UserError


def matches(path: str, target: str) -> bool:
    """Whether `target` is the end of the dotted `path` ("query"), or a pattern of all of it ("decoder.*.query")."""
    if any(sign in target for sign in "*?["):
        return fnmatchcase(path, target)
    return path == target or path.endswith("." + target)


Kind = type | tuple[type, ...]  # as isinstance takes it


def find_modules(model: nn.Module, targets: Iterable[str], kind: Kind = nn.Module) -> list[tuple[str, nn.Module]]:
    """(path, module) of every module of type `kind` that some target names, in the model's order.

    Raises UserError for each target that matches nothing: a list that matches only in part must not pass in silence.
    """
    modules = [(path, m) for path, m in model.named_modules(remove_duplicate=False) if path and isinstance(m, kind)]
    targets = [targets] if isinstance(targets, str) else list(targets)
    if not targets:
        raise UserError("No targets given: name at least one module, such as 'query'.")
    if not modules and isinstance(model, kind):
        raise UserError(f"The model itself is a {type(model).__name__}: put it into an nn.Sequential, and target '0'.")
    for target in targets:
        if not any(matches(path, target) for path, _ in modules):
            raise UserError(unmatched(target, [path for path, _ in modules], kind))
    return [(path, module) for path, module in modules if any(matches(path, target) for target in targets)]


READ_WEIGHTS = (nn.MultiheadAttention, nn.TransformerEncoderLayer)  # they read weights and do not call the layers


def replace_modules(
    model: nn.Module, targets: Iterable[str], wrap: Callable[[nn.Module], nn.Module], kind: Kind = nn.Module
) -> list[tuple[nn.Module, str, nn.Module]]:
    """Put `wrap(module)` in the place of each module of type `kind` that a target names.

    Returns (parent, attribute, original) for each place, which is what undoing it takes. A module that stands in
    several places keeps doing so: it gets one wrapper.
    """
    replaced = []
    wrappers = {}
    for path, module in find_modules(model, targets, kind):
        if module not in wrappers:
            wrappers[module] = wrap(module).train(module.training)
        parent_path, _, attribute = path.rpartition(".")
        parent = model.get_submodule(parent_path)
        if isinstance(parent, READ_WEIGHTS):
            refuse_unread(path, type(parent), wrappers[module], module)
        replaced.append((parent, attribute, module))
    for parent, attribute, module in replaced:
        setattr(parent, attribute, wrappers[module])
    return replaced


def refuse_unread(path: str, owner: type, wrapper: nn.Module, module: nn.Module) -> None:
    """Raise where `owner` would pass over what `wrapper` does: it reads the weight of what stands at `path`.

    torch's attention always does; its encoder layer only in eval mode, where dropout does nothing.
    """
    if not hasattr(wrapper, "weight"):
        kind = type(wrapper).__name__
        raise UserError(
            f"{path}: torch's {owner.__name__} reads weights without calling layers, so no {kind} can act there."
        )
    own = set(wrapper.modules()) - set(module.modules())
    drops = any(isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0 for part in own)
    if drops and issubclass(owner, nn.MultiheadAttention):
        raise UserError(
            f"{path}: torch's {owner.__name__} reads weights without calling layers, so dropout cannot act there: "
            "set it to 0, or choose other targets."
        )


def unmatched(target: str, paths: list[str], kind: Kind) -> str:
    """The sentence for a target that matches nothing: the nearest name, and all there are."""
    names = sorted({path.rpartition(".")[2] for path in paths} - {str(number) for number in range(1000)})
    near = get_close_matches(target, names + paths, 1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    what = "module" if kind is nn.Module else " or ".join(sorted(one.__name__ for one in kinds))
    there = ", ".join(names or paths) or "none"  # a plain nn.Sequential has numbers alone
    return f"The target {target!r} matches no {what} of this model.{guess} There are: {there}."
