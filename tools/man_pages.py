#!/usr/bin/env python3
"""Manual pages of the library's calls, made of the headers, so that nothing is written twice.

    man_pages.py VERSION OUTDIR HEADER...

A page has the comment above the call, its prototype, the structs in it, what is common to its section
(the comment "---- name ----" with text below) and what is said at the top of the header.  A call without
a comment is an error.
"""
import re
import shutil
import sys
from pathlib import Path

CALL = re.compile(r"(?:^/\*((?:(?!\*/).)*)\*/\n)?^UPLINK_API ([^;{}]+?)\b(\w+)(\([^;{}]*\));", re.M | re.S)
SECTION = re.compile(r"^/\* ---- ([^\n]+?) ----(.*?)\*/$", re.M | re.S)
TYPE = re.compile(r"^typedef (?:struct|enum) (\w+) \{\n.*?^\} \w+;$", re.M | re.S)
FUNCTION_TYPE = re.compile(r"^typedef [^;{}]*?\b(\w+)\([^;{}]*\);$", re.M)
CONTEXT = re.compile(r"\A/\*(.*?)\*/", re.S)


def plain(comment):
    """Paragraphs of a comment; None stands before one that is code."""
    lines = [re.sub(r"^\s*\*? ?", "", line, count=1).rstrip() for line in comment.strip("\n").split("\n")]
    return [p for p in "\n".join(lines).strip("\n").split("\n\n") if p.strip()]


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(['.])", r"\\&\1", text, flags=re.M)


def paragraphs(comment):
    out = []
    for p in plain(comment):
        if p.startswith("\t"):
            out.append(".PP\n.nf\n%s\n.fi" % roff(p.replace("\t", "    ")))
        else:
            out.append(".PP\n" + roff(" ".join(p.split())))
    return "\n".join(out)


class Header:
    def __init__(self, path):
        self.name, self.text = Path(path).name, Path(path).read_text()
        self.types = {m.group(1): m.group(0) for m in TYPE.finditer(self.text)}
        self.types.update((m.group(1), m.group(0)) for m in FUNCTION_TYPE.finditer(self.text)
                          if "UPLINK_API" not in m.group(0))
        self.sections = [(m.start(), m.group(1), m.group(2)) for m in SECTION.finditer(self.text)]

    def section(self, position):
        found = ("", "")
        for start, name, text in self.sections:
            if start < position:
                found = (name, text)
        return found

    def calls(self):
        for m in CALL.finditer(self.text):
            comment, result, name, arguments = m.groups()
            if not comment or "----" in comment:
                raise SystemExit(f"{self.name}: {name} has no comment")
            yield name, comment, " ".join(result.split()), " ".join(arguments.split()), m.start()


def named_types(text, types):
    """Definitions of the types in the text and of those in them, each once, in that order."""
    found, wanted = [], re.findall(r"\w+", text)
    while wanted:
        word = wanted.pop(0)
        if word in types and word not in found:
            found.append(word)
            wanted += re.findall(r"\w+", types[word])
    return [types[name] for name in found if "size_t _handle;" not in types[name]]


def returned(result, free):
    if result == "UplinkError *":
        return "NULL when all went well, else an error, to be freed with\n.BR uplink_free_error (3)."
    if free:
        return "A result to be freed with\n.BR %s (3)." % free
    return ""


def page(header, call, version, types, frees, family):
    name, comment, result, arguments, position = call
    summary = re.split(r"(?<=[a-z)])[.:;](?:\s|$)", " ".join(plain(comment)[0].split()))[0].rstrip(".")
    section, about = header.section(position)
    space = "" if result.endswith("*") else " "
    parts = ['.TH %s 3 "" "acre %s" "Acre library"' % (name.upper(), version),
             ".SH NAME\n%s \\- %s" % (name, roff(summary)),
             ".SH SYNOPSIS\n.nf\n.B #include <%s>\n.PP\n.B %s;" % (
                 header.name, ",\n.B \\ \\ \\ \\ ".join(roff(f"{result}{space}{name}{arguments}").split(", ")))]
    for definition in named_types(result + arguments, types):
        parts.append(".PP\n" + roff(definition.replace("\t", "    ")))
    parts.append(".fi\n.SH DESCRIPTION")
    parts.append(paragraphs(comment).removeprefix(".PP\n"))
    value = returned(result, frees.get(result))
    if value:
        parts.append(".SH RETURN VALUE\n" + value)
    if about.strip():
        parts.append(".SH %s\n%s" % (section.upper(), paragraphs(about).removeprefix(".PP\n")))
    parts.append(".SH NOTES\n" + paragraphs(CONTEXT.match(header.text).group(1)).removeprefix(".PP\n"))
    others = sorted(n for n in family[section] if n != name)
    parts.append(".SH SEE ALSO\n" + ",\n".join(".BR %s (3)" % n for n in others))
    return "\n".join(parts) + "\n"


def main():
    version, out, *paths = sys.argv[1:]
    headers = [Header(path) for path in paths]
    shutil.rmtree(out, ignore_errors=True)
    Path(out).mkdir()
    types, frees, family = {}, {}, {}
    for header in headers:
        types.update(header.types)
        for name, _, _, arguments, position in header.calls():
            family.setdefault(header.section(position)[0], []).append(name)
            freed = re.fullmatch(r"\((\w+(?: \*)?)\s?\w+\)", arguments)
            if freed and "_free_" in name:
                frees[freed.group(1).strip()] = name
    for header in headers:
        for call in header.calls():
            (Path(out) / (call[0] + ".3")).write_text(page(header, call, version, types, frees, family))
    return 0


if __name__ == "__main__":
    sys.exit(main())
