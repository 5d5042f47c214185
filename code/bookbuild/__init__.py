"""Everything that turns the chapters into the book, and nothing that a reader imports.

``python -m bookbuild build`` runs three steps, each usable by itself:

1. `execution` runs the cells of every chapter whose *key* is new. The key (`keys`) covers the cells
   and everything they read, so that an output can't outlive the code that made it. Outputs that the
   repository brings along under the same key (`shipped`, renewed by `outputs`) save the run.
2. Jupyter Book renders the pages. It executes nothing: `cache_extension` hands it the outputs.
   `equation_extension` leads from each equation to its code and its tests.
3. `gate` reads the built pages and refuses the book if a cell, an image or a link is not right.

4. `values` compares the numbers in the text with those of the build that was written down.

Before all that, `equations` refuses a book in which an equation lacks its code, test or mark.
"""
