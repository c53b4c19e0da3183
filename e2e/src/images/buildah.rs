//! buildah, with a storage of our own in the cache: a user's images are neither used nor touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{Cache, Key};
use crate::{Error, Result, command};

use super::KEY_LABEL;

/// The name on the Containerfiles' `FROM` lines. Here it is made with mmdebstrap, so no registry is needed.
const BASE: &str = "docker.io/library/debian:trixie-slim";
/// The Debian release of the base.
const SUITE: &str = "trixie";
/// How the base is made: what is left out is what Debian's own slim image leaves out.
const MMDEBSTRAP: [&str; 6] = [
    "--variant=minbase",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--quiet",
];

/// What the base is made from: a part of every image's key.
pub(super) fn base_key() -> Key {
    MMDEBSTRAP
        .iter()
        .fold(Key::new().text(SUITE), |key, option| key.text(option))
}

/// A builder of images whose storage holds the base image.
pub(super) struct Buildah<'a> {
    cache: &'a Cache,
    storage: PathBuf,
}

impl<'a> Buildah<'a> {
    /// The builder, with the base image made if it is not there.
    pub(super) fn open(cache: &'a Cache) -> Result<Self> {
        let storage = cache.root().join("images");
        fs::create_dir_all(&storage).map_err(Error::io("create", &storage))?;
        let buildah = Self { cache, storage };
        // A build that was killed left its container.
        command::output(buildah.command().args(["rm", "--all"]))?;
        buildah.ensure_base()?;
        Ok(buildah)
    }

    /// Builds `context/Containerfile` and writes the image to an OCI archive.
    pub(super) fn build(
        &self,
        name: &str,
        reference: &str,
        context: &Path,
        archive: &Path,
    ) -> Result<()> {
        let mut build = self.command();
        build
            .args([
                "build",
                "--layers",
                "--pull=never",
                "--network=host",
                "--tag",
                reference,
                "--file",
            ])
            .arg(context.join("Containerfile"))
            .arg(context);
        let log = self.cache.log(&format!("image-{name}"));
        command::run(&format!("Building the image of {name}"), &mut build, &log)?;
        let mut push = self.command();
        push.args(["push", reference])
            .arg(format!("oci-archive:{}:{reference}", archive.display()));
        command::run(&format!("Writing the image of {name}"), &mut push, &log)?;
        // Only what was replaced goes: the layers of images that have a name stay, and make the next build fast.
        command::output(self.command().args(["rmi", "--prune"])).map(drop)
    }

    fn ensure_base(&self) -> Result<()> {
        let key = base_key();
        let label = format!("{KEY_LABEL}={}", key.hex());
        let filter = format!("label={label}");
        let mut list = self.command();
        list.args(["images", "--quiet", "--filter", &filter, "--filter"])
            .arg(format!("reference={BASE}"));
        if !command::output(&mut list)?.is_empty() {
            return Ok(());
        }
        let folder = self.cache.built("image-base", &key, |folder| {
            let mut make = Command::new("mmdebstrap");
            make.args(MMDEBSTRAP)
                .arg(SUITE)
                .arg(folder.join("root.tar"));
            let what = format!("Making a Debian {SUITE} root file system");
            command::run(&what, &mut make, &self.cache.log("image-base"))
        })?;
        let container = command::output(self.command().args(["from", "scratch"]))?;
        command::output(
            self.command()
                .args(["add", "--quiet", &container])
                .arg(folder.join("root.tar"))
                .arg("/"),
        )?;
        command::output(
            self.command()
                .args(["config", "--cmd", "bash", "--label", &label, "--env"])
                .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
                .arg(&container),
        )?;
        command::output(
            self.command()
                .args(["commit", "--quiet", "--rm", &container, BASE]),
        )
        .map(drop)
    }

    /// buildah on our storage, in a mount namespace of its own: a build that is killed leaves no mount behind.
    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "buildah", "--storage-driver=overlay", "--root"])
            .arg(self.storage.join("storage"))
            .arg("--runroot")
            .arg(self.storage.join("run"))
            .env("BUILDAH_ISOLATION", "chroot");
        command
    }
}
