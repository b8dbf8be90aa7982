//! Lets happen what is due: alerts, people and the cluster's own controllers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::scenario::{Happening, Oddity, Sight};
use super::truth;
use super::world::{World, after};
use super::{api, manifests};

pub const TOKEN: &str = "a-token-of-more-than-16-bytes";
const MERGE: &str = "application/merge-patch+json";

/// For as long as it is polled.
pub async fn run(world: Arc<World>, intake: Router) {
    loop {
        match world.next() {
            Ok(happening) => happen(&world, &intake, happening),
            Err(None) => world.more.notified().await,
            Err(Some(wait)) => {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(wait) => {}
                    () = world.more.notified() => {}
                }
            }
        }
    }
}

fn happen(world: &Arc<World>, intake: &Router, happening: Happening) {
    match happening {
        Happening::Seen(sight) => seen(world, &sight),
        Happening::Posted(body) => {
            world.begins_to_post();
            drop(tokio::spawn(post(Arc::clone(world), intake.clone(), body)));
        }
        Happening::Arrives(late) => {
            world.note(|| format!("api: {} {} arrives late", late.request.method(), late.request.uri().path()));
            truth::carry_out(world, &late);
        }
        Happening::ComesBack(pod) => comes_back(world, &pod),
        Happening::Deleted(path) => {
            let grace = world.dice.one_of(&[0, 1, 30]);
            truth::another(world, Method::DELETE, path, "application/json", &json!({"gracePeriodSeconds": grace}));
        }
        Happening::PolicyEdited(namespace) => edit_policy(world, &namespace),
        Happening::Swapped(path) => swap(world, &path),
        Happening::Held(path) => {
            let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
            truth::another(world, Method::PATCH, path, MERGE, &hold);
        }
        Happening::Brake(on) => brake(world, on),
    }
}

/// Writes the alert from the cluster as it is now.
fn seen(world: &World, sight: &Sight) {
    let path = format!("/api/v1/namespaces/{}/pods/{}", sight.namespace, sight.pod);
    let pod = world.cluster.object(&path).unwrap_or(Value::Null);
    let mut fields = json!({"k8s.ns.name": sight.namespace, "k8s.pod.name": sight.pod});
    if sight.with_uid
        && let Some(uid) = pod.pointer("/metadata/uid")
    {
        fields["k8s.pod.uid"] = uid.clone();
    }
    let id = pod.pointer("/status/containerStatuses/0/containerID").and_then(Value::as_str);
    if sight.with_container
        && let Some(id) = id.and_then(|id| id.strip_prefix("containerd://"))
    {
        fields["container.id"] = json!(id[..12]);
    }
    match sight.oddity {
        Oddity::AnotherUid => fields["k8s.pod.uid"] = json!("00000000-0000-4000-8000-000000000000"),
        Oddity::AnotherContainer => fields["container.id"] = json!("0123456789ab"),
        Oddity::Host => fields["container.id"] = json!("host"),
        _ => {}
    }
    let shift = match sight.oddity {
        Oddity::Stale => SignedDuration::from_mins(-10),
        Oddity::Future => SignedDuration::from_mins(5),
        Oddity::Skewed => SignedDuration::from_secs(30),
        _ => SignedDuration::ZERO,
    };
    let priority = if sight.oddity == Oddity::NotUrgent { "Notice" } else { "Critical" };
    let time = world.now().saturating_add(shift).unwrap_or(Timestamp::MAX).to_string();
    let mut alert = json!({"output": format!("alert {}", sight.number), "priority": priority, "rule": sight.rule,
        "source": "syscall", "time": time, "output_fields": fields});
    if sight.oddity != Oddity::NoUuid {
        alert["uuid"] = json!(sight.uuid);
    }
    world.note(|| format!("falco: {alert}"));
    let body: Arc<str> = alert.to_string().into();
    world.soon(sight.delay, Happening::Posted(Arc::clone(&body)));
    if let Some(again) = sight.again {
        // Falcosidekick mints its id anew for what Falco sends it again; rule, pod and time are the same.
        let body = match &alert["uuid"] {
            Value::String(uuid) if sight.with_uid && sight.number.is_multiple_of(2) => {
                body.replace(uuid.as_str(), &another(uuid)).into()
            }
            _ => body,
        };
        world.soon(sight.delay + again, Happening::Posted(body));
    }
}

