//! What was built once and is kept outside the checkout, each result under a key of what it was built from.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// How many results of one name are kept: two clones that differ can take turns without building anew.
const KEPT: usize = 2;
const MIB: u64 = 1024 * 1024;

/// The folder of everything that was built.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$DB_OPERATOR_CACHE`, else `$XDG_CACHE_HOME/db-operator`, else `~/.cache/db-operator`; made if it is not there.
    pub fn open() -> Result<Self> {
        let of = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = of("DB_OPERATOR_CACHE")
            .or_else(|| of("XDG_CACHE_HOME").map(|cache| cache.join("db-operator")))
            .or_else(|| of("HOME").map(|home| home.join(".cache/db-operator")))
            .ok_or_else(|| {
                Error::Precondition(
                    "There is no home folder for the cache: set DB_OPERATOR_CACHE to a folder."
                        .to_owned(),
                )
            })?;
        Self::at(&root)
    }

    /// A cache in this folder, which is made if it is not there.
    pub fn at(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(Error::io("create", root))?;
        let root = root.canonicalize().map_err(Error::io("resolve", root))?;
        Ok(Self { root })
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the logs of builds go.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// Fails with a sentence if less than this many bytes are free where the cache is.
    pub fn require_space(&self, bytes: u64, what: &str) -> Result<()> {
        require_space(&self.root, bytes, what)
    }

    /// The folder of the result `name` for `key`, built now by `build` if it is not there yet.
    ///
    /// `build` gets an empty folder that becomes the result only when it succeeds. Two processes never build the same
    /// name at once. Of the other keys of this name only the one used last is kept.
    pub fn built(
        &self,
        name: &str,
        key: &Key,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let _lock = lock(&folder.join(".lock"))?;
        let result = folder.join(key.hex());
        if !result.is_dir() {
            let unfinished = folder.join(".unfinished");
            remove(&unfinished)?;
            fs::create_dir(&unfinished).map_err(Error::io("create", &unfinished))?;
            if let Err(error) = build(&unfinished) {
                remove(&unfinished)?;
                return Err(error);
            }
            fs::rename(&unfinished, &result).map_err(Error::io("rename", &unfinished))?;
        }
        touch(&result)?;
        prune(&folder)?;
        Ok(result)
    }
}

/// Fails with a sentence if less than this many bytes are free where `path` is.
pub fn require_space(path: &Path, bytes: u64, what: &str) -> Result<()> {
    let stat = nix::sys::statvfs::statvfs(path).map_err(Error::system(format!(
        "ask for the free space at {}",
        path.display()
    )))?;
    let free = stat.blocks_available() * stat.fragment_size();
    if free >= bytes {
        return Ok(());
    }
    Err(Error::Precondition(format!(
        "{} has {} MiB free, but {what} needs {} MiB: free some space there.",
        path.display(),
        free / MIB,
        bytes.div_ceil(MIB),
    )))
}

/// What a result was built from: the same parts in the same order give the same key.
#[derive(Debug, Clone, Default)]
pub struct Key {
    hash: Sha256,
}

impl Key {
    /// A key of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a text: a version, a flag, the hex of another key.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.part("text", text.as_bytes());
        self
    }

    /// With the content of a file (not its name or times).
    pub fn file(mut self, path: &Path) -> Result<Self> {
        let mut file = fs::File::open(path).map_err(Error::io("read", path))?;
        let mut content = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut buffer).map_err(Error::io("read", path))?;
            if read == 0 {
                break;
            }
            content.update(&buffer[..read]);
        }
        self.part("file", &content.finalize());
        Ok(self)
    }

    /// With the relative names, modes' executable bits and contents of all files below a folder.
    pub fn folder(mut self, root: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let mut files = Vec::new();
        list(root, &mut files)?;
        files.sort();
        for path in files {
            let mode = path
                .metadata()
                .map_err(Error::io("read", &path))?
                .permissions()
                .mode();
            let name = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            self.part("name", name.as_bytes());
            self.part("executable", &[u8::from(mode & 0o111 != 0)]);
            self = self.file(&path)?;
        }
        Ok(self)
    }

    /// The key as 64 bits in hex: short enough for paths, long enough for a cache of a few dozen entries.
    #[must_use]
    pub fn hex(&self) -> String {
        let digest = self.hash.clone().finalize();
        digest
            .iter()
            .take(8)
            .fold(String::new(), |all, byte| format!("{all}{byte:02x}"))
    }

    /// Each part with its kind and length, so that no two lists of parts look alike.
    fn part(&mut self, kind: &str, content: &[u8]) {
        self.hash.update(kind.as_bytes());
        self.hash.update((content.len() as u64).to_be_bytes());
        self.hash.update(content);
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<Flock<fs::File>> {
    let file = fs::File::create(path).map_err(Error::io("create", path))?;
    let refused = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => return Ok(held),
        Err((file, _)) => file,
    };
    let what = path.parent().and_then(Path::file_name).unwrap_or_default();
    crate::command::say(&format!(
        "Waiting: another process builds {} for the cache.",
        what.display()
    ));
    Flock::lock(refused, FlockArg::LockExclusive).map_err(|(_, source)| Error::System {
        what: format!("lock {}", path.display()),
        source,
    })
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("remove", folder)(error)),
    }
}

