//! `cargo xtask demo`: the real binary, real alerts over HTTP, a simulated cluster; alert by alert, for a person to read.

mod scenes;
mod watch;

use std::path::{Path, PathBuf};

use integration_tests::controller::{Controller, Setup};
use integration_tests::http;
use integration_tests::receiver::Receiver;
use serde_json::Value;

use crate::{Outcome, build, plugins};
use scenes::{Expected, Scene};
use watch::Seen;

/// Longer than any token needs to be, and nobody else's.
const TOKEN: &str = "demo-token-for-loopback-only";

/// # Errors
/// Says which step failed.
pub fn run(root: &Path, serve: bool) -> Result<Outcome, String> {
    println!("[1/3] building the plugins");
    plugins::build(root)?;
    println!("[2/3] building the controller (a first build takes some minutes)");
    build::controller(root)?;
    println!("[3/3] starting it on loopback, against the simulated cluster in deploy/demo/cluster\n");
    let pager = Receiver::start(200)?;
    let directory = Directory::create(root)?;
    let controller = Controller::start(&directory.setup("live", &pager, "")?)?;
    if serve {
        return serve_until_stopped(controller, &directory.path);
    }
    let mut failures = 0;
    let scenes = scenes::all();
    for (number, scene) in scenes.iter().enumerate() {
        failures += usize::from(!play(&controller, &pager, number + 1, scenes.len(), scene)?);
    }
    failures += usize::from(!stop(controller)?);
    failures += usize::from(!dry_run(&directory, &pager)?);
    println!();
    if failures == 0 {
        println!("Every decision was the expected one. Try it yourself: cargo xtask demo --serve");
        Ok(Outcome::Good)
    } else {
        println!(
            "{failures} decisions were not the expected ones; the controller's log is in {}",
            directory.path.display()
        );
        Ok(Outcome::Bad)
    }
}

/// Everything that the demo writes; below `target/`.
struct Directory {
    path: PathBuf,
    root: PathBuf,
}

impl Directory {
    fn create(root: &Path) -> Result<Self, String> {
        let path = root.join("target/demo");
        // A journal of an earlier demo would remember its alerts.
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("cannot clear {}: {error}", path.display()));
            }
            _ => {}
        }
        std::fs::create_dir_all(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        let directory = Self { path, root: root.to_owned() };
        directory.write("token", TOKEN)?;
        Ok(directory)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.path.join(name);
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }

    /// A directory of its own for one controller, with the runbook's configuration as it stands and what goes beside it.
    /// `replace`: what stands there instead of `dryrun: false`.
    fn setup(&self, name: &str, pager: &Receiver, replace: &str) -> Result<Setup, String> {
        let directory = self.path.join(name);
        std::fs::create_dir_all(&directory)
            .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
        Ok(Setup {
            config: self.config(&format!("{name}/config.yaml"), pager, replace)?,
            directory,
            plugins: self.root.join("target/plugins"),
            token_file: self.path.join("token"),
            cluster: format!("simulated:{}", self.root.join("deploy/demo/cluster").display()),
            environment: Vec::new(),
        })
    }

    /// The runbook's, with the demo's further rules and the grants that these need.
    fn config(&self, name: &str, pager: &Receiver, replace: &str) -> Result<PathBuf, String> {
        let mut text = String::new();
        for part in ["tests/fixtures/config/runbook-b.yaml", "deploy/demo/rules.yaml", "deploy/demo/plugins.yaml"] {
            let file = self.root.join(part);
            text +=
                &std::fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            text.push('\n');
        }
        if !replace.is_empty() {
            text = text.replacen("dryrun: false", replace, 1);
        }
        text.push_str(&format!("\npaging:\n  alertmanager: {{url: \"http://{}\"}}\n", pager.address));
        self.write(name, &text)
    }
}

/// Posts one alert and shows what came of it. False when it was not what the scene expects.
fn play(controller: &Controller, pager: &Receiver, number: usize, of: usize, scene: &Scene) -> Result<bool, String> {
    println!("── {number}/{of} ── {}", scene.title);
    let uuid = format!("00000000-0000-4000-8000-{number:012}");
    let body = scene.body(&uuid)?;
    let token = scene.token.unwrap_or(TOKEN);
    let before = controller.lines().len();
    let status = http::post(controller.address, "/alert", token, body.as_bytes())?.status;
    println!("   alert     {}", scene.describe());
    let seen =
        if status == 204 { watch::wait_for(controller, before, &uuid, scene.expected)? } else { Seen::default() };
    let shown = match (&seen.record, status) {
        (Some(record), _) => show(record),
        (None, 204) => "no rule wants it: counted, not stored".to_owned(),
        (None, status) => format!("not taken: HTTP {status}"),
    };
    println!("   decision  {shown}");
    if status == 204 {
        let changes = if seen.changes.is_empty() { "nothing".to_owned() } else { seen.changes.join("\n             ") };
        println!("   cluster   {changes}");
    }
    if let Some(record) = &seen.record {
        println!("   record    {}", shorten(record));
    }
    if let Expected::Done { page: true, .. } = scene.expected {
        match pager.wait_for(scene.page_hint()) {
            Some(page) => println!("   page      {}", show_page(&page)),
            None => println!("   page      none came, and one was expected"),
        }
    }
    let good = scene.expected.is_met(status, seen.record.as_ref(), &seen.changes);
    println!("   {}\n", if good { "as expected".to_owned() } else { format!("NOT AS EXPECTED: {:?}", scene.expected) });
    Ok(good)
}

