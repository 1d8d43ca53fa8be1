#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the bench needs beyond the packages that ./dev installs: valgrind and the servers that the gateway is compared with.
Each is fetched once from its registry into a directory of its own under $BGW_BENCH_TOOLS (./dev bench names one in its
cache), named by what was asked for, built aside under a lock and renamed when whole. The system is never changed: Debian
packages are downloaded with apt's state in the same place and unpacked, not installed. Called by the scenarios through
valgrind(), nginx(), mosquitto(), nats() and node(); by hand: bench/tools.py NAME… prints where each is and its version."""

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

RECIPE = 2  # raised when what is below makes something else of the same packages
HERE = pathlib.Path(__file__).resolve().parent
# part -> the packages and the upstream version that the figures were made with; Debian's own corrections to it are taken
DEBIAN = {
    "valgrind": {"valgrind": "3.24"},
    "nginx": {"nginx": "1.26.3", "libnginx-mod-nchan": "1.3.7"},
    "mosquitto": {"mosquitto": "2.0.21"},
    "go": {"golang-go": "1.24", "golang-src": "1.24"},
}
NATS = "github.com/nats-io/nats-server/v2@v2.15.2"
NODE_FILES = ("package.json", "package-lock.json", ".npmrc", "message.mjs", "server-ws.mjs", "server-socketio.mjs")


def place():
    default = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "balance-gateway", "keep", "bench")
    path = pathlib.Path(os.environ.get("BGW_BENCH_TOOLS") or default)
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def system():
    release = platform.freedesktop_os_release()
    return f"{release.get('ID')}-{release.get('VERSION_ID')}-{platform.machine()}"


def run(argv, **more):
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, **more)
    if done.returncode != 0:
        raise SystemExit(f"tools: {' '.join(str(a) for a in argv[:4])} … ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


@contextlib.contextmanager
def locked(name):
    with open(place() / f"{name}.lock", "w", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def kept(name, contents, make):
    """The directory of `name` for these contents; `make(new)` fills it where it is not there yet. What it returns
    is kept beside it as versions.json."""
    key = hashlib.sha256("\n".join([str(RECIPE), system(), *contents]).encode()).hexdigest()[:12]
    final = place() / f"{name}-{key}"
    with locked(name):
        if not final.exists():
            print(f"tools: fetching {name} (once)", file=sys.stderr, flush=True)
            new = pathlib.Path(f"{final}.new")
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            said = make(new)
            (new / "versions.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
            new.rename(final)
    return final


def versions(folder):
    return json.loads((folder / "versions.json").read_text(encoding="utf-8"))


# ---- Debian packages ----

def apt(state, archives):
    """apt-get with lists, archives and locks of our own. Which packages are installed it reads from the system."""
    for folder in (state / "lists" / "partial", archives / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    options = {"Dir::State": state, "Dir::State::lists": state / "lists", "Dir::State::status": "/var/lib/dpkg/status",
               "Dir::State::extended_states": state / "extended", "Dir::Cache": archives, "Dir::Cache::archives": archives,
               "Dir::Log": state, "Debug::NoLocking": "1", "APT::Update::Post-Invoke": "", "APT::Update::Post-Invoke-Success": ""}
    if os.geteuid() == 0:
        options["APT::Sandbox::User"] = "root"  # the directories are ours, not apt's user's
    return ["apt-get", "-q", "-y", *(f"-o{k}={v}" for k, v in options.items())]


def unpack(packages, new):
    """These packages and whatever the system lacks of what they depend on; which versions they are."""
    with tempfile.TemporaryDirectory(prefix="bgw-tools-") as folder:
        archives = pathlib.Path(folder)
        with locked("apt"):
            get = apt(place() / "apt", archives)
            run([*get, "update"])
            run([*get, "install", "--download-only", "--reinstall", "--no-install-recommends", *packages])
        found = {}
        for deb in sorted(archives.glob("*.deb")):
            run(["dpkg-deb", "-x", deb, new])
            name, version = run(["dpkg-deb", "-f", deb, "Package", "Version"]).split("\n")[:2]
            found[name.split(": ")[1]] = version.split(": ")[1]
    for name, asked in packages.items():
        if name not in found:
            raise SystemExit(f"tools: apt-get did not download {name}")
        if asked not in found[name]:
            print(f"tools: {name} is {found[name]}; the published figures are of {asked}", file=sys.stderr, flush=True)
    return found


def debian(part, finish=None):
    packages = DEBIAN[part]

    def make(new):
        found = unpack(packages, new)
        if finish:
            finish(new)
        return found
    return kept(part, [f"{k}={v}" for k, v in packages.items()] + ([finish.__name__] if finish else []), make)


def by_debug_link(new):
    """In another place than the system's, valgrind looks for a library's symbols only under the library's own directory."""
    for folder in (f"usr/lib/{platform.machine()}-linux-gnu", f"lib/{platform.machine()}-linux-gnu"):
        links = new / "debug" / folder
        links.mkdir(parents=True)
        for symbols in (new / "usr/lib/debug/.build-id").glob("*/*.debug"):
            (links / symbols.name).symlink_to(os.path.relpath(symbols, links))


