//! Where records and pages go: `audit`, `paging`, and what is taken out of them first, `redaction`.

use super::keeping;
use super::load::warn;
use super::section::{Problems, Section};
use super::tree::{Node, excerpt};
use super::{
    Audit, Confirm, Graylog, Login, PagerDuty, Paging, Redaction, Require, Route, Rule, Warning, Webhook, suggest,
};

const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
const AUDIT: &[&str] = &["graylog", "require"];
const GRAYLOG: &[&str] = &["ca_file", "confirm", "headers_file", "password_file", "url", "username"];
const PAGING: &[&str] = &["alertmanager", "pagerduty", "routes", "webhook"];
const ROUTE: &[&str] = &["action", "rule", "to"];
const DESTINATIONS: [&str; 3] = ["alertmanager", "pagerduty", "webhook"];

pub fn audit(top: &Section<'_>, warnings: &mut Vec<Warning>, problems: &mut Problems) -> Audit {
    let known: Vec<_> = AUDIT.iter().copied().chain(keeping::KEYS).collect();
    let audit = top.section("audit", &known, problems);
    let keeping = audit.as_ref().map(|audit| keeping::read(audit, problems)).unwrap_or_default();
    let location = audit.as_ref().map_or(top.location, |audit| audit.location);
    let choices = [("journal", Require::Journal), ("graylog", Require::Graylog)];
    let require = audit.as_ref().and_then(|audit| audit.choice("require", &choices, problems));
    let graylog = audit.as_ref().and_then(|audit| audit.section("graylog", GRAYLOG, problems));
    let Some(graylog) = graylog else {
        if require == Some(Require::Graylog) {
            let place = audit.as_ref().and_then(|audit| audit.get("require")).map_or(location, |node| node.location);
            problems.add(place, "`audit.require` is graylog, and `audit.graylog` is not set");
        }
        let remedy = "no Graylog is set, so audit entries stay in the journal; add `audit: {graylog: {url: …}}`";
        warn(warnings, location, remedy);
        return Audit { keeping, ..Audit::default() };
    };
    let graylog = read_graylog(&graylog, warnings, problems);
    let require = require.unwrap_or_default();
    if require == Require::Graylog && !graylog.acknowledges() {
        let place = audit.as_ref().and_then(|audit| audit.get("require")).map_or(location, |node| node.location);
        let message =
            "`audit.require` is graylog, and a GELF TCP or UDP input acknowledges nothing; use its HTTP input";
        problems.add(place, message);
    }
    Audit { graylog: Some(graylog), require, keeping }
}

fn read_graylog(section: &Section<'_>, warnings: &mut Vec<Warning>, problems: &mut Problems) -> Graylog {
    if section.get("url").is_none() {
        section.missing("url", "`url: http://graylog:12201/gelf`", problems);
    }
    let url = section.parsed("url", problems, graylog_url).unwrap_or_default();
    let http = url.starts_with("http");
    if http
        && let Some(node) = section.get("url")
        && url.parse::<http::Uri>().is_ok_and(|url| url.path() == "/")
    {
        let name = section.name("url");
        warn(warnings, node.location, format!("{name} has no path, and Graylog's GELF HTTP input listens at `/gelf`"));
    }
    for key in ["headers_file", "password_file", "username"] {
        if let Some(node) = section.get(key).filter(|_| !http && !url.is_empty()) {
            problems.add(node.location, format!("{} goes with an http or https URL only", section.name(key)));
        }
    }
    let confirm = confirm(section, problems);
    let tls = url.starts_with("https") || url.starts_with("gelf+tls") || confirm.is_some();
    if let Some(node) = section.get("ca_file").filter(|_| !tls && !url.is_empty()) {
        problems.add(node.location, format!("{} goes with an https or gelf+tls URL only", section.name("ca_file")));
    }
    Graylog {
        ca_file: section.text("ca_file", problems).map(Into::into),
        login: login(section, problems),
        headers_file: section.text("headers_file", problems).map(Into::into),
        confirm,
        url,
    }
}

fn login(section: &Section<'_>, problems: &mut Problems) -> Option<Login> {
    match (section.text("username", problems), section.text("password_file", problems)) {
        (Some(username), Some(file)) => Some(Login { username: username.to_owned(), password_file: file.into() }),
        (Some(_), None) if section.get("password_file").is_none() => {
            section.missing("password_file", "the path of the file that holds the password", problems);
            None
        }
        (None, Some(_)) if section.get("username").is_none() => {
            section.missing("username", "the name that goes with the password", problems);
            None
        }
        _ => None,
    }
}

fn confirm(section: &Section<'_>, problems: &mut Problems) -> Option<Confirm> {
    let confirm = section.section("confirm", &["token_file", "url"], problems)?;
    if confirm.get("url").is_none() {
        confirm.missing("url", "`url: https://graylog:9000/api`", problems);
    }
    if confirm.get("token_file").is_none() {
        confirm.missing("token_file", "the path of the file that holds an access token of Graylog", problems);
    }
    Some(Confirm {
        url: confirm.parsed("url", problems, url).unwrap_or_default(),
        token_file: confirm.text("token_file", problems).unwrap_or_default().into(),
    })
}

