//! The HTTP side: who may post an alert, what counts as one, and whether this replica is ready. Knows no rules and no
//! plugins: it hands alerts to an [`Inlet`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::alert::Alert;

/// Takes the alerts in.
pub trait Inlet: Send + Sync {
    /// Returns once the alert is on disk, or turned out to be wanted by no rule.
    fn offer(
        &self,
        alert: Alert,
        received_at: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), Turned>> + Send + '_>>;

    /// Whether the journal takes writes and so on, and the JSON body of `/readyz`.
    fn readiness(&self) -> (bool, Value);
}

/// Why an alert could not be taken: 503.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned(pub String);

pub type SharedInlet = Arc<dyn Inlet>;
