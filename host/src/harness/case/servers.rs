//! `http` of a case: what servers outside of the cluster say. One of which nothing is said takes everything with 200.

use hyper::body::Bytes;

use crate::cluster::web::script::{Made, Reply, Script};
use crate::cluster::web::url::Url;
use crate::config::section::{Problems, Section};
use crate::config::tree::{Content, Node};
use crate::safety::web::WebMethod;

pub const SERVER: &[&str] = &["answer", "body", "headers", "method", "times", "url"];

pub fn read(top: &Section<'_>, problems: &mut Problems) -> Script {
    let script = Script::default();
    for node in top.list("http", problems).unwrap_or_default() {
        if let Some(reply) = reply(node, problems) {
            script.say(reply);
        }
    }
    script
}

fn reply(node: &Node, problems: &mut Problems) -> Option<Reply> {
    let section = Section::open(node, "http[]", SERVER, problems)?;
    if section.get("url").is_none() {
        section.missing("url", "`url: https://hooks.example.com/falco`", problems);
    }
    let url = section.parsed("url", problems, Url::parse);
    let method = section.parsed("method", problems, |text| {
        let known = WebMethod::ALL.map(WebMethod::as_str).join(", ");
        WebMethod::parse(text).map(WebMethod::method).ok_or_else(|| format!("is one of {known}"))
    });
    let times = section.number("times", 1..=u64::from(u32::MAX), problems);
    let times = times.and_then(|times| u32::try_from(times).ok()).unwrap_or(u32::MAX);
    let answer = answer(&section, problems)?;
    Some(Reply { method, url: url?, answer, times })
}

fn answer(section: &Section<'_>, problems: &mut Problems) -> Option<Made> {
    let status = match section.get("answer").map(|node| (&node.value, node)) {
        None => Some(200),
        Some((Content::Text(text), _)) if text == "lost" => return Some(Made::Lost),
        Some((Content::Text(text), _)) if text == "refused" => return Some(Made::Refused),
        Some((Content::Number(number), _)) => {
            number.as_u64().filter(|code| (200..600).contains(code)).and_then(|code| u16::try_from(code).ok())
        }
        Some(_) => None,
    };
    let Some(status) = status else {
        let node = section.get("answer")?;
        let message =
            format!("`http[].answer` is a status from 200 to 599, `lost` or `refused`, not {}", node.describe());
        problems.add(node.location, message);
        return None;
    };
    let body = match section.get("body").map(|node| (&node.value, node)) {
        None => Bytes::new(),
        Some((Content::Text(text), _)) => Bytes::from(text.clone()),
        Some((_, node)) => Bytes::from(node.to_json().to_string()),
    };
    let mut headers = Vec::new();
    for (key, node) in section.entries("headers", problems).unwrap_or_default() {
        match &node.value {
            Content::Text(text) => headers.push((key.name.to_ascii_lowercase(), text.clone())),
            _ => problems
                .add(node.location, format!("`http[].headers.{}` expects text, not {}", key.name, node.describe())),
        }
    }
    Some(Made::Answer { status, headers, body })
}
