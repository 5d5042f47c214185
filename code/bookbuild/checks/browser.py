"""Chromium, which prints the book and in which its pages are checked."""

import os
import shutil

from bookbuild.source.chapters import BookError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_chromium() -> str:
    """Return the browser: ``$CHROMIUM``, or the first of `NAMES` on the path.

    Raises
    ------
    BookError
        If there is none.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise BookError(
            "no Chromium found: install one (Debian and Ubuntu: apt-get install chromium) "
            "or name it in the environment: CHROMIUM=/path/to/chromium make ..."
        )
    return found
