//! What stays reachable: address ranges and namespaces, checked when the configuration is loaded.

use core::net::IpAddr;

use falco_response_sdk::prelude::*;

/// What is wrong with them; none if nothing is.
pub fn problems(cidrs: &[String], namespaces: &[String]) -> Vec<Problem> {
    let at = |list: &str, index: usize| ["/", list, "/", &index.to_string()].concat();
    let mut problems = Vec::new();
    for (index, cidr) in cidrs.iter().enumerate() {
        let wrong = match prefix(cidr) {
            None => "expected an address range, such as 10.20.0.0/16 or fd00::/8",
            Some(0) => "a range of every address leaves nothing isolated",
            Some(_) => continue,
        };
        problems.push(Problem::new(at("allow_cidrs", index), wrong));
    }
    for (index, namespace) in namespaces.iter().enumerate().filter(|(_, namespace)| !is_namespace(namespace)) {
        let wrong = ["expected a namespace's name, not \"", namespace, "\""].concat();
        problems.push(Problem::new(at("allow_namespaces", index), wrong));
    }
    problems
}

/// How many bits of the range are fixed; none if it is no range.
fn prefix(cidr: &str) -> Option<u8> {
    let (address, prefix) = cidr.split_once('/')?;
    let longest = match address.parse().ok()? {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    prefix.parse().ok().filter(|bits| digits && *bits <= longest)
}

fn is_namespace(name: &str) -> bool {
    let within = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(within) && !name.starts_with('-') && !name.ends_with('-')
}

/// As a NetworkPolicy names them.
pub fn peers(cidrs: &[String], namespaces: &[String]) -> Vec<Value> {
    let range = |cidr: &String| object([("ipBlock", object([("cidr", cidr.as_str().into())]))]);
    let named = |namespace: &String| {
        let labels = object([("kubernetes.io/metadata.name", namespace.as_str().into())]);
        object([("namespaceSelector", object([("matchLabels", labels)]))])
    };
    cidrs.iter().map(range).chain(namespaces.iter().map(named)).collect()
}
