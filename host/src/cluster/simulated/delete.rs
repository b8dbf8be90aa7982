//! Deletes and evictions: preconditions, grace periods, finalizers and disruption budgets.

use http::StatusCode;
use serde_json::{Value, json};

use super::http::{Answer, Query, Route, dry_run};
use super::selectors::Labels;
use super::status::{self, Failure};
use super::store::{Change, Key, Store, Verb, has_finalizers, later, whole_seconds};
use crate::ambient::Ambient;

/// What the API server gives a pod that names none.
const DEFAULT_GRACE: i64 = 30;

/// A delete, by its options alone; answers the object as it is or would be then.
pub fn remove(
    store: &mut Store,
    ambient: &Ambient,
    route: &Route,
    key: &Key,
    options: &Value,
) -> Result<Value, Failure> {
    let kind = &route.kind;
    let dry = dry_run("DeleteOptions", options["dryRun"].as_array().map(Vec::as_slice).unwrap_or_default())?;
    are_options(options)?;
    let object = store.get(key).ok_or_else(|| Failure::not_found(kind, &key.name))?.clone();
    preconditions(route, &object, &options["preconditions"])?;
    let asked = options["gracePeriodSeconds"].as_i64();
    let grace = if kind.is_pod() { pod_grace(&object, asked) } else { 0 };
    let (change, grace) = if object["metadata"]["deletionTimestamp"].is_string() {
        again(store, key, &object, asked.map(|_| grace))
    } else {
        (first(ambient, &object, kind.is_namespace(), grace), grace)
    };
    let mut after = match &change {
        Change::Put(object) | Change::Leaving(object, _) => object.clone(),
        Change::Remove | Change::Nothing => object,
    };
    let removed = matches!(change, Change::Remove);
    if removed && after["metadata"]["deletionTimestamp"].is_string() {
        after["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    }
    if dry {
        return Ok(after);
    }
    let stored = store.commit(key, change, Verb::Deleted { grace });
    Ok(stored.filter(|_| !removed).unwrap_or(after))
}

fn are_options(options: &Value) -> Result<(), Failure> {
    match options["kind"].as_str() {
        Some("DeleteOptions") | None => {}
        Some(other) => {
            let version = options["apiVersion"].as_str().unwrap_or_default();
            let why = format!("no kind \"{other}\" is registered for version \"{version}\" in scheme");
            return Err(Failure::bad_request(why));
        }
    }
    match options["propagationPolicy"].as_str() {
        Some("Foreground" | "Background" | "Orphan") | None => Ok(()),
        Some(other) => {
            let known = "\"Foreground\", \"Background\", \"Orphan\", \"nil\"";
            let why = format!("Unsupported value: \"{other}\": supported values: {known}");
            Err(Failure::invalid_options("DeleteOptions", "propagationPolicy", &why))
        }
    }
}

fn preconditions(route: &Route, object: &Value, preconditions: &Value) -> Result<(), Failure> {
    let checks = [("uid", "UID", "deleted and then recreated"), ("resourceVersion", "ResourceVersion", "modified")];
    for (field, called, fate) in checks {
        let Some(wanted) = preconditions[field].as_str() else { continue };
        let found = object["metadata"][field].as_str().unwrap_or_default();
        if wanted != found {
            let why = format!(
                "the {called} in the precondition ({wanted}) does not match the {called} in record ({found}). \
                 The object might have been {fate}"
            );
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Failure::precondition(&route.kind, name, &why));
        }
    }
    Ok(())
}

/// How long a pod may take: what was asked for, else its own, and nothing where no container runs.
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    let unscheduled = phase == "Pending" && pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
    if unscheduled || matches!(phase, "Failed" | "Succeeded") {
        return 0;
    }
    let own = || pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE);
    let grace = asked.unwrap_or_else(own);
    // A negative period means "at once, but let the kubelet do it".
    if grace < 0 { 1 } else { grace }
}

fn first(ambient: &Ambient, object: &Value, is_namespace: bool, grace: i64) -> Change {
    if grace == 0 && !has_finalizers(object) && !is_namespace {
        return Change::Remove;
    }
    let gone = later(ambient.now(), grace);
    let mut after = object.clone();
    after["metadata"]["deletionTimestamp"] = json!(whole_seconds(gone));
    after["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    if is_namespace {
        // Its content would be deleted by a controller that does not run.
        after["metadata"].as_object_mut().map(|metadata| metadata.shift_remove("deletionGracePeriodSeconds"));
        after["status"]["phase"] = json!("Terminating");
    }
    if grace == 0 { Change::Put(after) } else { Change::Leaving(after, gone) }
}

