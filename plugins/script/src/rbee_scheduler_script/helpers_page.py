"""Prints docs/helpers.md: ``python -m rbee_scheduler_script.helpers_page > docs/helpers.md``."""

from __future__ import annotations

import sys

from rbee_scheduler_script._helpers._page import page


if __name__ == "__main__":
    sys.stdout.write(page())
