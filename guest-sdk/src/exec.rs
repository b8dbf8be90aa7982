//! Commands in the target pod's containers, where the operator granted it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

pub use crate::bindings::falco_response::plugin::exec::{Options as Command, Output};
use crate::{Backend, ClusterError, ObjectRef};

/// Commands in containers. It comes from [`Host::exec`](crate::Host::exec), needs `create` on `pods/exec` in the manifest, and
/// is never granted by default.
///
/// A command may change whatever the container may, so the controller checks and records it as a change. In a dry run
/// none is run, and the answer is exit code 0 without output.
///
/// ```no_run
/// # use falco_response_sdk::{Command, prelude::*};
/// # fn f(request: &Request, host: &Host) -> Result<Outcome, Failure> {
/// let output = host.exec().run(&request.target(), &Command::new(&["cat", "/etc/passwd"]))?;
/// if output.exit_code != 0 {
///     return Err(Failure::new(output.errors()));
/// }
/// host.audit().attach("passwd", "text/plain", &output.stdout)?;
/// Ok(Outcome::acted("kept /etc/passwd"))
/// # }
/// ```
pub struct Exec<'a> {
    backend: &'a Backend,
}

impl<'a> Exec<'a> {
    pub(crate) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    /// Runs one command to its end. Any exit code is an answer.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{Command, prelude::*};
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// let script = Command::new(&["sh", "-s"]).stdin("kill -STOP 7\n").container("web");
    /// let output = host.exec().run(&request.target(), &script)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::Invalid`](crate::Reason::Invalid) where the container or the program in it does not exist;
    /// [`Reason::Conflict`](crate::Reason::Conflict) where the pod is another one by now;
    /// [`Reason::Unavailable`](crate::Reason::Unavailable) where no end was heard of, and the command may have run.
    pub fn run(&self, pod: &ObjectRef, command: &Command) -> Result<Output, ClusterError> {
        self.backend.exec(pod, command)
    }
}

impl Command {
    /// The program and its arguments. No shell is around them: what an alert says can be an argument, and never a part of
    /// a script.
    ///
    /// ```
    /// # use falco_response_sdk::Command;
    /// let command = Command::new(&["cat", "--", "/tmp/a file; with odd characters"]);
    /// assert_eq!(command.command.len(), 3);
    /// ```
    pub fn new(command: &[impl AsRef<str>]) -> Self {
        let command = command.iter().map(|word| word.as_ref().to_owned()).collect();
        Self { container: None, command, stdin: None, output_limit: None, timeout_seconds: None }
    }

    /// In this container; else in the only one.
    ///
    /// ```
    /// # use falco_response_sdk::Command;
    /// let command = Command::new(&["ps"]).container("web");
    /// ```
    #[must_use]
    pub fn container(self, name: impl Into<String>) -> Self {
        Self { container: Some(name.into()), ..self }
    }

    /// With this on its stdin.
    ///
    /// ```
    /// # use falco_response_sdk::Command;
    /// let command = Command::new(&["sh", "-s"]).stdin("ps\n");
    /// ```
    #[must_use]
    pub fn stdin(self, content: impl Into<Vec<u8>>) -> Self {
        Self { stdin: Some(content.into()), ..self }
    }

    /// At most so many bytes of output are kept.
    ///
    /// ```
    /// # use falco_response_sdk::Command;
    /// let command = Command::new(&["ps"]).output_limit(64 << 10);
    /// ```
    #[must_use]
    pub fn output_limit(self, bytes: u32) -> Self {
        Self { output_limit: Some(bytes), ..self }
    }

    /// Waits no longer than this for its end.
    ///
    /// ```
    /// # use falco_response_sdk::Command;
    /// let command = Command::new(&["sync"]).timeout_seconds(5);
    /// ```
    #[must_use]
    pub fn timeout_seconds(self, seconds: u32) -> Self {
        Self { timeout_seconds: Some(seconds), ..self }
    }
}

impl Output {
    /// A command that went well, and printed this.
    ///
    /// ```
    /// # use falco_response_sdk::Output;
    /// assert_eq!(Output::printing("root").exit_code, 0);
    /// ```
    pub fn printing(stdout: impl Into<Vec<u8>>) -> Self {
        Self { exit_code: 0, stdout: stdout.into(), stderr: Vec::new(), truncated: false }
    }

    /// What it complained of; what is not UTF-8 in it is replaced.
    ///
    /// ```
    /// # use falco_response_sdk::Output;
    /// let output = Output { exit_code: 1, stderr: b"no such file".to_vec(), ..Output::printing("") };
    /// assert_eq!(output.errors(), "no such file");
    /// ```
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}
