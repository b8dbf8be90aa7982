//! A directory in the form of an OCI image layout: the mirror of somebody without a network, and our own cache.
//!
//! Blobs lie under their digests, and are checked against them whenever they are read. Names (`index.json`) are only
//! needed for signatures, which are found by a tag.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::artifact::{Descriptor, INDEX, MANIFEST_LIMIT, Part};
use super::reference::Digest;
use crate::plugins::file;

const MARK: &str = "oci-layout";
const VERSION: &str = "1.0.0";
const INDEX_FILE: &str = "index.json";
/// Of a mirror that others filled, with whatever they keep in it.
const INDEX_LIMIT: u64 = 4 << 20;
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<Map<String, Value>>,
}

impl Layout {
    /// One that is there.
    ///
    /// # Errors
    /// It is not an image layout.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let mark = dir.join(MARK);
        let problem = |problem: String| {
            let dir = dir.display();
            format!(
                "{dir} is no OCI image layout: {} {problem}; `falco-response-controller plugin pull REF --to {dir}` makes one",
                mark.display()
            )
        };
        let text = file::content(&mark, 4 << 10).map_err(problem)?;
        let found: Value = serde_json::from_slice(&text).map_err(|error| problem(format!("is no JSON: {error}")))?;
        match found["imageLayoutVersion"].as_str() {
            Some(version) if version.starts_with("1.") => Ok(Self { dir: dir.to_owned() }),
            _ => Err(problem(format!("does not say version {VERSION}"))),
        }
    }

    /// One that is there, or is made. `private`: of this user alone, and refused where others could write.
    ///
    /// # Errors
    /// It cannot be made, or others can write to it.
    pub fn open_or_create(dir: &Path, private: bool) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot create an OCI image layout in {}: {error}", dir.display());
        let mode = if private { 0o700 } else { 0o755 };
        fs::DirBuilder::new().recursive(true).mode(mode).create(dir.join("blobs/sha256")).map_err(failed)?;
        if private {
            let found = fs::symlink_metadata(dir).map_err(failed)?;
            let own = tempfile::tempfile_in(dir).and_then(|file| file.metadata()).map_err(failed)?.uid();
            if !found.is_dir() || found.uid() != own || found.mode() & 0o022 != 0 {
                return Err(format!(
                    "{} is not used to keep fetched actions: it is a link, belongs to another user or can be written by \
                     others; make it a directory of this user's own, mode 0700",
                    dir.display()
                ));
            }
        }
        let layout = Self { dir: dir.to_owned() };
        if !dir.join(MARK).exists() {
            let mark = json!({"imageLayoutVersion": VERSION}).to_string();
            layout.write(&dir.join(MARK), mark.as_bytes()).map_err(failed)?;
        }
        if !dir.join(INDEX_FILE).exists() {
            layout.write_index(&layout.index()?).map_err(failed)?;
        }
        Self::open(dir)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// A blob; none where it is not there.
    ///
    /// # Errors
    /// It cannot be read, or is not what its name says.
    pub fn blob(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, String> {
        let path = self.path(digest);
        if let Err(error) = fs::metadata(&path)
            && error.kind() == io::ErrorKind::NotFound
        {
            return Ok(None);
        }
        let content = file::content(&path, limit).map_err(|problem| format!("{} {problem}", path.display()))?;
        let part = Part { digest: digest.clone(), size: content.len() as u64 };
        part.check(&content).map_err(|problem| format!("{}: {problem}", path.display()))?;
        Ok(Some(content))
    }

    /// Keeps a blob, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, content: &[u8]) -> Result<Digest, String> {
        let digest = Digest::of(content);
        let path = self.path(&digest);
        if !matches!(self.blob(&digest, content.len() as u64), Ok(Some(_))) {
            self.write(&path, content).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(digest)
    }

    /// The manifest of that name.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn tagged(&self, name: &str) -> Result<Option<Descriptor>, String> {
        let index = self.index()?;
        let mut found = index.manifests.into_iter();
        // Some write the whole reference there, and not only its tag.
        let suffix = format!(":{name}");
        Ok(found.find(|descriptor| {
            descriptor.annotation(REF_NAME).is_some_and(|found| found == name || found.ends_with(&suffix))
        }))
    }

    /// Names a manifest that was [`put`](Self::put); the name may have meant another one before.
    ///
    /// # Errors
    /// The index cannot be read or written.
    pub fn tag(&self, name: &str, media_type: &str, manifest: &[u8]) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot write the index of {}: {error}", self.dir.display());
        // Two that fill one mirror must not forget each other's names.
        let lock = File::open(self.dir.join(MARK)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut index = self.index()?;
        index.manifests.retain(|descriptor| descriptor.annotation(REF_NAME) != Some(name));
        let mut descriptor = Descriptor::of(media_type, manifest);
        descriptor.annotations = Some(Map::from_iter([(REF_NAME.to_owned(), name.into())]));
        index.manifests.push(descriptor);
        self.write_index(&index).map_err(failed)
    }

    /// Removes every blob but these, and every name that leads nowhere then.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn keep_only(&self, digests: &[Digest]) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot remove what is not used from {}: {error}", self.dir.display());
        for entry in fs::read_dir(self.dir.join("blobs/sha256")).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !digests.iter().any(|digest| entry.file_name() == digest.hex()) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        let mut index = self.index()?;
        let before = index.manifests.len();
        index.manifests.retain(|descriptor| digests.iter().any(|digest| descriptor.digest == digest.to_string()));
        if index.manifests.len() != before {
            self.write_index(&index).map_err(failed)?;
        }
        Ok(())
    }

    fn index(&self) -> Result<Index, String> {
        let path = self.dir.join(INDEX_FILE);
        if !path.exists() {
            let media_type = Some(INDEX.to_owned());
            return Ok(Index { schema_version: 2, media_type, manifests: Vec::new(), annotations: None });
        }
        let content = file::content(&path, INDEX_LIMIT).map_err(|problem| format!("{} {problem}", path.display()))?;
        serde_json::from_slice(&content).map_err(|error| format!("{} is no index: {error}", path.display()))
    }

    fn write_index(&self, index: &Index) -> io::Result<()> {
        self.write(&self.dir.join(INDEX_FILE), &serde_json::to_vec(index)?)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(content)?;
        // A mirror is read by others than those who fill it; of a private one the directory keeps them out.
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

/// Of a manifest in a layout.
pub fn manifest(layout: &Layout, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
    layout.blob(digest, MANIFEST_LIMIT)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn gives_back_what_it_was_given_and_nothing_that_was_spoiled() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open_or_create(&dir.path().join("mirror"), false).unwrap();
        let digest = layout.put(b"a component").unwrap();
        assert_eq!(layout.blob(&digest, 100).unwrap().unwrap(), b"a component");
        assert_eq!(layout.blob(&Digest::of(b"another"), 100).unwrap(), None);
        assert!(layout.blob(&digest, 3).unwrap_err().contains("larger"), "bounded");
        fs::write(layout.path(&digest), b"b component").unwrap();
        let error = layout.blob(&digest, 100).unwrap_err();
        assert!(error.contains("is not that") && error.contains(digest.hex()), "{error}");
        // And what is put again heals it.
        layout.put(b"a component").unwrap();
        assert!(layout.blob(&digest, 100).unwrap().is_some());
    }

    #[test]
    fn a_name_is_the_last_ones_that_bore_it_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open_or_create(dir.path(), false).unwrap();
        for (name, content) in [("a", "1"), ("b", "2"), ("a", "3")] {
            layout.put(content.as_bytes()).unwrap();
            layout.tag(name, "text/plain", content.as_bytes()).unwrap();
        }
        let again = Layout::open(dir.path()).unwrap();
        let digest = |name: &str| again.tagged(name).unwrap().map(|found| found.digest);
        assert_eq!(digest("a"), Some(Digest::of(b"3").to_string()));
        assert_eq!(digest("b"), Some(Digest::of(b"2").to_string()));
        assert_eq!(digest("c"), None);
        again.keep_only(&[Digest::of(b"2")]).unwrap();
        assert_eq!((digest("a"), digest("b").is_some()), (None, true));
        assert_eq!(fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_no_layout_is_named_with_the_way_to_one() {
        let dir = tempfile::tempdir().unwrap();
        for mark in [None, Some("{}"), Some("nonsense"), Some("{\"imageLayoutVersion\":\"2.0.0\"}")] {
            if let Some(mark) = mark {
                fs::write(dir.path().join(MARK), mark).unwrap();
            }
            let error = Layout::open(dir.path()).unwrap_err();
            assert!(error.contains("is no OCI image layout") && error.contains("plugin pull"), "{error}");
        }
    }

    #[test]
    fn a_private_one_that_others_can_write_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        Layout::open_or_create(&path, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Layout::open_or_create(&path, true).unwrap_err().contains("0700"));
    }
}
