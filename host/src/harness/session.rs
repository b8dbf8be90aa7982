//! A session: what an action was asked, every request that it and the controller sent to the cluster for it, what came
//! back, and what came of it. One YAML file, to be read by people, compared by tools, and played back in a cluster's
//! place.
//!
//! What is played back must go as it was recorded: the same requests in the same order, and the same end.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::case::actual;
use super::merged::{self, Line};
use super::setup::{self, Wishes};
use super::{Cluster, Harness, HarnessError, Played, Setup, yaml};
use crate::alert::Alert;
use crate::cluster::connect::connect_playback;
use crate::cluster::recorded::{Departure, Exchange, Playback, Redactor, Sent};
use crate::config::tree::Node;
use crate::config::{Config, Location, Problem};

/// The newest form that is read, and the one that is written.
pub const VERSION: u64 = 1;
/// A session of an action that lists a large cluster has a few.
const LARGEST: u64 = 64 << 20;
const HEAD: &str = "\
# A session of `falco-response-controller plugin record`: an action, run dry against a cluster. What the file holds of
# secrets was taken out. `falco-response-controller plugin replay` plays it back.
";
const KEYS: [&str; 12] = [
    "action",
    "alert",
    "cluster",
    "config",
    "controller",
    "exchanges",
    "grants",
    "parameters",
    "plugin_sha256",
    "result",
    "rule",
    "version",
];

#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub action: String,
    /// Of the component that was recorded; another one may be played back, and often is.
    pub plugin_sha256: String,
    /// What it was recorded against, for people.
    pub cluster: String,
    pub alert: Value,
    /// `config`, `grants`, `parameters` and `rule`, as far as something was said.
    pub said: Map<String, Value>,
    pub exchanges: Vec<Exchange>,
    /// What came of it, in the form in which a case expects it.
    pub result: Value,
}

#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct SessionError {
    pub path: PathBuf,
    pub message: String,
}

/// How a playback went.
pub struct Replayed {
    pub played: Played,
    pub departure: Option<Departure>,
    /// Expected against actual, where the end is another one.
    pub result: Vec<Line>,
}

impl Replayed {
    pub fn is_same(&self) -> bool {
        self.departure.is_none() && self.result.is_empty()
    }
}

impl Session {
    /// What was just played, with its secrets taken out.
    pub fn of(harness: &Harness, asked: &Asked<'_>, played: &Played, exchanges: Vec<Exchange>) -> Self {
        let redactor = Redactor::default();
        let Asked { alert, wishes, cluster } = asked;
        let mut said = Map::new();
        for (key, node) in [
            ("config", &wishes.config),
            ("rule", &wishes.rule),
            ("parameters", &wishes.parameters),
            ("grants", &wishes.grants),
        ] {
            if let Some(node) = node {
                said.insert(key.to_owned(), redactor.document(node.to_json()));
            }
        }
        let alert = serde_json::from_str(alert.raw()).unwrap_or_default();
        Self {
            action: harness.action().manifest.name.clone(),
            plugin_sha256: harness.action().sha256.clone(),
            cluster: (*cluster).to_owned(),
            alert: redactor.document(alert),
            said,
            exchanges,
            result: told(played),
        }
    }

    pub fn to_yaml(&self) -> String {
        let mut map = Map::new();
        for (key, value) in [
            ("version", json!(VERSION)),
            ("controller", json!(env!("CARGO_PKG_VERSION"))),
            ("action", json!(self.action)),
            ("plugin_sha256", json!(self.plugin_sha256)),
            ("cluster", json!(self.cluster)),
            ("alert", self.alert.clone()),
        ] {
            map.insert(key.to_owned(), value);
        }
        map.extend(self.said.clone());
        let exchange = |exchange: &Exchange| {
            let Value::Object(mut map) = exchange.to_json() else { return Value::Null };
            // What was asked stands first, as it is; documents in the order in which a person reads them.
            for key in ["body", "answer"] {
                if let Some(document) = map.get_mut(key) {
                    *document = yaml::in_order(document);
                }
            }
            Value::Object(map)
        };
        map.insert("exchanges".to_owned(), self.exchanges.iter().map(exchange).collect());
        map.insert("result".to_owned(), self.result.clone());
        format!("{HEAD}{}", yaml::document(&Value::Object(map)))
    }