fn touch(folder: &Path) -> Result<()> {
    let file = fs::File::open(folder).map_err(Error::io("open", folder))?;
    file.set_modified(SystemTime::now())
        .map_err(Error::io("touch", folder))
}

/// Removes all but the results that were used last.
fn prune(folder: &Path) -> Result<()> {
    let mut results = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.is_dir() {
            let used = path
                .metadata()
                .and_then(|data| data.modified())
                .map_err(Error::io("read", &path))?;
            results.push((used, path));
        }
    }
    results.sort();
    let surplus = results.len().saturating_sub(KEPT);
    results
        .iter()
        .take(surplus)
        .try_for_each(|(_, path)| remove(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("cache-test-{name}-{}", std::process::id()));
        remove(&folder).unwrap();
        folder
    }

    #[test]
    fn builds_once_per_key_and_keeps_the_last_two() {
        let root = scratch("once");
        let cache = Cache::at(&root).unwrap();
        let mut builds = 0;
        let mut build = |text: &str| {
            cache
                .built("thing", &Key::new().text(text), |folder| {
                    builds += 1;
                    fs::write(folder.join("file"), text).map_err(Error::io("write", folder))
                })
                .unwrap()
        };
        let first = build("one");
        assert_eq!(build("one"), first);
        assert_eq!(fs::read_to_string(first.join("file")).unwrap(), "one");
        let second = build("two");
        build("one");
        let third = build("three");
        assert!(first.exists() && third.exists(), "the two used last stay");
        assert!(!second.exists(), "the oldest goes");
        assert_eq!(builds, 3);
        remove(&root).unwrap();
    }

    #[test]
    fn a_failed_build_leaves_nothing() {
        let root = scratch("failed");
        let cache = Cache::at(&root).unwrap();
        let key = Key::new().text("x");
        let failed = cache.built("thing", &key, |folder| {
            fs::write(folder.join("half"), "").unwrap();
            Err(Error::Precondition("no".to_owned()))
        });
        assert!(failed.is_err());
        let result = cache.built("thing", &key, |_| Ok(())).unwrap();
        assert_eq!(fs::read_dir(result).unwrap().count(), 0);
        remove(&root).unwrap();
    }

    #[test]
    fn keys_tell_names_contents_and_borders_apart() {
        let root = scratch("keys");
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/x"), "1").unwrap();
        let before = Key::new().folder(&root).unwrap().hex();
        fs::write(root.join("a/x"), "2").unwrap();
        assert_ne!(before, Key::new().folder(&root).unwrap().hex());
        fs::write(root.join("a/x"), "1").unwrap();
        assert_eq!(before, Key::new().folder(&root).unwrap().hex());
        fs::rename(root.join("a/x"), root.join("a/y")).unwrap();
        assert_ne!(before, Key::new().folder(&root).unwrap().hex());
        assert_ne!(
            Key::new().text("ab").text("c").hex(),
            Key::new().text("a").text("bc").hex()
        );
        remove(&root).unwrap();
    }

    #[test]
    fn a_full_disk_is_said_in_a_sentence() {
        let error = require_space(&std::env::temp_dir(), u64::MAX, "the moon")
            .unwrap_err()
            .to_string();
        assert!(error.contains("but the moon needs"), "{error}");
        require_space(&std::env::temp_dir(), 1, "a byte").unwrap();
    }
}
