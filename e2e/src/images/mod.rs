//! The cluster's images: built from Containerfiles, kept as archives in the cache, imported into the cluster's containerd.

mod buildah;

use std::collections::BTreeMap;
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

/// The servers' images, and what the samples run: a folder under `e2e/images`, and the name. In the order in which the
/// servers take long to start.
const SERVERS: [(&str, &str); 5] = [
    ("mysql", "docker.io/library/mysql:9.7"),
    ("mariadb", "docker.io/library/mariadb:11.8"),
    ("postgres", "docker.io/library/postgres:17"),
    (S3, "db-operator.dev/e2e/s3:1"),
    (KUBECTL, "registry.k8s.io/kubectl:v1.36.3"),
];
const S3: &str = "s3";
const KUBECTL: &str = "kubectl";
/// The archive's name in the cache.
const ARCHIVE: &str = "image.tar";

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

/// The images of the database servers, of the S3 server and of kubectl, built where they are not in the cache.
pub fn servers(cache: &Cache) -> Result<Vec<Archive>> {
    SERVERS
        .iter()
        .map(|(name, reference)| {
            let mut context = Context::of_folder(&clone_root().join("e2e/images").join(name))?;
            // What is built from source is put beside the Containerfile.
            let built: &[_] = match *name {
                S3 => &[(tools::VERSITYGW, "versitygw")],
                KUBECTL => &[(tools::KUBERNETES, "kubectl")],
                _ => &[],
            };
            for (module, program) in built {
                for folder in tools::ensure(cache, &[*module])? {
                    context = context.with(program, &folder.join(program));
                }
            }
            build(cache, name, reference, &context)
        })
        .collect()
}

/// The files that an image is built from: the path in the context, and where it comes from. One is the `Containerfile`.
#[derive(Debug, Clone, Default)]
pub struct Context(BTreeMap<String, PathBuf>);

impl Context {
    /// The files of a folder, without its folders.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let mut context = Self::default();
        for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let entry = entry.map_err(Error::io("read", folder))?;
            context = context.with(&entry.file_name().to_string_lossy(), &entry.path());
        }
        Ok(context)
    }

    /// With one more file.
    #[must_use]
    pub fn with(mut self, path: &str, from: &Path) -> Self {
        self.0.insert(path.to_owned(), from.to_owned());
        self
    }

    fn key(&self, key: Key) -> Result<Key> {
        self.0
            .iter()
            .try_fold(key, |key, (path, from)| key.text(path).file(from))
    }

    fn copy_to(&self, folder: &Path) -> Result<()> {
        for (path, from) in &self.0 {
            let to = folder.join(path);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            }
            fs::copy(from, &to).map_err(Error::io("copy", from))?;
        }
        Ok(())
    }
}

/// Builds the image `name`. Needs buildah, and the network for packages, only if the cache does not have it.
pub fn build(cache: &Cache, name: &str, reference: &str, context: &Context) -> Result<Archive> {
    let key = Key::new().text(reference).text(&buildah::base_key().hex());
    let key = context.key(key)?;
    let result = cache.built(&format!("image-{name}"), &key, |result| {
        cache.require_space(SPACE, "building images")?;
        let folder = result.join("context");
        context.copy_to(&folder)?;
        Buildah::open(cache)?.build(name, reference, &folder, &result.join(ARCHIVE))?;
        fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))
    })?;
    Ok(Archive {
        reference: reference.to_owned(),
        key: key.hex(),
        path: result.join(ARCHIVE),
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
                import
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })?;
    }
    Ok(missing)
}

fn is_imported(cluster: &Cluster, archive: &Archive) -> Result<bool> {
    let mut list = cluster.ctr();
    list.args(["images", "list", "--quiet"]).arg(format!(
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
