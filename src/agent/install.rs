//! Copies this binary into a folder that it shares with a container of another image.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The name of the copy.
pub const NAME: &str = "db-operator";

/// Copies this binary into `folder`, executable by all. A copy that exists already is replaced atomically.
pub fn install(folder: &Path) -> io::Result<PathBuf> {
    let target = folder.join(NAME);
    let new = folder.join(format!(".{NAME}.new"));
    fs::copy(std::env::current_exe()?, &new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o555))?;
    fs::rename(&new, &target)?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_this_binary_and_may_be_made_again() {
        let folder =
            std::env::temp_dir().join(format!("db-operator-install-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for _ in 0..2 {
            let target = install(&folder).unwrap();
            let own = fs::metadata(std::env::current_exe().unwrap()).unwrap();
            let copy = fs::metadata(&target).unwrap();
            assert_eq!(copy.len(), own.len());
            assert_eq!(copy.permissions().mode() & 0o777, 0o555);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
