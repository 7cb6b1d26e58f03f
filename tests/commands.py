"""Running the package's commands from a process that has imported it already."""

import os
import sys

from wrapper import cli


def run_silently(arguments: list[str]) -> None:
    """A command in this process, which prints nothing from then on. Ends as commands do, by SystemExit."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    sys.argv = ["wrapper", *arguments]
    cli.main()
