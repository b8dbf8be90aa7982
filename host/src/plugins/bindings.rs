//! The WIT contract in Rust, generated from `wit/`.
//!
//! Every import can trap. Only `cluster` waits for anything, so only its functions are async.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "action-plugin",
    imports: { "falco-response:plugin/cluster": async | trappable, default: trappable },
    exports: { default: async },
});
