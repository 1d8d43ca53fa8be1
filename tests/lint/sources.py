# SPDX-License-Identifier: Apache-2.0
"""Shape and words of source files: header, length of files and functions, what must not be said."""

import re

FUNCTION_LINES_MAX = 70
FILE_LINES_LONG = 500
FILE_LINES_MAX = 600
HEADER_LINES_MAX = 30

SCRIPTS = ("dev", ".ci/run", "bench/run", "*.sh", "*.py", "*.js", "*.cmake", "CMakeLists.txt")

# Cut in two, so that this file does not say them.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|not imple" r"mented")
ELSEWHERE = re.compile(
    r"/(?:wo" r"rk|fa" r"rm)/\w|/ho" r"me/\w|/tmp/ba" r"sh_jobs|/tmp/pl" r"an|sub" r"agent|"
    r"https?://[a-z0-9.-]*(?:np" r"mjs|deb" r"ian|ma" r"ven|py" r"pi|python" r"hosted|go" r"lang|cra" r"tes)[a-z0-9.-]*")


def spdx_comes_first(files, _remarks):
    for name in (*files.c_files(), *files.match(*SCRIPTS, "web/*.css")):
        head = "\n".join(files.lines(name)[:3])
        ok = "SPDX-License-Identifier: Apache-2.0" in head or not files.text(name).strip()
        if name.endswith((".c", ".h", ".def")):
            ok = files.text(name).startswith("/* SPDX-License-Identifier: Apache-2.0 */\n")
        yield name, [] if ok else ["no SPDX line at the start"]


def file_says_what_it_is(files, _remarks):
    for name in files.c_files():
        lines = files.lines(name)
        start = lines[1].strip() if len(lines) > 1 else ""
        end = next((i for i, line in enumerate(lines[1:], 1) if line.rstrip().endswith("*/")), len(lines))
        if not start.startswith("/*"):
            yield name, ["the second line does not begin the comment that says what the file is"]
        else:
            yield name, [] if end <= HEADER_LINES_MAX else [f"its first comment ends at line {end + 1}"]


def functions_are_short(files, _remarks):
    for name in files.match("server/*.c", "include/*.h", "tests/*.[ch]", "bench/*.[ch]"):
        bad, start = [], None
        for number, line in enumerate(files.lines(name), 1):
            if line == "{":
                start = number
            elif line == "}" and start:
                if number - start + 1 > FUNCTION_LINES_MAX:
                    bad.append(f"the function at line {start - 1} has {number - start + 1} lines, "
                               f"{FUNCTION_LINES_MAX} are the cap")
                start = None
        yield name, bad


def files_are_short(files, remarks):
    for name in (*files.c_files(), *files.match(*SCRIPTS)):
        count = len(files.lines(name))
        if FILE_LINES_LONG < count <= FILE_LINES_MAX:
            remarks.append(f"{name} has {count} lines, {FILE_LINES_LONG} are long")
        yield name, [] if count <= FILE_LINES_MAX else [f"{count} lines, {FILE_LINES_MAX} are the cap"]


def nothing_is_left_unfinished(files, _remarks):
    return words(files, UNFINISHED, "unfinished")


def nothing_speaks_of_this_machine(files, _remarks):
    return words(files, ELSEWHERE, "speaks of a machine or a registry")


def words(files, pattern, what):
    for name in files.names:
        if name == "LICENSE" or name.endswith((".png", ".woff2", ".ico")):
            continue
        yield name, [f"line {i}: {what}: {m.group(0)}" for i, line in enumerate(files.lines(name), 1)
                     for m in pattern.finditer(line)]


RULES = (spdx_comes_first, file_says_what_it_is, functions_are_short, files_are_short,
         nothing_is_left_unfinished, nothing_speaks_of_this_machine)
