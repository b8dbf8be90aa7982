//! An action as text: deletes pod `production/a` at once, and says `acted`; `skipped` when it is not there; else it
//! gives up.

pub fn text(manifest: &str) -> String {
    TEXT.replace("MANIFEST", &manifest.replace('\n', " ").replace('"', "\\\""))
}

const TEXT: &str = r#"(component $action
    (@custom "falco-response:manifest" "MANIFEST")
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
        (type $propagations (enum "background" "foreground" "orphan"))
        (export "propagation" (type $propagation (eq $propagations)))
        (type $options (record (field "grace-period-seconds" (option u32)) (field "propagation" (option $propagation))))
        (export "delete-options" (type $option (eq $options)))
        (export "remove" (func (param "object" $object) (param "options" $option) (result (result (error $error)))))))
    (alias export $cluster "remove" (func $remove))
    (type $outcomes (variant (case "acted" string) (case "skipped" string)))
    (export $outcome "outcome" (type $outcomes))
    (type $failures (record (field "message" string) (field "retry" bool)))
    (export $failure "failure" (type $failures))
    (type $problems (record (field "at" string) (field "message" string)))
    (export $problem "problem" (type $problems))
    (core module $libc
        (memory (export "memory") 1)
        (data (i32.const 256) "a sentence")
        (data (i32.const 520) "v1")
        (data (i32.const 530) "pods")
        (data (i32.const 540) "a")
        (data (i32.const 550) "production")
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
    (core instance $libc (instantiate $libc))
    (core func $remove (canon lower (func $remove) (memory (core memory $libc "memory"))
        (realloc (core func $libc "realloc"))))
    (core module $action
        (import "libc" "memory" (memory 0))
        (import "host" "remove" (func $remove (param i32 i32)))
        (func (export "run") (result i32)
            (i32.store (i32.const 608) (i32.const 520)) (i32.store (i32.const 612) (i32.const 2))
            (i32.store (i32.const 616) (i32.const 530)) (i32.store (i32.const 620) (i32.const 4))
            (i32.store8 (i32.const 624) (i32.const 1))
            (i32.store (i32.const 628) (i32.const 550)) (i32.store (i32.const 632) (i32.const 10))
            (i32.store (i32.const 636) (i32.const 540)) (i32.store (i32.const 640) (i32.const 1))
            (i32.store8 (i32.const 656) (i32.const 1))
            (call $remove (i32.const 600) (i32.const 32))
            (i32.store (i32.const 8) (i32.const 256))
            (i32.store (i32.const 12) (i32.const 10))
            (if (i32.load8_u (i32.const 32))
                (then
                    (if (i32.eq (i32.load8_u (i32.const 36)) (i32.const 1))
                        (then (i32.store8 (i32.const 4) (i32.const 1)))
                        (else
                            (i32.store8 (i32.const 0) (i32.const 1))
                            (i32.store (i32.const 4) (i32.load (i32.const 40)))
                            (i32.store (i32.const 8) (i32.load (i32.const 44)))
                            (i32.store8 (i32.const 12) (i32.const 0))))))
            i32.const 0)
        (func (export "validate") (param i32 i32) (result i32) (i32.store8 (i32.const 0) (i32.const 0)) i32.const 0))
    (core instance $action (instantiate $action
        (with "libc" (instance $libc))
        (with "host" (instance (export "remove" (func $remove))))))
    (func $run (result (result $outcome (error $failure))) (canon lift
        (core func $action "run") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (func $validate (param "parameters" string) (result (result (error (list $problem)))) (canon lift
        (core func $action "validate") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (instance $exported (export "run" (func $run)) (export "validate" (func $validate)))
    (export "falco-response:plugin/action@0.1.0" (instance $exported)))"#;
