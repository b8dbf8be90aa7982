//! Every change but the ways out: create, replace, patch, apply. Each works out the next state first, so that a dry run
//! answers the same and differs in nothing but that it is not committed.

use http::StatusCode;
use serde_json::{Value, json};

use super::delete::{remove, takes_new};
use super::http::{Answer, Query, Route};
use super::status::{self, Failure};
use super::store::{Change, Key, Store, Verb, has_finalizers, whole_seconds};
use super::{apply, patch, schema};
use crate::ambient::Ambient;

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
        if !object["metadata"]["resourceVersion"].as_str().unwrap_or_default().is_empty() {
            return Err(Failure::version_on_create());
        }
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
        takes_new(self.store, self.route, &name)?;
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
        if object["metadata"]["uid"].as_str().is_some_and(|uid| before["metadata"]["uid"] != uid) {
            return Err(Failure::conflict(&self.route.kind, &key.name, "Precondition failed: UID in precondition"));
        }
        if self.route.kind.custom && object["metadata"]["resourceVersion"].as_str().unwrap_or_default().is_empty() {
            return Err(Failure::version_required(&self.route.kind, &key.name));
        }
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
            "application/strategic-merge-patch+json" if !self.route.kind.custom => {
                self.existing()?;
                return Err(Failure::not_simulated("strategic merge patches"));
            }
            _ => return Err(Failure::unsupported_media_type(&self.route.kind)),
        };
        let mut after = match content_type {
            "application/json-patch+json" => patch::operations(&before, &document()?)?,
            _ => patch::merge(&before, &document()?),
        };
        if self.query.get("fieldValidation") == Some("Strict") {
            patch::strict(&self.route.kind, &after).map_err(|field| Failure::strict_patch(&field))?;
        }
        patch::prune(&self.route.kind, &mut after);
        schema::decodes(&after).map_err(|why| Failure::bad_patch(&why))?;
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
        self.of_this_kind(&mut document)?;
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
            takes_new(self.store, self.route, &key.name)?;
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

    /// Whether the body is an object for this path; fills in the namespace, and leaves out what the schema lacks.
    fn fits(&self, object: &mut Value) -> Result<(), Failure> {
        self.of_this_kind(object)?;
        let kind = &self.route.kind;
        if object["metadata"]["namespace"].as_str().is_some_and(|own| !own.is_empty() && own != self.route.namespace())
        {
            return Err(Failure::another_namespace());
        }
        if self.query.get("fieldValidation") == Some("Strict") {
            patch::strict(kind, object).map_err(|field| Failure::strict(kind, &field))?;
        }
        patch::prune(kind, object);
        schema::decodes(object).map_err(|why| Failure::undecodable(kind, &why))?;
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        if kind.namespaced {
            object["metadata"]["namespace"] = json!(self.route.namespace());
        }
        Ok(())
    }

    /// Fills in kind and version where neither is said.
    fn of_this_kind(&self, object: &mut Value) -> Result<(), Failure> {
        let kind = &self.route.kind;
        if !kind.custom && object.get("apiVersion").is_none() && object.get("kind").is_none() && object.is_object() {
            object["apiVersion"] = json!(kind.api_version());
            object["kind"] = json!(kind.kind);
        }
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, name) = (text("/apiVersion"), text("/kind"));
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

    /// What the API server writes into a new object, whatever its maker wrote there.
    fn born(&self, object: &mut Value) {
        let metadata = &mut object["metadata"];
        for theirs in ["deletionGracePeriodSeconds", "deletionTimestamp", "managedFields", "resourceVersion"] {
            metadata.as_object_mut().map(|metadata| metadata.shift_remove(theirs));
        }
        metadata["uid"] = json!(self.ambient.uuid().to_string());
        metadata["creationTimestamp"] = json!(whole_seconds(self.ambient.now()));
        if self.route.kind.has_generation() {
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
