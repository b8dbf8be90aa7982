//! Real alerts with the runbook's rule, namespace and pod put in, and the rest kept.

use serde_json::{Value, json};

/// As a real Falcosidekick posted it.
pub const SHELL: &str = include_str!("../fixtures/alerts/falcosidekick/terminal-shell-critical.json");
/// A priority and a rule that no fixture configuration wants.
pub const NOTICE: &str = include_str!("../fixtures/alerts/falcosidekick/terminal-shell-notice.json");

pub const MINER: &str = "Crypto mining process detected";
pub const DATABASE_SHELL: &str = "Shell spawned in production database container";
pub const POOL: &str = "Network connection to known mining pool";

/// An alert of `rule` about a pod, now. The runbook's Falco emits no container id for its own rules, so the real
/// alert's is left out.
///
/// # Panics
/// When the fixture is no JSON object.
pub fn about(rule: &str, namespace: &str, pod: &str) -> Value {
    let mut alert: Value = serde_json::from_str(SHELL).expect("the fixture is JSON");
    alert["rule"] = json!(rule);
    alert["uuid"] = json!(unique_uuid());
    alert["time"] = json!(seconds_ago(0));
    let fields = alert["output_fields"].as_object_mut().expect("the fixture has output_fields");
    fields.insert("k8s.ns.name".to_owned(), json!(namespace));
    fields.insert("k8s.pod.name".to_owned(), json!(pod));
    fields.remove("container.id");
    alert
}

/// RFC 3339, nanoseconds.
pub fn seconds_ago(seconds: i64) -> String {
    (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds)).to_string()
}

/// Distinct within this machine for long enough.
pub fn unique_uuid() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let nanos = jiff::Timestamp::now().as_nanosecond().unsigned_abs();
    format!("{:08x}-{:04x}-4000-8000-{number:012x}", (nanos >> 16) & 0xffff_ffff, nanos & 0xffff)
}