def own_temp_path(new):
    """Nchan always wants the directory that nginx was compiled with, whatever nchan_message_temp_path says (which it then
    calls a duplicate). A name of the same length that is not absolute is taken from below nginx's -p instead."""
    module = new / "usr/lib/nginx/modules/ngx_nchan_module.so"
    old, name = b"/var/lib/nginx/body\0", b"messages-large-body\0"
    if module.read_bytes().count(old) != 1:
        raise SystemExit("tools: this nchan module has another directory for its messages: see own_temp_path in bench/tools.py")
    module.write_bytes(module.read_bytes().replace(old, name))


def libraries(folder):
    """Where a program of that directory finds the libraries that came with it."""
    found = {os.path.dirname(f) for f in glob.glob(f"{folder}/usr/lib/{platform.machine()}-linux-gnu/*.so*")}
    return {"LD_LIBRARY_PATH": ":".join(sorted(found))} if found else {}


def valgrind():
    """(argv to put before a program, what to add to the environment, version)"""
    folder = debian("valgrind", by_debug_link)
    argv = [str(folder / "usr/bin/valgrind"), f"--extra-debuginfo-path={folder}/debug"]
    return argv, {"VALGRIND_LIB": str(folder / "usr/libexec/valgrind")}, versions(folder)["valgrind"]


def nginx():
    """(the program, the nchan module, what to add to the environment, versions)"""
    folder = debian("nginx", own_temp_path)
    return folder / "usr/sbin/nginx", folder / "usr/lib/nginx/modules/ngx_nchan_module.so", libraries(folder), versions(folder)


def mosquitto():
    """(the program, what to add to the environment, versions)"""
    folder = debian("mosquitto")
    return folder / "usr/sbin/mosquitto", libraries(folder), versions(folder)


# ---- what is compiled or installed by its own language's client ----

def nats():
    """(the program, versions)"""
    def make(new):
        go = next(iter(sorted((debian("go") / "usr/lib").glob("go-*/bin/go"))), None) or shutil.which("go")
        if not go:
            raise SystemExit("tools: no Go")
        home = place() / "go"
        env = os.environ | {"GOPATH": str(home), "GOCACHE": str(home / "cache"), "GOBIN": str(new / "bin"), "GOTOOLCHAIN": "auto",
                            "GOFLAGS": "-modcacherw", "CGO_ENABLED": "0"}
        run([go, "install", NATS], env=env)
        said = run([go, "version", "-m", new / "bin/nats-server"], env=env).split()
        return {"nats-server": NATS.rsplit("@", 1)[1].lstrip("v"), "go": said[1].removeprefix("go")}
    folder = kept("nats", [NATS], make)
    return folder / "bin/nats-server", versions(folder)


def node():
    """(the directory with the servers of bench/peers/node and their packages, versions)"""
    source = HERE / "peers" / "node"

    def make(new):
        for name in NODE_FILES:
            shutil.copy(source / name, new / name)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=new)
        lock = json.loads((source / "package-lock.json").read_text(encoding="utf-8"))["packages"]
        names = ("ws", "socket.io", "bufferutil")
        return {n: lock[f"node_modules/{n}"]["version"] for n in names} | {"node": run(["node", "--version"]).strip().lstrip("v")}
    folder = kept("node", [(source / name).read_text(encoding="utf-8") for name in NODE_FILES], make)
    return folder, versions(folder)


ALL = {"valgrind": valgrind, "nginx": nginx, "mosquitto": mosquitto, "nats": nats, "node": node}


def main():
    for name in sys.argv[1:] or list(ALL):
        if name not in ALL:
            raise SystemExit(f"tools: no {name}; there are: {' '.join(ALL)}")
        print(json.dumps({name: [v if isinstance(v, (list, dict)) else str(v) for v in ALL[name]()]}), flush=True)


if __name__ == "__main__":
    main()