fn another(uuid: &str) -> String {
    uuid.chars().rev().collect::<String>().replace('-', "0")
}

async fn post(world: Arc<World>, intake: Router, body: Arc<str>) {
    world.step(|| format!("post {}", &body[..body.len().min(40)])).await;
    let request = Request::post("/alert").header("x-falco-token", TOKEN);
    let request = request.body(axum::body::Body::from(body.as_bytes().to_vec())).expect("a request");
    let response = intake.oneshot(request).await.expect("a router answers");
    if world.is_dead() {
        return;
    }
    world.has_posted();
    world.note(|| format!("intake: {}", response.status().as_u16()));
    if response.status().is_success() {
        let mut state = world.state();
        let life = state.notes.lives;
        state.notes.answered.push((body.to_string(), life));
    }
}

fn comes_back(world: &World, pod: &Arc<Value>) {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let path = format!("/api/v1/namespaces/{}/pods/{}", text("/metadata/namespace"), text("/metadata/name"));
    if world.cluster.object(&path).is_some() {
        // The name is taken as long as the old one is on its way out.
        if world.is_rough() {
            world.soon(Duration::from_millis(500), Happening::ComesBack(Arc::clone(pod)));
        }
        return;
    }
    let mut anew = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
        "name": text("/metadata/name"), "namespace": text("/metadata/namespace"), "uid": world.dice.uuid()}});
    if let Some(owners) = pod.pointer("/metadata/ownerReferences") {
        anew["metadata"]["ownerReferences"] = owners.clone();
    }
    manifests::born(&mut anew, &world.dice, world.now());
    world.note(|| format!("cluster: {path} is there again"));
    world.cluster.place(anew).expect("a pod of the scenario is sound");
}

fn swap(world: &World, path: &str) {
    let Some(pod) = world.cluster.object(path) else { return };
    truth::another(world, Method::DELETE, path, "application/json", &json!({"gracePeriodSeconds": 0}));
    comes_back(world, &Arc::new(pod));
}

/// Whoever else wants something of an object that the controller is at, wants it now.
pub fn meddle(world: &World, path: &str) {
    if !world.is_rough() || !world.dice.chance(world.scenario.weather.meddling) {
        return;
    }
    let mut parts = path.split('/').skip_while(|part| *part != "namespaces").skip(1);
    let (namespace, plural) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let path = path.trim_end_matches("/eviction");
    let happening = match (plural, world.dice.below(8)) {
        ("pods" | "networkpolicies", 0) => Happening::Brake(true),
        ("pods", _) => Happening::Swapped(path.to_owned()),
        ("networkpolicies", _) => Happening::PolicyEdited(namespace.to_owned()),
        _ => return,
    };
    world.soon(world.dice.millis(0, 15), happening);
}

fn edit_policy(world: &World, namespace: &str) {
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/falco-emergency-isolation");
    match (world.cluster.object(&path), world.dice.below(3)) {
        (None, _) => {
            world.note(|| format!("somebody: makes {path}"));
            let open = world.dice.chance(500);
            world.cluster.place(manifests::policy(namespace, open)).expect("a policy is sound");
        }
        (Some(_), 0) => truth::another(world, Method::DELETE, &path, "application/json", &Value::Null),
        (Some(_), _) => {
            truth::another(world, Method::PATCH, &path, MERGE, &json!({"spec": {"egress": [{}]}}));
        }
    }
}

fn brake(world: &World, on: bool) {
    world.note(|| format!("brake: {on}"));
    if on {
        std::fs::write(world.stop_file(), "").expect("written");
    } else {
        // It may be off already.
        let _ = std::fs::remove_file(world.stop_file());
    }
    let now = world.now();
    let mut state = world.state();
    state.brake_since = if on { state.brake_since.or(Some(now)) } else { None };
}

/// Between two lives: what was on its way is settled, and what was posted to nobody is lost.
pub fn nobody_home(world: &Arc<World>, away: Duration) {
    let back = after(world.now(), away);
    let (arriving, lost) = {
        let mut state = world.state();
        (std::mem::take(&mut state.arriving), state.lose_posts(back))
    };
    for late in arriving.into_values() {
        api::given_up(world, late);
    }
    if lost > 0 {
        world.note(|| format!("intake: {lost} alerts found nobody"));
    }
}
