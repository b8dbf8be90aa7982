//! `cluster`: parses every name and document, and hands the call to the gate. Nothing else happens here, and nothing
//! that is not parsed gets further.

use super::convert;
use crate::plugins::bindings::falco_response::plugin::cluster::{
    DeleteOptions, Error, Host, LogOptions, PatchDocument, Selection,
};
use crate::plugins::bindings::falco_response::plugin::types::{ApiResource, ObjectRef};
use crate::plugins::outside::Outside;
use crate::plugins::sandbox::Sandbox;
use crate::safety::CallError;
use crate::safety::gate::{Change, Place};

type Reply<T> = wasmtime::Result<Result<T, Error>>;

impl Host for Sandbox {
    async fn get(&mut self, object: ObjectRef) -> Reply<String> {
        let outside = &*self.enter("cluster.get")?.outside;
        Ok(get(outside, &object).await.map_err(convert::error))
    }

    async fn query(&mut self, resource: ApiResource, selection: Selection) -> Reply<Vec<String>> {
        let outside = &*self.enter("cluster.query")?.outside;
        Ok(query(outside, &resource, selection).await.map_err(convert::error))
    }

    async fn create(&mut self, resource: ApiResource, namespace: Option<String>, manifest: String) -> Reply<String> {
        let outside = &*self.enter("cluster.create")?.outside;
        Ok(create(outside, &resource, namespace.as_deref(), &manifest).await.map_err(convert::error))
    }

    async fn apply(&mut self, object: ObjectRef, manifest: String, force: bool) -> Reply<String> {
        let outside = &*self.enter("cluster.apply")?.outside;
        Ok(apply(outside, &object, &manifest, force).await.map_err(convert::error))
    }

    async fn patch(&mut self, object: ObjectRef, document: PatchDocument) -> Reply<String> {
        let outside = &*self.enter("cluster.patch")?.outside;
        Ok(patch(outside, &object, &document).await.map_err(convert::error))
    }

    async fn remove(&mut self, object: ObjectRef, options: DeleteOptions) -> Reply<()> {
        let outside = &*self.enter("cluster.remove")?.outside;
        Ok(remove(outside, &object, options).await.map_err(convert::error))
    }

    async fn evict(&mut self, pod: ObjectRef, grace_period_seconds: Option<u32>) -> Reply<()> {
        let outside = &*self.enter("cluster.evict")?.outside;
        Ok(evict(outside, &pod, grace_period_seconds).await.map_err(convert::error))
    }

    async fn logs(&mut self, pod: ObjectRef, options: LogOptions) -> Reply<String> {
        let outside = &*self.enter("cluster.logs")?.outside;
        Ok(logs(outside, &pod, &options).await.map_err(convert::error))
    }
}

async fn get(outside: &dyn Outside, object: &ObjectRef) -> Result<String, CallError> {
    let object = convert::object(object).map_err(|error| outside.refuse_name("get", &error))?;
    convert::document(&outside.get(&object).await?)
}

async fn query(outside: &dyn Outside, resource: &ApiResource, selection: Selection) -> Result<Vec<String>, CallError> {
    let refused = |error| outside.refuse_name("query", &error);
    let resource = convert::resource(resource).map_err(refused)?;
    let selection = convert::selection(selection).map_err(refused)?;
    convert::documents(&outside.query(&resource, &selection).await?)
}

async fn create(
    outside: &dyn Outside,
    resource: &ApiResource,
    namespace: Option<&str>,
    manifest: &str,
) -> Result<String, CallError> {
    let refused = |error| outside.refuse_name("create", &error);
    let resource = convert::resource(resource).map_err(refused)?;
    let namespace = convert::namespace(namespace).map_err(refused)?;
    let place = Place { resource: &resource, namespace: namespace.as_ref(), name: None };
    let manifest = convert::json(manifest).map_err(|why| outside.refuse_document("create", place, why))?;
    convert::document(&outside.change(Change::Create { resource, namespace, manifest }).await?)
}

async fn apply(outside: &dyn Outside, object: &ObjectRef, manifest: &str, force: bool) -> Result<String, CallError> {
    let object = convert::object(object).map_err(|error| outside.refuse_name("apply", &error))?;
    let refused = |why| outside.refuse_document("apply", Place::from(&object), why);
    let manifest = convert::json(manifest).map_err(refused)?;
    convert::document(&outside.change(Change::Apply { object, manifest, force }).await?)
}

async fn patch(outside: &dyn Outside, object: &ObjectRef, document: &PatchDocument) -> Result<String, CallError> {
    let object = convert::object(object).map_err(|error| outside.refuse_name("patch", &error))?;
    let refused = |why| outside.refuse_document("patch", Place::from(&object), why);
    let document = convert::patch_document(document).map_err(refused)?;
    convert::document(&outside.change(Change::Patch { object, document }).await?)
}

async fn remove(outside: &dyn Outside, object: &ObjectRef, options: DeleteOptions) -> Result<(), CallError> {
    let object = convert::object(object).map_err(|error| outside.refuse_name("remove", &error))?;
    let propagation = options.propagation.map(convert::propagation);
    let grace_period_seconds = options.grace_period_seconds;
    outside.change(Change::Delete { object, grace_period_seconds, propagation }).await.map(drop)
}

async fn evict(outside: &dyn Outside, pod: &ObjectRef, grace_period_seconds: Option<u32>) -> Result<(), CallError> {
    let pod = convert::object(pod).map_err(|error| outside.refuse_name("evict", &error))?;
    outside.change(Change::Evict { pod, grace_period_seconds }).await.map(drop)
}

async fn logs(outside: &dyn Outside, pod: &ObjectRef, options: &LogOptions) -> Result<String, CallError> {
    let refused = |error| outside.refuse_name("logs", &error);
    let pod = convert::object(pod).map_err(refused)?;
    let options = convert::log_options(options).map_err(refused)?;
    convert::bounded(outside.logs(&pod, &options).await?)
}
