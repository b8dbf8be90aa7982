//~ 1 error
//~ a list has no name, so a named permission never covers one
use falco_response_sdk::prelude::*;

pub const ONE: Permission = Permission::core(&["pods"], &[Verb::Get, Verb::List], Scope::Namespace).named(&["a"]);

fn main() {}
