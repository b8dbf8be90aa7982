//! What an action can do: reach the cluster, add to the audit entry, log.

use alloc::string::String;

pub use crate::bindings::falco_response::plugin::log::Level;
use crate::{Backend, Cluster};

/// The controller, as an action sees it.
pub struct Host<'a> {
    backend: &'a Backend,
}

/// What stays in the audit journal with the entry of this action.
pub struct Audit<'a> {
    backend: &'a Backend,
}

impl<'a> Host<'a> {
    pub(crate) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    pub fn cluster(&self) -> Cluster<'a> {
        Cluster::new(self.backend)
    }

    pub fn audit(&self) -> Audit<'a> {
        Audit { backend: self.backend }
    }

    /// Writes to the controller's log; the line carries the action's name and the event id.
    pub fn log(&self, level: Level, message: &str) {
        self.backend.log(level, message);
    }
}

impl Audit<'_> {
    /// A further field of the audit entry, and a line of the page where the action pages. Capped and escaped by the
    /// controller; the entry's own fields cannot be set.
    pub fn note(&self, key: &str, value: &str) {
        self.backend.note(key, value);
    }

    /// Evidence, kept with the journal and referred to by its digest.
    ///
    /// # Errors
    /// Says why it was not kept: too large, too many.
    pub fn attach(&self, name: &str, media_type: &str, content: &[u8]) -> Result<(), String> {
        self.backend.attach(name, media_type, content)
    }
}
