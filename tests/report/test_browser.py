"""The report in a real browser, where there is one: it fits every width, and no label lies on another."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from run_folders import LARGE, SMALL, Shape, make_run_folder
from waiting import LONG

from runner.report.page import write_report

BROWSERS = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=4000", "--dump-dom",
)  # fmt: skip
WIDTHS = (360, 768, 1280)  # CSS pixels of a telephone, a tablet, a laptop

# Runs inside a copy of the report, in a frame of each width, and tells the page around it what it finds.
MEASURE = """
addEventListener("load", () => {
  const seen = [...document.querySelectorAll(".xs span, .ys span")].filter(one => one.getClientRects().length);
  const place = one => one.getBoundingClientRect();
  const overlapping = [], outside = [];
  for (const [at, one] of seen.entries()) {
    const next = seen[at + 1], a = place(one);
    if (a.left < 0 || a.right > innerWidth) outside.push(one.textContent);
    if (!next || next.parentElement !== one.parentElement) continue;
    const b = place(next);
    const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
    if (!apart) overlapping.push([one.textContent, next.textContent]);
  }
  const named = [...document.querySelectorAll(".marks span")].filter(one => one.getClientRects().length);
  for (const [at, one] of named.entries()) for (const other of named.slice(at + 1)) {
    const a = place(one), b = place(other);
    if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
      overlapping.push([one.textContent, other.textContent]);
  }
  const tall = one => place(one).height > 2 * parseFloat(getComputedStyle(one).lineHeight);
  const figures = [...document.querySelectorAll(".number")];
  parent.postMessage({
    width: innerWidth, labels: seen.length, overlapping, outside,
    cut: figures.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    broken: [...document.querySelectorAll(".slowest td.name")].filter(tall).map(one => one.textContent),
    pictures: [...document.images].map(one => one.naturalWidth),
    heights: [...document.querySelectorAll("svg")].map(one => place(one).height),
  }, "*");
});
"""
AROUND = """<body><script>
const found = [];
addEventListener("message", event => {
  found.push(event.data);
  if (found.length === WIDTHS) document.body.textContent = "found " + JSON.stringify(found);
});
</script>FRAMES"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is installed")
    return found


def measured(browser: str, report: Path, scratch: Path) -> list[dict[str, Any]]:
    """What the report looks like in each of WIDTHS."""
    source = report.read_text("utf-8")
    copy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source) + f"<script>{MEASURE}</script>"
    (scratch / "copy.html").write_text(copy, "utf-8")
    frames = "".join(f'<iframe src="copy.html" width="{width}" height="800"></iframe>' for width in WIDTHS)
    around = AROUND.replace("WIDTHS", str(len(WIDTHS))).replace("FRAMES", frames)
    (scratch / "around.html").write_text(around, "utf-8")
    command = [browser, *FLAGS, f"--user-data-dir={scratch / 'profile'}", (scratch / "around.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG)
    told = re.search(r"found (\[.*\])</body>", done.stdout, re.DOTALL)
    assert told, (done.stdout[-500:], done.stderr[-2000:])
    return sorted(json.loads(unescape(told.group(1))), key=lambda one: one["width"])


@pytest.mark.parametrize(
    ("shape", "status"),
    [
        (SMALL, "COMPLETED"),
        (replace(SMALL, scenes=12), "COMPLETED"),
        (replace(SMALL, fused=False, processes=3), "FAILED"),
        (SMALL, "KILLED"),
        (replace(SMALL, scenes=1, left_out=0, parts=1), "COMPLETED"),
        (replace(LARGE, height=200, width=640), "COMPLETED"),
    ],
    ids=["completed", "a label at the end", "failed in the second pass", "killed", "one scene", "large"],
)
def test_it_fits_every_width_and_no_label_lies_on_another(
    browser: str, tmp_path: Path, shape: Shape, status: str
) -> None:
    report = write_report(make_run_folder(tmp_path / "run", shape, status))
    for one in measured(browser, report, tmp_path):
        told = {name: one[name] for name in ("overflow", "overlapping", "outside", "cut")}
        assert told == {"overflow": 0, "overlapping": [], "outside": [], "cut": []}, one["width"]
        assert all(one["pictures"])
        assert all(one["heights"])
        assert bool(one["labels"]) == (status != "KILLED")


def test_on_a_laptop_the_names_of_scenes_stay_on_one_line(browser: str, tmp_path: Path) -> None:
    report = write_report(make_run_folder(tmp_path / "run", replace(SMALL, parts=SMALL.scenes)))
    report.write_text(report.read_text("utf-8").replace("_10TET_ASC", "_10TET_ASC_VV"), "utf-8")
    assert "_10TET_ASC_VV" in report.read_text("utf-8")
    assert measured(browser, report, tmp_path)[-1]["broken"] == []
