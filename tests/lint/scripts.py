# SPDX-License-Identifier: Apache-2.0
"""Scripts: shellcheck for the shell, a compiler for Python."""

import shutil
import subprocess


def shell_scripts_are_clean(files, remarks):
    if not shutil.which("shellcheck"):
        remarks.append("shellcheck is not installed")
        yield "shellcheck", ["is not installed: run ./dev lint"]
        return
    for name in files.names:
        if name.endswith(".sh") or files.lines(name)[:1] and files.lines(name)[0].endswith(("/sh", "/bash")):
            done = subprocess.run(["shellcheck", "-f", "gcc", "-e", "SC1091", name], cwd=files.top,
                                  capture_output=True, text=True, check=False)
            yield name, [line.partition(":")[2] for line in done.stdout.splitlines()] + done.stderr.splitlines()


def python_compiles(files, _remarks):
    for name in files.match("*.py", "bench/run"):
        try:
            compile(files.text(name), name, "exec")
            yield name, []
        except SyntaxError as error:
            yield name, [str(error)]


def scripts_can_be_run(files, _remarks):
    for name in files.names:
        if files.text(name).startswith("#!"):
            executable = (files.top / name).stat().st_mode & 0o111
            yield name, [] if executable else ["begins with #! and is not executable"]


RULES = (shell_scripts_are_clean, python_compiles, scripts_can_be_run)
