#!/usr/bin/env python3
"""docs/protocol/metainfo-coverage.md names tests; each name must be one there is.  Prints findings, status 1 if any."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
C = ROOT / "src/satellite/test"
FILES = {"B": [C / "test_metainfo_bucket.c"], "O": [C / "test_metainfo_object.c"], "L": [C / "test_metainfo_lock.c"],
         "R": [C / "test_metainfo_rpc.c"], "M": [C / "test_metainfo_limit.c"], "P": [C / "test_metainfo_parallel.c"],
         "Q": [C / "test_metainfo_sql.c"], "S": [C / "test_metainfo_store.c"], "I": [C / "test_metainfo.c"],
         "F": [C / "test_foundation.c"], "V": [C / "test_migrations.c"],
         "G": sorted((ROOT / "tests/interop").glob("*_test.go")), "T": sorted((ROOT / "tests/scenario").glob("test_*.py"))}


def tests(letter):
    text = "\n".join(p.read_text() for p in FILES[letter])
    if letter == "G":
        return set(re.findall(r"^func (Test\w+)", text, re.M))
    if letter == "T":
        return set(re.findall(r"^def (test_\w+)", text, re.M))
    return {re.sub(r"^test_", "", n) for n in re.findall(r"^static void (\w+)\(void \*\*state\)", text, re.M)}


def findings(page):
    known = {letter: tests(letter) for letter in FILES}
    for number, line in enumerate(page.splitlines(), 1):
        for cell in line.split("|")[1:]:
            for group in re.split(r"[;.]\s", re.sub(r"\([^)]*\)|`[^`]*`", "", cell)):
                match = re.match(r"\s*([A-Z]) (.+)", group.strip())
                if not match or match[1] not in known or match[2].split()[0] in ("all", "of", "configuration"):
                    continue
                for name in re.split(r",\s*", match[2]):
                    word = name.split()[0] if name.split() else ""
                    if not re.fullmatch(r"…?\w+…?", word) or not re.search(r"[a-z]{3}", word):
                        continue
                    wanted = re.compile(re.escape(word).replace("…", r"\w*"))
                    if not any(wanted.fullmatch(n) for n in known[match[1]]):
                        yield f"metainfo-coverage.md:{number}: no test {word} in {match[1]}"


def main():
    found = list(findings((ROOT / "docs/protocol/metainfo-coverage.md").read_text()))
    print("\n".join(found) if found else "coverage: every test named is there")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
