//! Where the components of actions in other languages lie, and the tools that make them. Installing and building is
//! `cargo xtask languages`'.

use std::path::PathBuf;

/// A language that the guide has a page for, beside Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Python,
    JavaScript,
}

pub const ALL: [Language; 2] = [Language::Python, Language::JavaScript];

/// What a run that was not asked for the lane says of it, in one line.
pub const NOT_ASKED: &str =
    "other languages lane: NOT RUN (cargo xtask languages runs it, where there are Python and Node)";

impl Language {
    /// As `plugin new --lang` and the folders have it.
    pub fn id(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
        }
    }

    /// The label_pod that the guide is about.
    pub fn example(self) -> PathBuf {
        crate::root().join("examples").join(format!("label-pod-{}", self.id()))
    }

    /// The twin of the hostile plugin.
    pub fn hostile(self) -> PathBuf {
        crate::root().join("tests/languages").join(format!("hostile-{}", self.id()))
    }

    /// Where its components are put: `label_pod.wasm`, `hostile_….wasm`, and `unstubbed.wasm`, which imports WASI.
    pub fn components(self) -> PathBuf {
        crate::root().join("target/languages").join(self.id())
    }
}

/// Compiled code, for all of the lane: compiling an interpreter takes seconds.
pub fn code_cache() -> PathBuf {
    crate::root().join("target/languages/cache")
}
