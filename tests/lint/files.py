# SPDX-License-Identifier: Apache-2.0
"""The files of the checkout: those that git has, or would have."""

import fnmatch
import pathlib
import subprocess


class Files:
    def __init__(self, top="."):
        self.top = pathlib.Path(top)
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self.top, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            names = set(filter(None, listed.stdout.split("\0")))
        else:  # an unpacked archive
            names = {str(p.relative_to(self.top)) for p in self.top.rglob("*")}
            names = {n for n in names if not n.startswith(("build/", ".git/"))}
        self.names = sorted(n for n in names if (self.top / n).is_file())
        self._texts = {}

    def match(self, *patterns):
        return [n for n in self.names if any(fnmatch.fnmatch(n, p) for p in patterns)]

    def c_files(self):
        return self.match("server/*.[ch]", "server/*.def", "include/*.h", "tests/*.[ch]", "bench/*.[ch]")

    def text(self, name):
        if name not in self._texts:
            self._texts[name] = (self.top / name).read_text(encoding="utf-8", errors="replace")
        return self._texts[name]

    def lines(self, name):
        return self.text(name).splitlines()
