"""What the exercises of a chapter must be, checked: their form, their hints, how their tests judge."""

import ast
import re

from minipeft.course.chapters import FILES, SECTIONS, Chapter, exercise_of

KINDS = ("Implement", "Repair", "Predict", "Prove", "Extend")
OPENING = (
    r"Chapter {number}, [^\n]+: your answers\. Write in place of `raise NotImplementedError` and `\.\.\.`\.\n\n"
    r"    pytest lessons/{folder}\n    python -m minipeft hint {number}\n\nLetters: "
)
TO_REPAIR = "raise NotImplementedError  # remove this line, then find the mistake below"


def exercise_problems(chapter: Chapter) -> list[str]:
    """Each exercise: three hints, a name in both files, at least one test, a word about it in the chapter."""
    found = []
    exercise, solution = (names_of((chapter.folder / file).read_text(encoding="utf-8")) for file in FILES[1:4:2])
    tests = [exercise_of(test, chapter.exercises) for test in chapter.tests()]
    about = chapter.text.partition("## Exercises")[2].partition("\n## ")[0]
    for name, hints in chapter.hints.items():
        if len(hints) != 3 or len(set(hints)) != 3:
            found.append(f"{name} has no three hints")
        elif "?" not in hints[0] or "___" not in hints[2]:
            found.append(f"the first hint of {name} asks nothing, or the third leaves no gap (___)")
        where = [
            file for file, names in (("exercise.py", exercise), ("solution.py", solution)) if plain(name) not in names
        ]
        found += [f"{name} does not stand in {file}" for file in where]
        if name not in tests:
            found.append(f"{name} has no test")
        if plain(name) not in map(plain, re.findall(r"`(\w+)", about)):
            found.append(f"the section Exercises does not speak of `{name}`")
    return found


def plain(name: str) -> str:
    """`SwitchableLoRA`, `SWITCHABLE_LORA` and `switchable_lora` are one name."""
    return name.replace("_", "").lower()


def names_of(source: str) -> set[str]:
    """The plain names that a file defines."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(plain(node.name))
        elif isinstance(node, ast.Assign):
            names |= {plain(target.id) for target in node.targets if isinstance(target, ast.Name)}
    return names


def form_problems(chapter: Chapter) -> list[str]:
    """The one form of every exercise.py: how it opens, letters, and the kind of each exercise, the same in the text."""
    source, folder = (chapter.folder / "exercise.py").read_text(encoding="utf-8"), chapter.folder.name
    opening = OPENING.format(folder=folder, number=folder[:2])
    found = []
    if not re.match(opening, ast.get_docstring(ast.parse(source), clean=False) or ""):
        found.append("exercise.py does not open with its chapter, the two commands and the letters")
    items = re.findall(r"^\d+\. ((?:`\w+`(?:, )?)+) \((\w+)\): ", chapter.text, re.M)
    told = {plain(name): kind.capitalize() for names, kind in items for name in re.findall(r"\w+", names)}
    for name, (kind, body) in kinds_of(source).items():
        if name not in map(plain, chapter.exercises):
            continue
        if kind not in KINDS:
            found.append(f"{name} in exercise.py does not begin with its kind, as in 'Implement: ...'")
        elif told.get(name) != kind:
            found.append(f"the section Exercises does not say '`{name}` ({kind.lower()}): ...' as exercise.py does")
        elif (kind == "Repair") != (TO_REPAIR in body):
            found.append(f"{name}: code to repair, and no other, stands behind '{TO_REPAIR}'")
    return found


def kinds_of(source: str) -> dict[str, tuple[str, str]]:
    """Plain name -> the kind that its docstring, or the comment above it, begins with, and its own lines."""
    lines, kinds = source.splitlines(), {}
    for node in ast.parse(source).body:
        own = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            about, names = ast.get_docstring(node) or "", [node.name]
        elif isinstance(node, ast.Assign):
            first = node.lineno - 1
            while lines[first - 1].startswith("# "):
                first -= 1
            about = lines[first].removeprefix("# ")
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            continue
        kinds |= {plain(name): (about.partition(":")[0], own) for name in names}
    return kinds


def judges_itself(node: ast.AST) -> bool:
    """Whether a function of a test file hands its arguments on to `check`."""
    helper = isinstance(node, ast.FunctionDef) and not node.name.startswith("test_")
    return helper and any(
        isinstance(call, ast.Call) and getattr(call.func, "id", "") == "check" for call in ast.walk(node)
    )


def judging_problems(chapter: Chapter) -> list[str]:
    """Every test judges with `check` or `prove`; no comparison is without effect, no zip drops what is too long."""
    found = []
    tree = ast.parse((chapter.folder / "test_exercise.py").read_text(encoding="utf-8"))
    judges = {"check", "prove"} | {node.name for node in tree.body if judges_itself(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            calls = {
                call.func.id
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            }
            if not calls & judges:
                found.append(f"{node.name} checks nothing")
            if [argument.arg for argument in node.args.args] != ["answers"]:
                found.append(f"{node.name} takes other arguments than answers")
        if isinstance(node, ast.keyword) and node.arg == "section":
            if not isinstance(node.value, ast.Constant) or node.value.value not in SECTIONS:
                found.append(f"line {node.value.lineno} of test_exercise.py names a section that no chapter has")
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Compare):
            found.append(f"line {node.lineno} of test_exercise.py compares and does nothing with it")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip":
            if not any(keyword.arg == "strict" for keyword in node.keywords):
                found.append(f"line {node.lineno} of test_exercise.py: zip without strict=True")
    return found
