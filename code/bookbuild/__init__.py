"""Everything that turns the chapters into the book, and nothing that a reader imports.

Here lie the command line (``python -m bookbuild``), `build`, which runs all there is to a build,
`pdf`, and `install`, which fills the environment and needs the standard library alone. Below it are
five rooms. Each imports those above it in this list, and itself:

- `source`: the book as it lies in the repository.
- `run`: its cells are executed, and their outputs kept.
- `notebooks`: its pages as notebooks.
- `extensions`: what Sphinx is told when it renders the pages.
- `checks`: whether what was built is right.

Only `run.studies` needs what `onebound` needs: what renders and checks does without PyTorch.
"""
