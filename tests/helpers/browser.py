"""A page in a real browser, where there is one: what it looks like at every width."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from waiting import LONG

BROWSERS = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=4000", "--dump-dom",
)  # fmt: skip
WIDTHS = (360, 768, 1200, 1280)  # CSS pixels of a telephone, a tablet, laptops

# Runs inside a copy of the page, in a frame of each width, and tells the page around it what it finds.
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
  const named = [...document.querySelectorAll(".marks span, .labels span")].filter(one => one.getClientRects().length);
  for (const [at, one] of named.entries()) for (const other of named.slice(at + 1)) {
    const a = place(one), b = place(other);
    if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
      overlapping.push([one.textContent, other.textContent]);
  }
  const tall = one => place(one).height > 2 * parseFloat(getComputedStyle(one).lineHeight);
  const wide = one => one.scrollWidth > one.clientWidth + 1;
  const figures = [...document.querySelectorAll(".number")];
  parent.postMessage({
    width: innerWidth, labels: seen.length, overlapping, outside,
    cut: figures.filter(wide).map(one => one.textContent),
    scrolled: [...document.querySelectorAll(".slowest .scroll")].filter(wide).length,
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


def _browser() -> str:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    return browser


def measured(page: Path, scratch: Path) -> list[dict[str, Any]]:
    """Measurements of the page's layout in each of WIDTHS; skips the test without a browser."""
    source = page.read_text("utf-8")
    copy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source) + f"<script>{MEASURE}</script>"
    (scratch / "copy.html").write_text(copy, "utf-8")
    frames = "".join(f'<iframe src="copy.html" width="{width}" height="800"></iframe>' for width in WIDTHS)
    around = AROUND.replace("WIDTHS", str(len(WIDTHS))).replace("FRAMES", frames)
    (scratch / "around.html").write_text(around, "utf-8")
    command = [_browser(), *FLAGS, f"--user-data-dir={scratch / 'profile'}", (scratch / "around.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG)
    told = re.search(r"found (\[.*\])</body>", done.stdout, re.DOTALL)
    assert told, (done.stdout[-500:], done.stderr[-2000:])
    return sorted(json.loads(unescape(told.group(1))), key=lambda one: one["width"])
