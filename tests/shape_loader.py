"""Load the model's modules with the checks of ``tests.shapes`` in them: decorators, and a line after assignments."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader

from tests.shapes import letters, result_shapes

PACKAGE = "ablation.tcl"
BLOCKS = ("body", "orelse", "finalbody")
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.AsyncFor, ast.While)


def install() -> None:
    """Check every module of the model that is imported from now on.

    Raises: RuntimeError if one has been imported already, and would go unchecked.
    """
    early = [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]
    if early:
        raise RuntimeError(f"{', '.join(early)} imported before shape_loader.install(): call it first in conftest.py")
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())


class Finder(MetaPathFinder):
    """Find the model's modules where they are, and load them by ``Loader``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{PACKAGE}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


class Loader(SourceFileLoader):
    """Load a module with its names held to what they say."""

    def get_code(self, fullname: str) -> types.CodeType:
        # The parent's method would read and write .pyc files, which belong to the code as it is.
        return compile(checked(self.get_source(fullname) or "", fullname), self.path, "exec", dont_inherit=True)


def checked(source: str, module: str) -> ast.Module:
    """Parse a module and add the checks; line numbers stay."""
    tree = ast.parse(source)
    _mark(tree, module.removeprefix(f"{PACKAGE}."))
    first = 1 + max((i for i, node in enumerate(tree.body) if _is_preamble(node)), default=-1)
    tree.body.insert(first, ast.parse("from tests import shapes as shapes__").body[0])
    return ast.fix_missing_locations(tree)


def _is_preamble(node: ast.stmt) -> bool:
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_docstring or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def _mark(scope: ast.Module | ast.ClassDef, path: str) -> None:
    """Decorate the functions and classes of a module or class; ``path`` is its dotted name within the package."""
    for node in scope.body:
        if isinstance(node, ast.ClassDef) and not any(ast.unparse(base) == "Protocol" for base in node.bases):
            _mark(node, f"{path}.{node.name}")
            fields = [field.target.id for field in node.body if _is_field(field)]  # type: ignore[attr-defined]
            if any(letters(field) for field in fields) and _is_record(node):
                # The outermost: it finds what @dataclass has made.
                node.decorator_list.insert(0, _call("fields_checked", path=f"{path}.{node.name}"))
        elif isinstance(node, ast.FunctionDef):
            name = f"{path}.{node.name}"
            says_result = result_shapes(name, ast.get_docstring(node))
            if not _is_generator(node):
                node.body = _watched(node.body)
            if says_result or parameter_names(node) or _is_watched(node):
                # The innermost: it sees the plain function, and what @torch.no_grad and registries get is checked.
                node.decorator_list.append(_call("function_checked", path=name))


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def _is_record(node: ast.ClassDef) -> bool:
    marks = [ast.unparse(mark) for mark in (*node.bases, *node.decorator_list)]
    return any(mark == "NamedTuple" or mark.startswith("dataclass") for mark in marks)


def _is_generator(node: ast.FunctionDef) -> bool:
    return any(isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(node))


def _is_watched(node: ast.FunctionDef) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "shapes__" for part in ast.walk(node))


def parameter_names(node: ast.FunctionDef) -> list[str]:
    """List the parameters whose names say a shape."""
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    return [argument.arg for argument in arguments if letters(argument.arg)]


def _call(name: str, **constants: str) -> ast.expr:
    arguments = ", ".join(f"{key}={value!r}" for key, value in constants.items())
    return ast.parse(f"shapes__.{name}({arguments})", mode="eval").body


def _watched(body: list[ast.stmt]) -> list[ast.stmt]:
    """Follow each assignment to a name that says its shape by a check, outside of loops and inner functions."""
    watched: list[ast.stmt] = []
    for node in body:
        watched.append(node)
        if isinstance(node, SCOPES):
            continue
        for part in (node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            for block in BLOCKS:
                if hasattr(part, block):
                    setattr(part, block, _watched(getattr(part, block)))
        for name in _assigned(node):
            if letters(name):
                check = ast.Expr(ast.parse(f"shapes__.check({name!r}, {name})", mode="eval").body)
                for inner in ast.walk(check):
                    ast.copy_location(inner, node)
                watched.append(check)
    return watched


def _assigned(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        targets: list[ast.expr] = [node.target]
    else:
        targets = node.targets if isinstance(node, ast.Assign) else []
    # Only what is stored: in a[rows_B] = … the index is read.
    return [
        part.id
        for target in targets
        for part in ast.walk(target)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    ]
