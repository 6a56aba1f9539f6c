"""Makes the peers' virtual environment where it is missing, unpacks Triton, builds our binary, then compares.

Runs under any Python 3.11 with the standard library alone; `compare.py` runs inside the environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from options import HERE, REPOSITORY, parse

# It downloads in parallel: half a minute where pip takes ten.
INSTALLER = "uv==0.13.9"
TRITON_WHEEL = "nvidia-pytriton==0.7.0"
# Its Python backend was built for the dtype layout of numpy 1: under numpy 2 it reads every string as garbage.
TRITON_NUMPY = "numpy==1.26.4"
REQUIREMENTS = HERE / "requirements.txt"


def environment(venv: Path) -> Path:
    """The environment's Python, with every package of `requirements.txt` installed."""
    python = venv / "bin" / "python"
    installed = venv / "requirements.installed"
    wanted = REQUIREMENTS.read_text()
    if python.exists() and installed.exists() and installed.read_text() == wanted:
        return python
    print(f"installing the peers into {venv} (several GB, some minutes)", file=sys.stderr)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", INSTALLER], check=True)
    # The list is complete, so there is nothing to resolve.
    uv = [venv / "bin" / "uv", "pip", "install", "--quiet", "--python", python]
    subprocess.run([*uv, "--no-deps", "-r", REQUIREMENTS], check=True)
    installed.write_text(wanted)
    return python


def triton(python: Path, wheels: Path, work: Path) -> None:
    """Unpacks the server binary and the Python backend of the wheel; the wheel's own Python is not used."""
    folder = work / "triton"
    if (folder / "complete").exists():
        return
    wheels.mkdir(parents=True, exist_ok=True)
    if not list(wheels.glob("nvidia_pytriton-*.whl")):
        download = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, TRITON_WHEEL]
        subprocess.run(download, check=True)
    [wheel] = wheels.glob("nvidia_pytriton-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    server = folder / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    backend = server / "backends" / "python"
    (backend / "triton_python_backend_stub").write_bytes((stub / "triton_python_backend_stub").read_bytes())
    for program in (server / "bin" / "tritonserver", backend / "triton_python_backend_stub"):
        program.chmod(0o755)
    packages = folder / "packages"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, TRITON_NUMPY], check=True
    )
    (folder / "complete").touch()


def binary(given: Path | None) -> Path:
    """Our binary: the one given, or a fresh release build."""
    if given is not None:
        return given.resolve()
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=REPOSITORY, check=True)
    return REPOSITORY / "target" / "release" / "sconce"


def main() -> None:
    """Prepares everything that needs a network or a compiler, then becomes `compare.py`."""
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    python = environment(options.venv)
    if "servers" in options.only:
        triton(python, options.wheels, options.work)
    sconce = binary(options.sconce)
    os.execv(python, [str(python), str(HERE / "compare.py"), *sys.argv[1:], "--sconce", str(sconce)])


if __name__ == "__main__":
    main()
