"""The style of every page that is written: light and dark, wide and narrow, without a network."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup


def style_sheet() -> Markup:
    """CSS, to stand in the page itself."""
    return Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
