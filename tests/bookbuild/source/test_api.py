from pathlib import Path

import pytest

from bookbuild.source.api import modules

CODE = Path(__file__).parents[3] / "code"
MODULE = '''"""What it is."""

from onebound.vae.model import Bound


class Pair(NamedTuple):
    """Two."""

    first: Float[Tensor, "B"]
    _own: int

    @property
    def sum(self) -> float:
        """Both."""

    def plus(self, other: "Pair") -> Bound:
        """More."""


class Made:
    """With an argument."""

    def __init__(self, size: int = 3) -> None: ...


def f(x: int, *, y: float = 0.5) -> Bound:
    """Return [eq-one]."""


def _hidden(): ...
'''


def test_a_module_is_read_with_its_classes_and_signatures(tmp_path):
    folder = tmp_path / "onebound/part"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('"""A part."""')
    (folder / "_own.py").write_text('"""Nobody\'s."""')
    (folder / "one.py").write_text(MODULE)
    package, one = modules(tmp_path, "onebound.part")
    assert (package.name, package.text, package.entries) == ("onebound.part", "A part.", ())
    assert (one.name, one.text, one.file) == ("onebound.part.one", "What it is.", folder / "one.py")
    found = [(e.kind, e.name, e.signature, e.text) for e in one.entries]
    assert found == [
        ("class", "Pair", "", "Two."),
        ("class", "Made", "(size: int=3)", "With an argument."),
        (
            "function",
            "f",
            "(x: int, *, y: float=0.5) -> onebound.vae.model.Bound",
            "Return [eq-one].",
        ),
    ]
    within = [(e.kind, e.name, e.signature) for e in one.entries[0].within]
    assert within == [
        ("attribute", "Pair.first", "Float[Tensor, 'B']"),
        ("property", "Pair.sum", "float"),
        ("method", "Pair.plus", "(other: 'Pair') -> onebound.vae.model.Bound"),
    ]


def test_every_package_has_a_page_in_the_table_of_contents():
    toc = (CODE.parent / "_toc.yml").read_text()
    for init in (CODE / "onebound").rglob("__init__.py"):
        name = ".".join(init.parent.relative_to(CODE).parts)
        page = f"api/{name.rpartition('.')[2]}"
        assert f"file: {page}\n" in toc
        assert f"{{api}} {name}\n" in (CODE.parent / f"book/{page}.md").read_text()


@pytest.mark.parametrize("package", ["onebound", "onebound.vae", "onebound.diffusion"])
def test_everything_public_says_what_it_is(package):
    for module in modules(CODE, package):
        assert module.text, module.name
        for entry in module.entries:
            assert entry.text, f"{module.name}.{entry.name}"
