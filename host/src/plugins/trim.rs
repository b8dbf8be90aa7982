//! Gives back to the system what compiling took.
#![expect(unsafe_code, reason = "the allocator has no other way to be told")]

/// The allocator keeps what is freed for later use, for each thread by itself, and compiling is done by rayon's. After an
/// interpreter was compiled that is some 300 MB, which nothing in this program will ever use again.
pub(super) fn freed_memory() {
    rayon::broadcast(|_| give_back());
    give_back();
}

fn give_back() {
    unsafe extern "C" {
        fn mi_collect(force: bool);
    }
    // SAFETY: It takes a flag, may be called at any time from any thread, and touches only memory that is free.
    unsafe { mi_collect(true) };
}
