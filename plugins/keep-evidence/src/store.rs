//! The attachments of one run, and an account of what is not among them.

use falco_response_sdk::prelude::*;

/// What the controller takes of one attachment, and how many for an entry.
pub const LARGEST: usize = 1 << 20;
const MOST: usize = 8;

pub struct Store<'a> {
    host: &'a Host<'a>,
    kept: Vec<String>,
    /// What there was nothing of.
    nothing: Vec<String>,
    /// What is shorter than it was.
    cut: Vec<String>,
    /// What found no room.
    left_out: Vec<String>,
    /// What could not be read, and why.
    missing: Vec<String>,
}

impl<'a> Store<'a> {
    pub fn new(host: &'a Host<'a>) -> Self {
        Self { host, kept: Vec::new(), nothing: Vec::new(), cut: Vec::new(), left_out: Vec::new(), missing: Vec::new() }
    }

    pub fn is_full(&self) -> bool {
        self.kept.len() >= MOST
    }

    pub fn keep(&mut self, name: &str, media_type: &str, text: String) {
        match self.host.audit().attach(name, media_type, text.as_bytes()) {
            Ok(()) => self.kept.push(name.to_owned()),
            Err(why) => self.missing.push([name, ": ", &why].concat()),
        }
    }

    pub fn nothing(&mut self, what: &str) {
        self.nothing.push(what.to_owned());
    }

    pub fn cut(&mut self, what: &str) {
        self.cut.push(what.to_owned());
    }

    pub fn left_out(&mut self, what: &str) {
        self.left_out.push(what.to_owned());
    }

    pub fn missing(&mut self, what: &str, error: &ClusterError) {
        self.missing.push([what, ": ", &error.message].concat());
    }

    /// # Errors
    /// Something could not be read; what was kept stays.
    pub fn finish(self) -> Result<Outcome, Failure> {
        for (key, list) in [
            ("evidence_none", &self.nothing),
            ("evidence_cut", &self.cut),
            ("evidence_left_out", &self.left_out),
            ("evidence_missing", &self.missing),
        ] {
            if !list.is_empty() {
                self.host.audit().note(key, &list.join("; "));
            }
        }
        let kept = self.kept.join(", ");
        if self.missing.is_empty() {
            Ok(Outcome::acted(["kept ", &kept].concat()))
        } else {
            Err(Failure::new(["kept ", &kept, "; could not read ", &self.missing.join("; ")].concat()))
        }
    }
}
