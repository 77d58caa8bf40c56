#!/usr/bin/env python3
"""Runs protoc-c on one file and marks the header as a system header: its initializers cast const
away from the empty string, which is no concern of the rooms that use them (-Wcast-qual).

generate.py PROTOC_C SOURCE_DIR BUILD_DIR NAME"""
import pathlib
import subprocess
import sys

protoc, source, build, name = sys.argv[1:]
subprocess.run([protoc, "-I" + source, "--c_out=" + build, f"{source}/proto/{name}.proto"],
               check=True)
header = pathlib.Path(build, "proto", name + ".pb-c.h")
header.write_text("#pragma GCC system_header\n" + header.read_text())
