//! Files that are replaced as a whole: written beside their place under a name of their own, then moved there.

use crate::err;
use crate::error::{Kind, Result};
use std::fs::{File, Metadata, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

const PREFIX: &str = ".rustorch-";
const SUFFIX: &str = ".tmp";

/// An error of the system that happened at `path`.
#[cold]
pub(super) fn failed(path: &Path, e: io::Error) -> crate::error::Error {
    if e.kind() == io::ErrorKind::OutOfMemory {
        return err!(Memory, "{}: {e}", path.display());
    }
    err!(Io, "{}: {e}", path.display())
}

/// Says at which path it happened, where memory was not the reason.
#[cold]
pub(super) fn at(path: &Path, e: crate::error::Error) -> crate::error::Error {
    match e.kind() {
        Kind::Io => err!(Io, "{}: {e}", path.display()),
        _ => e,
    }
}

/// Lets `write` fill a file that then takes the place of `path`: others see the old contents or the new, whole.
///
/// Symbolic links are followed, and an existing file keeps its permissions and, where the system lets us, its owner. What
/// is no file (a device, a pipe) is written to as it is. What killed processes have left in the folder is removed.
pub(super) fn replace(path: &Path, write: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let io = |e| failed(path, e);
    match std::fs::metadata(path) {
        Ok(m) if !m.is_file() => return write(&OpenOptions::new().write(true).open(path).map_err(io)?),
        _ => {}
    }
    let target = followed(path).map_err(io)?;
    let old = match OpenOptions::new().write(true).open(&target) {
        Ok(f) => Some(f.metadata().map_err(io)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(io(e)),
    };
    let folder = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let new = Temporary::create(folder).map_err(io)?;
    let file = &new.file;
    sweep(folder, &new, old.as_ref());
    let keep = || match &old {
        Some(old) => {
            keep_owner(file, old);
            file.set_permissions(old.permissions()).map_err(io)
        }
        None => Ok(()),
    };
    // Before there is anything to read in it, and after, as writing clears some bits.
    keep()?;
    write(file)?;
    keep()?;
    file.sync_all().map_err(io)?;
    new.rename(&target).map_err(io)?;
    // The move itself is made durable where folders can be opened. The new file is in its place by now: to call this a
    // failed save would be wrong.
    let _ = File::open(folder).and_then(|f| f.sync_all());
    Ok(())
}

/// Where a chain of symbolic links leads, whether or not there is a file.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..40 {
        if !std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()) {
            return Ok(path);
        }
        let to = std::fs::read_link(&path)?;
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// A new file of ours. It is locked as long as it is open, which tells it from those of killed processes, and removed
/// unless it is renamed: also where the program ends a call, which unwinds.
struct Temporary {
    file: File,
    path: PathBuf,
    /// False once there is nothing at `path` to be removed.
    there: bool,
}

impl Temporary {
    fn create(folder: &Path) -> io::Result<Temporary> {
        let mut last = io::Error::other("no name is free for a temporary file");
        for _ in 0..100 {
            // Keys of hash maps are random; a forked child inherits them, but not the number of the process.
            let mut random = std::hash::RandomState::new().build_hasher();
            random.write_u32(std::process::id());
            let path = folder.join(format!("{PREFIX}{:016x}{SUFFIX}", random.finish()));
            let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    last = e;
                    continue;
                }
                Err(e) => return Err(e),
            };
            let new = Temporary { file, path, there: true };
            // Somebody who sweeps may have taken it for a leftover before it was locked.
            let locked = !matches!(new.file.try_lock(), Err(std::fs::TryLockError::WouldBlock));
            if locked && !unlinked(&new.file) {
                return Ok(new);
            }
        }
        Err(last)
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, to)?;
        self.there = false;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.there {
            // If it cannot be removed, whoever saves next sweeps it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the temporary files in `folder` that belong to our user and to no living process.
fn sweep(folder: &Path, own: &Temporary, old: Option<&Metadata>) {
    let (Ok(entries), Ok(mine)) = (std::fs::read_dir(folder), own.file.metadata()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|n| {
            n.strip_prefix(PREFIX)
                .and_then(|n| n.strip_suffix(SUFFIX))
                .is_some_and(|n| n.len() == 16 && n.bytes().all(|b| b.is_ascii_hexdigit()))
        });
        let path = entry.path();
        if !ours || path == own.path {
            continue;
        }
        let Ok(m) = std::fs::symlink_metadata(&path) else { continue };
        if !m.is_file() || !(same_owner(&m, &mine) || old.is_some_and(|old| same_owner(&m, old))) {
            continue;
        }
        // Whoever writes it holds the lock; no lock can be had on file systems without them, and nothing is removed there.
        let Ok(f) = OpenOptions::new().write(true).open(&path) else { continue };
        if f.try_lock().is_ok() {
            // If it cannot be removed, it stays for the next sweep.
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(unix)]
fn unlinked(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|m| m.nlink() == 0)
}

#[cfg(unix)]
fn same_owner(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    a.uid() == b.uid()
}

/// Gives `file` the owner and group of `old`. Who may not give files away keeps at least the group where he can.
#[cfg(unix)]
fn keep_owner(file: &File, old: &Metadata) {
    use std::os::unix::fs::{fchown, MetadataExt};
    let same = file.metadata().is_ok_and(|m| (m.uid(), m.gid()) == (old.uid(), old.gid()));
    if !same && fchown(file, Some(old.uid()), Some(old.gid())).is_err() {
        // Only root can give files away; whoever may not even set the group has a file of their own, as after any save.
        let _ = fchown(file, None, Some(old.gid()));
    }
}

#[cfg(not(unix))]
fn unlinked(_: &File) -> bool {
    false
}

#[cfg(not(unix))]
fn same_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) {}
