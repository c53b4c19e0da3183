//! The image of every pod's first container, whose only work is to hold the pod's namespaces: a static busybox that sleeps.
//!
//! It is put together by hand as an OCI archive (image-spec v1.1), so that a cluster starts without any image tool.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cache::{Cache, Key};
use crate::{Error, Result, command};

/// The image's name.
pub(super) const NAME: &str = "db-operator.dev/pause:1";

const PROGRAM: &str = "/bin/busybox";

/// The archive with the image, made if it is not in the cache.
pub(super) fn archive(cache: &Cache) -> Result<PathBuf> {
    let key = Key::new().text("2").text(NAME).file(Path::new(PROGRAM))?;
    let folder = cache.built("image-pause", &key, build)?;
    Ok(folder.join("pause.tar"))
}

fn build(folder: &Path) -> Result<()> {
    let (root, layout) = (folder.join("root"), folder.join("layout"));
    let blobs = layout.join("blobs/sha256");
    for folder in [&root, &blobs] {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    let sleep = root.join("sleep");
    fs::copy(PROGRAM, &sleep).map_err(Error::io("copy", Path::new(PROGRAM)))?;

    let layer = folder.join("layer.tar");
    tar(&layer, &root, &["sleep"])?;
    let layer = fs::read(&layer).map_err(Error::io("read", &layer))?;
    let layer = store(&blobs, "application/vnd.oci.image.layer.v1.tar", &layer)?;
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": ["/sleep", "infinity"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = store(
        &blobs,
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    )?;
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer]});
    let mut manifest = store(&blobs, manifest_type, manifest.to_string().as_bytes())?;
    manifest["annotations"] =
        json!({"io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": "1"});
    write(
        &layout.join("index.json"),
        &json!({"schemaVersion": 2, "manifests": [manifest]}),
    )?;
    write(
        &layout.join("oci-layout"),
        &json!({"imageLayoutVersion": "1.0.0"}),
    )?;
    tar(
        &folder.join("pause.tar"),
        &layout,
        &["oci-layout", "index.json", "blobs"],
    )?;
    [root, layout]
        .iter()
        .try_for_each(|folder| fs::remove_dir_all(folder).map_err(Error::io("remove", folder)))
}

/// Puts a blob under its digest and returns its descriptor.
fn store(blobs: &Path, media_type: &str, content: &[u8]) -> Result<Value> {
    let digest = Sha256::digest(content)
        .iter()
        .fold(String::new(), |all, byte| format!("{all}{byte:02x}"));
    let path = blobs.join(&digest);
    fs::write(&path, content).map_err(Error::io("write", &path))?;
    Ok(
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()}),
    )
}

fn write(path: &Path, value: &Value) -> Result<()> {
    fs::write(path, value.to_string()).map_err(Error::io("write", path))
}

fn tar(archive: &Path, folder: &Path, names: &[&str]) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--mtime=@0",
        "--directory",
    ])
    .arg(folder);
    tar.arg("--create").arg("--file").arg(archive).args(names);
    command::output(&mut tar).map(drop)
}

/// The machine's architecture as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        same => same,
    }
}
