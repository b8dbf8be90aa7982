//! Every change: create, replace, patch, apply, delete, evict. Each works out the next state first, so that a dry run
//! answers the same and differs in nothing but that it is not committed.

use http::StatusCode;
use serde_json::{Value, json};

use super::http::{Answer, Query, Route, dry_run};
use super::selectors::Labels;
use super::status::{self, Failure};
use super::store::{Change, Key, Store, Verb, has_finalizers, later, whole_seconds};
use super::{apply, patch, schema};
use crate::ambient::Ambient;

/// What the API server gives a pod that names none.
const DEFAULT_GRACE: i64 = 30;

/// Of these a delete hands back the object, of others a `Status`.
const HANDED_BACK: &[&str] = &["namespaces", "persistentvolumeclaims", "pods", "serviceaccounts", "services"];

pub struct Writer<'a> {
    pub store: &'a mut Store,
    pub ambient: &'a Ambient,
    pub route: &'a Route,
    pub query: &'a Query,
    pub manager: &'a str,
}

impl Writer<'_> {
    pub fn create(self, mut object: Value) -> Answer {
        let dry = self.query.dry_run("CreateOptions")?;
        self.fits(&mut object)?;
        if object["metadata"]["name"].as_str().unwrap_or_default().is_empty() {
            let Some(prefix) = object["metadata"]["generateName"].as_str().filter(|prefix| !prefix.is_empty()) else {
                let why = "Required value: name or generateName is required";
                return Err(Failure::invalid(&self.route.kind, "", "metadata.name", why));
            };
            let random = self.ambient.uuid().simple().to_string();
            object["metadata"]["name"] = json!(format!("{prefix}{}", &random[random.len() - 5..]));
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = Key::new(&self.route.kind, self.route.namespace(), &name);
        self.namespace_takes(&name)?;
        if let Some(found) = self.store.get(&key) {
            let leaving = found["metadata"]["deletionTimestamp"].is_string();
            return Err(Failure::already_exists(&self.route.kind, &name, leaving));
        }
        self.born(&mut object);
        schema::settle(&self.route.kind, &mut object);
        schema::validate(&self.route.kind, &object)?;
        apply::own_everything(&mut object, &self.route.kind, self.manager);
        Ok((StatusCode::CREATED, self.put(&key, object, Verb::Created, dry)))
    }

    pub fn replace(self, mut object: Value) -> Answer {
        let dry = self.query.dry_run("UpdateOptions")?;
        self.fits(&mut object)?;
        let (key, before) = self.existing()?;
        self.change(&key, &before, object, true, dry)
    }

    pub fn patch(self, content_type: &str, body: &[u8]) -> Answer {
        let dry = self.query.dry_run("PatchOptions")?;
        if content_type == "application/apply-patch+yaml" {
            return self.apply(body, dry);
        }
        let document = || {
            let document = serde_json::from_slice::<Value>(body)
                .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
            patch::of_its_type(&document, content_type).map(|()| document)
        };
        let (key, before) = match content_type {
            "application/merge-patch+json" | "application/json-patch+json" => self.existing()?,
            _ => return Err(Failure::unsupported_media_type()),
        };
        let after = match content_type {
            "application/json-patch+json" => patch::operations(&before, &document()?)?,
            _ => patch::merge(&before, &document()?),
        };
        if self.query.get("fieldValidation") == Some("Strict") {
            patch::strict(&self.route.kind, &after).map_err(|field| Failure::strict_patch(&field))?;
        }
        self.change(&key, &before, after, true, dry)
    }

    fn apply(self, body: &[u8], dry: bool) -> Answer {
        if self.query.get("fieldManager").is_none() {
            let why = "Required value: is required for apply patch";
            return Err(Failure::invalid_options("PatchOptions", "fieldManager", why));
        }
        let text = std::str::from_utf8(body).map_err(|error| Failure::bad_request(error.to_string()))?;
        let mut document: Value = serde_saphyr::from_str(text)
            .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text(&document["metadata"]["namespace"]), text(&document["metadata"]["name"]));
        patch::strict(&self.route.kind, &document)
            .map_err(|field| Failure::untyped(&self.route.kind, &namespace, &name, &field))?;
        self.fits(&mut document)?;
        if document["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let key = self.route.key().ok_or_else(Failure::method_not_allowed)?;
        if document["metadata"].get("name").is_none() {
            document["metadata"]["name"] = json!(key.name);
        }
        let uid = document.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
        let (force, now) = (self.query.is_true("force"), whole_seconds(self.ambient.now()));
        let Some(before) = self.store.get(&key).cloned() else {
            if let Some(uid) = uid {
                let why =
                    format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                return Err(Failure::conflict(&self.route.kind, &key.name, &why));
            }
            self.same_name(&document, &key.name)?;
            self.namespace_takes(&key.name)?;
            let mut object = document.clone();
            self.born(&mut object);
            let mut object = apply::apply(&object, &document, &self.route.kind, self.manager, force, &now)?;
            fix_name(&mut object, &key);
            schema::settle(&self.route.kind, &mut object);
            schema::validate(&self.route.kind, &object)?;
            return Ok((StatusCode::CREATED, self.put(&key, object, Verb::Created, dry)));
        };
        self.same_name(&document, &key.name)?;
        let mut after = apply::apply(&before, &document, &self.route.kind, self.manager, force, &now)?;
        for pinned in ["uid", "resourceVersion"] {
            if let Some(value) = document["metadata"].get(pinned).filter(|value| !value.is_null()) {
                after["metadata"][pinned] = value.clone();
            }
        }
        self.change(&key, &before, after, false, dry)
    }

    /// A new version of an object that is there; one that is the same stays as it is.
    fn change(self, key: &Key, before: &Value, after: Value, note_owner: bool, dry: bool) -> Answer {
        let now = whole_seconds(self.ambient.now());
        let manager = note_owner.then_some(self.manager);
        let mut after = patch::settle(before, after, &self.route.kind, manager, &now)?;
        if after == *before {
            return Ok((StatusCode::OK, after));
        }
        // Only now: an empty list that is asked for makes a new generation each time, since it is never there.
        schema::settle(&self.route.kind, &mut after);
        schema::validate(&self.route.kind, &after)?;
        schema::no_late_finalizers(&self.route.kind, before, &after)?;
        // The last finalizer of what was to be deleted is gone, and with it the object.
        let metadata = &after["metadata"];
        let waited = metadata["deletionTimestamp"].is_string() && metadata["deletionGracePeriodSeconds"] != json!(null);
        let served = metadata["deletionGracePeriodSeconds"].as_i64().is_none_or(|grace| grace == 0);
        if waited && served && has_finalizers(before) && !has_finalizers(&after) {
            if !dry {
                self.store.commit(key, Change::Remove, Verb::Deleted { grace: 0 });
            }
            return Ok((StatusCode::OK, after));
        }
        Ok((StatusCode::OK, self.put(key, after, Verb::Changed, dry)))
    }

    pub fn delete(self, options: Option<Value>) -> Answer {
        let (key, _) = self.existing()?;
        // With a body the API server does not look at the query, at `dryRun` neither.
        let options = match options {
            Some(options) => options,
            None => {
                let dry: Vec<&str> = if self.query.dry_run("DeleteOptions")? { vec!["All"] } else { vec![] };
                let grace = self.query.get("gracePeriodSeconds").map(str::parse::<i64>).transpose();
                let grace = grace.map_err(|_| Failure::bad_request("gracePeriodSeconds is no number"))?;
                json!({ "dryRun": dry, "gracePeriodSeconds": grace })
            }
        };
        let object = remove(self.store, self.ambient, self.route, &key, &options)?;
        if HANDED_BACK.contains(&key.plural.as_str()) {
            return Ok((StatusCode::OK, object));
        }
        let mut details = json!({ "name": key.name, "kind": key.plural, "uid": object["metadata"]["uid"] });
        if !key.group.is_empty() {
            details["group"] = json!(key.group);
        }
        Ok((StatusCode::OK, status::success(StatusCode::OK, Some(details))))
    }

    fn existing(&self) -> Result<(Key, Value), Failure> {
        let key = self.route.key().ok_or_else(Failure::method_not_allowed)?;
        let object = self.store.get(&key).ok_or_else(|| Failure::not_found(&self.route.kind, &key.name))?;
        Ok((key, object.clone()))
    }

    /// Whether the body is an object for this path; fills in the namespace.
    fn fits(&self, object: &mut Value) -> Result<(), Failure> {
        let kind = &self.route.kind;
        if !kind.custom && object.get("apiVersion").is_none() && object.get("kind").is_none() && object.is_object() {
            object["apiVersion"] = json!(kind.api_version());
            object["kind"] = json!(kind.kind);
        }
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, name, namespace) = (text("/apiVersion"), text("/kind"), text("/metadata/namespace"));
        if api_version != kind.api_version() {
            let why = format!(
                "the API version in the data ({api_version}) does not match the expected API version ({})",
                kind.api_version()
            );
            return Err(Failure::bad_request(why));
        }
        if name != kind.kind {
            return Err(Failure::bad_request(format!("the kind in the data ({name}) is not {}", kind.kind)));
        }
        if !namespace.is_empty() && namespace != self.route.namespace() {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Failure::bad_request(why));
        }
        if self.query.get("fieldValidation") == Some("Strict") {
            patch::strict(kind, object).map_err(|field| Failure::strict(kind, &field))?;
        }
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        if kind.namespaced {
            object["metadata"]["namespace"] = json!(self.route.namespace());
        }
        Ok(())
    }

    fn same_name(&self, document: &Value, name: &str) -> Result<(), Failure> {
        match document["metadata"]["name"].as_str() {
            Some(other) if other != name => {
                let why = format!("the name of the object ({other}) does not match the name on the URL ({name})");
                Err(Failure::bad_request(why))
            }
            _ => Ok(()),
        }
    }

    fn namespace_takes(&self, name: &str) -> Result<(), Failure> {
        let Some(namespace) = self.route.namespace.as_deref() else {
            // A collection of namespaced objects without a namespace is for reading only.
            return if self.route.kind.namespaced { Err(Failure::method_not_allowed()) } else { Ok(()) };
        };
        let found = self.store.namespace(namespace).ok_or_else(|| Failure::namespace_not_found(namespace))?;
        if found["metadata"]["deletionTimestamp"].is_string() {
            return Err(Failure::namespace_terminating(&self.route.kind, name, namespace));
        }
        Ok(())
    }

    /// What the API server writes into a new object, whatever its maker wrote there.
    fn born(&self, object: &mut Value) {
        let metadata = &mut object["metadata"];
        for theirs in ["deletionGracePeriodSeconds", "deletionTimestamp", "managedFields", "resourceVersion"] {
            metadata.as_object_mut().map(|metadata| metadata.shift_remove(theirs));
        }
        metadata["uid"] = json!(self.ambient.uuid().to_string());
        metadata["creationTimestamp"] = json!(whole_seconds(self.ambient.now()));
        if object.get("spec").is_some() {
            object["metadata"]["generation"] = json!(1);
        }
        if self.route.kind.custom {
            return;
        }
        object.as_object_mut().map(|object| object.shift_remove("status"));
        if self.route.kind.is_pod() {
            object["status"] = json!({ "phase": "Pending" });
        }
        if self.route.kind.is_namespace() {
            object["spec"] = json!({ "finalizers": ["kubernetes"] });
            object["status"] = json!({ "phase": "Active" });
        }
    }

    fn put(self, key: &Key, object: Value, verb: Verb, dry: bool) -> Value {
        if dry {
            return object;
        }
        self.store.commit(key, Change::Put(object), verb).unwrap_or_default()
    }
}

fn fix_name(object: &mut Value, key: &Key) {
    object["metadata"]["name"] = json!(key.name);
}

/// A delete, by its options alone; answers the object as it is or would be then.
fn remove(store: &mut Store, ambient: &Ambient, route: &Route, key: &Key, options: &Value) -> Result<Value, Failure> {
    let kind = &route.kind;
    let dry = dry_run("DeleteOptions", options["dryRun"].as_array().map(Vec::as_slice).unwrap_or_default())?;
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

/// The eviction subresource: a delete that asks the disruption budgets first.
pub fn evict(store: &mut Store, ambient: &Ambient, route: &Route, query: &Query, eviction: &Value) -> Answer {
    let in_query = query.dry_run("CreateOptions")?;
    let key = route.key().ok_or_else(Failure::method_not_allowed)?;
    if eviction["kind"] != "Eviction" || eviction["apiVersion"] != "policy/v1" {
        return Err(Failure::bad_request("the body is no Eviction of policy/v1"));
    }
    if eviction["metadata"]["name"].as_str().is_some_and(|name| name != key.name) {
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
