"""Imported by every Python that starts with this folder on its path: writes down whom it talks to."""

import os
import sys

_LOG = os.environ.get("SECURED_TEST_CONNECTIONS")


def _note(event: str, arguments: tuple) -> None:
    if event == "socket.connect":
        target = repr(arguments[1])
    elif event == "socket.getaddrinfo":
        target = repr(arguments[0])
    else:
        return
    with open(_LOG, "a", encoding="utf-8") as log:  # noqa: PTH123 - pathlib may not be there yet
        log.write(f"{event} {target}\n")


if _LOG:
    sys.addaudithook(_note)
