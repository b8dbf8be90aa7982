//! What a test has started ends with the test's process, however that ends: killed, too, when nothing of its own is
//! dropped any more. A shell holds the process ids, and kills them when the pipe to it closes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A line each: `+ PID` for one that was started, `- PID` for one that has ended and whose number may be somebody else's by
/// now, `/ DIRECTORY` for what is to be removed once nobody writes there any more.
const SHELL: &str = r#"trap "" INT TERM HUP
p=" "; d=
while read -r what which; do
  case $what in
    +) p="$p$which " ;;
    -) case $p in *" $which "*) p="${p%% "$which" *} ${p#* "$which" }" ;; esac ;;
    /) d="$d$which
" ;;
  esac
done
test -z "${p# }" || kill -9 $p 2>/dev/null
test -z "$d" && exit
sleep 1
printf %s "$d" | while read -r which; do rm -rf "$which"; done"#;

static SHARED: Mutex<Option<Child>> = Mutex::new(None);

/// A process that is killed at the latest when this one ends. To be dropped once it has ended and was waited for.
#[derive(Debug)]
pub struct Watched(u32);

/// # Errors
/// There is no shell to leave it to.
pub fn watch(process: &Child) -> Result<Watched, String> {
    tell(&format!("+ {}", process.id()))?;
    Ok(Watched(process.id()))
}

/// Has a directory removed when this process ends, after all that is watched.
///
/// # Errors
/// There is no shell to leave it to.
pub fn remove_at_the_end(directory: &Path) -> Result<(), String> {
    tell(&format!("/ {}", directory.display()))
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Without the shell nobody would kill it either.
        let _ = tell(&format!("- {}", self.0));
    }
}

fn tell(line: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot leave a process to sh: {error}");
    let mut shared = shared();
    if shared.is_none() {
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL, "undertaker"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        *shared = Some(shell.spawn().map_err(failed)?);
    }
    match shared.as_mut().and_then(|shell| shell.stdin.as_mut()) {
        Some(pipe) => writeln!(pipe, "{line}").map_err(failed),
        None => Err("the shell has no pipe".to_owned()),
    }
}

fn shared() -> MutexGuard<'static, Option<Child>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::time::{Duration, Instant};

    use super::*;

    /// Makes of a test process one that starts something and then hangs.
    const VICTIM: &str = "UNDERTAKER_VICTIM";

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn is_there(pid: &str) -> bool {
        // One that nobody waited for is a zombie, and dead.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn until(what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(Instant::now() < deadline, "{what}: not within 20 s");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its own binary is started again, and does in another process what is shown by killing that.
    #[test]
    fn what_a_killed_test_had_started_ends_and_what_it_had_given_up_does_not() {
        if std::env::var_os(VICTIM).is_some() {
            let directory = tempfile::tempdir().unwrap().keep();
            remove_at_the_end(&directory).unwrap();
            let (one, given_up, other) = (sleeper(), sleeper(), sleeper());
            let _watched = [&one, &other].map(|process| watch(process).unwrap());
            drop(watch(&given_up).unwrap());
            println!("\nstarted {} {} {} {}", one.id(), other.id(), given_up.id(), directory.display());
            loop {
                std::thread::park();
            }
        }
        let mut victim = Command::new(std::env::current_exe().unwrap());
        victim.args(["--exact", "--nocapture"]);
        victim.arg("undertaker::tests::what_a_killed_test_had_started_ends_and_what_it_had_given_up_does_not");
        let mut victim = victim.env(VICTIM, "1").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.starts_with("started ")).unwrap();
        let [one, other, given_up, directory] = line.split(' ').skip(1).collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert!([one, other, given_up].into_iter().all(is_there) && Path::new(directory).is_dir());
        victim.kill().unwrap();
        victim.wait().unwrap();
        until("both are gone", || !is_there(one) && !is_there(other));
        until("the directory is gone", || !Path::new(directory).exists());
        assert!(is_there(given_up), "it was no longer the test's");
        assert!(Command::new("kill").arg(given_up).status().unwrap().success());
    }
}
