from pathlib import Path

import numpy as np
import pytest
from conftest import Book
from matplotlib.image import imsave

from bookbuild.extensions.boxes import size_of, with_sizes

FIGURE = '<svg xmlns="http://www.w3.org/2000/svg" width="30pt" height="1in" viewBox="0 0 5 5"/>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a figure.svg").write_text(FIGURE)
    return tmp_path


def test_a_picture_gets_the_size_of_its_file(folder: Path):
    html = '<p><img alt="two &gt; one" src="pictures/a%20figure.svg" />x</p>'
    sized = (
        '<p><img width="40" height="96" alt="two &gt; one" src="pictures/a%20figure.svg" />x</p>'
    )
    assert with_sizes(html, folder) == sized
    assert with_sizes(sized, folder) == sized


def test_a_figure_that_is_drawn_anew_gets_its_new_size(folder: Path):
    sized = with_sizes('<img src="pictures/a%20figure.svg">', folder)
    (folder / "pictures/a figure.svg").write_text(FIGURE.replace("30pt", "60pt"))
    assert with_sizes(sized, folder) == sized.replace('width="40"', 'width="80"')


@pytest.mark.parametrize(
    "image",
    [
        '<img alt="" height="20" src="pictures/a%20figure.svg">',
        '<img alt="" src="https://a.example/b.svg">',
        '<img alt="" src="data:image/png;base64,AAAA">',
        '<img alt="" src="not-there.svg">',
    ],
)
def test_what_has_a_size_or_lies_elsewhere_stays(folder: Path, image: str):
    assert with_sizes(image, folder) == image


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ('width="72pt" height="36pt"', (96, 48)),
        ('width="7" height="8px" viewBox="0 0 1 1"', (7, 8)),
        ('width="25.4mm" height="2.54cm"', (96, 96)),
        ('viewBox="0 0 64 32.5"', (64, 32.5)),
        ('width="100%" height="100%" viewBox="-5,-5, 10,20"', (10, 20)),
    ],
)
def test_the_size_of_a_drawing(tmp_path: Path, attributes: str, size: tuple[float, float]):
    file = tmp_path / "figure.svg"
    file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}><path/></svg>')
    assert size_of(file) == pytest.approx(size)


def test_the_size_of_a_photograph(tmp_path: Path):
    imsave(tmp_path / "image.png", np.zeros((3, 5)))
    assert size_of(tmp_path / "image.png") == (5, 3)


def test_in_a_book(executed: Book):
    executed.edit(
        "_config.yml",
        "local_extensions:",
        "local_extensions:\n    bookbuild.extensions.boxes: code",
    )
    executed.write("book/figure.svg", FIGURE)
    executed.write("book/index.md", "# Tiny\n\n![A figure](figure.svg)\n")
    executed.build()
    assert '<img width="40" height="96" alt="A figure" src="_images/figure.svg"' in executed.html(
        "index"
    )
    assert "ResizeObserver" in executed.html("index")
