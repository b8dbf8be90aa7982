//! The contract's functions as the controller provides them. [`crate::mock::Mock`] has the same ones natively.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::falco_response::plugin::{audit, cluster, exec, http, log, request};
use crate::{
    ApiResource, ClusterError, Command, DeleteOptions, FalcoPriority, HttpRequest, HttpResponse, Level, LogOptions,
    ObjectRef, Output, Owner, PatchDocument, Selection,
};

pub struct Live;

macro_rules! forward {
    ($($module:ident . $name:ident ( $($argument:ident : $type:ty),* ) $(-> $answer:ty)?;)*) => {
        impl Live {
            $(
                pub(crate) fn $name(&self, $($argument: $type),*) $(-> $answer)? {
                    $module::$name($($argument),*)
                }
            )*

            pub(crate) fn log(&self, level: Level, message: &str) {
                log::write(level, message);
            }

            pub(crate) fn exec(&self, pod: &ObjectRef, command: &Command) -> Result<Output, ClusterError> {
                exec::run(pod, command)
            }
        }
    };
}

forward! {
    request.id() -> String;
    request.attempt() -> u32;
    request.parameters() -> String;
    request.reason() -> String;
    request.alert() -> String;
    request.field(name: &str) -> Option<String>;
    request.rule() -> String;
    request.priority() -> FalcoPriority;
    request.time() -> String;
    request.output() -> String;
    request.target() -> ObjectRef;
    request.target_manifest() -> String;
    request.owners() -> Vec<Owner>;
    cluster.get(object: &ObjectRef) -> Result<String, ClusterError>;
    cluster.query(kind: &ApiResource, selection: &Selection) -> Result<Vec<String>, ClusterError>;
    cluster.create(kind: &ApiResource, namespace: Option<&str>, manifest: &str) -> Result<String, ClusterError>;
    cluster.apply(object: &ObjectRef, manifest: &str, force: bool) -> Result<String, ClusterError>;
    cluster.patch(object: &ObjectRef, document: &PatchDocument) -> Result<String, ClusterError>;
    cluster.remove(object: &ObjectRef, options: DeleteOptions) -> Result<(), ClusterError>;
    cluster.evict(pod: &ObjectRef, grace_period_seconds: Option<u32>) -> Result<(), ClusterError>;
    cluster.logs(pod: &ObjectRef, options: &LogOptions) -> Result<String, ClusterError>;
    http.send(request: &HttpRequest) -> Result<HttpResponse, ClusterError>;
    audit.note(key: &str, value: &str);
    audit.attach(name: &str, media_type: &str, content: &[u8]) -> Result<(), String>;
}
