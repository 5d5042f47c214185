import pytest
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from bookbuild.extensions.reference import with_links

KNOWN = [
    "onebound.vae",
    "onebound.vae.model",
    "onebound.vae.model.VAE",
    "onebound.vae.model.VAE.bound",
]


def links(code, shown_in="cell_input docutils container"):
    html = f'<div class="{shown_in}">{highlight(code, PythonLexer(), HtmlFormatter())}</div>'
    after = with_links(html, dict.fromkeys(KNOWN), lambda name: f"there.html#{name}")
    pieces = after.split('<a class="api" href="there.html#')[1:]
    return [piece.partition('"')[0].removeprefix("onebound.") for piece in pieces]


def test_a_name_is_linked_where_it_is_imported_and_where_it_is_used():
    code = "from onebound.vae.model import VAE\nvae = VAE(1, VAE.bound(2))\n"
    assert links(code) == ["vae.model", "vae.model.VAE", "vae.model.VAE", "vae.model.VAE.bound"]


@pytest.mark.parametrize(
    "code",
    [
        "from onebound.vae import model\nmodel.VAE.bound",
        "import onebound.vae.model as model\nmodel.VAE.bound",
        "from onebound.vae.model import VAE as V\nV.bound",
    ],
)
def test_the_longest_known_name_counts_under_any_alias(code):
    assert links(code)[-1] == "vae.model.VAE.bound"


@pytest.mark.parametrize(
    "use", ["x.VAE", "f(VAE=3)", "VAE = 3\nVAE", "def f(VAE):\n    return VAE", "'VAE'", "# VAE"]
)
def test_what_only_has_the_name_is_no_link(use):
    assert links(f"from onebound.vae.model import VAE\n{use}")[2:] == []


def test_only_cells_have_links():
    assert links("from onebound.vae.model import VAE", shown_in="cell_output") == []


def test_a_magic_and_a_page_without_imports_are_left_alone():
    assert links("%matplotlib inline") == []
    assert links("print(VAE)") == []
