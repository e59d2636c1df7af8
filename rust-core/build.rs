//! Gives the shared library a name of its own, so that programs that link it find it by that.
//!
//! `RUSTORCH_QUICK=1` leaves the loops for AVX2 and AVX-512 out: about half of the time of a build during development.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RUSTORCH_QUICK");
    println!("cargo:rustc-check-cfg=cfg(quick)");
    if std::env::var("RUSTORCH_QUICK").as_deref() == Ok("1") {
        println!("cargo:rustc-cfg=quick");
    }
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        // Threads call into the library when they end, so it stays loaded.
        Ok("linux") => println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librustorch.so,-z,nodelete"),
        Ok("macos") => println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/librustorch.dylib"),
        _ => {}
    }
}
