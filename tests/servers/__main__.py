"""``python -m servers NAME``: run a server until standard input ends. The first line of output describes it."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict

from servers import LAUNCHERS, ProgramMissing


def main(name: str) -> None:
    # SIGTERM unwinds as Ctrl-C does: the server is stopped
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with LAUNCHERS[name]() as server:
            _say({"server": asdict(server)})
            sys.stdin.read()
    except BrokenPipeError:
        pass  # whoever asked is gone
    except ProgramMissing as error:
        _say({"missing": str(error)})
    except Exception as error:  # noqa: BLE001 - whoever asked for the server is told
        _say({"failed": f"{name} did not start: {error}"})


def _say(answer: dict[str, object]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")  # whole and at once, with no buffer to flush at exit


if __name__ == "__main__":
    main(sys.argv[1])
