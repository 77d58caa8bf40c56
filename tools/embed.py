#!/usr/bin/env python3
"""A file as a C array.  usage: embed.py INPUT OUTPUT NAME INCLUDE"""
import sys
from pathlib import Path

source, target, name, include = sys.argv[1:]
data = Path(source).read_bytes()
lines = [", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
Path(target).write_text('#include "%s"\n\nconst char %s[] = {\n%s,\n};\nconst size_t %s_len = sizeof(%s);\n'
                        % (include, name, ",\n".join(lines), name, name))