pub fn paging(top: &Section<'_>, rules: &[Rule], problems: &mut Problems) -> Paging {
    let Some(paging) = top.section("paging", PAGING, problems) else {
        return Paging::default();
    };
    let pagerduty = paging.section("pagerduty", &["routing_key_file", "url"], problems).map(|pagerduty| {
        if pagerduty.get("routing_key_file").is_none() {
            pagerduty.missing("routing_key_file", "the path of the file that holds the routing key", problems);
        }
        PagerDuty {
            url: pagerduty.parsed("url", problems, url).unwrap_or_else(|| PAGERDUTY.to_owned()),
            routing_key_file: pagerduty.text("routing_key_file", problems).unwrap_or_default().into(),
        }
    });
    let alertmanager_url = paging.section("alertmanager", &["url"], problems).and_then(|alertmanager| {
        if alertmanager.get("url").is_none() {
            alertmanager.missing("url", "`url: http://alertmanager:9093`", problems);
        }
        alertmanager.parsed("url", problems, url)
    });
    let webhook = paging.section("webhook", &["headers_file", "url"], problems).map(|webhook| {
        if webhook.get("url").is_none() {
            webhook.missing("url", "`url: https://pager.example/hook`", problems);
        }
        Webhook {
            url: webhook.parsed("url", problems, url).unwrap_or_default(),
            headers_file: webhook.text("headers_file", problems).map(Into::into),
        }
    });
    let there: Vec<_> = DESTINATIONS.into_iter().filter(|name| paging.get(name).is_some()).collect();
    let nodes = paging.list("routes", problems).unwrap_or_default();
    let routes = nodes.iter().filter_map(|node| route(node, rules, &there, problems)).collect();
    Paging { pagerduty, alertmanager_url, webhook, routes }
}

fn route(node: &Node, rules: &[Rule], there: &[&'static str], problems: &mut Problems) -> Option<Route> {
    let section = Section::open(node, "paging.routes[]", ROUTE, problems)?;
    if section.get("action").is_none() && section.get("rule").is_none() {
        section.missing("action", "`action: isolate_namespace` or `rule: …`, which pages the route is for", problems);
    }
    if section.get("to").is_none() {
        section.missing("to", "`to: [pagerduty]`, where they go", problems);
    }
    let known = |key: &str, names: Vec<&str>, problems: &mut Problems| {
        section.parsed(key, problems, |text| {
            let hint = || format!("no rule here has `{}`{}", excerpt(text), suggest::phrase(text, &names));
            if names.contains(&text) { Ok(text.to_owned()) } else { Err(hint()) }
        })
    };
    let actions = rules.iter().flat_map(|rule| &rule.actions).map(|action| action.action.as_str()).collect();
    let action = known("action", actions, problems);
    let rule = known("rule", rules.iter().map(|rule| rule.name.as_str()).collect(), problems);
    let mut to = Vec::new();
    for (location, name) in section.texts("to", problems).unwrap_or_default() {
        match there.iter().find(|there| **there == name) {
            Some(name) => to.push((*name).to_owned()),
            None => {
                problems.add(location, format!("`paging` has no `{}`{}", excerpt(name), suggest::phrase(name, there)))
            }
        }
    }
    if section.list("to", problems).is_some_and(<[Node]>::is_empty) {
        let place = section.get("to").map_or(section.location, |node| node.location);
        problems.add(place, "`paging.routes[].to` is empty: a page that goes nowhere is none; name a destination");
    }
    Some(Route { action, rule, to })
}

pub fn redaction(top: &Section<'_>, problems: &mut Problems) -> Redaction {
    let Some(section) = top.section("redaction", &["builtin", "key_file", "patterns"], problems) else {
        return Redaction::default();
    };
    let mut patterns = Vec::new();
    for (location, text) in section.texts("patterns", problems).unwrap_or_default() {
        match crate::redact::compile(text) {
            Ok(_) => patterns.push(text.to_owned()),
            Err(error) => {
                let name = section.name("patterns");
                problems.add(location, format!("{name}: `{}` cannot be used: {error}", excerpt(text)));
            }
        }
    }
    Redaction {
        builtin: section.bool("builtin", problems).unwrap_or(true),
        patterns,
        key_file: section.text("key_file", problems).map(Into::into),
    }
}

pub(super) fn url(text: &str) -> Result<String, String> {
    if has(text, &["http", "https"]) {
        Ok(text.to_owned())
    } else {
        Err("not a URL that begins with http:// or https:// and a host".into())
    }
}

/// GELF over HTTP, or over a bare socket, and that with its port.
fn graylog_url(text: &str) -> Result<String, String> {
    if !has(text, &["gelf+tcp", "gelf+tls", "gelf+udp"]) {
        return url(text);
    }
    let port = text.parse::<http::Uri>().ok().and_then(|uri| uri.port_u16());
    if port.is_some() { Ok(text.to_owned()) } else { Err("no port, add Graylog's `:12201`".into()) }
}

fn has(text: &str, schemes: &[&str]) -> bool {
    let parsed = text.parse::<http::Uri>().ok();
    parsed.is_some_and(|uri| {
        let host = uri.authority().is_some_and(|authority| !authority.host().is_empty());
        uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) && host
    })
}
