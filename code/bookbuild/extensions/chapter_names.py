"""The Sphinx extension that has a reference to a chapter say its number and its title.

An author writes the label alone, as in ``{ref}`ch-loss```, and what the reader sees follows from
the table of contents and from the sentence, by the rules of `bookbuild.notebooks.targets`. Where a
reference has a text of its own, or leads to a page without a number, it stays as it is.
"""

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.transforms.post_transforms import ReferencesResolver, SphinxPostTransform

from bookbuild.notebooks.targets import chapter_in_words


class _Names(SphinxPostTransform):
    default_priority = ReferencesResolver.default_priority - 1

    def run(self, **_: Any) -> None:
        domain = self.env.get_domain("std")
        assert isinstance(domain, StandardDomain)
        named: set[str] = set()
        for reference in self.document.findall(pending_xref):
            if reference.get("reftype") == "ref" and not reference["refexplicit"]:
                page, _, title = domain.labels.get(reference["reftarget"], ("", "", ""))
                number = self.env.toc_secnumbers.get(page, {}).get("")
                if number and title == self.env.titles[page].astext():
                    shown = ".".join(map(str, number))
                    words = chapter_in_words(shown, title, *_around(reference), named)
                    reference["refexplicit"] = True
                    reference.children = [nodes.inline("", words)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.add_post_transform(_Names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _around(node: nodes.Element) -> tuple[str, str]:
    """Return the text before and behind a node in its paragraph, its caption or its cell."""
    block = node.parent
    while isinstance(block, nodes.Inline):
        block = block.parent
    inside = set(map(id, node.findall()))
    before, after = "", ""
    passed = False
    for part in block.findall():
        passed = passed or part is node
        if isinstance(part, nodes.Text) and id(part) not in inside:
            words = "x" if isinstance(part.parent, nodes.math | nodes.literal) else str(part)
            before, after = (before, after + words) if passed else (before + words, after)
    return before, after
