//! The trait that an action implements, and how a run ends.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub use crate::bindings::exports::falco_response::plugin::action::{Failure, Outcome, Problem};
use crate::cluster::{ClusterError, Reason};
use crate::{Host, Manifest, Parameters, Request, json};

/// One response action. See the [crate's](crate) own example, and [`export_action!`](crate::export_action!).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no action",
    label = "implement `Action` for it",
    note = "an action has `type Parameters`, `const MANIFEST: Manifest` and `fn run`; `plugin new` shows one"
)]
pub trait Action {
    /// Declared with [`parameters!`](crate::parameters!): an empty struct for an action that takes none.
    type Parameters: Parameters;

    /// Read from the component without running it.
    const MANIFEST: Manifest;

    /// What the parameters' types cannot say, such as a range. Called when the configuration is loaded; the host cannot
    /// be reached from here.
    fn check(_parameters: &Self::Parameters) -> Vec<Problem> {
        Vec::new()
    }

    /// Responds to one alert.
    ///
    /// An action whose manifest says `repeatable` may be run again for the same alert, after a crash of the controller
    /// or a failure with `retry` of a run that had sent no change yet: see [`Request::attempt`].
    ///
    /// # Errors
    /// [`Failure`] when the action could not do what it is there for. A call's error becomes one with `?`.
    fn run(request: &Request, parameters: Self::Parameters, host: &Host) -> Result<Outcome, Failure>;
}

impl Outcome {
    /// Something was done: one sentence for the audit log. What was done the controller knows from the calls; this is the
    /// action's word beside it.
    ///
    /// ```
    /// # use falco_response_sdk::Outcome;
    /// assert_eq!(Outcome::acted("deleted the pod"), Outcome::Acted("deleted the pod".into()));
    /// ```
    pub fn acted(what: impl Into<String>) -> Self {
        Self::Acted(what.into())
    }

    /// Nothing needed doing, and why.
    ///
    /// ```
    /// # use falco_response_sdk::Outcome;
    /// assert_eq!(Outcome::skipped("already gone"), Outcome::Skipped("already gone".into()));
    /// ```
    pub fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }
}

impl Failure {
    /// A failure that trying again would not mend.
    ///
    /// ```
    /// # use falco_response_sdk::Failure;
    /// assert!(!Failure::new("the policy is somebody else's").retry);
    /// ```
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false }
    }

    /// Says what was being tried, in front of the message. Keeps `retry`.
    ///
    /// ```
    /// # use falco_response_sdk::Failure;
    /// assert_eq!(Failure::new("denied").context("cannot label the pod").message, "cannot label the pod: denied");
    /// ```
    #[must_use]
    pub fn context(self, what: &str) -> Self {
        Self { message: [what, ": ", &self.message].concat(), ..self }
    }
}

impl From<ClusterError> for Failure {
    /// Worth another try where the cluster was out of reach or a disruption budget forbids the eviction for now.
    fn from(error: ClusterError) -> Self {
        Self { retry: matches!(error.reason, Reason::Unavailable | Reason::Blocked), message: error.message }
    }
}

impl From<json::Error> for Failure {
    fn from(error: json::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl Problem {
    /// `at` is a JSON Pointer, "" for the parameters as a whole.
    ///
    /// ```
    /// # use falco_response_sdk::Problem;
    /// let problem = Problem::new("/replicas", "expected at least 1");
    /// assert_eq!(problem.at, "/replicas");
    /// ```
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }
}
