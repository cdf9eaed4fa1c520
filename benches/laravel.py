"""laravel: the rows with a whole application: .env from S3, and the start of PHP-FPM."""

import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from arena import ROOT, Arena, Container, children, eventually, probe
from contenders import Contender, init_toml

AWS = "/usr/bin/aws"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIABENCH", "AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_REGION": "eu-west-1"}
ENDPOINT = "http://127.0.0.1:9090"
DOTENV = ROOT / "docker/app/.env.example"


def build_s3():
    """The server of docker/demo; the path of it."""
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--no-default-features", "--example", "s3-server"],
                   cwd=ROOT, check=True)  # fmt: skip
    return str(Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples/s3-server")


def fetch(table, quick):
    """Boot with .env from S3 until the service's first instruction, beside `aws s3 cp` alone."""
    root = Arena.work / "s3"
    (root / "bucket").mkdir(parents=True)
    shutil.copy(DOTENV, root / "bucket/.env")
    keys = {"OWNER_KEY": KEYS["AWS_ACCESS_KEY_ID"], "OWNER_SECRET": KEYS["AWS_SECRET_ACCESS_KEY"]}
    server = subprocess.Popen([os.environ["BENCH_S3"], "--root", root], env=keys, stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() and server.stdout.readline()
        file = f'[[file]]\nsource = "s3://bucket/.env"\npath = "env"\nformat = "dotenv"\nendpoint = "{ENDPOINT}"\n'
        with_file = Contender("init", lambda d, n: [table.binary, "--config", init_toml(d, n, file)])
        for _ in range(4 if quick else 10):
            with Container(with_file, 1, "pause", env=KEYS) as container:
                began = container.event("exec")
                table.add("fetch", with_file, (container.event("start") - began) / 1e6)
            began = time.monotonic()
            subprocess.run([AWS, "--endpoint-url", ENDPOINT, "s3", "cp", "--quiet", "s3://bucket/.env", Arena.work / "env"],
                           check=True, env={**KEYS, "PATH": os.environ["PATH"], "HOME": "/nonexistent"})  # fmt: skip
            table.add_named("fetch", "aws s3 cp", (time.monotonic() - began) * 1e3)
    finally:
        server.kill()
        server.wait()


SHELL = """#!/bin/sh
set -e
php artisan optimize --no-interaction --no-ansi
exec php-fpm -F -y /opt/php/fpm.conf
"""
ENTRYPOINT = """#!/bin/sh
set -e
php artisan optimize --no-interaction --no-ansi
exec supervisord -c /opt/php/supervisord.conf
"""
FPM_CONF = "[www]\nping.path = /-/fpm-ping\n[global]\ninclude = /usr/local/etc/php-fpm.conf\n"
SUPERVISORD_CONF = """[supervisord]
nodaemon=true
user=root
logfile=/dev/null
logfile_maxbytes=0
pidfile=/tmp/supervisord.pid
[program:php-fpm]
command=php-fpm -F -y /opt/php/fpm.conf
stdout_logfile=/dev/fd/1
stdout_logfile_maxbytes=0
redirect_stderr=true
"""


def boot(table, quick):
    """Container start to the first pong of PHP-FPM, with the sample application, in docker/sandbox."""
    ways = {"init": ["/opt/php/init", "--role", "web"], "shell": ["/opt/php/shell"], "supervisord": ["/opt/php/entrypoint"]}
    for _ in range(2 if quick else 6):
        for name, command in random.sample(sorted(ways.items()), len(ways)):
            table.add_named("boot", name, first_pong(table.binary, command))


def first_pong(binary, command):
    volumes = Path(tempfile.mkdtemp(dir=Arena.work))
    for name in ("php", "tmp", "storage", "cache"):
        (volumes / name).mkdir(mode=0o777)
        shutil.chown(volumes / name, "www-data", "www-data")
    php = volumes / "php"
    shutil.copy(binary, php / "init")
    shutil.copy(DOTENV, php / "source.env")
    if not command[0].endswith("init"):
        # What init makes or fetches is there already for the others.
        shutil.copy(DOTENV, php / ".env")
        for skeleton in ("framework/cache/data", "framework/views", "framework/sessions", "logs"):
            (volumes / "storage" / skeleton).mkdir(parents=True)
    for name, text in (
        ("shell", SHELL),
        ("entrypoint", ENTRYPOINT),
        ("fpm.conf", FPM_CONF),
        ("supervisord.conf", SUPERVISORD_CONF),
    ):
        (php / name).write_text(text)
        (php / name).chmod(0o755)
    (volumes / "env").write_text("PROBE_FIFO=/opt/php/fifo\nAPP_ENV_PATH=/opt/php\nINIT_ENV_SOURCE=file:///opt/php/source.env\n")
    fifo = php / "fifo"
    os.mkfifo(fifo)
    events = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    log = open(volumes / "log", "w+")
    # Through `cat`, since a container's stdout is a pipe.
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
    sandbox = subprocess.Popen(
        [ROOT / "docker/sandbox", "--init", probe(), "--app", ROOT / "docker/app", "--volumes", volumes,
         "--env-file", volumes / "env", "exec", *command], stdout=reader.stdin, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    reader.stdin.close()
    try:
        eventually(pong, pause=0.001)
        ponged = time.monotonic_ns()
        began = int(os.read(events, 4096).split()[1])
        return (ponged - began) / 1e6
    except TimeoutError:
        log.seek(0)
        raise TimeoutError(f"no pong from {command}:\n{log.read()}") from None
    finally:
        for pid in children(sandbox.pid):
            os.kill(pid, signal.SIGKILL)
        sandbox.wait()
        reader.wait()
        os.close(events)
        log.close()
        eventually(lambda: not connects())


def connects():
    try:
        socket.create_connection(("127.0.0.1", 9000), 1).close()
        return True
    except OSError:
        return False


def pong():
    """PHP-FPM answers its ping path: FastCGI 1.0, one request, the answer starts after an 8-byte header."""
    path = b"/-/fpm-ping"
    pairs = {b"REQUEST_METHOD": b"GET", b"SCRIPT_NAME": path, b"SCRIPT_FILENAME": path, b"REQUEST_URI": path}
    params = b"".join(bytes([len(k), len(v)]) + k + v for k, v in pairs.items())

    def record(kind, body):
        return struct.pack(">BBHHBB", 1, kind, 1, len(body), 0, 0) + body

    request = record(1, struct.pack(">HBxxxxx", 1, 0)) + record(4, params) + record(4, b"") + record(5, b"")
    try:
        with socket.create_connection(("127.0.0.1", 9000), 1) as connection:
            connection.sendall(request)
            return b"pong" in connection.recv(4096)
    except OSError:
        return False
