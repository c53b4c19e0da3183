//! What can go wrong while the test cluster is set up, each with a sentence that says what to do.

use std::path::{Path, PathBuf};

/// The result of everything that sets up the test fixture.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a command of `cargo xtask` failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something about the machine or the request has to change first. The text is a whole sentence.
    #[error("{0}")]
    Precondition(String),

    /// A program could not be started at all.
    #[error("{program} could not be started ({source}); install it, or put it on the PATH")]
    Spawn {
        /// The program's name.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },

    /// A program ended with a failure.
    #[error("{what} failed ({status}){tail}")]
    Failed {
        /// What was being done, for a person.
        what: String,
        /// How it ended.
        status: String,
        /// The last lines it wrote, and where the rest is.
        tail: String,
    },

    /// A condition did not come true in time.
    #[error("{what} did not come true within {seconds} s{tail}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// The last lines of the log that explains it, and where the rest is.
        tail: String,
    },

    /// A file or folder could not be read or written.
    #[error("could not {what} {}: {source}", path.display())]
    Io {
        /// The verb: "read", "write", "create", …
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A system call failed.
    #[error("could not {what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// What the kernel said.
        source: nix::Error,
    },

    /// A certificate could not be made or read.
    #[error("could not {what}: {source}")]
    Certificate {
        /// What was being done.
        what: String,
        /// What the library said.
        source: rcgen::Error,
    },

    /// The operator, or a server that it works with, did not do what a trial expects.
    #[error("{what}: {detail}")]
    Trial {
        /// What was being done.
        what: String,
        /// What came of it.
        detail: String,
    },

    /// A file of ours holds something that we did not write.
    #[error("{} is damaged ({reason}); run `cargo xtask down` and try again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// For `map_err` on file operations: which verb failed on which path.
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// An error if a program whose output was shown did not succeed.
    pub fn unless_success(what: &str, status: std::process::ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        Err(Self::Failed {
            what: what.to_owned(),
            status: status.to_string(),
            tail: String::new(),
        })
    }

    /// For `map_err` in trials: what was being done.
    pub fn trial<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self::Trial {
            what,
            detail: error.to_string(),
        }
    }

    /// The same error, pointing to where the logs are now.
    #[must_use]
    pub fn with_moved_logs(self, from: &Path, to: &Path) -> Self {
        let moved =
            |tail: String| tail.replace(&from.display().to_string(), &to.display().to_string());
        match self {
            Self::Failed { what, status, tail } => Self::Failed {
                what,
                status,
                tail: moved(tail),
            },
            Self::Timeout {
                what,
                seconds,
                tail,
            } => Self::Timeout {
                what,
                seconds,
                tail: moved(tail),
            },
            other => other,
        }
    }

    /// For `map_err` on system calls: what was being done.
    pub fn system(what: impl Into<String>) -> impl FnOnce(nix::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
