"""The root file system of an emulated aarch64 board: Debian's arm64 packages, unpacked, with the pinned runtimes."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

REPOSITORY = Path(__file__).parents[3]
DEBIAN = ("openssh-server", "python3", "libstdc++6", "libgomp1", "bash", "coreutils", "procps")
RUNTIMES = ("numpy", "onnxruntime", "ai-edge-litert")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")

QEMU_CPU = "cortex-a76"
CPUS = 2
_CPU = """\
processor\t: {number}
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1
"""
"""What the kernel of a board with `QEMU_CPU` tells; runtimes choose their kernels by it, and QEMU shows the host's."""

POWER_W = 2.5
ACCOUNTS = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/bash\n"
        "sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n"
        "edge:x:1000:1000::/home/edge:/bin/bash\n"
    ),
    "etc/shadow": "root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\nedge:*:19000:0:99999:7:::\n",
    "etc/group": "root:x:0:\nedge:x:1000:\nnogroup:x:65534:\n",
}
SENSORS = {
    "sys/devices/system/cpu/present": f"0-{CPUS - 1}\n",
    "sys/devices/system/cpu/possible": f"0-{CPUS - 1}\n",
    "sys/devices/system/cpu/online": f"0-{CPUS - 1}\n",
    "sys/class/hwmon/hwmon0/name": "ina226\n",
    "sys/class/hwmon/hwmon0/power1_input": f"{POWER_W * 1e6:.0f}\n",
    "sys/class/hwmon/hwmon0/power1_label": "VDD_IN\n",
}


def image() -> Path:
    """Return the root file system, which is made once a machine and not to be changed.

    Raises:
        OSError: the packages cannot be had.
    """
    pinned = (REPOSITORY / "constraints.txt").read_bytes()
    key = hashlib.sha256(Path(__file__).read_bytes() + pinned).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"edge-pipeline-arm-{key}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    root = folder / "root"
    with FileLock(folder / "lock"):
        if not root.exists():
            with tempfile.TemporaryDirectory(dir=folder) as made:
                _make(Path(made), Path(made) / "root")
                (Path(made) / "root").rename(root)
    return root


def _make(work: Path, root: Path) -> None:
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in _debian_packages(work):
        _run(f"dpkg-deb --fsys-tarfile {package} | tar -x --keep-directory-symlink -C {root}", shell=True)
    _install_runtimes(root)
    for name in ("dev", "home/edge", "proc", "root", "run/sshd", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    os.chown(root / "home" / "edge", 1000, 1000)
    cpus = "\n".join(_CPU.format(number=number) for number in range(CPUS))
    for name, text in {**ACCOUNTS, **SENSORS, "etc/cpuinfo": cpus}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def _debian_packages(work: Path) -> list[Path]:
    """Download the packages and all that they depend on, from where this machine's own come."""
    state, cache = work / "state", work / "cache"
    (state / "lists" / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    (state / "status").touch()
    settings = {
        "Dir::State": f"{state}/",
        "Dir::State::status": state / "status",
        "Dir::Cache": f"{cache}/",
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ["apt-get", "-qq", "-y", *(f"-o{key}={value}" for key, value in settings.items())]
    _run([*apt, "update"])
    _run([*apt, "install", "--download-only", *DEBIAN])
    return sorted((cache / "archives").glob("*.deb"))


def _install_runtimes(root: Path) -> None:
    (python,) = {path.name for path in (root / "usr" / "bin").glob("python3.*[0-9]")}
    _run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        + [f"--platform={name}" for name in PLATFORMS]
        + [f"--python-version={python.removeprefix('python')}", "-c", str(REPOSITORY / "constraints.txt")]
        + ["--target", str(root / "usr" / "lib" / "python3" / "dist-packages"), *RUNTIMES]
    )
    # what is compiled here, by a Python of the same version, need not be at each start there
    library = str(root / "usr" / "lib")
    _run([sys.executable, "-m", "compileall", "-q", "-j", "0", "-s", str(root), f"{library}/{python}"])


def _run(command: Any, **options: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise OSError(f"{command}: {done.stdout[-500:]}{done.stderr[-1500:]}")