    /// # Errors
    /// It cannot be read, is of a newer version, or is no session.
    pub fn read(path: &Path) -> Result<Self, SessionError> {
        let error = |message: String| SessionError { path: path.to_owned(), message };
        let size = std::fs::metadata(path).map_err(|why| error(format!("cannot be read: {why}")))?.len();
        if size > LARGEST {
            return Err(error(format!("has {size} bytes, at most {LARGEST} are read")));
        }
        let text = std::fs::read_to_string(path).map_err(|why| error(format!("cannot be read: {why}")))?;
        Self::parse(&text).map_err(error)
    }

    /// # Errors
    /// One line that says why it is no session.
    pub fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! {
            strict_booleans: true,
            with_snippet: false,
            budget: serde_saphyr::budget! { max_depth: 96, max_nodes: 4_000_000, max_documents: 1, max_aliases: 0 },
        };
        let read: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let text = error.to_string();
            format!("not valid YAML: {}", text.lines().next().unwrap_or_default())
        })?;
        let Value::Object(mut map) = read else { return Err("is no session: it holds no map".to_owned()) };
        match map.get("version").map(|version| version.as_u64().ok_or(version)) {
            Some(Ok(VERSION)) => {}
            Some(Ok(newer)) if newer > VERSION => {
                return Err(format!(
                    "the session has version {newer}, and this program reads up to {VERSION}: play it back with a newer one"
                ));
            }
            Some(Ok(other)) => return Err(format!("there is no version {other} of sessions")),
            Some(Err(other)) => return Err(format!("`version` expects a number, not {other}")),
            None => return Err("is no session: it has no `version`".to_owned()),
        }
        if let Some(unknown) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let hint = crate::config::suggest::phrase(unknown, &KEYS);
            return Err(format!("unknown key `{unknown}`{hint}"));
        }
        let words = |key: &str| {
            let word = map.get(key).and_then(Value::as_str).map(str::to_owned);
            word.ok_or_else(|| format!("`{key}` expects text"))
        };
        let (action, plugin_sha256, cluster) = (words("action")?, words("plugin_sha256")?, words("cluster")?);
        let Some(Value::Array(exchanges)) = map.shift_remove("exchanges") else {
            return Err("`exchanges` expects a list".to_owned());
        };
        let exchange = |(number, exchange): (usize, &Value)| {
            Exchange::from_json(exchange).map_err(|why| format!("`exchanges[{number}]`: {why}"))
        };
        let exchanges = exchanges.iter().enumerate().map(exchange).collect::<Result<_, _>>()?;
        let mut take = |key: &str| map.shift_remove(key);
        let alert = take("alert").ok_or("`alert` is missing")?;
        let result = take("result").ok_or("`result` is missing")?;
        let said = ["config", "rule", "parameters", "grants"];
        let said = said.iter().filter_map(|key| Some(((*key).to_owned(), take(key)?))).collect();
        Ok(Self { action, plugin_sha256, cluster, alert, said, exchanges, result })
    }

    /// Plays it back with an action.
    ///
    /// # Errors
    /// What it says cannot be played at all.
    pub async fn replay(&self, harness: &Harness, path: &Path) -> Result<Replayed, ReplayError> {
        let alert =
            Alert::parse(self.alert.to_string().as_bytes()).map_err(|error| ReplayError::Alert(error.to_string()))?;
        let node = |key: &str| self.said.get(key).map(|value| Node::of_json(value, Location::default()));
        let wishes = Wishes {
            config: node("config"),
            rule: node("rule"),
            parameters: node("parameters"),
            grants: node("grants"),
            dry_run: true,
        };
        let config: Config =
            setup::config(path, &harness.action().manifest.name, &alert, &wishes).map_err(ReplayError::Said)?;
        let playback = Playback::of(self.exchanges.clone());
        let received_at = alert.time;
        let cluster = Cluster::real(connect_playback(playback.clone()));
        let played = harness.play(Setup { config, alert, received_at, cluster }).await?;
        let (expected, actual) = (&self.result, told(&played));
        let result = if *expected == actual { Vec::new() } else { differing(expected, &actual) };
        Ok(Replayed { played, departure: playback.departure(), result })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("`alert` is none: {0}")]
    Alert(String),
    #[error("{}", .0.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; "))]
    Said(Vec<Problem>),
    #[error(transparent)]
    Harness(#[from] HarnessError),
}

