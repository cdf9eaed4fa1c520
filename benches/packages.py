"""packages: where the peers' programs come from, and which versions they are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from contenders import PEERS

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "/var/cache")) / "php-init/peers"


def find(wanted, given):
    """Peer → its program, installed where it is missing; and what to say of those that cannot be had."""
    programs, notes = {}, []
    for name in wanted:
        peer = PEERS[name]
        program = given.get(name) or shutil.which(peer.program)
        if not program and peer.from_cargo:
            program = from_crate(peer)
        elif not program and install([peer.package]):
            program = shutil.which(peer.program)
        if program:
            programs[name] = str(Path(program).absolute())
        else:
            notes.append(f"{name} is missing: no package or crate of it could be had here; `--{name} FILE` names one")
    return programs, notes


def from_crate(peer):
    program = CACHE / "bin" / peer.program
    if not program.exists() and shutil.which("cargo"):
        subprocess.run(["cargo", "install", "--quiet", "--locked", "--root", CACHE, peer.package], stdout=sys.stderr)
    return program if program.exists() else None


def install(packages):
    """Whether it could be done. A package's daemon is not started: Debian's policy-rc.d is what forbids it."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update", "-qq"], stdout=sys.stderr)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        return subprocess.run(command, stdout=sys.stderr, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}).returncode == 0
    finally:
        if ours:
            policy.unlink()


def busybox():
    """One with crond, which Debian's usual one lacks; the other package would take its place, so it is only unpacked."""
    unpacked = CACHE / "busybox"
    for program in (shutil.which("busybox"), unpacked / "bin/busybox", unpacked / "usr/bin/busybox"):
        if program and Path(program).exists() and "crond" in subprocess.check_output([program, "--list"], text=True).split():
            return str(program)
    return None


def unpack_busybox():
    unpacked = CACHE / "busybox"
    unpacked.mkdir(parents=True, exist_ok=True)
    script = "apt-get update -qq && apt-get download -qq busybox-static && dpkg-deb -x busybox-static_*.deb ."
    subprocess.run(["sh", "-c", script], cwd=unpacked, stdout=sys.stderr, stderr=sys.stderr)


def versions(programs):
    found = [f"{name} {version(PEERS[name], program)}" for name, program in programs.items()]
    return [*found, *(f"{package} {package_version(package)}" for package in ("cron", "awscli", "php-fpm"))]


def version(peer, program):
    if program == shutil.which(peer.program) and not peer.from_cargo:
        return package_version(peer.package)
    # horust does not tell its own; cargo notes it beside what it installed.
    noted = Path(program).parent.parent / ".crates.toml"
    told = noted.read_text() if noted.exists() else run([program, "--version"])
    words = told.replace('"', " ").split()
    after = words[words.index(peer.program) :] if peer.program in words else words
    return next((word.rstrip(".,") for word in after if word[0].isdigit()), "of unknown version")


def package_version(package):
    return run(["dpkg-query", "-W", "-f", "${Version}", package]) or "not installed"


def run(command):
    return subprocess.run(command, capture_output=True, text=True).stdout
