//! The cluster's images: built from Containerfiles, kept as archives in the cache, imported into the cluster's containerd.

mod buildah;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::cache::{Cache, Key};
use crate::cluster::Cluster;
use crate::{Error, Result, clone_root, command, tools};

use buildah::Buildah;

/// The label, in containerd and in buildah, that holds the key of what an image was built from.
const KEY_LABEL: &str = "db-operator.dev/key";
/// What builds need at their worst: the layers, and each image once more as an archive, in bytes.
const SPACE: u64 = 4 * 1024 * 1024 * 1024;

/// The servers' images: a folder under `e2e/images`, and the name. In the order in which their servers take long to start.
const SERVERS: [(&str, &str); 4] = [
    ("mysql", "docker.io/library/mysql:9.7"),
    ("mariadb", "docker.io/library/mariadb:11.8"),
    ("postgres", "docker.io/library/postgres:17"),
    (S3, "db-operator.dev/e2e/s3:1"),
];
const S3: &str = "s3";

/// An image that is ready to be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The image's whole name, as a pod asks for it.
    pub reference: String,
    /// What it was built from: another key, another image.
    pub key: String,
    /// The OCI archive.
    pub path: PathBuf,
}

/// The images of the database servers and of the S3 server, built where they are not in the cache.
pub fn servers(cache: &Cache) -> Result<Vec<Archive>> {
    SERVERS
        .iter()
        .map(|(name, reference)| {
            let folder = clone_root().join("e2e/images").join(name);
            let programs = if *name == S3 {
                versitygw(cache)?
            } else {
                Vec::new()
            };
            build(cache, name, reference, &folder, &programs)
        })
        .collect()
}

/// Builds the image `name` from a folder with its Containerfile, and from programs that join them there.
///
/// Needs buildah only if no such image is in the cache.
pub fn build(
    cache: &Cache,
    name: &str,
    reference: &str,
    folder: &Path,
    programs: &[PathBuf],
) -> Result<Archive> {
    let mut key = Key::new()
        .text(reference)
        .text(&buildah::base_key().hex())
        .folder(folder)?;
    for program in programs {
        key = key.file(program)?;
    }
    let result = cache.built(&format!("image-{name}"), &key, |result| {
        cache.require_space(SPACE, "building images")?;
        let context = result.join("context");
        copy_files(folder, &context)?;
        for program in programs {
            copy_into(program, &context)?;
        }
        let buildah = Buildah::open(cache)?;
        buildah.build(name, reference, &context, &result.join("image.tar"))?;
        fs::remove_dir_all(&context).map_err(Error::io("remove", &context))
    })?;
    Ok(Archive {
        reference: reference.to_owned(),
        key: key.hex(),
        path: result.join("image.tar"),
    })
}

/// Imports the images that containerd does not have yet, or has from something else; says which.
pub fn import<'a>(cluster: &Cluster, archives: &'a [Archive]) -> Result<Vec<&'a Archive>> {
    let mut missing = Vec::new();
    for archive in archives {
        if !is_imported(cluster, archive)? {
            missing.push(archive);
        }
    }
    // Unpacking is bound by one core and by the disk in turns: two at once are faster than one by one.
    for pair in missing.chunks(2) {
        thread::scope(|scope| {
            let imports: Vec<_> = pair
                .iter()
                .map(|archive| scope.spawn(|| import_one(cluster, archive)))
                .collect();
            imports.into_iter().try_for_each(|import| {
                import.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })?;
    }
    Ok(missing)
}

fn is_imported(cluster: &Cluster, archive: &Archive) -> Result<bool> {
    let mut list = cluster.ctr();
    list.args(["images", "list", "--quiet"])
        .arg(format!(
            "name=={},labels.\"{KEY_LABEL}\"=={}",
            archive.reference, archive.key
        ));
    Ok(!command::output(&mut list)?.is_empty())
}

fn import_one(cluster: &Cluster, archive: &Archive) -> Result<()> {
    let mut import = cluster.ctr();
    import
        .args(["images", "import", "--label"])
        .arg(format!("{KEY_LABEL}={}", archive.key))
        .arg(&archive.path);
    command::output(&mut import).map(drop)
}

/// The S3 server's one program.
fn versitygw(cache: &Cache) -> Result<Vec<PathBuf>> {
    let folders = tools::ensure(cache, &[tools::VERSITYGW])?;
    Ok(folders.iter().map(|folder| folder.join("versitygw")).collect())
}

/// Copies a folder's files, and only those: the contexts here have no folders.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).map_err(Error::io("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::io("read", from))? {
        copy_into(&entry.map_err(Error::io("read", from))?.path(), to)?;
    }
    Ok(())
}

fn copy_into(file: &Path, folder: &Path) -> Result<()> {
    let target = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, &target)
        .map(drop)
        .map_err(Error::io("copy", file))
}
