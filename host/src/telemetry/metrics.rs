//! Counters in Prometheus' format. No label takes a value that an attacker can multiply.

/// Every metric there is; cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {}

impl Metrics {
    pub fn new() -> Self {
        Self::default()
    }

    /// `falco_response_alerts_total{result}`: `accepted`, `duplicate`, `no_rule`, `tag`, `priority`, `malformed`,
    /// `unauthorized`, `too_large`, `overloaded`, `journal_error`.
    pub fn alert(&self, _result: &'static str) {
        todo!("telemetry")
    }

    /// `falco_response_decisions_total{decision,check}`
    pub fn decision(&self, _decision: &'static str, _check: &'static str) {
        todo!("telemetry")
    }

    /// `falco_response_actions_total{action,outcome,dry_run}`. `action` is a loaded plugin's name.
    pub fn action(&self, _action: &str, _outcome: &'static str, _dry_run: bool) {
        todo!("telemetry")
    }

    /// `falco_response_deliveries_total{destination,result}`: `delivered`, `retried`, `given_up`.
    pub fn delivery(&self, _destination: &str, _result: &'static str) {
        todo!("telemetry")
    }

    /// `falco_response_rules_without_plugin`
    pub fn rules_without_plugin(&self, _count: usize) {
        todo!("telemetry")
    }

    /// `falco_response_cluster_reachable`
    pub fn cluster_reachable(&self, _reachable: bool) {
        todo!("telemetry")
    }

    /// The exposition text for `GET /metrics`.
    pub fn render(&self) -> String {
        todo!("telemetry")
    }
}