/// What the page says and how to undo what was done.
fn show_page(page: &Value) -> String {
    let annotation =
        |key: &str| page.pointer(&format!("/0/annotations/{key}")).and_then(Value::as_str).unwrap_or("").to_owned();
    let lift = annotation("lift");
    let lift = if lift.is_empty() { lift } else { format!("\n             lift: {lift}") };
    format!("{}\n             undo: {}{lift}", annotation("summary"), annotation("undo"))
}

fn show(record: &Value) -> String {
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or("");
    if record.get("outcome").is_some() {
        let owner = if text("owner").is_empty() { String::new() } else { format!(", owner {}", text("owner")) };
        let partial =
            if text("isolation").is_empty() { String::new() } else { format!(", isolation {}", text("isolation")) };
        let kept: Vec<_> = attachments(record).filter_map(|one| one["name"].as_str()).collect();
        let kept = if kept.is_empty() { String::new() } else { format!(": {}", kept.join(", ")) };
        format!("{} {}: {}{kept}{owner}{partial}", text("action"), text("outcome"), text("detail"))
    } else {
        format!("{} ({}): {}", text("decision"), text("check"), text("detail"))
    }
}

fn attachments(record: &Value) -> impl Iterator<Item = &Value> {
    record.get("attachments").and_then(Value::as_array).into_iter().flatten()
}

/// The record without what does not fit on a screen.
fn shorten(record: &Value) -> String {
    let mut record = record.clone();
    if let Some(map) = record.as_object_mut() {
        for long in [
            "falco_output",
            "plugin_sha256",
            "config_sha256",
            "log_type",
            "alert_uuid",
            "level",
            "message",
            "time",
            "plugin_says",
        ] {
            map.shift_remove(long);
        }
        map.retain(|_, value| !value.is_null());
    }
    record.to_string()
}

fn stop(controller: Controller) -> Result<bool, String> {
    let code = controller.terminate()?;
    println!(
        "── SIGTERM: the controller ended with exit code {}\n",
        code.map_or_else(|| "none".to_owned(), |code| code.to_string())
    );
    Ok(code == Some(0))
}

/// The same alert under `dryrun: true`: a line to grep for, and an untouched cluster.
fn dry_run(directory: &Directory, pager: &Receiver) -> Result<bool, String> {
    println!("── and the same with `dryrun: true` ──");
    let controller = Controller::start(&directory.setup("dry", pager, "dryrun: true")?)?;
    let scene = scenes::first().expecting(Expected::Dry);
    let uuid = "00000000-0000-4000-8000-00000000d0d0";
    let before = controller.lines().len();
    let status = http::post(controller.address, "/alert", TOKEN, scene.body(uuid)?.as_bytes())?.status;
    println!("   alert     {}", scene.describe());
    let seen = watch::wait_for(&controller, before, uuid, scene.expected)?;
    println!("   log       {}", seen.dry_run.as_deref().unwrap_or("no DRY_RUN line"));
    println!("   cluster   {}", if seen.changes.is_empty() { "nothing".to_owned() } else { seen.changes.join(", ") });
    let good = status == 204
        && seen.dry_run.is_some()
        && seen.changes.is_empty()
        && scene.expected.is_met(status, seen.record.as_ref(), &seen.changes);
    println!("   {}", if good { "as expected" } else { "NOT AS EXPECTED" });
    Ok(stop(controller)? && good)
}

fn serve_until_stopped(mut controller: Controller, directory: &Path) -> Result<Outcome, String> {
    let body = scenes::first().body("")?;
    let file = directory.join("alert.json");
    std::fs::write(&file, body).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    println!("The controller listens on http://{}; its log follows. Try:\n", controller.address);
    println!(
        "  curl -i -X POST http://{}/alert -H 'X-Falco-Token: {TOKEN}' -H 'Content-Type: application/json' \\",
        controller.address
    );
    println!("    --data @{}\n", file.display());
    println!("(that alert is fresh for five minutes from now; end with Ctrl-C)\n");
    controller.follow()?;
    Ok(Outcome::Good)
}
