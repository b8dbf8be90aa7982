//! What a replay says: a line for each alert and action, and a summary by rule.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::rehearsal::Played;
use crate::alert::{Alert, AlertError};
use crate::config::Config;
use crate::journal::{LogType, Record};
use crate::plugins::Plugins;
use crate::plugins::manifest::Target;
use crate::safety::checks::Check;
use crate::safety::identity::Subject;

/// Names of rules that no alert is wanted by are the sender's; more of them are not told apart.
const MOST_NAMES: usize = 100;
const NAMES_SHOWN: usize = 5;

pub struct Report {
    rules: Vec<RuleReport>,
    /// By reason, then by the alert's rule.
    unwanted: BTreeMap<&'static str, BTreeMap<String, usize>>,
    alerts: usize,
    malformed: usize,
    times: Option<(Timestamp, Timestamp)>,
}

struct RuleReport {
    name: String,
    on_pods: bool,
    alerts: usize,
    /// Those whose alert shows for certain which pod is meant.
    certain: usize,
    duplicates: usize,
    would_act: Counted,
    /// What `would_act` is about, each once whatever number of actions would change it: a pod by its UID, or the namespace.
    objects: BTreeSet<String>,
    would_change_nothing: Counted,
    refused: BTreeMap<String, Counted>,
    waiting: Counted,
    folded: Counted,
    failed: Counted,
}

/// How often, and the first one's detail.
#[derive(Default)]
struct Counted {
    count: usize,
    first: String,
}

impl Counted {
    fn add(&mut self, detail: &str) {
        if self.count == 0 {
            detail.clone_into(&mut self.first);
        }
        self.count += 1;
    }
}

impl Report {
    pub fn new(config: &Config, plugins: &Plugins) -> Self {
        let rules = config.rules.iter().map(|rule| RuleReport {
            name: rule.name.clone(),
            on_pods: rule
                .actions
                .iter()
                .any(|action| plugins.get(&action.action).is_some_and(|plugin| plugin.manifest.target == Target::Pods)),
            alerts: 0,
            certain: 0,
            duplicates: 0,
            would_act: Counted::default(),
            objects: BTreeSet::new(),
            would_change_nothing: Counted::default(),
            refused: BTreeMap::new(),
            waiting: Counted::default(),
            folded: Counted::default(),
            failed: Counted::default(),
        });
        Self { rules: rules.collect(), unwanted: BTreeMap::new(), alerts: 0, malformed: 0, times: None }
    }

    pub fn malformed_lines(&self) -> usize {
        self.malformed
    }

    pub fn malformed(&mut self, error: &AlertError) -> String {
        self.malformed += 1;
        format!("not an alert: {error}")
    }

    /// Counts an alert, and says what became of it.
    pub fn played(&mut self, alert: &Alert, played: &Played) -> Vec<String> {
        self.alerts += 1;
        let (from, to) = self.times.unwrap_or((alert.time, alert.time));
        self.times = Some((from.min(alert.time), to.max(alert.time)));
        let rule = self.rules.iter_mut().find(|rule| rule.name == alert.rule);
        let (Some(rule), false) = (rule, matches!(played, Played::Unwanted(_))) else {
            let why = if let Played::Unwanted(why) = played { why } else { "no_rule" };
            let names = self.unwanted.entry(why).or_default();
            let known = names.contains_key(&alert.rule) || names.len() < MOST_NAMES;
            *names.entry(if known { alert.rule.clone() } else { "others".to_owned() }).or_default() += 1;
            return vec![format!("rule={:?}: unwanted ({why})", alert.rule)];
        };
        rule.alerts += 1;
        rule.certain += usize::from(Subject::of(alert).is_certain());
        match played {
            Played::Records(records) => {
                records.iter().map(|record| format!("{}: {}", headline(record), rule.count(record))).collect()
            }
            Played::Duplicate | Played::Unwanted(_) => {
                rule.duplicates += 1;
                vec![format!("rule={:?}: a duplicate: an alert with its uuid came before", alert.rule)]
            }
        }
    }

