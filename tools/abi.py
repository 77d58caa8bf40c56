#!/usr/bin/env python3
"""The library's binary interface, as text, and its comparison with what is committed in tests/abi.

    abi.py calls HEADER            prototypes of the header's functions, one a line, sorted
    abi.py layout CC HEADER [-I..] sizes and offsets of its structs, values of its constants
    abi.py check CC INCLUDE TABLES LIBRARY.. compares headers and libraries with the tables

The tables named uplink_c_* come from storj/uplink-c itself (tests/abi/README.md), those named acre_*
from include/acre.h; neither may change without somebody meaning it.
"""
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

# What cgo writes for Go's own types.
GO_TYPES = {"GoInt": "long long", "GoUint8": "uint8_t", "_Bool": "bool"}


def code(path):
    """The header without comments, preprocessor lines and the words before a declaration."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", Path(path).read_text(), flags=re.S)
    text = re.sub(r"\\\n", " ", text)
    text = re.sub(r"^[ \t]*#[^\n]*", "", text, flags=re.M)
    return re.sub(r'\bextern\s+"C"\s*\{|\b(extern|UPLINK_API)\b', " ", text)


def typed(text):
    """A type as "T *", without the name of a parameter behind it."""
    words = re.findall(r"\w+|\*", text)
    if len(words) > 1 and words[-1] != "*" and words[-1] not in ("int", "long", "char", "size_t"):
        if not (len(words) == 2 and words[0] in ("const", "struct", "unsigned")):
            words.pop()
    words = [GO_TYPES.get(word, word) for word in words]
    return re.sub(r"\* (?=\*)", "*", " ".join(words))


def prototypes(path):
    found = {}
    for result, name, arguments in re.findall(r"([\w\s*]+?)\b(\w+)\(([^()]*)\)\s*;", code(path)):
        if "typedef" in result:
            continue
        result = re.sub(r"\* (?=\*)", "*", " ".join(re.findall(r"\w+|\*", result)))
        arguments = ", ".join(typed(a) for a in arguments.split(",")) if arguments.strip() else "void"
        result = GO_TYPES.get(result, result)
        found[name] = "%s%s%s(%s);" % (result, "" if result.endswith("*") else " ", name, arguments)
    return found


def structs(path):
    """Name and members of each struct defined there."""
    for name, body in re.findall(r"typedef struct \w+\s*\{([^{}]*)\}\s*(\w+)\s*;", code(path)):
        name, body = body, name
        yield name, [re.findall(r"\w+", member)[-1] for member in body.split(";") if member.strip()]


def constants(path):
    return re.findall(r"^#define ((?:UPLINK|EDGE|ACRE)_\w+)[ \t]+(-?[0-9]\w*)[ \t]*$",
                      Path(path).read_text(), flags=re.M)


def run_c(cc, source, *options):
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "a"
        (program.with_suffix(".c")).write_text(source)
        subprocess.run([*cc, "-w", *options, program.with_suffix(".c"), "-o", program], check=True)
        wrapper = shlex.split(os.environ.get("MESON_EXE_WRAPPER", ""))  # of a cross build
        return subprocess.run([*wrapper, program], check=True, capture_output=True, text=True).stdout


def layout(cc, header, *options):
    lines = ["#define UPLINK_DISABLE_NAMESPACE_COMPAT", "#include <stddef.h>", "#include <stdio.h>",
             '#include "%s"' % Path(header).resolve(), "int main(void) {"]
    for name, members in structs(header):
        lines.append('printf("struct %s size %%zu align %%zu\\n", sizeof(%s), _Alignof(%s));' % (name, name, name))
        for m in members:
            lines.append('printf("\\t%s at %%zu size %%zu\\n", offsetof(%s, %s), sizeof(((%s *)0)->%s));'
                         % (m, name, m, name, m))
    for name, value in constants(header):
        lines.append('printf("constant %s = 0x%%x\\n", (unsigned)(%s));' % (name, name))
    blocks = re.findall(r"(?:struct|constant)[^\n]*\n(?:\t[^\n]*\n)*",
                        run_c(cc, "\n".join(lines + ["return 0;", "}"]), *options))
    return "".join(sorted(blocks))


def exported(library):
    """Names a library defines for others; of an archive those of its one object."""
    dynamic = [] if str(library).endswith(".a") else ["-D"]
    out = subprocess.run(["nm", *dynamic, "--defined-only", "--extern-only", "-P", library], check=True,
                         capture_output=True, text=True).stdout
    # Sanitizers and the linker add names of their own.
    return {line.split()[0].split("@")[0] for line in out.splitlines() if len(line.split()) > 1
            and not line.startswith(("__asan", "__ubsan", "__tsan", "__odr", "___asan", "_init", "_fini"))
            and line.split()[1] != "A"}


def check(cc, include, tables, *libraries):
    include, tables, problems = Path(include), Path(tables), []
    upstream = prototypes(tables / "uplink_c_calls.txt")
    promised = {**upstream, **prototypes(tables / "acre_calls.txt")}

    declared = {**prototypes(include / "uplink.h"), **prototypes(include / "acre.h")}
    for name in sorted(set(promised) | set(declared)):
        if promised.get(name) != declared.get(name):
            problems.append(f"{name}: committed {promised.get(name)}, header {declared.get(name)}")

    # The compiler has the last word on prototypes: declared twice, they must agree.
    source = '#define UPLINK_DISABLE_NAMESPACE_COMPAT\n#include <acre.h>\n%s\nint main(void) { return 0; }\n'
    try:
        run_c(cc, source % "\n".join(promised.values()), f"-I{include}")
    except subprocess.CalledProcessError:
        problems.append("the headers' prototypes differ from the committed ones")

    for header, table in (("uplink.h", "uplink_c_layout.txt"), ("acre.h", "acre_layout.txt")):
        was = (tables / table).read_text().splitlines()
        now = layout(cc, include / header, f"-I{include}").splitlines()
        if was != now:
            problems += [f"{table}: - {line}" for line in was if line not in now]
            problems += [f"{table}: + {line}" for line in now if line not in was]
            problems.append(f"{table} and {header} differ")

    for library in libraries:
        names = exported(library)
        problems += [f"{library} lacks {name}" for name in sorted(set(promised) - names)]
        problems += [f"{library} exports {name}, which no header declares" for name in sorted(names - set(promised))]
    print("\n".join(problems) if problems else f"{len(promised)} calls, {len(upstream)} of uplink-c")
    return 1 if problems else 0


def main():
    command, *rest = sys.argv[1:]
    if command == "calls":
        print("\n".join(line for _, line in sorted(prototypes(rest[0]).items())))
    elif command == "layout":
        print(layout(rest[0].split(), *rest[1:]), end="")
    elif command == "check":
        return check(rest[0].split(), *rest[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
