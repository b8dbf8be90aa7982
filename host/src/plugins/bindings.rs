//! The WIT contract in Rust, generated from `wit/`.
//!
//! Every import can trap. Only what leaves the sandbox waits for anything, so only those functions are async.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "action-plugin",
    imports: {
        "falco-response:plugin/cluster": async | trappable,
        "falco-response:plugin/exec": async | trappable,
        "falco-response:plugin/http": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
