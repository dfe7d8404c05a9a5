"""Makes the pictures of `docs/howto/monitor.md` from the pages that `fairlead demo --story year` has written.

    fairlead demo --story year
    python docs/pictures/make.py .fairlead/year/pages

It needs Playwright and Chromium, as the tests of the pages do. The pictures are light and narrow, so that they are small.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

HERE: Final = Path(__file__).parent
WIDTH: Final = 820
MOST_BYTES: Final = 80_000


def main() -> int:
    """Write the pictures; 1 where one is too large."""
    parser = argparse.ArgumentParser(description="Makes the pictures of docs/howto/monitor.md.")
    parser.add_argument("pages", type=Path, help="the folder of the story's pages")
    pages = parser.parse_args().pages
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--hide-scrollbars"])
        sheet = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        made = [_top(sheet, pages), _finding(sheet, pages), _trend(sheet, pages)]
        browser.close()
    large = [one for one in made if one.stat().st_size > MOST_BYTES]
    for one in made:
        sys.stdout.write(f"{one.name}: {one.stat().st_size:,} bytes\n")
    return 1 if large else 0


def _top(sheet: Any, pages: Path) -> Path:
    """How April's report begins."""
    sheet.goto((pages / "2013-04.html").absolute().as_uri())
    picture = HERE / "monitor-april.png"
    sheet.screenshot(path=picture, clip={"x": 0, "y": 0, "width": WIDTH, "height": 620})
    return picture


def _finding(sheet: Any, pages: Path) -> Path:
    """The temperature, of winter and of April."""
    sheet.goto((pages / "2013-04.html").absolute().as_uri())
    picture = HERE / "monitor-temp.png"
    _card(sheet, "Predictor drift", "temp").screenshot(path=picture)
    return picture


def _trend(sheet: Any, pages: Path) -> Path:
    """The measured AUC through the year."""
    sheet.goto((pages / "2013-12.html").absolute().as_uri())
    picture = HERE / "monitor-auc.png"
    _card(sheet, "Model quality", "roc_auc").screenshot(path=picture)
    return picture


def _card(sheet: Any, area: str, subject: str) -> Any:
    about = sheet.locator(".what", has=sheet.get_by_role("heading", name=subject, exact=True)).filter(has_text=area)
    return sheet.locator(".finding", has=about).first


if __name__ == "__main__":
    sys.exit(main())
