//! Projects of actions: made from templates, and built into components.
//!
//! Decides what an author's project looks like and how each language becomes a component. What a component may be is the
//! crate `falco-response-component`'s and [`crate::plugins`]'; what is printed is `cli`'s.

pub mod build;
mod embedded;
pub mod name;
pub mod project;
pub mod template;
mod tool;
