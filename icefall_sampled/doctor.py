"""What is installed, what is missing, and the one command that repairs it.

    python -m icefall_sampled.doctor

Needs only Python itself, because it is called when something is broken. Exit status: 0 if
everything needed is there, 1 if not.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from icefall_sampled.errors import first_line
from icefall_sampled.tables import aligned

_ROOT = Path(__file__).resolve().parents[1]

# Either of them will do; losses/lattice.py says which is used.
_LATTICE_PACKAGES = ("k2", "fast_rnnt")

# A compiled package can be installed and yet not load, so these are imported as well.
_IMPORTED = ("numpy", "torch", "kaldifeat", "lhotse", "sentencepiece", "kaldialign", "av")

_PIN = re.compile(
    r"(?P<name>[\w-]+)==(?P<version>[^\s;]+)"
    r'(?:\s*;\s*python_version\s*(?P<relation><|>=)\s*"(?P<python>\d+\.\d+)")?'
)


@dataclass(frozen=True, kw_only=True)
class Package:
    """One pinned package, and its state on this machine."""

    name: str
    pinned: str
    installed: str | None
    """None where it is missing."""
    trouble: str | None = None
    """Why its import fails; None where it succeeds or was not tried."""

    @property
    def ok(self) -> bool:
        """Whether it can be used; its version may differ from the pinned one."""
        return self.installed is not None and self.trouble is None

    @property
    def status(self) -> str:
        """Its entry in the table."""
        if self.installed is None:
            return f"MISSING (pinned: {self.pinned})"
        if self.trouble is not None:
            return f"DOES NOT IMPORT: {self.trouble}"
        # A plus sign begins the name of the build: 2.13.0+cpu is 2.13.0.
        if self.installed.split("+")[0] != self.pinned:
            return f"ok, but pinned is {self.pinned}"
        return "ok"


def read_pins(text: str, python: tuple[int, int] = sys.version_info[:2]) -> dict[str, str]:
    """Name and version of each line `name==version` of a requirements file that applies here."""
    pins = {}
    for line in text.splitlines():
        match = _PIN.match(line)
        if match is None:
            continue
        if match["relation"] is not None:
            major, minor = match["python"].split(".")
            newer = python >= (int(major), int(minor))
            if newer != (match["relation"] == ">="):
                continue
        pins[match["name"]] = match["version"]
    return pins


def installed_version(name: str) -> str | None:
    """Version of an installed package; None if there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def import_trouble(module: str) -> str | None:
    """First line of the error of an import; None if it succeeds."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken build fails with anything from OSError to AttributeError
        return first_line(error)
    return None


def environment() -> str:
    """Which of the two environments this is, or should become: "k2" or "torch2"."""
    torch = installed_version("torch")
    if torch is not None:
        return "k2" if torch.startswith("1.") else "torch2"
    k2_fits = sys.version_info[:2] == (3, 11) and sys.platform == "linux"
    return "k2" if k2_fits and platform.machine() == "x86_64" else "torch2"


def pinned_packages(name: str) -> dict[str, str]:
    """Pins of environment `name`, from the requirements file and the packages built separately.

    Empty where the package was installed without its checkout.
    """
    listed = "requirements.txt" if name == "k2" else "requirements-torch2.txt"
    apart = ("kaldifeat", "k2" if name == "k2" else "fast_rnnt")
    files = [_ROOT / listed, *(_ROOT / "shared" / "build" / f"{package}.txt" for package in apart)]
    return read_pins(
        "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
    )


def inspect_packages(pins: dict[str, str]) -> list[Package]:
    """The state of each pinned package on this machine."""
    packages = []
    for name, pinned in pins.items():
        installed = installed_version(name)
        tried = installed is not None and name in _IMPORTED
        trouble = import_trouble(name) if tried else None
        packages.append(Package(name=name, pinned=pinned, installed=installed, trouble=trouble))
    return packages


def lattice_backend() -> tuple[str | None, str]:
    """The package that sums the lattice, None if there is none, and the reason in a sentence."""
    trouble = import_trouble("icefall_sampled.losses.lattice")
    if trouble is not None:
        return None, f"icefall_sampled.losses.lattice cannot be imported: {trouble}"
    lattice = importlib.import_module("icefall_sampled.losses.lattice")
    return lattice.BACKEND, lattice.why()


def machine() -> Iterator[tuple[str, str]]:
    """Lines about the interpreter and the machine."""
    yield "Python", f"{platform.python_version()} ({sys.prefix})"
    yield "platform", platform.platform()
    threads = f"{os.cpu_count()}"
    gpus = "unknown, torch does not import"
    if import_trouble("torch") is None:
        import torch

        threads += f", torch uses {torch.get_num_threads()}"
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        gpus = ", ".join(names) or "none"
    yield "CPU threads", threads
    yield "GPU", gpus


def main() -> int:
    """Print the report; 0 if everything needed is there, 1 if not."""
    name = environment()
    packages = inspect_packages(pinned_packages(name))
    backend, reason = lattice_backend()

    for label, value in [("environment", name), *machine(), ("lattice", reason)]:
        print(f"{label:<12} {value}")
    print()
    print(aligned([[p.name, p.installed or "-", p.status] for p in packages], left=3))
    print()

    missing = [p.name for p in packages if not p.ok and p.name not in _LATTICE_PACKAGES]
    if backend is None:
        missing.append(" or ".join(_LATTICE_PACKAGES))
    if not packages:
        print("Nothing is pinned outside a checkout. Losses and sampling need torch alone.")
    if not missing:
        print("Everything needed is there.")
        return 0
    argument = "" if name == "k2" else " torch2"
    print(f"Missing or broken: {', '.join(missing)}. Mend it with")
    print(f"    bash {_ROOT / 'shared' / 'setup_env.sh'}{argument}")
    return 1


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # for `| head -1`, which closes the pipe early
    sys.exit(main())
