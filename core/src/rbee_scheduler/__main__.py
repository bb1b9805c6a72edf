"""``python -m rbee_scheduler``: the command line, for where its script is not on the path."""

from rbee_scheduler.cli import main


main()
