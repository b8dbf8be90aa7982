//! The container image's root file system as a directory: the binary, the libraries it is linked to, the plugins, and the
//! few files that a C library and TLS look for. `deploy/Containerfile` copies it onto `scratch`, so what a test starts
//! from the directory is what the image holds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the binary is, within.
pub const BINARY: &str = "usr/bin/falco-response-controller";
/// Who runs it: the user that distroless images call `nonroot`.
pub const USER: u32 = 65532;
/// The two places that a pod mounts something over.
pub const SETTINGS: &str = "etc/falco-response";
pub const DATA: &str = "var/lib/falco-response";

const PLUGINS: [&str; 14] = [
    "annotate_pod.wasm",
    "cordon_node.wasm",
    "download_file.wasm",
    "drain_node.wasm",
    "isolate_namespace.wasm",
    "isolate_pod.wasm",
    "keep_evidence.wasm",
    "kill_pod.wasm",
    "label_pod.wasm",
    "restart_workload.wasm",
    "revoke_service_account.wasm",
    "run_command.wasm",
    "scale_to_zero.wasm",
    "webhook.wasm",
];
/// The names of the actions in it.
pub fn actions() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().filter_map(|plugin| plugin.strip_suffix(".wasm"))
}

const FILES: [(&str, &str); 3] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/var/lib/falco-response:/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nnonroot:x:65532:\n"),
    // Without it, the C library would ask DNS before /etc/hosts.
    ("etc/nsswitch.conf", "hosts: files dns\n"),
];
/// Where Debian, Fedora and Alpine keep the certificates of the public authorities, in one file.
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Lays it out in `root`, a directory that does not exist or is empty, and answers with the libraries it took along.
///
/// # Errors
/// Names the file that is missing or cannot be written.
pub fn lay_out(binary: &Path, plugins: &Path, root: &Path) -> Result<Vec<PathBuf>, String> {
    must_be_vacant(root)?;
    for directory in [SETTINGS, DATA, "plugins"] {
        create(&root.join(directory))?;
    }
    copy(binary, &root.join(BINARY), 0o755)?;
    let libraries = libraries(binary)?;
    for library in &libraries {
        copy(library, &within(root, library), 0o755)?;
    }
    for plugin in PLUGINS {
        copy(&plugins.join(plugin), &root.join("plugins").join(plugin), 0o644)?;
    }
    for (path, text) in FILES {
        let file = root.join(path);
        fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    let authorities = AUTHORITIES.iter().map(Path::new).find(|path| path.is_file());
    let authorities = authorities.ok_or("no file of public certificate authorities: install ca-certificates")?;
    copy(authorities, &root.join("etc/ssl/certs/ca-certificates.crt"), 0o644)?;
    give_to_user(&root.join(DATA))?;
    Ok(libraries)
}

/// # Errors
/// Something is in the directory already.
pub fn must_be_vacant(directory: &Path) -> Result<(), String> {
    let occupied = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
    if occupied { Err(format!("{} is not empty", directory.display())) } else { Ok(()) }
}

/// The dynamic loader and every library, as the machine's own loader resolves them; none for a static binary.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("ldd").arg(binary).env("LC_ALL", "C").output();
    let output = output.map_err(|error| format!("cannot run ldd: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    if text.contains("statically linked") || errors.contains("not a dynamic executable") {
        return Ok(Vec::new());
    }
    if !output.status.success() {
        return Err(format!("ldd {}: {}", binary.display(), errors.trim()));
    }
    let mut libraries = Vec::new();
    for line in text.lines() {
        libraries.extend(library(line)?);
    }
    Ok(libraries)
}

/// The file that a line of ldd's names; none for what the kernel provides.
fn library(line: &str) -> Result<Option<PathBuf>, String> {
    let line = line.trim();
    let place = match line.split_once(" => ") {
        Some((name, "not found")) => return Err(format!("the binary needs {name}, which is not on this machine")),
        Some((_, place)) => place,
        None => line,
    };
    let place = place.split(" (").next().unwrap_or_default();
    Ok(place.starts_with('/').then(|| place.into()))
}

/// A path of the machine, below `root`.
fn within(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn create(directory: &Path) -> Result<(), String> {
    fs::create_dir_all(directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))
}

/// Copies what a link points to.
fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    if let Some(parent) = to.parent() {
        create(parent)?;
    }
    fs::copy(from, to)
        .and_then(|_| fs::set_permissions(to, fs::Permissions::from_mode(mode)))
        .map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))
}

/// So that it can be written to even where nothing is mounted over it. Only root can give away; in a pod a volume is
/// mounted there.
fn give_to_user(directory: &Path) -> Result<(), String> {
    match std::os::unix::fs::chown(directory, Some(USER), Some(USER)) {
        Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {
            Err(format!("cannot give {} to user {USER}: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ldd_prints() {
        let lines = [
            "\tlinux-vdso.so.1 (0x00007f37a73e3000)",
            "\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f37a4320000)",
            "\t/lib64/ld-linux-x86-64.so.2 (0x00007f37a73e5000)",
        ];
        let found: Vec<Option<PathBuf>> = lines.iter().map(|line| library(line).unwrap()).collect();
        let expected =
            [None, Some("/lib/x86_64-linux-gnu/libm.so.6".into()), Some("/lib64/ld-linux-x86-64.so.2".into())];
        assert_eq!(found, expected);
        assert!(library("\tlibxyz.so.1 => not found").unwrap_err().contains("libxyz.so.1"));
    }

    #[test]
    fn refuses_a_directory_with_something_in_it() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("mine"), "").unwrap();
        assert!(lay_out(Path::new("/bin/sh"), Path::new("/"), directory.path()).unwrap_err().contains("not empty"));
    }
}
