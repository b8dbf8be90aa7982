//! An alert read in the plainest way: into maps, part by part. What reads alerts in earnest says the same about every
//! body, errors included.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::super::parts::read_string;
use super::super::{AlertError, Priority, excerpt, parse_time};

type Map<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Debug, PartialEq)]
pub struct Plain {
    /// `rule`, `time`, `priority`, `uuid`, `output`, `source`, `hostname`.
    pub texts: [Option<String>; 7],
    pub tags: Vec<String>,
    pub fields: BTreeMap<String, String>,
}

pub fn read(body: &[u8]) -> Result<Plain, AlertError> {
    let raw = std::str::from_utf8(body)
        .map_err(|error| AlertError(format!("the body is not UTF-8 from byte {} on", error.valid_up_to())))?;
    let parts: Map<'_> = serde_json::from_str(raw).map_err(|error| {
        AlertError(match error.classify() {
            serde_json::error::Category::Data => "the body is not a JSON object".into(),
            _ => format!("the body is not JSON: {error}"),
        })
    })?;
    let get = |key: &str| parts.get(key).copied().filter(|value| value.get() != "null");
    let missing: Vec<_> = ["rule", "time", "priority", "output_fields"]
        .iter()
        .filter(|key| get(key).is_none())
        .map(|key| format!("`{key}`"))
        .collect();
    if !missing.is_empty() {
        return Err(AlertError(format!("missing {}", missing.join(", "))));
    }
    let string = |key: &str| match get(key) {
        None => Ok(None),
        Some(value) => match read_string(value.get()) {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(AlertError(format!("`{key}` is {}, not a string", kind(value)))),
        },
    };
    let rule = string("rule")?;
    if rule.as_deref() == Some("") {
        return Err(AlertError("`rule` is empty".into()));
    }
    let time = string("time")?;
    parse_time(time.as_deref().unwrap_or_default())?;
    let priority = string("priority")?.unwrap_or_default();
    let Some(known) = Priority::parse(&priority) else {
        let priority = excerpt(&priority);
        return Err(AlertError(format!("`priority` \"{priority}\" is none of Falco's (Emergency … Debug)")));
    };
    let (uuid, output, source) = (string("uuid")?, string("output")?, string("source")?);
    let tags = match get("tags") {
        None => Vec::new(),
        Some(value) => {
            let items: Vec<&RawValue> = serde_json::from_str(value.get())
                .map_err(|_| AlertError(format!("`tags` is {}, not a list of strings", kind(value))))?;
            let wrong = |item: &RawValue| AlertError(format!("`tags` holds {}, not only strings", kind(item)));
            let read = |item: &&RawValue| Ok(read_string(item.get()).ok_or_else(|| wrong(item))?.into_owned());
            items.iter().map(read).collect::<Result<_, _>>()?
        }
    };
    let hostname = string("hostname")?;
    let fields =
        get("output_fields").map(|value| serde_json::from_str::<Map<'_>>(value.get()).map_err(|error| (error, value)));
    let fields = fields.transpose().map_err(|(error, value)| {
        AlertError(match error.classify() {
            serde_json::error::Category::Data => format!("`output_fields` is {}, not an object", kind(value)),
            _ => format!("`output_fields` cannot be read: {error}"),
        })
    })?;
    let fields = fields.unwrap_or_default().into_iter().map(|(name, value)| (name, value.get().to_owned())).collect();
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let texts = [rule, time, Some(known.as_upper().to_owned()), some(uuid), some(output), some(source), some(hostname)];
    Ok(Plain { texts, tags, fields })
}

fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes()[0] {
        b'"' => "a string",
        b'{' => "an object",
        b'[' => "a list",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        _ => "a number",
    }
}
