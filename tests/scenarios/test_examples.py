"""Every public name has an example in its docstring that runs as it stands."""

import doctest
import inspect
from types import ModuleType

import pytest

import overround as ov

pytestmark = pytest.mark.slow  # half a minute for all
CALLABLE = sorted(name for name in ov.__all__ if not isinstance(getattr(ov, name), ModuleType))
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


@pytest.mark.parametrize("name", CALLABLE)
def test_the_example_of_a_public_name_runs(name):
    found = doctest.DocTestParser().get_doctest(inspect.getdoc(getattr(ov, name)) or "", {}, name, None, 0)
    assert found.examples, f"ov.{name} has no example"
    assert any(f"ov.{name}".lower() in one.source.lower() for one in found.examples), (
        f"the example of ov.{name} does not call it as a notebook does"
    )
    told: list[str] = []

    failed, _ = doctest.DocTestRunner(_Reader(), optionflags=FLAGS, verbose=False).run(found, out=told.append)

    assert not failed, "".join(told)
