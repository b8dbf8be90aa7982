//! Who controls an object: its owner references, and the kinds that the host can read.
