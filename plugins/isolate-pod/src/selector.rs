//! Whether a policy's selector selects the pod.

use falco_response_sdk::prelude::*;

/// `label` answers with the pod's value of a key. An expression with an operator that there is not counts as met: a
/// policy is rather named than overlooked.
pub fn selects<'p>(selector: &Value, label: impl Fn(&str) -> Option<&'p str>) -> bool {
    let equal = |(key, value): &(String, Value)| label(key) == value.as_str();
    let met = |expression: &Value| {
        let found = label(expression.at(&["key"]).as_str().unwrap_or_default());
        let among =
            || found.is_some_and(|found| expression.at(&["values"]).items().iter().any(|v| v.as_str() == Some(found)));
        match expression.at(&["operator"]).as_str() {
            Some("In") => among(),
            Some("NotIn") => !among(),
            Some("Exists") => found.is_some(),
            Some("DoesNotExist") => found.is_none(),
            _ => true,
        }
    };
    selector.at(&["matchLabels"]).members().iter().all(equal)
        && selector.at(&["matchExpressions"]).items().iter().all(met)
}
