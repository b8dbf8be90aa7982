//! The outermost layer's part for commands: a GET that changes something, so that it needs an approval like any change.

use http::request::Parts;
use http::{Method, Uri, header};

/// What the writer wants run; made nowhere else.
#[derive(Debug, Clone)]
pub struct ApprovedExec {
    pub path: String,
    /// All of it is written here, and nothing by anybody else.
    pub query: String,
}

/// Whether a GET reaches into an object instead of reading it or about it. A pod may be called `proxy`.
pub fn reaches_in(parts: &Parts) -> bool {
    let path = parts.uri.path();
    // The API server looks at the decoded path.
    path.to_ascii_lowercase().contains("%2f")
        || subresource(path).is_some_and(|subresource| !["log", "scale", "status"].contains(&subresource))
        || parts.headers.contains_key(header::UPGRADE)
        || parts.headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// What comes after the object's name.
fn subresource(path: &str) -> Option<&str> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (["api", _, below @ ..] | ["apis", _, _, below @ ..]) = parts.as_slice() else { return None };
    match below {
        ["namespaces", _, _, _, subresource, ..] => Some(subresource),
        ["namespaces", ..] => None,
        [_, _, subresource, ..] => Some(subresource),
        _ => None,
    }
}

/// Completes the request that was approved.
///
/// # Errors
/// It is another one.
pub fn seal(parts: &mut Parts, approved: &ApprovedExec) -> Result<(), String> {
    let upgrades = parts.headers.get(header::UPGRADE).is_some_and(|value| value == "websocket");
    if parts.method != Method::GET || parts.uri.path() != approved.path || parts.uri.query().is_some() || !upgrades {
        return Err(format!("{} {} is not the command that was approved", parts.method, parts.uri));
    }
    let text = format!("{}?{}", approved.path, approved.query);
    let uri: Uri = text.parse().map_err(|error| format!("the command makes no URI: {error}"))?;
    if uri.path() != approved.path || !uri.path().ends_with("/exec") || uri.query() != Some(&approved.query) {
        return Err("the command would run elsewhere than was approved".to_owned());
    }
    parts.uri = uri;
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn reaches(path: &str) -> bool {
        reaches_in(&Request::get(path).body(()).expect("a path").into_parts().0)
    }

    #[test]
    fn knows_what_reaches_into_an_object_from_one_that_is_only_called_so() {
        for path in [
            "/api/v1/namespaces/shop/pods/web/exec",
            "/api/v1/namespaces/shop/pods/web/exec/",
            "/api/v1/namespaces/shop//pods/web/exec",
            "/api/v1/namespaces/shop/pods/web/%65xec",
            "/api/v1/namespaces/shop/pods/web%2Fexec",
            "/api/v1/namespaces/shop/services/web/proxy/admin/status",
            "/api/v1/nodes/node-1/proxy/run",
            "/apis/example.com/v1/things/a/connect",
        ] {
            assert!(reaches(path), "{path}");
        }
        for path in [
            "/api/v1/namespaces/shop/pods/proxy",
            "/api/v1/namespaces/exec/pods/exec",
            "/api/v1/namespaces/proxy",
            "/api/v1/namespaces/shop/pods/web/log",
            "/apis/apps/v1/namespaces/shop/deployments/web/scale",
            "/api/v1/nodes/proxy",
            "/version",
        ] {
            assert!(!reaches(path), "{path}");
        }
    }
}
