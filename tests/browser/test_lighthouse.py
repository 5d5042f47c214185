"""Lighthouse, on the heaviest pages."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import CHROMIUM, HTML, ROOT

LIGHTHOUSE = ROOT / "tests/browser/node_modules/.bin/lighthouse"
HEAVIEST = sorted(HTML.glob("*.html"), key=lambda path: -path.stat().st_size)[:3]
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
LEAST = 0.95


@pytest.mark.parametrize("page", HEAVIEST, ids=lambda path: path.stem)
def test_scores(site: str, page: Path):
    command = [
        LIGHTHOUSE,
        site + page.name,
        "--quiet",
        "--preset=desktop",
        "--output=json",
        f"--only-categories={','.join(CATEGORIES)}",
        "--chrome-flags=--headless=new --no-sandbox --disable-background-networking",
    ]
    done = subprocess.run(
        command, env=os.environ | {"CHROME_PATH": CHROMIUM}, capture_output=True, check=True
    )
    report = json.loads(done.stdout)
    scores = {name: report["categories"][name]["score"] for name in CATEGORIES}
    weak = [
        f"{audit['id']}: {audit['title']}: {audit.get('displayValue', '')}"
        for audit in report["audits"].values()
        if audit["score"] is not None and audit["score"] < 0.9
    ]
    assert min(scores.values()) >= LEAST, "\n".join([f"{scores}", *weak])
