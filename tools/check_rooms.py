#!/usr/bin/env python3
"""Checks the house rules that a compiler does not: who includes whom, and who calls what.

  1. src/<room>/ includes only the rooms that src/rooms.txt lists for it, and no cycle is listed;
  2. *_internal.h stays inside its room; no ".." in an include;
  3. outside libraries stay behind their room; system headers and calls stay in os/;
  4. variables with a cleanup attribute have an initializer;
  5. every room has a README.md that names each of its source files' families truthfully: files it
     names exist.

Exit status 0 and one line when all is well; otherwise one line per finding.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# header pattern -> rooms that may include it
OUTSIDE = {
    r"<openssl/": {"crypto", "net"},
    r"<sodium": {"crypto"},
    r"<argon2": {"crypto"},
    r"<isa-l": {"erasure"},
    r"<(erasure_code|gf_vect_mul)\.h>": {"erasure"},
    r"<sqlite3\.h>": {"db"},
    r"<libpq-fe\.h>": {"db"},
    r"<protobuf-c/": {"proto", "rpc"},
    r"<zstd": {"proto"},
    r"<xxhash": {"crypto"},
    r"<microhttpd": {"http"},
    r"<seccomp": {"os"},
    r"<maxminddb": {"satellite"},
    r"<(sys/socket|netinet/|arpa/inet|netdb|sys/epoll|sys/eventfd|poll|pthread|fcntl|unistd|dirent"
    r"|signal|termios|sys/stat|sys/statvfs|sys/wait|sys/file|sys/uio|sys/mman|sys/random|ucontext|"
    r"semaphore|threads)(\.h)?": {"os", "sim"},
    r"<(time|sys/time)\.h>": {"os", "sim"},
}
# calls that only os/ may make (word followed by an opening parenthesis)
CALLS = ("open close read write pread pwrite fsync fdatasync rename unlink mkdir rmdir opendir "
         "socket bind listen accept connect send recv poll epoll_wait select "
         "clock_gettime gettimeofday nanosleep usleep sleep getrandom getenv fork execv kill "
         "pthread_create pthread_mutex_lock fopen fwrite fread printf puts abort exit").split()
CALL_ROOMS = {"os", "sim"}
# Written excuses: (file relative to src, word) -> why.  The check fails on an unused excuse.
EXCUSES_FILE = ROOT / "tools" / "check_rooms.excuses"


def rooms():
    allowed = {}
    for line in (SRC / "rooms.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            name, _, rest = line.partition(":")
            allowed[name.strip()] = set(rest.split())
    return allowed


def excuses():
    found = {}
    if EXCUSES_FILE.exists():
        for line in EXCUSES_FILE.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                file, word, why = line.split(None, 2)
                found[(file, word)] = why
    return found


def strip_code(text):
    """Source without comments and string contents, so that prose is not taken for calls."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    def blank(match):
        s = match.group(0)
        return '""' if s[0] == '"' else "\n" * s.count("\n")
    return re.sub(pattern, blank, text, flags=re.S)


def main():
    allowed, excused, used, problems = rooms(), excuses(), set(), []

    order = list(allowed)
    for room, uses in allowed.items():
        for other in uses:
            if other not in allowed:
                problems.append(f"rooms.txt: {room} uses unknown room {other}")
            elif order.index(other) >= order.index(room):
                problems.append(f"rooms.txt: {room} uses {other}, which stands above it")

    call_pattern = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(CALLS))
    for path in sorted(SRC.rglob("*.[ch]")):
        rel = path.relative_to(SRC).as_posix()
        room = rel.split("/")[0]
        is_test = "/test/" in rel
        if room not in allowed:
            problems.append(f"{rel}: room {room} is not in rooms.txt")
            continue
        text = path.read_text()
        for number, line in enumerate(text.splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if not match:
                continue
            target = match.group(2)
            if ".." in target:
                problems.append(f"{rel}:{number}: '..' in an include")
            if match.group(1) == '"':
                other = target.split("/")[0]
                if "/" not in target:
                    places = [path.parent, ROOT / "include"]
                    if is_test:
                        places.append(ROOT / "tests" / "vectors")
                    if not any((place / target).exists() for place in places):
                        problems.append(f"{rel}:{number}: write room/{target}")
                elif other != room:
                    if is_test and other == "os":
                        continue
                    if other not in allowed[room]:
                        problems.append(f"{rel}:{number}: {room} may not use {other} (src/rooms.txt)")
                    if target.endswith("_internal.h"):
                        problems.append(f"{rel}:{number}: {target} is private to {other}")
            elif not is_test:
                for pattern, homes in OUTSIDE.items():
                    if re.match(pattern, "<" + target + ">") and room not in homes:
                        key = (rel, "<" + target + ">")
                        if key in excused:
                            used.add(key)
                        else:
                            problems.append(f"{rel}:{number}: <{target}> belongs to {', '.join(sorted(homes))}")
        if room not in CALL_ROOMS and not is_test:
            code = strip_code(text)
            for number, line in enumerate(code.splitlines(), 1):
                for match in call_pattern.finditer(line):
                    key = (rel, match.group(1))
                    if key in excused:
                        used.add(key)
                    else:
                        problems.append(f"{rel}:{number}: {match.group(1)}() is for os/ alone")

    for path in sorted(SRC.rglob("*.c")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\bAUTO\w*(\(\w+\))? [^=;()]*;", line):
                rel = path.relative_to(SRC).as_posix()
                problems.append(f"{rel}:{number}: a variable with a cleanup needs an initializer")

    for room in allowed:
        readme = SRC / room / "README.md"
        if not readme.exists():
            problems.append(f"{room}: no README.md")
            continue
        for name in re.findall(r"`([a-z0-9_/]+\.(?:c|h|sql|proto))`", readme.read_text()):
            if not any((place / name).exists() for place in (SRC / room, SRC, ROOT, ROOT / "include")):
                problems.append(f"{room}/README.md names {name}, which does not exist")

    for key in sorted(set(excused) - used):
        problems.append(f"check_rooms.excuses: {key[0]} {key[1]} is not needed any more")
    for problem in problems:
        print(problem)
    if problems:
        return 1
    print(f"rooms: {len(allowed)} rooms, no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main())