/// What was recorded, beside what came of it.
pub struct Asked<'a> {
    pub alert: &'a Alert,
    pub wishes: &'a Wishes,
    pub cluster: &'a str,
}

/// Without secrets, as it is kept.
fn told(played: &Played) -> Value {
    Redactor::default().document(actual::told(played, Some(&json!({"says": null}))))
}

/// Expected against actual.
fn differing(expected: &Value, actual: &Value) -> Vec<Line> {
    let text = |value: &Value| yaml::document(&yaml::in_order(value));
    merged::unified(&text(expected), &text(actual))
}

/// The lines of the two requests at which a playback departed.
pub fn departing(departure: &Departure) -> Vec<Line> {
    let text = |sent: &Option<Sent>| match sent {
        Some(sent) => {
            let mut map = Map::new();
            map.insert("request".to_owned(), sent.to_string().into());
            if !sent.body.is_null() {
                map.insert("body".to_owned(), yaml::in_order(&sent.body));
            }
            yaml::document(&Value::Object(map))
        }
        None => String::new(),
    };
    merged::unified(&text(&departure.expected), &text(&departure.actual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::recorded::Returned;

    fn session() -> Session {
        let request = Sent { method: "GET".to_owned(), path: "/api/v1/pods/x".to_owned(), body: Value::Null };
        let answer = Some(Returned { status: 200, document: json!({"kind": "Pod", "spec": {"a": "yes"}}) });
        Session {
            action: "kill_pod".to_owned(),
            plugin_sha256: "00".to_owned(),
            cluster: "kubeconfig".to_owned(),
            alert: json!({"rule": "r"}),
            said: Map::from_iter([("parameters".to_owned(), json!({"grace_period_seconds": 1}))]),
            exchanges: vec![Exchange { request, answer }],
            result: json!({"outcome": "done"}),
        }
    }

    #[test]
    fn reads_as_it_was_written() {
        let text = session().to_yaml();
        assert_eq!(Session::parse(&text), Ok(session()));
        assert!(text.starts_with("# A session") && text.contains("\nversion: 1\n"), "{text}");
        assert!(text.contains("  - request: GET /api/v1/pods/x\n    status: 200\n    answer:\n"), "{text}");
    }

    #[test]
    fn refuses_a_newer_version_and_what_is_no_session() {
        let text = session().to_yaml();
        for (broken, expected) in [
            (text.replace("version: 1", "version: 2"), "this program reads up to 1: play it back with a newer one"),
            (text.replace("version: 1", "version: one"), "expects a number"),
            (text.replace("version: 1\n", ""), "has no `version`"),
            (text.replace("result:", "results:"), "unknown key `results`, did you mean `result`?"),
            (text.replace("status: 200", "statuz: 200"), "`exchanges[0]`: unknown key `statuz`"),
            ("[]".to_owned(), "holds no map"),
            ("a: [".to_owned(), "not valid YAML"),
        ] {
            let error = Session::parse(&broken).expect_err("refused");
            assert!(error.contains(expected), "{error}");
        }
    }
}
