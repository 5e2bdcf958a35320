"""Flip each sign and drop each term of the objectives, and see which tests notice.

    python -m benchmarks.mutations [module ...]

Every sum, difference and negation in a function of `skdeep.objectives`, or in a pass
that a `torch.autograd.Function` there writes out, is changed, one at a time, in a
forked process that then runs the tests of its module.
"""

import argparse
import ast
import importlib
import inspect
import os
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path.stem
    for path in (ROOT / "skdeep" / "objectives").glob("*.py")
    if path.stem != "__init__"
)


def functions_of(module: types.ModuleType) -> Iterator[tuple[str, types.FunctionType]]:
    """Name and function, undecorated, of all that a module and its classes define."""
    for name, found in inspect.getmembers(module):
        if getattr(found, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(found):
            yield name, inspect.unwrap(found)
        elif inspect.isclass(found):
            for part, method in inspect.getmembers(found, inspect.isfunction):
                if method.__module__ == module.__name__:
                    yield f"{name}.{part}", inspect.unwrap(method)


def mutants(tree: ast.FunctionDef) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Describe each change of a function, and make it."""
    n_nodes = len(list(ast.walk(tree)))
    for place in range(n_nodes):
        for change in ("flip", "left", "right"):
            changed = ast.parse(ast.unparse(tree)).body[0]
            node = list(ast.walk(changed))[place]
            found = changed_node(node, change)
            if found is None:
                continue
            line = ast.unparse(node)
            replace(changed, node, found)
            yield f"{line}  ->  {ast.unparse(found)}", changed


def changed_node(node: ast.AST, change: str) -> ast.expr | None:
    """Expression that stands for another, or None if there is nothing to change."""
    is_sum = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
    if is_sum and change == "flip":
        other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return ast.BinOp(node.left, other, node.right)
    if is_sum and change == "left":
        return node.left
    if is_sum and change == "right":
        is_minus = isinstance(node.op, ast.Sub)
        return ast.UnaryOp(ast.USub(), node.right) if is_minus else node.right
    is_negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    if is_negated and change == "flip" and not isinstance(node.operand, ast.Constant):
        return node.operand
    return None


def replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Put one expression in the place of another."""
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if value is old:
                setattr(node, name, new)
            elif isinstance(value, list) and old in value:
                value[value.index(old)] = new


def is_caught(
    module: types.ModuleType, function: types.FunctionType, tree: ast.FunctionDef
) -> bool:
    """Whether the tests of a module fail with another function in it."""
    child = os.fork()
    if child == 0:
        tree.decorator_list = []
        code = ast.fix_missing_locations(ast.Module([tree], type_ignores=[]))
        namespace = dict(vars(module))
        exec(compile(code, module.__file__ or "", "exec"), namespace)
        # What others have imported is changed too.
        function.__code__ = namespace[tree.name].__code__
        tests = ROOT / "tests" / "objectives" / f"test_{module.__name__[18:]}.py"
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        options = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
        os._exit(int(pytest.main([str(tests), *options])))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def main() -> None:
    """Change what is to be changed, and list what no test noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="module", help=", ".join(MODULES))
    names = parser.parse_args().modules
    if unknown := sorted({*names} - {*MODULES}):
        parser.error(f"no such objectives: {', '.join(unknown)}")
    n_mutants, missed = 0, []
    for module_name in names or MODULES:
        module = importlib.import_module(f"skdeep.objectives.{module_name}")
        for name, function in functions_of(module):
            source = textwrap.dedent(inspect.getsource(function))
            (tree,) = ast.parse(source).body
            assert isinstance(tree, ast.FunctionDef)
            for what, changed in mutants(tree):
                n_mutants += 1
                caught = is_caught(module, function, changed)
                line = f"{module_name}.{name}: {what}"
                print("caught" if caught else "MISSED", line, flush=True)
                missed += [line] * (not caught)
    print(f"\n{n_mutants} changes, {n_mutants - len(missed)} caught")


if __name__ == "__main__":
    main()
