"""Habits that keep the code readable, held by its own source: sizes, names, cycles, handlers."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from radon.complexity import cc_visit

PACKAGE = Path(__file__).resolve().parents[2] / "driftguard"
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PORT_METHODS = 5
MAX_COMPLEXITY = 15  # by radon, which counts each `and`, `or` and comprehension too
# A defect ends here, is reported, and costs no more than what it stands in.
BOUNDARIES = {
    "cli/entrypoint.py": 1,  # the program
    "scheduler/agent.py": 1,  # a run of the agent
    "pipeline/run.py": 1,  # an environment
    "pipeline/alert/sending.py": 1,  # an alert
}


@cache
def trees() -> dict[str, ast.Module]:
    """The package's syntax trees: parsed once, and only where a test of these runs."""
    return {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def module(name: str) -> str:
    return ".".join(["driftguard", *Path(name).with_suffix("").parts]).removesuffix(".__init__")


MODULES = {module(name): name for name in FILES}


def loaded_by(name: str) -> set[str]:
    """The modules of the package that a module loads when it is imported itself."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(trees()[name].body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES.keys() or {str(node.module)}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return found & MODULES.keys() - {module(name)}


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_longer_than_400_lines() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = {
        f"{name}: {function.name}": function.end_lineno - function.lineno + 1
        for name, tree in trees().items()
        for function in functions(tree)
        if function.end_lineno is not None
    }
    over = {function: count for function, count in long.items() if count > MAX_FUNCTION_LINES}
    assert over == {}


def test_no_function_is_more_complex_than_15() -> None:
    found = {
        f"{name}: {block.fullname}": block.complexity
        for name, path in FILES.items()
        for block in cc_visit(path.read_text())
        if block.letter != "C"
    }
    over = {function: value for function, value in found.items() if value > MAX_COMPLEXITY}
    assert over == {}


def test_no_two_modules_import_each_other() -> None:
    try:
        TopologicalSorter({name: loaded_by(file) for name, file in MODULES.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_a_packages_own_file_holds_no_logic() -> None:
    def plain(node: ast.stmt) -> bool:
        names = [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        return text or isinstance(node, ast.Import | ast.ImportFrom) or names in (["__all__"], ["__version__"])

    logic = {
        name: [ast.unparse(node) for node in tree.body if not plain(node)]
        for name, tree in trees().items()
        if name.endswith("__init__.py")
    }
    assert {name: found for name, found in logic.items() if found} == {}


def test_every_failure_is_named_but_at_four_boundaries() -> None:
    def broad(node: ast.AST) -> bool:
        if not isinstance(node, ast.ExceptHandler):
            return False
        caught = ["BaseException"] if node.type is None else ast.unparse(node.type).strip("()").split(", ")
        return bool({"Exception", "BaseException"} & set(caught))

    found = {name: sum(broad(node) for node in ast.walk(tree)) for name, tree in trees().items()}
    extra = {name: count for name, count in found.items() if count > BOUNDARIES.get(name, 0)}
    assert extra == {}


def test_a_class_name_stands_once() -> None:
    names = Counter(node.name for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert {name for name, count in names.items() if count > 1} == set()


def test_stages_hold_ports_and_values_and_no_callables() -> None:
    fields = [
        f"{name}: {node.name}.{ast.unparse(item.target)}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if name.startswith("pipeline/") and isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and "Callable" in ast.unparse(item.annotation)
    ]
    # A table: how each type of object tells when it is due.
    assert {field.rpartition(".")[0] for field in fields} <= {"pipeline/classify/due.py: _Renewed"}


def test_a_port_has_at_most_five_methods_of_its_own() -> None:
    """One that needs more is split by need, and joined by inheritance where a reader takes it whole."""
    large = {
        f"{name}: {node.name}": len(methods)
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if name.startswith("ports/") and isinstance(node, ast.ClassDef)
        if len(methods := [item for item in node.body if isinstance(item, ast.FunctionDef)]) > MAX_PORT_METHODS
    }
    assert large == {}


def test_bootstrap_constructs_only() -> None:
    lines = sum(len(path.read_text().splitlines()) for name, path in FILES.items() if name.startswith("bootstrap/"))
    assert lines < 1_000
