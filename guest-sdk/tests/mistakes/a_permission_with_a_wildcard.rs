//~ 1 error
//~ a permission has no wildcards: name each resource
//~ const ALL: Permission = Permission::core(&["*"], &[Verb::Get], Scope::Namespace);
use falco_response_sdk::prelude::*;

pub const ALL: Permission = Permission::core(&["*"], &[Verb::Get], Scope::Namespace);

fn main() {}
