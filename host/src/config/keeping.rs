//! `audit`: how long and how much the journal keeps, and which actions a person has to explain.

use std::time::Duration;

use super::load::namespaces;
use super::section::{Problems, Section};
use super::tree::excerpt;

const DAY: Duration = Duration::from_secs(86_400);
/// The write-ahead log alone takes some.
const LEAST_BYTES: u64 = 32 << 20;

pub(super) const KEYS: [&str; 3] = ["customer_facing", "keep", "max_bytes"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// How long delivered records stay.
    pub keep: Duration,
    pub max_bytes: u64,
    pub customer_facing: Option<CustomerFacing>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { keep: DAY * 400, max_bytes: 1 << 30, customer_facing: None }
    }
}

/// What customers notice, and how soon an action there has to be annotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerFacing {
    pub namespaces: Vec<String>,
    /// Key and value of a label of the pod.
    pub label: Option<(String, String)>,
    pub within: Duration,
}

pub(super) fn read(audit: &Section<'_>, problems: &mut Problems) -> Keeping {
    let default = Keeping::default();
    let max_bytes = audit.size("max_bytes", problems).unwrap_or(default.max_bytes);
    if max_bytes < LEAST_BYTES
        && let Some(node) = audit.get("max_bytes")
    {
        problems.add(node.location, format!("{} must be at least 32Mi", audit.name("max_bytes")));
    }
    Keeping {
        keep: audit.span("keep", problems).unwrap_or(default.keep),
        max_bytes,
        customer_facing: customer_facing(audit, problems),
    }
}

fn customer_facing(audit: &Section<'_>, problems: &mut Problems) -> Option<CustomerFacing> {
    let section = audit.section("customer_facing", &["label", "namespaces", "within"], problems)?;
    if section.get("namespaces").is_none() && section.get("label").is_none() {
        section.missing("namespaces", "`namespaces: [NAME]` or `label: \"key=value\"`", problems);
    }
    let names = namespaces(&section, "namespaces", problems).unwrap_or_default();
    Some(CustomerFacing {
        namespaces: names.into_iter().map(|(_, name)| name).collect(),
        label: section.parsed("label", problems, label),
        within: section.span("within", problems).unwrap_or(DAY),
    })
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() && !value.contains(['=', ',']) => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("`{}` is no label, write one like `\"tier=customer\"`", excerpt(text))),
    }
}
