"""``python -m cottoncandy``: the ``cottoncandy`` command."""

from __future__ import annotations

from cottoncandy.cli import main

if __name__ == "__main__":
    main()
