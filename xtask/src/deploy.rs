//! `cargo xtask deploy`: the Kustomize base and its overlay, made from the Helm chart. They are committed, so that
//! `kubectl apply -k deploy/` needs no Helm; `--check` says which of them the chart has left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use integration_tests::{control_plane::has_go, render};

use crate::{Outcome, control_plane, kept};

/// What is said where the renderer can neither be found nor built.
pub const NOT_RUN: &str = "deploy/ against its chart: NOT RUN (no go)";
const MADE: &str = "# Made from deploy/chart by `cargo xtask deploy`: change the chart, not this file.\n";
const BASE: &str = "deploy/base";
const OVERLAY: &str = "deploy/overlays/statefulset";
/// What stands in the base beside the rendered files: written by hand.
const BY_HAND: [&str; 2] = ["namespace.yaml", "values.yaml"];
const WORKLOADS: [&str; 2] = ["deployment.yaml", "statefulset.yaml"];

/// Writes what the chart says now.
///
/// # Errors
/// There is no Go, or the chart does not render.
pub fn write(root: &Path) -> Result<Outcome, String> {
    if !ensure()? {
        return Err(NOT_RUN.to_owned());
    }
    let wanted = made(root)?;
    for stale in stale(root, &wanted)? {
        println!("{} goes", stale.display());
        fs::remove_file(root.join(&stale)).map_err(|error| format!("cannot remove {}: {error}", stale.display()))?;
    }
    for (path, text) in &wanted {
        let file = root.join(path);
        if fs::read_to_string(&file).is_ok_and(|old| old == *text) {
            continue;
        }
        println!("{}", path.display());
        fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(Outcome::Good)
}

/// Whether the committed files are what the chart says; prints each that is not. Without Go nobody can tell, which is
/// said and, in CI, an error.
///
/// # Errors
/// The chart does not render.
pub fn check(root: &Path) -> Result<bool, String> {
    if !ensure()? {
        if std::env::var_os("CI").is_some() {
            return Err(format!("{NOT_RUN}; in CI it has to run"));
        }
        println!("{NOT_RUN}");
        return Ok(true);
    }
    let drifted = drifted(root, &made(root)?)?;
    for path in &drifted {
        println!("{} is not what deploy/chart says: run cargo xtask deploy", path.display());
    }
    Ok(drifted.is_empty())
}

/// The files that are not what is wanted, those that nobody wants among them.
fn drifted(root: &Path, wanted: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>, String> {
    let changed = wanted.iter().filter(|(path, text)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(text));
    let mut drifted: Vec<PathBuf> = changed.map(|(path, _)| path.clone()).collect();
    drifted.extend(stale(root, wanted)?);
    Ok(drifted)
}

/// Builds the renderer unless it is there. Answers whether it is there now.
///
/// # Errors
/// It does not build.
pub fn ensure() -> Result<bool, String> {
    let binary = render::binary()?;
    if binary.is_file() {
        return Ok(true);
    }
    if !has_go() {
        return Ok(false);
    }
    let kept = binary.parent().ok_or("the renderer has no directory")?;
    let says = format!("building Helm's and Kustomize's rendering into {}: about a minute, once", kept.display());
    kept::build(
        kept,
        &says,
        || Ok(binary.is_file()),
        |fresh| {
            let output = fresh.join("render").display().to_string();
            control_plane::go(&render::source(), fresh, &["build", "-ldflags", "-s -w", "-o", &output, "."])
        },
    )?;
    Ok(true)
}

/// Every made file, by its path from the root.
fn made(root: &Path) -> Result<BTreeMap<PathBuf, String>, String> {
    let [ours, persistent] = [BASE, OVERLAY].map(|directory| root.join(directory).join("values.yaml"));
    let base = by_template(&render::template(&[&ours])?)?;
    let overlay = by_template(&render::template(&[&ours, &persistent])?)?;
    let rest = |files: &BTreeMap<String, String>| {
        let mut files = files.clone();
        files.retain(|name, _| !WORKLOADS.contains(&name.as_str()));
        files
    };
    if rest(&base) != rest(&overlay) {
        return Err(format!(
            "the chart's StatefulSet form changes more than the workload: {OVERLAY} has to say it, too"
        ));
    }
    let statefulset = overlay.get("statefulset.yaml").ok_or("the chart has no StatefulSet form")?;
    let mut files: BTreeMap<PathBuf, String> =
        base.iter().map(|(name, text)| (Path::new(BASE).join(name), format!("{MADE}{text}"))).collect();
    files.insert(Path::new(OVERLAY).join("statefulset.yaml"), format!("{MADE}{statefulset}"));
    files.insert(Path::new(BASE).join("kustomization.yaml"), kustomization(base.keys()));
    Ok(files)
}

fn kustomization<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut text = format!("{MADE}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n");
    text.push_str("  - namespace.yaml\n");
    for name in names {
        text.push_str(&format!("  - {name}\n"));
    }
    text
}

/// The rendered text of each template, by the template's file name.
fn by_template(text: &str) -> Result<BTreeMap<String, String>, String> {
    const SOURCE: &str = "---\n# Source: falco-response-controller/templates/";
    let mut files = BTreeMap::new();
    for part in text.split(SOURCE).skip(1) {
        let (name, text) = part.split_once('\n').ok_or("the renderer's output breaks off")?;
        files.insert(name.to_owned(), text.to_owned());
    }
    if files.is_empty() { Err("the chart renders to nothing".to_owned()) } else { Ok(files) }
}

/// Files of the base that no template stands behind any more.
fn stale(root: &Path, wanted: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("cannot list {BASE}: {error}");
    let mut stale = Vec::new();
    for entry in fs::read_dir(root.join(BASE)).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let path = Path::new(BASE).join(&name);
        if !wanted.contains_key(&path) && !BY_HAND.iter().any(|by_hand| name == *by_hand) {
            stale.push(path);
        }
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_changed_missing_or_left_over() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str| Path::new(BASE).join(name);
        fs::create_dir_all(root.path().join(BASE)).unwrap();
        for (name, text) in
            [("same.yaml", "1"), ("changed.yaml", "1"), ("left-over.yaml", "1"), ("namespace.yaml", "1")]
        {
            fs::write(root.path().join(file(name)), text).unwrap();
        }
        let wanted = [("same.yaml", "1"), ("changed.yaml", "2"), ("missing.yaml", "1")];
        let wanted = wanted.map(|(name, text)| (file(name), text.to_owned())).into();
        let expected = ["changed.yaml", "missing.yaml", "left-over.yaml"].map(file);
        assert_eq!(drifted(root.path(), &wanted).unwrap(), expected);
    }

    #[test]
    fn takes_the_rendered_text_apart_by_template() {
        let source = "---\n# Source: falco-response-controller/templates/";
        let text = format!("{source}a.yaml\nkind: A\n---\nkind: B\n{source}b.yaml\nkind: C\n");
        let files = by_template(&text).unwrap();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(files, [("a.yaml", "kind: A\n---\nkind: B\n"), ("b.yaml", "kind: C\n")]);
        assert!(by_template("").is_err());
    }
}
