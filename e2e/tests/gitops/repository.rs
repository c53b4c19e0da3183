//! A branch of the Git repository that Argo CD syncs, and the clone in which a test commits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::command;

/// A clone with one branch, named as the clone. The branch goes with it.
pub(crate) struct Repository {
    folder: PathBuf,
    branch: String,
}

impl Repository {
    /// An empty one, to be pushed to `url`.
    pub(crate) fn new(branch: &str, url: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gitops-{branch}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let repository = Self {
            folder,
            branch: branch.to_owned(),
        };
        repository.git(&["init", "--quiet"]);
        repository.git(&["remote", "add", "origin", url]);
        repository
    }

    pub(crate) fn branch(&self) -> &str {
        &self.branch
    }

    /// Writes a file that is to be committed.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Copies a folder, or a file, under its own name.
    pub(crate) fn copy(&self, from: &Path) {
        let mut copy = Command::new("cp");
        command::output(copy.arg("-r").arg(from).arg(&self.folder)).unwrap();
    }

    /// Takes a file away with the next commit.
    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.folder.join(path)).unwrap();
    }

    /// Commits all there is and pushes it. Returns the commit.
    pub(crate) fn push(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        let head = format!("HEAD:refs/heads/{}", self.branch);
        self.git(&["push", "--quiet", "origin", &head]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        // Whoever runs the tests may have settings of their own.
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(["-c", "user.name=team", "-c", "user.email=team@example"])
            .args(arguments)
            .current_dir(&self.folder);
        command::output(&mut git).unwrap()
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let branch = format!(":refs/heads/{}", self.branch);
        let mut git = Command::new("git");
        git.args(["push", "--quiet", "origin", &branch]);
        // There may be none yet.
        let _ = command::output(git.current_dir(&self.folder));
        let _ = fs::remove_dir_all(&self.folder);
    }
}
