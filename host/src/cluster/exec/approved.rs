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

/// Whether a GET reaches into a pod instead of reading about it.
pub fn reaches_in(parts: &Parts) -> bool {
    let last = parts.uri.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    ["attach", "exec", "portforward", "proxy"].contains(&last)
        || parts.uri.path().contains("/proxy/")
        || parts.headers.contains_key(header::UPGRADE)
        || parts.headers.contains_key(header::SEC_WEBSOCKET_KEY)
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