    pub fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let between = self.times.map(|(from, to)| format!(" from {from:.0} to {to:.0}")).unwrap_or_default();
        lines.push(format!("{}{between}, each at its own time; nothing was changed", alerts(self.alerts)));
        for rule in &self.rules {
            rule.summary(&mut lines);
        }
        for (why, names) in &self.unwanted {
            let mut sorted: Vec<_> = names.iter().collect();
            sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let more = if sorted.len() > NAMES_SHOWN { ", …" } else { "" };
            let shown: Vec<_> =
                sorted.iter().take(NAMES_SHOWN).map(|(name, count)| format!("{name:?} {count}")).collect();
            let total: usize = names.values().sum();
            lines.push(format!("unwanted ({why}) {total}: {}{more}", shown.join(", ")));
        }
        if self.malformed > 0 {
            lines.push(format!("not an alert {}", self.malformed));
        }
        lines
    }
}

impl RuleReport {
    /// Counts a record, and says in words what it is.
    fn count(&mut self, record: &Record) -> String {
        let text = |key: &str| text(&record.body, key);
        let detail = text("detail");
        if record.log_type == LogType::Entry {
            let owner = text("owner");
            let owner = if owner.is_empty() { String::new() } else { format!(", owner {owner}") };
            return match text("outcome") {
                "done" => {
                    self.objects.insert(format!("{} {}", text("namespace"), text("pod_uid")));
                    self.would_act.add(&format!("{detail}{owner}"));
                    format!("would {detail}{owner}")
                }
                "skipped" | "already_gone" => {
                    self.would_change_nothing.add(detail);
                    format!("would change nothing: {detail}")
                }
                _ => {
                    self.failed.add(detail);
                    format!("would have failed: {detail}")
                }
            };
        }
        let (decision, check) = (text("decision"), text("check"));
        match decision {
            "refused" => {
                let told = refusal(check, detail);
                self.refused.entry(check.to_owned()).or_default().add(&told);
                format!("refused ({check}): {told}")
            }
            "folded" => {
                self.folded.add(detail);
                format!("folded: {detail}")
            }
            "waiting" => {
                self.waiting.add(detail);
                detail.to_owned()
            }
            _ => {
                self.failed.add(&format!("{check}: {detail}"));
                format!("failed ({check}): {detail}")
            }
        }
    }

    fn summary(&self, lines: &mut Vec<String>) {
        if self.alerts == 0 {
            lines.push(format!("{:?}: no alerts", self.name));
            return;
        }
        lines.push(format!("{:?}: {}", self.name, alerts(self.alerts)));
        if self.would_act.count > 0 {
            let objects = self.objects.len();
            let objects = if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") };
            lines.push(format!("  would act {} ({objects}), first: {}", self.would_act.count, self.would_act.first));
        } else {
            lines.push("  would act 0".to_owned());
        }
        for (check, refused) in &self.refused {
            lines.push(format!("  refused ({check}) {}, first: {}", refused.count, refused.first));
        }
        for (what, counted) in [
            ("would change nothing", &self.would_change_nothing),
            ("waiting for confirmation", &self.waiting),
            ("folded", &self.folded),
            ("failed", &self.failed),
        ] {
            if counted.count > 0 {
                lines.push(format!("  {what} {}, first: {}", counted.count, counted.first));
            }
        }
        if self.duplicates > 0 {
            lines.push(format!("  duplicates {}", self.duplicates));
        }
        if self.on_pods && self.certain > 0 {
            let of = self.alerts;
            lines.push(format!("  certain of its pod {} of {of} (k8s.pod.uid or a container id)", self.certain));
        }
        if self.on_pods && self.certain == 0 {
            lines.push(
                "  warning: none of its alerts carries k8s.pod.uid or a container id, so only name and time tell which \
                 pod is meant, and a new pod of the same name may be taken for it: add %k8s.pod.uid and %container.id \
                 to the output of Falco's rule"
                    .to_owned(),
            );
        }
    }
}

/// The cluster is as it is now, and the alert is of another time.
fn refusal(check: &str, detail: &str) -> String {
    if check != Check::PodAbsent.id() {
        detail.to_owned()
    } else if detail.ends_with("does not exist") {
        format!("cannot tell: the pod is gone ({detail})")
    } else {
        format!("cannot tell: {detail}")
    }
}

fn alerts(count: usize) -> String {
    if count == 1 { "1 alert".to_owned() } else { format!("{count} alerts") }
}

fn headline(record: &Record) -> String {
    let text = |key: &str| text(&record.body, key);
    format!("{} {}/{} rule={:?}", text("action"), text("namespace"), text("pod"), text("rule"))
}

fn text<'a>(body: &'a Map<String, Value>, key: &str) -> &'a str {
    body.get(key).and_then(Value::as_str).unwrap_or_default()
}
