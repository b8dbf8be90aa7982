//! Whether what a component exports has the types of the contract: wasmtime looks at imports when it links, and at the
//! types of exports only when there is an instance. An action that cannot be called is found when it is loaded, not when
//! an alert comes.

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentItem, Type};

use super::text::one_line;

const ACTION: &str = "falco-response:plugin/action";

/// The functions that an action exports, and their types in WIT's words.
const FUNCTIONS: [(&str, &str); 2] = [
    ("run", "func() -> result<variant { acted(string), skipped(string) }, record { message: string, retry: bool }>"),
    ("validate", "func(parameters: string) -> result<_, list<record { at: string, message: string }>>"),
];

/// # Errors
/// The export that is missing or of another type.
pub(super) fn check(engine: &wasmtime::Engine, component: &Component) -> Result<(), String> {
    let ty = component.component_type();
    let mut instances = ty.exports(engine).filter(|(name, _)| name.split('@').next() == Some(ACTION));
    let Some((interface, ComponentItem::ComponentInstance(action))) =
        instances.next().map(|(name, export)| (one_line(name, 128), export.ty))
    else {
        return Err(format!("it does not export {ACTION}"));
    };
    for (function, expected) in FUNCTIONS {
        let found = match action.get_export(engine, function).map(|export| export.ty) {
            Some(ComponentItem::ComponentFunc(found)) => found,
            _ => return Err(format!("{interface} has no function `{function}`")),
        };
        let parameters: Vec<_> =
            found.params().map(|(name, ty)| format!("{}: {}", one_line(name, 64), describe(&ty))).collect();
        let results: Vec<_> = found.results().map(|ty| describe(&ty)).collect();
        let found = format!("func({}) -> {}", parameters.join(", "), results.join(", "));
        if found != expected {
            return Err(format!("`{function}` of {interface} is {}, and must be {expected}", one_line(&found, 512)));
        }
    }
    Ok(())
}

/// As WIT has it; what no action's export contains is only named. Types nest as deep as a component says, so this does not
/// follow them further than the contract's do.
fn describe(ty: &Type) -> String {
    within(ty, 8)
}

fn within(ty: &Type, depth: u8) -> String {
    let Some(depth) = depth.checked_sub(1) else { return "…".to_owned() };
    let inner = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| within(&ty, depth));
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::String => "string".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::List(list) => format!("list<{}>", within(&list.ty(), depth)),
        Type::Option(option) => format!("option<{}>", within(&option.ty(), depth)),
        Type::Result(result) => match (result.ok(), result.err()) {
            (ok, Some(error)) => format!("result<{}, {}>", inner(ok), within(&error, depth)),
            (ok, None) => format!("result<{}>", inner(ok)),
        },
        Type::Record(record) => {
            let fields: Vec<_> =
                record.fields().map(|field| format!("{}: {}", field.name, within(&field.ty, depth))).collect();
            format!("record {{ {} }}", fields.join(", "))
        }
        Type::Variant(variant) => {
            let case = |name: &str, ty: Option<Type>| match ty {
                Some(ty) => format!("{name}({})", within(&ty, depth)),
                None => name.to_owned(),
            };
            let cases: Vec<_> = variant.cases().map(|found| case(found.name, found.ty)).collect();
            format!("variant {{ {} }}", cases.join(", "))
        }
        Type::Enum(_) => "an enum".to_owned(),
        Type::Flags(_) => "flags".to_owned(),
        Type::Tuple(_) => "a tuple".to_owned(),
        _ => "another type".to_owned(),
    }
}
