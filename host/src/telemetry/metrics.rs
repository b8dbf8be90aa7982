//! Metrics in OpenMetrics' text format, in a registry of their own. No label takes a value that an attacker can multiply:
//! results, decisions, checks, outcomes, methods, codes and functions are words of this program, actions and destinations
//! the operator's.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What [`Metrics::render`] writes, as a `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What can become of an alert.
const ALERT_RESULTS: [&str; 10] = [
    "accepted",
    "duplicate",
    "no_rule",
    "tag",
    "priority",
    "malformed",
    "unauthorized",
    "too_large",
    "overloaded",
    "journal_error",
];

/// What can become of a parcel.
const DELIVERY_RESULTS: [&str; 4] = ["delivered", "retried", "given_up", "unconfirmed"];

/// Upper bounds in seconds. An API server nearby answers within milliseconds; a request is given up after five seconds.
const API_SECONDS: [f64; 10] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// As above: a host call makes some requests, with our retries, and takes at most the action's time.
const HOST_CALL_SECONDS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];

/// Every metric there is; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    alerts: Family<AlertLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    actions: Family<ActionLabels, Counter>,
    deliveries: Family<DeliveryLabels, Counter>,
    outbox_waiting: Family<DestinationLabels, Gauge>,
    outbox_age: Family<DestinationLabels, Gauge<f64, AtomicU64>>,
    pages_overdue: Family<DestinationLabels, Gauge>,
    api_requests: Family<ApiLabels, Histogram>,
    host_calls: Family<HostCallLabels, Histogram>,
    queue: Gauge,
    rules_without_plugin: Gauge,
    plugins_unusable: Gauge,
    plugin_reloads: Family<ReloadLabels, Counter>,
    cluster_reachable: Gauge,
    permissions_missing: Gauge,
    journal_used: Gauge,
    journal_full: Gauge,
    annotations_overdue: Gauge,
    config_reloads: Family<ReloadLabels, Counter>,
    brake: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    decision: &'static str,
    check: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: String,
    outcome: &'static str,
    dry_run: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    destination: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DestinationLabels {
    destination: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostCallLabels {
    function: &'static str,
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("falco_response");
        let alerts = Family::<AlertLabels, Counter>::default();
        for result in ALERT_RESULTS {
            // A rate over a series that begins at its first failure misses that failure.
            drop(alerts.get_or_create(&AlertLabels { result }));
        }
        let (decisions, actions, deliveries) = (Family::default(), Family::default(), Family::default());
        let (outbox_waiting, outbox_age) = (Family::default(), Family::default());
        let (pages_overdue, queue) = (Family::default(), Gauge::default());
        let api_requests = Family::<ApiLabels, Histogram>::new_with_constructor(|| Histogram::new(API_SECONDS));
        let host_calls =
            Family::<HostCallLabels, Histogram>::new_with_constructor(|| Histogram::new(HOST_CALL_SECONDS));
        let (rules_without_plugin, cluster_reachable) = (Gauge::default(), Gauge::default());
        let permissions_missing = Gauge::default();
        registry.register("alerts", "Alerts received, by what became of them", alerts.clone());
        registry.register("decisions", "Decisions about alerts, by the check that made them", decisions.clone());
        registry.register("actions", "Actions started, by their outcome", actions.clone());
        registry.register("deliveries", "Records and pages sent, by destination", deliveries.clone());
        registry.register(
            "rules_without_plugin",
            "Rules whose action no loaded plugin offers",
            rules_without_plugin.clone(),
        );
        let (plugins_unusable, plugin_reloads) = (Gauge::default(), Family::<ReloadLabels, Counter>::default());
        registry.register("plugins_unusable", "Files of plugins that cannot be used", plugins_unusable.clone());
        registry.register("plugin_reloads", "Changed plugins, by what became of them", plugin_reloads.clone());
        registry.register("cluster_reachable", "Whether the API server answers", cluster_reachable.clone());
        let config_reloads = Family::<ReloadLabels, Counter>::default();
        for result in ["accepted", "rejected"] {
            drop(config_reloads.get_or_create(&ReloadLabels { result }));
            drop(plugin_reloads.get_or_create(&ReloadLabels { result }));
        }
        let brake = Gauge::default();
        registry.register("config_reloads", "Changed configurations, by what became of them", config_reloads.clone());
        registry.register("brake", "Whether live action is stopped", brake.clone());
        registry.register(
            "outbox_waiting",
            "Records and pages that wait for their destination",
            outbox_waiting.clone(),
        );
        registry.register_with_unit(
            "outbox_oldest_age",
            "How long the first of what waits has waited",
            Unit::Seconds,
            outbox_age.clone(),
        );
        registry.register(
            "pages_overdue",
            "Whether a page has waited for its destination for more than five minutes",
            pages_overdue.clone(),
        );
        registry.register(
            "queue_alerts",
            "Accepted alerts, and killed pods that are followed, not done with",
            queue.clone(),
        );
        registry.register_with_unit(
            "api_request_duration",
            "Requests to the Kubernetes API, each attempt by itself",
            Unit::Seconds,
            api_requests.clone(),
        );
        registry.register_with_unit(
            "host_call_duration",
            "Calls of actions to the cluster, through the gate",
            Unit::Seconds,
            host_calls.clone(),
        );
        registry.register(
            "permissions_missing",
            "Permissions that the configuration needs and the cluster does not grant",
            permissions_missing.clone(),
        );
        let (journal_used, journal_full, annotations_overdue) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register_with_unit(
            "journal_used",
            "What the journal holds, its write-ahead log included",
            Unit::Bytes,
            journal_used.clone(),
        );
        registry.register("journal_full", "Whether the journal has no room for new alerts", journal_full.clone());
        registry.register(
            "annotations_overdue",
            "Customer-facing actions that were not annotated in time",
            annotations_overdue.clone(),
        );
        let inner = Inner {
            registry,
            alerts,
            decisions,
            actions,
            deliveries,
            outbox_waiting,
            outbox_age,
            pages_overdue,
            api_requests,
            host_calls,
            queue,
            rules_without_plugin,
            plugins_unusable,
            plugin_reloads,
            cluster_reachable,
            config_reloads,
            brake,
            permissions_missing,
            journal_used,
            journal_full,
            annotations_overdue,
        };
        Self { inner: Arc::new(inner) }
    }

    /// `falco_response_alerts_total{result}`: `accepted`, `duplicate`, `no_rule`, `tag`, `priority`, `malformed`,
    /// `unauthorized`, `too_large`, `overloaded`, `journal_error`.
    pub fn alert(&self, result: &'static str) {
        self.inner.alerts.get_or_create(&AlertLabels { result }).inc();
    }

    /// `falco_response_decisions_total{decision,check}`
    pub fn decision(&self, decision: &'static str, check: &'static str) {
        self.inner.decisions.get_or_create(&DecisionLabels { decision, check }).inc();
    }

    /// `falco_response_actions_total{action,outcome,dry_run}`. `action` is a loaded plugin's name.
    pub fn action(&self, action: &str, outcome: &'static str, dry_run: bool) {
        let dry_run = if dry_run { "true" } else { "false" };
        self.inner.actions.get_or_create(&ActionLabels { action: action.to_owned(), outcome, dry_run }).inc();
    }

    /// `falco_response_deliveries_total{destination,result}`: `delivered`, `retried`, `given_up`, `unconfirmed`.
    pub fn delivery(&self, destination: &'static str, result: &'static str) {
        self.deliveries(destination, result, 1);
    }

    /// As [`Self::delivery`], for several at once.
    pub fn deliveries(&self, destination: &'static str, result: &'static str, count: u64) {
        self.inner.deliveries.get_or_create(&DeliveryLabels { destination, result }).inc_by(count);
    }

    /// `falco_response_outbox_waiting{destination}` and `falco_response_outbox_oldest_age_seconds{destination}`.
    pub fn outbox(&self, destination: &'static str, waiting: u64, oldest_age_seconds: f64) {
        let labels = DestinationLabels { destination };
        self.inner.outbox_waiting.get_or_create(&labels).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.inner.outbox_age.get_or_create(&labels).set(oldest_age_seconds);
        for result in DELIVERY_RESULTS {
            drop(self.inner.deliveries.get_or_create(&DeliveryLabels { destination, result }));
        }
    }

    /// `falco_response_pages_overdue{destination}`
    pub fn page_overdue(&self, destination: &'static str, overdue: bool) {
        self.inner.pages_overdue.get_or_create(&DestinationLabels { destination }).set(i64::from(overdue));
    }

    /// `falco_response_queue_alerts`
    pub fn queue(&self, open: usize) {
        self.inner.queue.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// `falco_response_api_request_duration_seconds{method,code}`: `code` is `2xx` and so on, `none` without an answer.
    pub fn api_request(&self, method: &http::Method, code: Option<u16>, took: Duration) {
        let method = match method.as_str() {
            "GET" => "GET",
            "POST" => "POST",
            "PATCH" => "PATCH",
            "PUT" => "PUT",
            "DELETE" => "DELETE",
            _ => "other",
        };
        let code = match code {
            Some(..=299) => "2xx",
            Some(300..=399) => "3xx",
            Some(400..=499) => "4xx",
            Some(_) => "5xx",
            None => "none",
        };
        self.inner.api_requests.get_or_create(&ApiLabels { method, code }).observe(took.as_secs_f64());
    }

    /// `falco_response_host_call_duration_seconds{function,result}`: `ok` or `error`.
    pub fn host_call(&self, function: &'static str, good: bool, took: Duration) {
        let labels = HostCallLabels { function, result: if good { "ok" } else { "error" } };
        self.inner.host_calls.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// `falco_response_rules_without_plugin`
    pub fn rules_without_plugin(&self, count: usize) {
        self.inner.rules_without_plugin.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// `falco_response_plugins_unusable`
    pub fn plugins_unusable(&self, count: usize) {
        self.inner.plugins_unusable.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// `falco_response_plugin_reloads_total{result}`: `accepted`, `rejected`.
    pub fn plugin_reloads(&self, result: &'static str, count: usize) {
        self.inner.plugin_reloads.get_or_create(&ReloadLabels { result }).inc_by(count as u64);
    }

    /// `falco_response_cluster_reachable`
    pub fn cluster_reachable(&self, reachable: bool) {
        self.inner.cluster_reachable.set(i64::from(reachable));
    }

    /// `falco_response_config_reloads_total{result}`: `accepted`, `rejected`.
    pub fn config_reload(&self, result: &'static str) {
        self.inner.config_reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    /// `falco_response_brake`
    pub fn brake(&self, on: bool) {
        self.inner.brake.set(i64::from(on));
    }

    /// `falco_response_permissions_missing`
    pub fn permissions_missing(&self, count: usize) {
        self.inner.permissions_missing.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// `falco_response_journal_used_bytes`, `falco_response_journal_full`
    pub fn journal(&self, used: u64, full: bool) {
        self.inner.journal_used.set(i64::try_from(used).unwrap_or(i64::MAX));
        self.inner.journal_full.set(i64::from(full));
    }

    /// `falco_response_annotations_overdue`
    pub fn annotations_overdue(&self, count: usize) {
        self.inner.annotations_overdue.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The exposition text for `GET /metrics`.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.inner.registry).expect("a String takes what it is given");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_under_the_documented_names() {
        let metrics = Metrics::new();
        let clone = metrics.clone();
        clone.alert("accepted");
        clone.alert("accepted");
        clone.decision("refused", "namespace_denied");
        clone.action("kill_pod", "done", false);
        clone.delivery("graylog", "retried");
        clone.rules_without_plugin(2);
        clone.cluster_reachable(true);
        clone.permissions_missing(3);
        clone.outbox("graylog", 3, 12.5);
        clone.page_overdue("webhook", true);
        clone.queue(4);
        clone.api_request(&http::Method::DELETE, Some(404), Duration::from_millis(7));
        clone.host_call("get", true, Duration::from_millis(7));
        clone.journal(4096, true);
        clone.annotations_overdue(3);
        let text = metrics.render();
        for line in [
            "falco_response_alerts_total{result=\"accepted\"} 2",
            "falco_response_alerts_total{result=\"unauthorized\"} 0",
            "falco_response_decisions_total{decision=\"refused\",check=\"namespace_denied\"} 1",
            "falco_response_actions_total{action=\"kill_pod\",outcome=\"done\",dry_run=\"false\"} 1",
            "falco_response_deliveries_total{destination=\"graylog\",result=\"retried\"} 1",
            "falco_response_rules_without_plugin 2",
            "falco_response_cluster_reachable 1",
            "falco_response_permissions_missing 3",
            "falco_response_deliveries_total{destination=\"graylog\",result=\"given_up\"} 0",
            "falco_response_outbox_waiting{destination=\"graylog\"} 3",
            "falco_response_outbox_oldest_age_seconds{destination=\"graylog\"} 12.5",
            "falco_response_pages_overdue{destination=\"webhook\"} 1",
            "falco_response_queue_alerts 4",
            "falco_response_api_request_duration_seconds_bucket{le=\"0.005\",method=\"DELETE\",code=\"4xx\"} 0",
            "falco_response_api_request_duration_seconds_bucket{le=\"0.01\",method=\"DELETE\",code=\"4xx\"} 1",
            "falco_response_host_call_duration_seconds_count{function=\"get\",result=\"ok\"} 1",
            "falco_response_journal_used_bytes 4096",
            "falco_response_journal_full 1",
            "falco_response_annotations_overdue 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        clone.cluster_reachable(false);
        assert!(metrics.render().contains("falco_response_cluster_reachable 0\n"));
    }

    #[test]
    fn two_registries_share_nothing() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.alert("accepted");
        assert!(other.render().contains("falco_response_alerts_total{result=\"accepted\"} 0\n"));
    }
}
