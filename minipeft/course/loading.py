"""Loading the student's exercise.py: a `...` within arithmetic stays a gap; what stops it is one sentence."""

import ast
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from minipeft.course.chapters import load_answers
from minipeft.course.watchdog import EndlessLoop, watchdog
from minipeft.errors import UserError, one_line


class Gap:
    """A `...` of a prediction that is not answered yet; arithmetic with it gives it again."""

    def stay(self, *others: Any) -> "Gap":
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = stay
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __round__ = stay


class DoesNotLoad(UserError):
    """exercise.py cannot be run at all, so none of its exercises can be tested."""


class Gaps(ast.NodeTransformer):
    """Puts a Gap in place of every `...` in the value of an assignment."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.copy_location(ast.Name("__gap__", ast.Load()), node) if node.value is ... else node


def load_exercise(file: Path) -> ModuleType:
    """exercise.py as a module. Raises DoesNotLoad, with one sentence that names the line."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text, str(file))
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and not is_alias(node.value):
                node.value = Gaps().visit(node.value)
        with watchdog(str(file)):
            return load_answers(file, None, ast.fix_missing_locations(tree), {"__gap__": Gap()})
    except SyntaxError as error:
        line = f": {error.text.strip()}" if error.text else ""
        raise DoesNotLoad(f"{file.name} does not load: {error.msg} (line {error.lineno}{line}).") from None
    except UnicodeDecodeError:
        raise DoesNotLoad(f"{file.name} does not load: it is not text in UTF-8.") from None
    except EndlessLoop as error:
        raise DoesNotLoad(f"{file.name} does not load: {error}.") from None
    except (Exception, SystemExit) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = f" (line {frames[-1].lineno}: {frames[-1].line})" if frames else ""
        said = "it ends Python with exit()" if isinstance(error, SystemExit) else (
            f"{type(error).__name__}: {one_line(error)}")  # fmt: skip
        raise DoesNotLoad(f"{file.name} does not load: {said}{place}.") from None


def is_alias(value: ast.AST) -> bool:
    """Whether an assigned value is a type, as Callable[..., int]: its `...` is no gap."""
    return isinstance(value, ast.Subscript)
