"""The face of the library: few names on `ov`, the others by package, each documented and in the reference."""

import ast
import doctest
import importlib
import inspect
import re
import warnings
from pathlib import Path
from types import ModuleType

import pytest

import overround as ov
from overround import errors
from overround._moved import MOVED
from tests.support.reference import FOLDER, first_line, flat, packages, pages, public_names

LIBRARY = Path(ov.__file__).parent
PUBLIC = [
    (f"ov.{package}", module, name) for package, module in packages().items() for name in public_names(module)
]
STUBS = sorted(LIBRARY.rglob("__init__.pyi"))


def test_ov_itself_advertises_few_names():
    assert len(flat()) <= 35
    assert set(ov.__all__) == {*flat(), *packages()} == {name for name in dir(ov) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("path", "module", "name"), PUBLIC, ids=lambda part: part if isinstance(part, str) else ""
)
def test_a_public_name_is_documented_has_an_example_and_is_in_the_reference(path, module, name):
    found = getattr(module, name)
    page = (FOLDER / f"{path.removeprefix('ov.')}.md").read_text()

    assert first_line(module, name), f"{path}.{name} says nothing of itself"
    assert f"`{path}.{name}`" in page
    if callable(found):
        examples = doctest.DocTestParser().get_examples(inspect.getdoc(found) or "")
        assert examples, f"{path}.{name} has no example"


def test_the_reference_is_of_the_docstrings_as_they_are():
    on_disk = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.md")}

    stale = sorted(name for name, text in pages().items() if on_disk.get(name) != text)
    gone = sorted(set(on_disk) - set(pages()))
    assert (stale, gone) == ([], []), "docs/reference is not of these docstrings: make reference"


@pytest.mark.parametrize("package", [name for name, one in packages().items() if hasattr(one, "__path__")])
def test_no_module_has_the_name_of_a_public_function_or_class_of_its_package(package):
    folder = Path(next(iter(packages()[package].__path__)))
    modules = {file.stem for file in folder.iterdir() if file.stem != "__init__"}
    names = {
        name for name, one in public_names(packages()[package]).items() if not isinstance(one, ModuleType)
    }

    assert modules & names == set()


@pytest.mark.parametrize("name", sorted(MOVED))
def test_an_old_name_still_works_and_says_where_it_is_now(name):
    with pytest.warns(DeprecationWarning, match=rf"ov\.{name} is now ov\.{MOVED[name]}"):
        old = getattr(ov, name)

    package, _, leaf = MOVED[name].rpartition(".")
    new = getattr(importlib.import_module(f"overround.{package}"), leaf)
    assert old is new
    assert name not in ov.__all__


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
def test_a_stub_names_what_its_package_has(stub):
    package = importlib.import_module(".".join(stub.parent.relative_to(LIBRARY.parent).parts))
    tree = ast.parse(stub.read_text())
    imported = [
        (node.module, one.name, one.asname)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for one in node.names
    ]

    for module, name, shown in imported:
        assert name == shown, f"{stub.parent.name}: {name} is not shown by its own name"
        if module is None:
            assert getattr(package, name) is importlib.import_module(f"{package.__name__}.{name}")
        else:
            source = importlib.import_module(f".{module}", package.__name__)
            assert getattr(package, name) is getattr(source, name)
    assert {name for _, name, _ in imported} == set(package.__all__)


def test_every_package_of_the_face_has_a_stub_and_is_typed():
    with_path = {one.__name__ for one in packages().values() if hasattr(one, "__path__")}

    assert with_path <= {".".join(stub.parent.relative_to(LIBRARY.parent).parts) for stub in STUBS}
    assert (LIBRARY / "py.typed").exists()


def test_the_tree_of_errors_in_their_docstring_is_that_of_the_classes():
    lines = re.findall(r"^([│├└─ ]*)(\w+Error|UnknownMethod)\b", errors.__doc__ or "", re.MULTILINE)
    path: list[str] = []
    drawn = {}
    for branch, name in lines:
        path = [*path[: len(branch) // 4], name]
        drawn[name] = path[-2] if len(path) > 1 else "Exception"

    classes = [one for one in vars(errors).values() if isinstance(one, type)]
    assert drawn == {one.__name__: one.__bases__[0].__name__ for one in classes}


def test_asking_for_a_name_that_never_was_is_an_attribute_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AttributeError, match="nothing_such"):
            ov.nothing_such  # noqa: B018
