#!/usr/bin/env python3
"""Makes libacre.a: one object of all rooms, in which only the public names are visible.

    static_library.py LD OBJCOPY AR OUTPUT CLIENT.a OTHER.a...

All of CLIENT.a and what it needs of the others is linked into one object; names with hidden
visibility (all but those of the public headers) become local to it, so that a program's own
`buf_add` or `log_info` cannot clash with ours.
"""
import subprocess
import sys
from pathlib import Path


def main():
    ld, objcopy, ar, output, whole, *others = sys.argv[1:]
    directory = Path(output).with_suffix(".dir")
    directory.mkdir(exist_ok=True)
    whole_object = directory / "acre.o"
    for argv in (
            [ld, "-r", "-o", whole_object, "--whole-archive", whole, "--no-whole-archive",
             "--start-group", *others, "--end-group"],
            [objcopy, "--localize-hidden", whole_object],
            ["rm", "-f", output],
            [ar, "rcsD", output, whole_object]):
        subprocess.run(argv, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
