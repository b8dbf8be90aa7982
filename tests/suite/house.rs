//! One controller in a directory of its own, with the demo's cluster and the runbook's configuration unless a test
//! says otherwise.

use std::path::{Path, PathBuf};
use std::time::Duration;

use integration_tests::controller::{Controller, Setup};
use integration_tests::{http, root};
use serde_json::Value;
use tempfile::TempDir;

pub const TOKEN: &str = "a-token-of-more-than-16-bytes";
const RECORD_WITHIN: Duration = Duration::from_secs(15);

pub struct Plan {
    config: String,
    cluster: String,
    /// Plugins beside those that are shipped.
    further: Vec<PathBuf>,
    fault: Option<String>,
    directory: TempDir,
}

pub struct House {
    pub controller: Controller,
    pub plan: Plan,
}

/// The runbook's configuration with isolate_namespace, verbatim.
pub fn runbook() -> String {
    std::fs::read_to_string(root().join("tests/fixtures/config/runbook-b.yaml")).unwrap()
}

impl Plan {
    pub fn new() -> Self {
        let cluster = format!("simulated:{}", root().join("deploy/demo/cluster").display());
        Self { config: runbook(), cluster, further: Vec::new(), fault: None, directory: tempfile::tempdir().unwrap() }
    }

    pub fn config(mut self, text: &str) -> Self {
        self.config = text.to_owned();
        self
    }

    /// Adds to the configuration.
    pub fn and(mut self, text: &str) -> Self {
        self.config.push('\n');
        self.config.push_str(text);
        self
    }

    pub fn replace(mut self, from: &str, to: &str) -> Self {
        assert!(self.config.contains(from), "{from:?} is not in the configuration");
        self.config = self.config.replacen(from, to, 1);
        self
    }

    /// The cluster, as manifests.
    pub fn manifests(mut self, yaml: &str) -> Self {
        let dir = self.path().join("cluster");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("all.yaml"), yaml).unwrap();
        self.cluster = format!("simulated:{}", dir.display());
        self
    }

    pub fn cluster(mut self, spec: &str) -> Self {
        self.cluster = spec.to_owned();
        self
    }

    /// With the hostile plugin beside the others.
    pub fn hostile(self) -> Self {
        self.plugin(root().join("target/test-plugins/hostile.wasm"))
    }

    /// With this plugin beside the others.
    pub fn plugin(mut self, file: PathBuf) -> Self {
        self.further.push(file);
        self
    }

    /// With the binary that has faults, and this one of them.
    pub fn fault(mut self, name: &str) -> Self {
        self.fault = Some(name.to_owned());
        self
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn setup(&self) -> Setup {
        let path = self.path();
        let config = path.join("config.yaml");
        std::fs::write(&config, &self.config).unwrap();
        let token_file = path.join("token");
        std::fs::write(&token_file, TOKEN).unwrap();
        Setup {
            directory: path.to_owned(),
            config,
            plugins: self.plugins(),
            token_file,
            cluster: self.cluster.clone(),
            // Compiling is slow in a debug build, and every test would do it again: the cache is shared.
            environment: self.fault.iter().map(|name| ("FAULT".to_owned(), name.clone())).collect(),
        }
    }

    fn plugins(&self) -> PathBuf {
        let dir = self.path().join("plugins");
        std::fs::create_dir_all(&dir).unwrap();
        let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("target/plugins"))
            .expect("target/plugins is not built: run cargo xtask test")
            .map(|entry| entry.unwrap().path())
            .collect();
        // Each start compiles what is there: only the runbook's, and what else the configuration names.
        let wanted = |file: &PathBuf| {
            let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            file.extension().is_some_and(|extension| extension == "wasm")
                && (["kill_pod", "isolate_namespace"].contains(&name) || self.config.contains(name))
        };
        files.retain(wanted);
        files.extend_from_slice(&self.further);
        for file in files {
            std::fs::copy(&file, dir.join(file.file_name().unwrap())).unwrap();
        }
        dir
    }

    pub fn start(self) -> House {
        let controller = Controller::start(&self.setup()).unwrap();
        House { controller, plan: self }
    }
}

impl House {
    pub fn new() -> Self {
        Plan::new().start()
    }

    /// Posts an alert and expects it to be taken.
    pub fn post(&self, alert: &Value) {
        let answer = http::post(self.controller.address, "/alert", TOKEN, alert.to_string().as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{}", answer.head);
    }

    /// Posts an alert, and waits for what came of it: an entry or a decision.
    pub fn record_of(&self, alert: &Value) -> Value {
        self.post(alert);
        self.wait_for_record(alert)
    }

    pub fn wait_for_record(&self, alert: &Value) -> Value {
        let of_alert = |line: &Value| {
            line["alert_uuid"] == alert["uuid"] && (line.get("outcome").is_some() || line.get("decision").is_some())
        };
        let found = self.controller.wait_for(0, RECORD_WITHIN, of_alert);
        found.unwrap_or_else(|| panic!("no record of the alert; the log:\n{}", self.controller.text()))
    }

    /// The records of an alert, once there are `number` of them, or none comes any more.
    pub fn records_of(&self, alert: &Value, number: usize) -> Vec<Value> {
        let of_alert = |line: &Value| {
            line["alert_uuid"] == alert["uuid"] && (line.get("outcome").is_some() || line.get("decision").is_some())
        };
        let deadline = std::time::Instant::now() + RECORD_WITHIN;
        loop {
            let found: Vec<_> = self.controller.lines().into_iter().filter(of_alert).collect();
            if found.len() >= number || std::time::Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The follow-up of an entry.
    pub fn wait_for_followup(&self, entry: &Value) -> Value {
        let of_entry = |line: &Value| line["entry_id"] == entry["entry_id"] && line.get("followup").is_some();
        let found = self.controller.wait_for(0, RECORD_WITHIN, of_entry);
        found.unwrap_or_else(|| panic!("no follow-up; the log:\n{}", self.controller.text()))
    }

    /// What the simulated cluster says has changed so far.
    pub fn changes(&self) -> Vec<String> {
        let lines = self.controller.lines().into_iter();
        lines
            .filter_map(|line| Some(line["message"].as_str()?.strip_prefix("simulated cluster: ")?.to_owned()))
            .collect()
    }

    /// The journal's records of one type, oldest first.
    pub fn journal(&self, log_type: &str) -> Vec<Value> {
        journal(self.plan.path(), log_type)
    }
}

/// Reads the chain of a journal file as any SQLite client would.
pub fn journal(directory: &Path, log_type: &str) -> Vec<Value> {
    let connection =
        rusqlite::Connection::open_with_flags(directory.join("journal.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap();
    let mut statement = connection.prepare("SELECT body FROM chain WHERE log_type = ?1 ORDER BY seq").unwrap();
    let rows = statement.query_map([log_type], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|body| serde_json::from_str(&body.unwrap()).unwrap()).collect()
}
