"""Every public name, on `ov` or in a package of it, has an example in its docstring that runs."""

import doctest
import inspect

import pytest

import overround as ov
from tests.support.reference import flat, packages, public_names

pytestmark = pytest.mark.slow  # minutes for all
IN_PACKAGES = {
    f"{package}.{name}": found
    for package, module in packages().items()
    for name, found in public_names(module).items()
    if callable(found)
}
CALLABLE = {**flat(), **IN_PACKAGES}
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


class _Reader(doctest.OutputChecker):
    """Compares as a reader does, who sees no difference between spaces that may break and that may not."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(
            *(text.replace("\N{NO-BREAK SPACE}", " ") for text in (want, got)), optionflags
        )


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERROUND_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("OVERROUND_HOME", "")  # examples that set it leave it as it was
    monkeypatch.delenv("OVERROUND_HOME")


def calls(source: str, path: str) -> bool:
    """Whether a line of an example uses a name as a notebook does: by its package, or flat where it is so."""
    flat_too = [path.rpartition(".")[2]] if path.rpartition(".")[2] in ov.__all__ else []
    return any(f"ov.{one}" in source for one in (path, *flat_too))


@pytest.mark.parametrize("path", sorted(CALLABLE))
def test_the_example_of_a_public_name_runs(path):
    found = doctest.DocTestParser().get_doctest(inspect.getdoc(CALLABLE[path]) or "", {}, path, None, 0)
    assert found.examples, f"ov.{path} has no example"
    assert any(calls(one.source, path) for one in found.examples), (
        f"the example of ov.{path} does not call it as a notebook does"
    )
    told: list[str] = []

    failed, _ = doctest.DocTestRunner(_Reader(), optionflags=FLAGS, verbose=False).run(found, out=told.append)

    assert not failed, "".join(told)