/// A delete of what is being deleted can only bring its end forward.
fn again(store: &Store, key: &Key, object: &Value, asked: Option<i64>) -> (Change, i64) {
    let Some(before) = object["metadata"]["deletionGracePeriodSeconds"].as_i64() else {
        // Nothing says how long it may still take: the API server does not wait, but for finalizers.
        let stays = has_finalizers(object) || (key.group.is_empty() && key.plural == "namespaces");
        return (if stays { Change::Nothing } else { Change::Remove }, 0);
    };
    let Some(grace) = asked.filter(|&grace| grace < before) else { return (Change::Nothing, before) };
    if grace == 0 && !has_finalizers(object) {
        return (Change::Remove, 0);
    }
    let stated = object["metadata"]["deletionTimestamp"].as_str().and_then(|at| at.parse().ok());
    let Some(until) = store.leaves_at(key).or(stated) else { return (Change::Nothing, before) };
    let gone = later(until, grace - before);
    let mut after = object.clone();
    after["metadata"]["deletionTimestamp"] = json!(whole_seconds(gone));
    after["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    (Change::Leaving(after, gone), grace)
}

/// Whether something can be created in the namespace of this path.
///
/// # Errors
/// 404, or 403 for one that is going away.
pub fn takes_new(store: &Store, route: &Route, name: &str) -> Result<(), Failure> {
    let Some(namespace) = route.namespace.as_deref() else {
        // A collection of namespaced objects without a namespace is for reading only.
        return if route.kind.namespaced { Err(Failure::method_not_allowed()) } else { Ok(()) };
    };
    let found = store.namespace(namespace).ok_or_else(|| Failure::namespace_not_found(namespace))?;
    if found["metadata"]["deletionTimestamp"].is_string() {
        return Err(Failure::namespace_terminating(&route.kind, name, namespace));
    }
    Ok(())
}

/// The eviction subresource: a delete that asks the disruption budgets first.
pub fn evict(store: &mut Store, ambient: &Ambient, route: &Route, query: &Query, eviction: &Value) -> Answer {
    let in_query = query.dry_run("CreateOptions")?;
    let key = route.key().ok_or_else(Failure::method_not_allowed)?;
    if eviction["kind"] != "Eviction"
        || !["policy/v1", "policy/v1beta1"].iter().any(|own| eviction["apiVersion"] == *own)
    {
        return Err(Failure::bad_request("the body is no Eviction of policy/v1"));
    }
    if eviction["metadata"]["namespace"].as_str().is_some_and(|namespace| namespace != key.namespace) {
        return Err(Failure::another_namespace());
    }
    // To admission an eviction is the creation of something.
    takes_new(store, route, &key.name)?;
    if eviction["metadata"]["name"].as_str() != Some(&key.name) {
        return Err(Failure::bad_request("name in URL does not match name in Eviction object"));
    }
    // Other spellings of the field, `delete_options` among them, pass silently and mean nothing.
    let mut options = eviction.get("deleteOptions").filter(|options| options.is_object()).cloned().unwrap_or(json!({}));
    if in_query {
        options["dryRun"] = json!(["All"]);
    }
    let dry = dry_run("DeleteOptions", options["dryRun"].as_array().map(Vec::as_slice).unwrap_or_default())?;
    let pod = store.get(&key).ok_or_else(|| Failure::not_found(&route.kind, &key.name))?.clone();
    preconditions(route, &pod, &options["preconditions"])?;
    let budget = guarding(store, &key, &pod)?;
    remove(store, ambient, route, &key, &options)?;
    if let (Some((budget_key, mut budget)), false) = (budget, dry) {
        let allowed = budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
        budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
        store.put(&budget_key, budget);
    }
    Ok((StatusCode::CREATED, status::success(StatusCode::CREATED, None)))
}

/// The budget that this eviction uses up a part of.
fn guarding(store: &Store, key: &Key, pod: &Value) -> Result<Option<(Key, Value)>, Failure> {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed" | "Pending") || pod["metadata"]["deletionTimestamp"].is_string() {
        return Ok(None);
    }
    let Some(kind) = store.kinds.by_kind("policy/v1", "PodDisruptionBudget") else { return Ok(None) };
    let selects = |budget: &Value| {
        let selector = budget.pointer("/spec/selector").and_then(Labels::from_object);
        selector.is_some_and(|selector| selector.matches(pod))
    };
    let mut budgets = store.list(kind, Some(&key.namespace)).filter(|(_, budget)| selects(budget));
    let Some((budget_key, budget)) = budgets.next() else { return Ok(None) };
    if budgets.next().is_some() {
        return Err(Failure::several_disruption_budgets());
    }
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    if number("disruptionsAllowed") <= 0 {
        return Err(Failure::disruption_budget(&budget_key.name, number("desiredHealthy"), number("currentHealthy")));
    }
    Ok(Some((budget_key.clone(), budget.clone())))
}
