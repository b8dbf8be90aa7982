//! What a crash is survived by: the API server, Graylog, the pager, and the directory with journal and configuration.

use std::time::{Duration, Instant};

use integration_tests::controller::{Controller, Setup};
use integration_tests::http;
use integration_tests::receiver::Receiver;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::api::Api;
use crate::house::{Plan, TOKEN};

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

pub struct Stage {
    pub plan: Plan,
    pub setup: Setup,
    pub api: Api,
    pub graylog: Receiver,
    pub pager: Receiver,
    /// The alerts that were answered with 204.
    pub answered: Vec<Value>,
}

impl Stage {
    /// A namespace `production` with `pods` pods of a Deployment, `web-0` and so on, each old enough to be an alert's.
    pub fn new(pods: usize) -> Self {
        let graylog = Receiver::start(202).unwrap();
        let pager = Receiver::start(200).unwrap();
        let plan = Plan::new().and(&format!(
            "audit: {{graylog: {{url: \"http://{}/gelf\"}}}}\npaging: {{alertmanager: {{url: \"http://{}\"}}}}\n",
            graylog.address, pager.address
        ));
        let api = Api::start(&manifests(pods), &plan.path().join("journal.db"));
        let kubeconfig = plan.path().join("kubeconfig");
        std::fs::write(&kubeconfig, api.kubeconfig()).unwrap();
        let plan = plan.cluster(&format!("kubeconfig:{}", kubeconfig.display()));
        let setup = plan.setup();
        Self { plan, setup, api, graylog, pager, answered: Vec::new() }
    }

    /// The controller, which kills itself where `fault` says.
    pub fn start(&self, fault: Option<&str>) -> Result<Controller, String> {
        let environment = fault.map(|fault| ("FAULT".to_owned(), fault.to_owned())).into_iter().collect();
        Controller::start(&Setup { environment, ..self.setup.clone() })
    }

    /// Posts an alert; whether it was answered with 204 is remembered.
    pub fn post(&mut self, controller: &Controller, alert: &Value) {
        let answer = http::post(controller.address, "/alert", TOKEN, alert.to_string().as_bytes());
        if answer.is_ok_and(|answer| answer.status == 204) {
            self.answered.push(alert.clone());
        }
    }

    /// Waits until nothing is left in the inbox, and every parcel was delivered.
    pub fn settle(&self, controller: &Controller) {
        let deadline = Instant::now() + SETTLES_WITHIN;
        loop {
            let journal = self.journal();
            let count = |query: &str| journal.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap_or(-1);
            let inbox = count("SELECT count(*) FROM inbox WHERE finished = 0");
            let outbox = count("SELECT count(*) FROM outbox WHERE settled = 0");
            if inbox == 0 && outbox == 0 {
                return;
            }
            let text = || controller.text();
            assert!(Instant::now() < deadline, "{inbox} alerts and {outbox} parcels are left:\n{}", text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn journal(&self) -> Connection {
        let file = self.plan.path().join("journal.db");
        let journal = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        journal.busy_timeout(Duration::from_secs(5)).unwrap();
        journal
    }
}

fn manifests(pods: usize) -> String {
    let mut text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: production}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: staging}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: production}\n\
         spec: {replicas: 1, selector: {matchLabels: {app: web}}}\n---\n\
         apiVersion: apps/v1\nkind: ReplicaSet\n\
         metadata: {name: web-1, namespace: production, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, controller: true}]}\n\
         spec: {replicas: 1, selector: {matchLabels: {app: web}}}\n"
        .to_owned();
    for number in 0..pods {
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: Pod\n\
             metadata: {{name: web-{number}, namespace: production, labels: {{app: web}}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, controller: true}}]}}\n\
             spec: {{nodeName: node-1, containers: [{{name: web, image: shop/web:1}}]}}\n"
        ));
    }
    text
}
