//! What the program carries for authors, as `build.rs` collected it: path and text of each file.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
