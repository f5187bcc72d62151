"""What the scripts of this folder share: `SCRIPT GRIDSTONE WORK` is how each of them is called."""

import contextlib
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

GRIDSTONE, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(__file__).resolve().parents[2]
failed, skipped = [], []


def have(name):
    """A package, if it is there."""
    try:
        return __import__(name)
    except ImportError as error:
        skipped.append(f"{name}: {error}")
        return None


def run(*args):
    done = subprocess.run([GRIDSTONE, *map(str, args)], cwd=WORK, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{args}: {done.stderr}")
    return done.stdout


def check(what, ok, told=""):
    print(("ok      " if ok else "FAILED  ") + what + ("" if ok else f": {told}"))
    if not ok:
        failed.append(what)


def same(got, want, nodata):
    """Whether cells are equal, and without data in the same places."""
    import numpy as np

    got, want = np.asarray(got, "f8"), np.asarray(want, "f8")
    blank = lambda cells: np.isnan(cells) | (False if nodata is None else cells == nodata)
    return got.shape == want.shape and (blank(got) == blank(want)).all() and (got[~blank(got)] == want[~blank(want)]).all()


def fetch(url, **headers):
    """Status, headers and body."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@contextlib.contextmanager
def served(store):
    """The address of a server over a store, or `None` if this build has none."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    server = subprocess.Popen([GRIDSTONE, "serve", store, "--listen", address], cwd=WORK, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(300):
            if server.poll() is not None:
                told = server.stderr.read().strip()
                if "has no server" in told:
                    skipped.append(f"serve: {told}")
                else:
                    check("http: the server starts", False, told)
                yield None
                return
            try:
                if fetch(f"http://{address}/healthz")[0] == 200:
                    break
            except OSError:
                time.sleep(0.1)
        yield f"http://{address}"
        server.terminate()
        try:
            check("http: the server ends when it is told to", server.wait(20) == 0, server.returncode)
        except subprocess.TimeoutExpired:
            check("http: the server ends when it is told to", False, "it runs on")
    finally:
        if server.poll() is None:
            server.kill()


def finish():
    for reason in dict.fromkeys(skipped):
        print(f"skipped: {reason}")
    print(f"{len(failed)} failed")
    sys.exit(1 if failed else 0)
