"""MNIST: `mnist` is what readers call, `images` makes numbers of levels, `fetch` gets the files."""
