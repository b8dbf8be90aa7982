//! What an action can do: reach the cluster, add to the audit entry, log.

use alloc::string::String;

pub use crate::bindings::falco_response::plugin::log::Level;
use crate::{Backend, Cluster, Exec, Http};

/// The controller, as an action sees it.
///
/// ```no_run
/// # use falco_response_sdk::prelude::*;
/// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
/// host.log(Level::Info, "looking at the pod once more");
/// let pod = host.cluster().get(&request.target())?;
/// host.audit().note("phase", pod.at(&["status", "phase"]).as_str().unwrap_or("unknown"));
/// # Ok(()) }
/// ```
pub struct Host<'a> {
    backend: &'a Backend,
}

/// What stays in the audit journal with the entry of this action. It comes from [`Host::audit`].
///
/// ```no_run
/// # use falco_response_sdk::prelude::*;
/// # fn f(host: &Host) {
/// host.audit().note("replicas_before", "3");
/// # }
/// ```
pub struct Audit<'a> {
    backend: &'a Backend,
}

impl<'a> Host<'a> {
    pub(crate) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    /// The Kubernetes API.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// let pod = host.cluster().get(&request.target())?;
    /// # Ok(()) }
    /// ```
    pub fn cluster(&self) -> Cluster<'a> {
        Cluster::new(self.backend)
    }

    /// Servers outside of the cluster.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// let answer = host.http().post_json("https://hooks.example.com/falco", &request.alert()?)?;
    /// # Ok(()) }
    /// ```
    pub fn http(&self) -> Http<'a> {
        Http::new(self.backend)
    }

    /// Commands in the target pod's containers.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{Command, prelude::*};
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// let output = host.exec().run(&request.target(), &Command::new(&["ps"]))?;
    /// # Ok(()) }
    /// ```
    pub fn exec(&self) -> Exec<'a> {
        Exec::new(self.backend)
    }

    /// The entry of this run.
    ///
    /// ```no_run
    /// # fn f(host: &falco_response_sdk::Host) {
    /// host.audit().note("isolation", "full");
    /// # }
    /// ```
    pub fn audit(&self) -> Audit<'a> {
        Audit { backend: self.backend }
    }

    /// Writes to the controller's log; the line carries the action's name and the event id.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(host: &Host) {
    /// host.log(Level::Warn, "the policy was there already");
    /// # }
    /// ```
    pub fn log(&self, level: Level, message: &str) {
        self.backend.log(level, message);
    }
}

impl Audit<'_> {
    /// A further field of the audit entry, and a line of the page where the action pages. Capped and escaped by the
    /// controller; the entry's own fields cannot be set.
    ///
    /// A key is a lower-case letter and up to 63 lower-case letters, digits and `_`. Of a note that is not taken the log says
    /// why. The last one of a key counts.
    ///
    /// ```no_run
    /// # fn f(host: &falco_response_sdk::Host) {
    /// host.audit().note("replicas_before", "3");
    /// # }
    /// ```
    pub fn note(&self, key: &str, value: &str) {
        self.backend.note(key, value);
    }

    /// Evidence, kept with the journal and referred to by its digest.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{LogOptions, prelude::*};
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// let log = host.cluster().logs(&request.target(), &LogOptions { tail_lines: Some(100), ..LogOptions::default() })?;
    /// host.audit().attach("web.log", "text/plain", log.as_bytes())?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Says why it was not kept: too large, too many.
    pub fn attach(&self, name: &str, media_type: &str, content: &[u8]) -> Result<(), String> {
        self.backend.attach(name, media_type, content)
    }
}
