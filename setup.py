"""Builds the Rust library first and the cffi module against it afterwards."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import setuptools_rust.build
from setuptools import setup
from setuptools.command.build_ext import build_ext as _build_ext
from setuptools.command.build_py import build_py as _build_py
from setuptools_rust import Binding, RustExtension

LIBRARY = {"darwin": "librustorch.dylib", "win32": "rustorch.dll"}.get(sys.platform, "librustorch.so")
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
HERE = Path(__file__).resolve().parent


class build_rust(setuptools_rust.build.build_rust):
    """The cdylib is no Python extension: it keeps its plain name."""

    def get_dylib_ext_path(self, ext, target_fname):
        build = self.get_finalized_command("build_ext")
        return os.path.join(os.path.dirname(build.get_ext_fullpath("rustorch._ffi")), "lib", LIBRARY)


class build_ext(_build_ext):
    """setuptools-rust would run cargo after the C compiler, which needs its result."""

    def run(self):
        rust = self.get_finalized_command("build_rust")
        rust.inplace, rust.target, rust.verbose, rust.plat_name = (
            self.inplace,
            self.target,
            self.verbose,
            self.plat_name,
        )
        rust.run()
        lib = os.path.dirname(rust.get_dylib_ext_path(None, None))
        for extension in self.extensions:
            if extension.name == "rustorch._ffi":
                extension.library_dirs.insert(0, lib)
        super().run()
        if self.inplace:
            copy_headers(HERE / "rustorch")


class build_py(_build_py):
    """The headers live beside the Rust source and travel inside the package."""

    def run(self):
        super().run()
        if not self.editable_mode:
            copy_headers(Path(self.build_lib) / "rustorch")


def copy_headers(package: Path) -> None:
    target = package / "include"
    target.mkdir(parents=True, exist_ok=True)
    for header in (HERE / "rust-core" / "include").glob("*.h*"):
        shutil.copy(header, target / header.name)


setup(
    rust_extensions=[
        RustExtension(
            "rustorch.lib.rustorch",
            path="rust-core/Cargo.toml",
            binding=Binding.NoBinding,
            debug=os.environ.get("RUSTORCH_DEBUG") == "1",
        )
    ],
    cffi_modules=["build_ffi.py:ffibuilder"],
    cmdclass={"build_rust": build_rust, "build_ext": build_ext, "build_py": build_py},
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp310"}},
)
