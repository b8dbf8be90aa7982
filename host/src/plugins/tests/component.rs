//! Actions as text.

/// An action whose `run` and `validate` are the given WebAssembly. At 0 lies room for what they return, at 256 the
/// text `a sentence`, at 512 `a_key`. They can call `$write` (level, message), `$note` (key, value) and `$get`, see [`GET`].
pub(super) struct Action<'a> {
    pub manifest: &'a str,
    pub run: &'a str,
    pub validate: &'a str,
    /// Pages of memory at the start.
    pub pages: u32,
}

pub(super) const MANIFEST: &str = r#"{"contract":"0.1","name":"test_action","summary":"A test.","target":"pods"}"#;

/// Returns `acted("a sentence")`.
pub(super) const ACTED: &str = "
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store8 (i32.const 4) (i32.const 0))
    (i32.store (i32.const 8) (i32.const 256))
    (i32.store (i32.const 12) (i32.const 10))
    i32.const 0";

/// Returns `failure {message: "a sentence", retry: true}`.
pub(super) const FAILED: &str = "
    (i32.store8 (i32.const 0) (i32.const 1))
    (i32.store (i32.const 4) (i32.const 256))
    (i32.store (i32.const 8) (i32.const 10))
    (i32.store8 (i32.const 12) (i32.const 1))
    i32.const 0";

/// Asks the cluster for pod `a`, and returns `acted` with the document, or `failure` with the error's message.
pub(super) const GET: &str = "
    (call $get (i32.const 0) (i32.const 0) (i32.const 520) (i32.const 2) (i32.const 530) (i32.const 4)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 540) (i32.const 1)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32))
    (if (i32.load8_u (i32.const 32))
        (then
            (i32.store8 (i32.const 0) (i32.const 1))
            (i32.store (i32.const 4) (i32.load (i32.const 40)))
            (i32.store (i32.const 8) (i32.load (i32.const 44)))
            (i32.store8 (i32.const 12) (i32.const 0)))
        (else
            (i32.store8 (i32.const 0) (i32.const 0))
            (i32.store8 (i32.const 4) (i32.const 0))
            (i32.store (i32.const 8) (i32.load (i32.const 36)))
            (i32.store (i32.const 12) (i32.load (i32.const 40)))))
    i32.const 0";

/// `validate` accepts.
pub(super) const ACCEPTED: &str = "(i32.store8 (i32.const 0) (i32.const 0)) i32.const 0";

impl Default for Action<'_> {
    fn default() -> Self {
        Self { manifest: MANIFEST, run: ACTED, validate: ACCEPTED, pages: 1 }
    }
}

impl Action<'_> {
    pub(super) fn text(&self) -> String {
        let Self { manifest, run, validate, pages } = self;
        let manifest = manifest.replace('\\', "\\\\").replace('"', "\\\"");
        format!(
            r#"(component $action
            (@custom "falco-response:manifest" "{manifest}")
            (import "falco-response:plugin/log@0.1.0" (instance $log
                (type $levels (enum "error" "warn" "info" "debug"))
                (export "level" (type $level (eq $levels)))
                (export "write" (func (param "level" $level) (param "message" string)))))
            (import "falco-response:plugin/audit@0.1.0" (instance $audit
                (export "note" (func (param "key" string) (param "value" string)))))
            (import "falco-response:plugin/types@0.1.0" (instance $types
                (type $resources (record (field "group" string) (field "version" string) (field "plural" string)))
                (export "api-resource" (type $resource (eq $resources)))
                (type $objects (record (field "resource" $resource) (field "namespace" (option string))
                    (field "name" string) (field "uid" (option string))))
                (export "object-ref" (type $object (eq $objects)))))
            (alias export $types "object-ref" (type $object-ref))
            (import "falco-response:plugin/cluster@0.1.0" (instance $cluster
                (alias outer $action $object-ref (type $objects))
                (export "object-ref" (type $object (eq $objects)))
                (type $reasons (enum "denied" "not-found" "already-exists" "conflict" "invalid" "blocked" "too-large"
                    "unavailable" "other"))
                (export "reason" (type $reason (eq $reasons)))
                (type $errors (record (field "reason" $reason) (field "message" string)))
                (export "error" (type $error (eq $errors)))
                (export "get" (func (param "object" $object) (result (result string (error $error)))))))
            (alias export $cluster "get" (func $get))
            (alias export $log "write" (func $write))
            (alias export $audit "note" (func $note))
            (type $outcomes (variant (case "acted" string) (case "skipped" string)))
            (export $outcome "outcome" (type $outcomes))
            (type $failures (record (field "message" string) (field "retry" bool)))
            (export $failure "failure" (type $failures))
            (type $problems (record (field "at" string) (field "message" string)))
            (export $problem "problem" (type $problems))
            (core module $libc
                (memory (export "memory") {pages})
                (data (i32.const 256) "a sentence")
                (data (i32.const 512) "a_key")
                (data (i32.const 520) "v1")
                (data (i32.const 530) "pods")
                (data (i32.const 540) "a")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
            (core instance $libc (instantiate $libc))
            (core func $write (canon lower (func $write) (memory (core memory $libc "memory"))))
            (core func $note (canon lower (func $note) (memory (core memory $libc "memory"))))
            (core func $get (canon lower (func $get) (memory (core memory $libc "memory"))
                (realloc (core func $libc "realloc"))))
            (core module $action
                (import "libc" "memory" (memory 0))
                (import "host" "write" (func $write (param i32 i32 i32)))
                (import "host" "note" (func $note (param i32 i32 i32 i32)))
                (import "host" "get" (func $get (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
                (func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))
                (func (export "run") (result i32) {run})
                (func (export "validate") (param i32 i32) (result i32) {validate}))
            (core instance $action (instantiate $action
                (with "libc" (instance $libc))
                (with "host" (instance (export "write" (func $write)) (export "note" (func $note)) (export "get" (func $get))))))
            (func $run (result (result $outcome (error $failure))) (canon lift
                (core func $action "run") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (func $validate (param "parameters" string) (result (result (error (list $problem)))) (canon lift
                (core func $action "validate") (memory (core memory $libc "memory"))
                (realloc (core func $libc "realloc"))))
            (instance $exported (export "run" (func $run)) (export "validate" (func $validate)))
            (export "falco-response:plugin/action@0.1.0" (instance $exported)))"#
        )
    }
}
