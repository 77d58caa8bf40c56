#!/usr/bin/env python3
"""Every setting of the satellite and the node is in its operator's page with its default, and what the page says of
settings that change while the satellite runs is what the program does.  Prints findings, status 1 if any."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENTRY = re.compile(r'ENTRY(?:_IN)?\("([a-z0-9-]+)",\s*[\w.]+,\s*PARAM_\w+,\s*"([^"]*)"')
FIELDS = re.compile(r'\.name = "([a-z0-9-]+)"(.*?)\.doc', re.S)
DEFAULT = re.compile(r'\.default_text = "([^"]*)"')
# "`name` (default)", as the tables of both pages have it.
NAMED = re.compile(r"`([a-z0-9-]+)` \(([^()]*)\)")
EMPTY = "none"


def satellite_settings():
    return dict(ENTRY.findall((ROOT / "src/satellite/config.c").read_text()))


def node_settings():
    """Those of the config file, and the flags of commands below them."""
    text = (ROOT / "src/node/settings.c").read_text()
    file, commands = text.split("/* Of commands only. */")
    both = []
    for part in (file, commands.split("\n};\n")[0]):
        both.append({m[1]: (DEFAULT.search(m[2]) or ["", ""])[1] for m in FIELDS.finditer(part)})
    return both


def section(page, title):
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def undocumented(name, settings, text):
    said = dict(NAMED.findall(text))
    for setting, default in settings.items():
        if setting not in said:
            yield f"{name}: setting {setting} is not there: `{setting}` ({default or EMPTY})"
        elif said[setting] != (default or EMPTY):
            yield f"{name}: {setting} is {default or EMPTY} by default, not {said[setting]}"
    for setting in said.keys() - settings.keys():
        yield f"{name}: there is no setting {setting}"


def live(text):
    """Names in the paragraph that begins with "At once change"."""
    paragraph = text.split("At once change")[1].split("\n\n")[0].split(". The answer")[0]
    return set(re.findall(r"`([a-z-]+)`", paragraph))


def findings():
    page = (ROOT / "docs/satellite.md").read_text()
    satellite = satellite_settings()
    yield from undocumented("docs/satellite.md", satellite, section(page, "Settings"))
    source = (ROOT / "src/satellite/reload.c").read_text()
    program = set(re.findall(r'"([a-z-]+)",', source.split("live_settings[] = {")[1].split("};")[0]))
    for setting in sorted(program ^ live(section(page, "Changing settings while it runs"))):
        yield f"docs/satellite.md and src/satellite/reload.c differ about {setting}: does it change while it runs?"
    for setting in sorted(program - satellite.keys()):
        yield f"src/satellite/reload.c: there is no setting {setting}"
    page = (ROOT / "docs/operators.md").read_text()
    file, commands = node_settings()
    yield from undocumented("docs/operators.md", file, section(page, "Settings"))
    words = set(re.findall(r"--([a-z-]+)", page + (ROOT / "docs/man/acre-node.1").read_text().replace("\\-", "-")))
    for flag in sorted(commands.keys() - words):
        yield f"docs/operators.md, docs/man/acre-node.1: neither has --{flag}"
    if len(satellite) < 80 or len(file) < 30:
        yield "check_settings.py does not find the tables of settings any more"


def main():
    found = list(findings())
    print("\n".join(found) if found else "settings: all are documented")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
