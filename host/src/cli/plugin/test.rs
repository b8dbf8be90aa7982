//! `plugin test`: the cases of an action, each against a cluster of its own.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::component;
use super::junit::{self, Test, Went};
use super::paint::Paint;
use crate::cli::Failure;
use crate::harness::case::{self, Case, Judged, Verdict};
use crate::harness::merged::Line;
use crate::harness::{Harness, HarnessError};
use crate::telemetry::escape;

/// The form of a case, for editors.
const SCHEMA: &str = include_str!("../../../../docs/schema/case.schema.json");

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The action's directory. Its cases are DIR/cases/*.yaml, or DIR/*.yaml where there is no `cases`.
    #[arg(value_name = "DIR", required_unless_present = "schema")]
    dir: Option<PathBuf>,
    /// The component to test; else the one in DIR, or in DIR/target/plugin-out.
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Only cases with this in their name or file name.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Also write the results as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write what happened over the `expect` of the cases that fail.
    #[arg(long)]
    update: bool,
    /// Print the JSON Schema of a case file, for editors, and do nothing else.
    #[arg(long, exclusive = true)]
    schema: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Some(dir) = arguments.dir.as_deref().filter(|_| !arguments.schema) else {
        print!("{SCHEMA}");
        return Ok(());
    };
    let file = component::find(arguments.component.as_deref(), dir)?;
    let harness = Harness::load(&file).map_err(|error| Failure::Usage(error.to_string()))?;
    let action = &harness.action().manifest.name;
    let cases = cases(dir, action, arguments.filter.as_deref())?;
    println!("{action} from {} sha256:{}", escape::text(&file.display().to_string()), harness.action().sha256);
    let started = Instant::now();
    let mut results = Results { paint: Paint::of_stdout(), tests: Vec::new(), updated: 0 };
    for case in &cases {
        let judged = case.judge(&harness).await;
        results.add(case, judged, arguments.update);
    }
    results.summary(started);
    if let Some(path) = &arguments.junit {
        std::fs::write(path, junit::document(action, &results.tests))
            .map_err(|error| Failure::Usage(format!("cannot write {}: {error}", path.display())))?;
    }
    match results.failed() {
        0 => Ok(()),
        1 => Err(Failure::Runtime("one case failed".to_owned())),
        count => Err(Failure::Runtime(format!("{count} cases failed"))),
    }
}

/// All of them can be read, or none is run.
fn cases(dir: &Path, action: &str, filter: Option<&str>) -> Result<Vec<Case>, Failure> {
    let files = case::files(dir).map_err(|error| Failure::Usage(error.to_string()))?;
    let (mut cases, mut problems) = (Vec::<Case>::new(), Vec::new());
    for file in &files {
        match Case::read(file, action) {
            Ok(case) => match cases.iter().find(|known| known.name == case.name) {
                Some(known) => problems.push(format!(
                    "{}: {} has the name {:?} as well, give one of them another",
                    file.display(),
                    known.file.display(),
                    case.name
                )),
                None => cases.push(case),
            },
            Err(error) => problems.push(error.to_string()),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Usage(problems.join("\n")));
    }
    let wanted = |case: &Case| {
        let file = case.file.file_name().unwrap_or_default().to_string_lossy();
        filter.is_none_or(|filter| case.name.contains(filter) || file.contains(filter))
    };
    cases.retain(wanted);
    match (cases.is_empty(), filter) {
        (false, _) => Ok(cases),
        (true, Some(filter)) if !files.is_empty() => {
            Err(Failure::Usage(format!("none of the {} cases has {filter:?} in its name", files.len())))
        }
        (true, _) => {
            let dir = dir.display();
            Err(Failure::Usage(format!("there are no cases: write {dir}/cases/NAME.yaml (docs/testing-actions.md)")))
        }
    }
}

struct Results {
    paint: Paint,
    tests: Vec<Test>,
    updated: usize,
}

impl Results {
    /// Says what came of a case, and keeps it.
    fn add(&mut self, case: &Case, judged: Result<Judged, HarnessError>, update: bool) {
        let name = escape::text(&case.name);
        let file = escape::text(&case.file.display().to_string());
        let paint = self.paint;
        let failed = paint.red("FAIL");
        let took = judged.as_ref().map(|judged| judged.took).unwrap_or_default();
        let millis = format!("{} ms", took.as_millis());
        let went = match judged {
            Err(error) => {
                let why = error.to_string();
                println!("{failed}  {name}\n  {file}: it could not be played: {}", escape::text(&why));
                Went::Broke(why)
            }
            Ok(Judged { verdict: Verdict::Passed, .. }) => {
                println!("{}    {name} ({millis})", paint.green("ok"));
                Went::Well
            }
            Ok(judged) if update => match case.update(&judged.actual) {
                Ok(()) => {
                    self.updated += 1;
                    println!("{}  {name}\n  {file}", paint.yellow("wrote"));
                    Went::Well
                }
                Err(error) => {
                    println!("{failed}  {name}\n  {file}: {error}");
                    Went::Broke(error.to_string())
                }
            },
            Ok(Judged { verdict: Verdict::Failed(lines), .. }) => {
                println!("{failed}  {name} ({millis})\n  {file}: - expected, + what happened");
                lines.iter().for_each(|line| println!("  {}", paint.line(line)));
                Went::Failed(lines.iter().map(Line::marked).collect::<Vec<_>>().join("\n"))
            }
            Ok(Judged { verdict: Verdict::NothingExpected, .. }) => {
                let why = "it says nothing of what is expected: write `expect`, or have it written with --update";
                println!("{failed}  {name} ({millis})\n  {file}: {why}");
                Went::Failed(why.to_owned())
            }
        };
        self.tests.push(Test { name: case.name.clone(), file: case.file.display().to_string(), took, went });
    }

    fn failed(&self) -> usize {
        self.tests.iter().filter(|test| test.went != Went::Well).count()
    }

    fn summary(&self, started: Instant) {
        let (count, failed) = (self.tests.len(), self.failed());
        let cases = if count == 1 { "1 case".to_owned() } else { format!("{count} cases") };
        let written = if self.updated > 0 { format!(", {} written", self.updated) } else { String::new() };
        let passed = count - failed - self.updated;
        println!("\n{cases}: {passed} passed, {failed} failed{written} ({:.2} s)", started.elapsed().as_secs_f64());
    }
}
