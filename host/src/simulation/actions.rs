//! The actions: the two that the project ships, call by call, and one that does whatever comes to mind.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::manifests;
use super::world::World;
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
use crate::cluster::{PatchDocument, Selection};
use crate::plugins::native::{Action, Ending, Host};
use crate::plugins::{End, Limits, Plugins, manifest};
use crate::safety::gate::Change;
use crate::safety::{CallError, Reason};

const KILL: &str = r#"{"contract": "0.1", "name": "kill_pod", "summary": "Deletes the pod.", "target": "pods",
    "repeatable": true, "permissions": [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"], "scope": "target"}]}"#;
const ISOLATE: &str = r#"{"contract": "0.1", "name": "isolate_namespace", "summary": "Isolates.", "target": "namespaces",
    "pages": true, "repeatable": true, "permissions": [
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["get", "create", "patch"],
            "scope": "namespace", "resourceNames": ["falco-emergency-isolation"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list"], "scope": "namespace"}]}"#;
const CHAOS: &str = r#"{"contract": "0.1", "name": "chaos", "summary": "Anything.", "target": "pods",
    "pages": true, "repeatable": true, "permissions": [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "delete", "patch"], "scope": "cluster"},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"], "scope": "cluster"},
        {"apiGroups": ["apps"], "resources": ["deployments", "daemonsets", "statefulsets"], "verbs": ["get", "patch"],
            "scope": "cluster"},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"],
            "verbs": ["get", "create", "patch", "delete"], "scope": "cluster"}]}"#;

pub fn plugins(world: &Arc<World>, limits: Limits) -> Plugins {
    let parsed = |text: &str| manifest::parse(text.as_bytes()).expect("a sound manifest");
    let noted = |name, act| -> Arc<dyn Action> { Arc::new(Noted { world: Arc::clone(world), name, act }) };
    let actions = vec![
        (parsed(KILL), noted("kill_pod", Act::Kill)),
        (parsed(ISOLATE), noted("isolate_namespace", Act::Isolate)),
        (parsed(CHAOS), noted("chaos", Act::Chaos)),
    ];
    Plugins::native(actions, limits)
}

#[derive(Clone, Copy)]
enum Act {
    Kill,
    Isolate,
    Chaos,
}

struct Noted {
    world: Arc<World>,
    name: &'static str,
    act: Act,
}

impl Action for Noted {
    fn act<'a>(&'a self, host: &'a Host) -> Ending<'a> {
        Box::pin(async move {
            self.world.note(|| format!("{} runs for {}", self.name, host.event_id));
            let start = (host.event_id.clone(), host.rule.clone(), self.name.to_owned());
            self.world.state().notes.started.push(start);
            match self.act {
                Act::Kill => kill(host).await,
                Act::Isolate => isolate(host).await,
                Act::Chaos => chaos(&self.world, host).await,
            }
        })
    }
}

fn gave_up(error: CallError) -> End {
    End::Failed { retry: error.reason == Reason::Unavailable, message: error.message }
}

async fn kill(host: &Host) -> End {
    let Some(target) = host.target() else { return End::Trap("no target".to_owned()) };
    let object = target.object.clone();
    match host.change(Change::Delete { object, grace_period_seconds: Some(1), propagation: None }).await {
        Ok(_) => End::Acted("deleted pod".to_owned()),
        Err(error) if error.reason == Reason::NotFound => End::Skipped("already gone".to_owned()),
        Err(error) => gave_up(error),
    }
}

async fn isolate(host: &Host) -> End {
    let Some(namespace) = host.target().and_then(|target| target.namespace()) else {
        return End::Trap("no target".to_owned());
    };
    let object = policy_ref(&namespace, "falco-emergency-isolation");
    let manifest = policy(namespace.as_str(), "falco-emergency-isolation");
    let closed = |found: &Value| found.pointer("/spec/egress").is_none_or(|rules| *rules == json!([]));
    let ours = |found: &Value| found.pointer("/metadata/labels/app.kubernetes.io~1managed-by").is_some();
    let end = match host.get(&object).await {
        Ok(found) if ours(&found) && closed(&found) => End::Skipped("isolated already".to_owned()),
        Err(error) if error.reason != Reason::NotFound => return gave_up(error),
        _ => match host.change(Change::Apply { object, manifest, force: false }).await {
            Ok(_) => End::Acted("isolated".to_owned()),
            Err(error) => return gave_up(error),
        },
    };
    let selection = Selection { namespace: Some(namespace), ..Selection::default() };
    match host.query(&policies(), &selection).await {
        Ok(_) => host.note("isolation", "full"),
        Err(error) => host.note("isolation_unverified", &error.message),
    }
    end
}

