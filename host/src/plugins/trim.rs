//! Gives back to the system what compiling took.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "the C library has no other way to be told, and Rust's has none at all")
)]

/// The C library keeps what is freed for later use. After an interpreter was compiled that is some 300 MB, which
/// nothing in this program will ever use again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn freed_memory() {
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> i32;
    }
    // SAFETY: It takes a number, may be called at any time from any thread, and touches only memory that is free.
    unsafe { malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn freed_memory() {}
