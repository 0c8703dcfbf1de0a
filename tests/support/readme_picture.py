"""The picture in the README: the first page of the kept study's report, as it is made today.

python -m tests.support.readme_picture
"""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from analysis.report.build import build
from tests.support.opened_page import chromium, open_page

DOCS = Path(__file__).parents[2] / "docs"
WIDTH_PX, MARGIN_PX = 1240, 8


def main() -> None:
    """Write docs/report.png: from the top of the page to what each component is worth."""
    with TemporaryDirectory() as folder, chromium() as browser:
        report = build(DOCS / "example", Path(folder))
        page, _, _ = open_page(browser, report, viewport={"width": WIDTH_PX, "height": 900})
        bottom = page.locator("#figure-forest").evaluate("it => it.getBoundingClientRect().bottom")
        page.set_viewport_size({"width": WIDTH_PX, "height": round(bottom) + MARGIN_PX})
        seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        seen.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(DOCS / "report.png", optimize=True)


if __name__ == "__main__":
    main()