fn policies() -> ApiResource {
    ApiResource::parse("networking.k8s.io", "v1", "networkpolicies").expect("valid")
}

fn policy_ref(namespace: &Namespace, name: &str) -> ObjectRef {
    let name = ObjectName::parse(name).expect("valid");
    ObjectRef { resource: policies(), namespace: Some(namespace.clone()), name, uid: None }
}

fn policy(namespace: &str, name: &str) -> Value {
    let mut policy = manifests::policy(namespace, false);
    policy["metadata"]["name"] = json!(name);
    policy["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "falco-response-controller"});
    policy
}

/// Few or too many calls, on its target or on anything else, whether or not the last one failed.
async fn chaos(world: &World, host: &Host) -> End {
    let Some(target) = host.target() else { return End::Trap("no target".to_owned()) };
    let dice = &world.dice;
    let calls = dice.one_of(&[1, 1, 2, 3, 5, 14]);
    let stubborn = dice.chance(500);
    let mut last = Ok(Value::Null);
    for _ in 0..calls {
        if dice.chance(30) {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        last = match dice.below(10) {
            0 => host.get(&target.object).await,
            1 => {
                let selection = Selection { namespace: target.namespace(), ..Selection::default() };
                host.query(&ApiResource::pods(), &selection).await.map(Value::Array)
            }
            _ => host.change(whim(world, &target.object)).await,
        };
        if last.is_err() && !stubborn {
            break;
        }
    }
    match dice.below(6) {
        0 => End::Trap("unreachable".to_owned()),
        1 => End::Skipped("nothing".to_owned()),
        2 => End::Failed { message: "no".to_owned(), retry: dice.chance(500) },
        _ => match last {
            Err(error) if !stubborn => gave_up(error),
            _ => End::Acted("done".to_owned()),
        },
    }
}

fn whim(world: &World, target: &ObjectRef) -> Change {
    let dice = &world.dice;
    let (namespace, name) = dice.one_of(manifests::PODS);
    let namespace = Namespace::parse(namespace).expect("valid");
    let pod = ObjectRef {
        resource: ApiResource::pods(),
        namespace: Some(namespace.clone()),
        name: ObjectName::parse(name).expect("valid"),
        uid: dice.chance(100).then(|| Uid::parse("00000000-0000-4000-8000-000000000000").expect("valid")),
    };
    let unpinned = ObjectRef { uid: None, ..target.clone() };
    let workload = |plural, name: &str| ObjectRef {
        resource: ApiResource::parse("apps", "v1", plural).expect("valid"),
        namespace: Some(namespace.clone()),
        name: ObjectName::parse(name).expect("valid"),
        uid: None,
    };
    let delete = |object| Change::Delete { object, grace_period_seconds: Some(1), propagation: None };
    let merge = |object, document| Change::Patch { object, document: PatchDocument::Merge(document) };
    let own = dice.one_of(&["falco-a", "falco-b", "falco-emergency-isolation"]);
    let scale = json!({"spec": {"replicas": dice.below(3)}});
    match dice.below(14) {
        0 => delete(target.clone()),
        1 => delete(unpinned),
        2 | 3 => delete(pod),
        4 => Change::Evict { pod: unpinned, grace_period_seconds: Some(1) },
        5 => Change::Evict { pod, grace_period_seconds: None },
        6 => merge(unpinned, json!({"metadata": {"labels": {"falco": dice.below(3).to_string()}}})),
        7 => merge(pod, json!({"metadata": {"labels": {"falco": dice.below(3).to_string()}}})),
        8 => merge(target.clone(), json!({"metadata": {"ownerReferences": []}})),
        9 => merge(workload("deployments", "checkout"), scale),
        10 => merge(workload(dice.one_of(&["daemonsets", "statefulsets"]), dice.one_of(&["agent", "db"])), scale),
        11 => Change::Apply {
            object: policy_ref(&namespace, own),
            manifest: policy(namespace.as_str(), own),
            force: dice.chance(300),
        },
        12 => Change::Create {
            resource: policies(),
            namespace: Some(namespace.clone()),
            manifest: policy(namespace.as_str(), own),
        },
        _ => delete(policy_ref(&namespace, own)),
    }
}
